package postgres

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cofferdam-run/cofferdam/host/ident"
)

const (
	channel = "cofferdam_wake"
	// pace is the least time between two notifications of one process, which all
	// others receive: four a second are enough, and a flood of work sends no more.
	pace = 250 * time.Millisecond
	// reconnect is how long the listener waits before it connects again.
	reconnect = time.Second
	// most is how many tenants one notification round names; with more it says "any".
	most = 64
)

// hints sends and receives NOTIFY. A hint may be lost, and costs no more than
// waiting for the next scan.
type hints struct {
	pool    *pgxpool.Pool
	cfg     *pgx.ConnConfig
	logger  *slog.Logger
	self    string
	outbox  chan string
	woken   chan string
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newHints(ctx context.Context, pool *pgxpool.Pool, cfg *pgx.ConnConfig, logger *slog.Logger) *hints {
	ctx, cancel := context.WithCancel(ctx)
	h := &hints{
		pool: pool, cfg: cfg.Copy(), logger: logger, cancel: cancel,
		// The name tells this process's own notifications from others'.
		self:   ident.New("", time.UnixMilli(0)),
		outbox: make(chan string, 1024), woken: make(chan string, 1024),
	}
	h.running.Go(func() { h.send(ctx) })
	h.running.Go(func() { h.receive(ctx) })
	return h
}

// wake passes a hint on, or drops it if too many wait.
func (h *hints) wake(tenant string) {
	select {
	case h.outbox <- tenant:
	default:
	}
}

func (h *hints) close() {
	h.cancel()
	h.running.Wait()
}

// send notifies at once, and then at the pace.
func (h *hints) send(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-h.outbox:
			h.notify(ctx, h.gather(t))
			if !pause(ctx, pace) {
				return
			}
		}
	}
}

// gather takes what else waits, each tenant once.
func (h *hints) gather(first string) []string {
	tenants := map[string]struct{}{first: {}}
	for {
		select {
		case t := <-h.outbox:
			tenants[t] = struct{}{}
			continue
		default:
		}
		if len(tenants) > most {
			return []string{""}
		}
		names := make([]string, 0, len(tenants))
		for t := range tenants {
			names = append(names, t)
		}
		return names
	}
}

func (h *hints) notify(ctx context.Context, tenants []string) {
	_, err := h.pool.Exec(ctx, `SELECT pg_notify('`+channel+`', $1 || ' ' || t) FROM unnest($2::text[]) AS t`, h.self, tenants)
	if err != nil && ctx.Err() == nil {
		h.logger.WarnContext(ctx, "could not wake other processes", slog.Any("error", err))
	}
}

// receive listens until ctx ends, on a connection of its own.
func (h *hints) receive(ctx context.Context) {
	for {
		err := h.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		h.logger.WarnContext(ctx, "lost the connection that listens for work; connecting again", slog.Any("error", err))
		if !pause(ctx, reconnect) {
			return
		}
	}
}

func (h *hints) listen(ctx context.Context) error {
	c, err := pgx.ConnectConfig(ctx, h.cfg)
	if err != nil {
		return err
	}
	// Closing must work when ctx has ended, which is how listening ends.
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	// Whatever was sent before now went unheard.
	h.pass("")
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if from, tenant, ok := strings.Cut(n.Payload, " "); ok && from != h.self {
			h.pass(tenant)
		}
	}
}

func (h *hints) pass(tenant string) {
	select {
	case h.woken <- tenant:
	default:
	}
}

// pause waits, and says whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
