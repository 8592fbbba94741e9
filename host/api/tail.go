package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
)

// logEvent is a line that an execution logged.
type logEvent struct {
	Execution string `json:"execution" doc:"The execution's id."`
	Claim     int64  `json:"claim" doc:"The run that logged it."`
	guestlog.Line
}

type tailInput struct {
	param.InTenant
	Installation string `query:"installation" doc:"Only those of an installation, by id or name."`
	Logs         bool   `query:"logs" default:"true" doc:"Whether log lines follow an execution that is done."`
}

func (s *server) tailExecutions(ctx context.Context, in *tailInput) (*huma.StreamResponse, error) {
	installation, err := s.installationID(ctx, in.Installation)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		if hc.Method() == http.MethodHead {
			hc.SetHeader("Content-Type", "text/event-stream")
			return
		}
		_, w := humachi.Unwrap(hc)
		t := tail{s: s, tenant: tenantOf(ctx), installation: installation, logs: in.Logs, w: w, c: http.NewResponseController(w)}
		if err := t.run(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, errGone) {
			// The stream has begun: its end is all that the client can be told.
			s.report(ctx, err)
		}
	}}, nil
}

func shapeTail(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
		Type: huma.TypeString, Description: "The data of an `execution` event is an Execution, that of a `log` event a LogEvent.",
	}}}}
}

// tail is a live tail to one client. All writes are made by run's goroutine.
type tail struct {
	s            *server
	tenant       string
	installation string
	logs         bool
	w            http.ResponseWriter
	c            *http.ResponseController
}

// errGone ends a tail whose client cannot be written to any more.
var errGone = errors.New("the client has gone")

// run writes what changes until ctx ends, and says why it stopped. It returns
// after the goroutine that looks has ended.
func (t *tail) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	changes, ended := make(chan execution.Execution), make(chan error, 1)
	go func() {
		defer close(changes)
		ended <- t.s.h.Executions.Tail(ctx, t.tenant, func(x execution.Execution) error {
			select {
			case changes <- x:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	err := t.write(ctx, changes)
	cancel()
	if looked := <-ended; err == nil {
		err = looked
	}
	return err
}

// write writes until ctx ends, the client goes, or there will be no more changes.
func (t *tail) write(ctx context.Context, changes <-chan execution.Execution) error {
	// A server's write timeout is for answers that end.
	_ = t.c.SetWriteDeadline(time.Time{})
	t.w.Header().Set("Content-Type", "text/event-stream")
	// Proxies that buffer (nginx) are told not to.
	t.w.Header().Set("X-Accel-Buffering", "no")
	t.w.WriteHeader(http.StatusOK)
	alive := time.NewTicker(t.s.o.KeepAlive)
	defer alive.Stop()
	err := t.comment("tail")
	for err == nil {
		select {
		case x, more := <-changes:
			if !more {
				return nil
			}
			err = t.execution(ctx, x)
		case <-alive.C:
			err = t.comment("alive")
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return err
}

// execution writes a change, and the logs if it was the last.
func (t *tail) execution(ctx context.Context, x execution.Execution) error {
	if t.installation != "" && x.Installation != t.installation {
		return nil
	}
	if err := t.event("execution", x); err != nil {
		return err
	}
	if !t.logs || !x.State.Done() {
		return nil
	}
	trace, err := t.s.h.Executions.Trace(ctx, t.tenant, x.ID)
	if err != nil {
		return err
	}
	for _, a := range trace.Attempts {
		for _, line := range a.Logs {
			if err := t.event("log", logEvent{Execution: x.ID, Claim: a.Claim, Line: line}); err != nil {
				return err
			}
		}
	}
	return nil
}

// event writes a server-sent event. JSON has no line ends in it.
func (t *tail) event(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a %s event: %w", name, err)
	}
	return t.send("event: %s\ndata: %s\n\n", name, b)
}

// comment writes what clients skip.
func (t *tail) comment(text string) error { return t.send(": %s\n\n", text) }

func (t *tail) send(format string, args ...any) error {
	if _, err := fmt.Fprintf(t.w, format, args...); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err := t.c.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}
