package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// childCommand is the first argument of the server that is killed.
const childCommand = "serve"

// live serves until its input ends, which it does with the process that holds the
// other end, however that ends. What happens is said on out, in lines.
func live(ctx context.Context, args []string, input io.Reader, out io.Writer) error {
	p, err := parsePlace(args)
	if err != nil {
		return err
	}
	db, err := p.open(ctx)
	if err != nil {
		return err
	}
	told := &teller{out: out}
	h, err := p.host(ctx, telling{Store: db, told: told}, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", api.Handler(h, api.Options{Logger: slog.New(slog.DiscardHandler)}))
	mux.HandleFunc("GET /left", func(w http.ResponseWriter, r *http.Request) {
		n, err := left(r.Context(), h, p.tenant)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(n)
	})
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served, worked := make(chan error, 1), make(chan error, 1)
	working, stop := context.WithCancel(ctx)
	defer stop()
	go func() { served <- web.Serve(l) }()
	go func() { worked <- h.Run(working) }()
	told.tell("ready", l.Addr().String())
	_, err = io.Copy(io.Discard, input)
	stop()
	return errors.Join(err, <-worked, web.Close(), ignore(<-served, http.ErrServerClosed), h.Close(context.WithoutCancel(ctx)), db.Close())
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// unfinished counts executions that have not come to their end, up to 200 of a kind.
type unfinished struct{ Queued, Running, Waiting int }

func (u unfinished) sum() int { return u.Queued + u.Running + u.Waiting }

func left(ctx context.Context, h *host.Host, tenant string) (u unfinished, err error) {
	for s, n := range map[execution.State]*int{execution.Queued: &u.Queued, execution.Running: &u.Running, execution.Waiting: &u.Waiting} {
		found, err := h.Store.Executions(ctx, tenant, execution.Filter{State: s, Limit: 200})
		if err != nil {
			return u, err
		}
		*n = len(found)
	}
	return u, nil
}

// teller says what happens: a line each, in one write, with the time in front.
type teller struct {
	mu  sync.Mutex
	out io.Writer
}

func (t *teller) tell(words ...any) {
	line := fmt.Appendf(nil, "%d ", time.Now().UnixNano())
	line = fmt.Appendln(line, words...)
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.out.Write(line)
}

// telling is a store that says what it is about to do, and what it has done.
type telling struct {
	store.Store

	told *teller
}

func (s telling) Accept(ctx context.Context, e event.Event, w *event.Work) (event.Accepted, error) {
	s.told.tell(accepting)
	return s.Store.Accept(ctx, e, w)
}

func (s telling) Claim(ctx context.Context, worker string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	s.told.tell(claiming)
	taken, err := s.Store.Claim(ctx, worker, quotas, backfill)
	for _, c := range taken.Claimed {
		s.told.tell("claimed", c.Execution, c.Claim)
	}
	return taken, err
}

func (s telling) Begin(ctx context.Context, c execution.Claimed, b execution.Beginning) error {
	err := s.Store.Begin(ctx, c, b)
	if err == nil {
		s.told.tell("begun", c.Execution, c.Claim)
	}
	return err
}

func (s telling) Append(ctx context.Context, c execution.Claimed, segment journal.Segment) error {
	s.told.tell(appending)
	return s.Store.Append(ctx, c, segment)
}

func (s telling) Complete(ctx context.Context, c execution.Completion) error {
	s.told.tell(completing)
	err := s.Store.Complete(ctx, c)
	if err == nil {
		s.told.tell("completed", c.Execution, c.Claim)
	}
	return err
}
