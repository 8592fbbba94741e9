package storetest

import (
	"context"
	goruntime "runtime"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// carried is what a context's values lead to: of a guest's call, all of its run.
type carried struct{ _ [64]byte }

type carriedKey struct{}

// carrier gives contexts, and counts those that somebody holds.
type carrier struct {
	t    *testing.T
	held atomic.Int64
}

func (c *carrier) context() context.Context {
	what := &carried{}
	c.held.Add(1)
	goruntime.AddCleanup(what, func(held *atomic.Int64) { held.Add(-1) }, &c.held)
	return context.WithValue(c.t.Context(), carriedKey{}, what)
}

// testContexts holds no context that it was given once it is done: neither in a
// connection that is kept for the next statement, nor in what writes for several at
// once.
func testContexts(t *testing.T, open Open) {
	const each = 8
	for name, prepare := range map[string]func(t *testing.T, b *bundle) func(ctx context.Context, i int) error{
		"reads": func(_ *testing.T, b *bundle) func(context.Context, int) error {
			return func(ctx context.Context, _ int) error { return second(b.Tenant(ctx, b.acme.tenant)) }
		},
		"reads that find nothing": func(t *testing.T, b *bundle) func(context.Context, int) error {
			return func(ctx context.Context, _ int) error {
				wantNotFound(t, "Tenant", second(b.Tenant(ctx, "ten_none")))
				return nil
			}
		},
		"transactions": func(_ *testing.T, b *bundle) func(context.Context, int) error {
			return func(ctx context.Context, _ int) error {
				return b.InsertEndpoint(ctx, b.endpoint(b.acme), []byte("sealed"))
			}
		},
		"entries of the audit log": func(_ *testing.T, b *bundle) func(context.Context, int) error {
			return func(ctx context.Context, _ int) error { return b.AddActs(ctx, []audit.Entry{b.entry("", "a")}) }
		},
		"events": func(_ *testing.T, b *bundle) func(context.Context, int) error {
			return func(ctx context.Context, _ int) error {
				return second(b.Accept(ctx, b.event(b.acme), &event.Work{Execution: ident.New(ident.Execution, b.clock.now())}))
			}
		},
		"claims": func(t *testing.T, b *bundle) func(context.Context, int) error {
			for range each {
				b.work(t, b.acme, event.Live)
			}
			must(t, second(b.Heartbeat(t.Context(), "w1", 1)))
			return func(ctx context.Context, _ int) error {
				return second(b.Claim(ctx, "w1", []execution.Quota{{Tenant: b.acme.tenant, N: 1, Running: 100}}, 0))
			}
		},
		"runs": func(t *testing.T, b *bundle) func(context.Context, int) error {
			var all []execution.Claimed
			for range each {
				all = append(all, b.running(t, b.acme))
			}
			return func(ctx context.Context, i int) error {
				if err := b.Begin(ctx, all[i], begins("plv_1")); err != nil {
					return err
				}
				if err := b.Append(ctx, all[i], segment(1, "a")); err != nil {
					return err
				}
				return b.Complete(ctx, success(all[i]))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, open)
			do := prepare(t, b)
			c := &carrier{t: t}
			// At once, so that some set connections up.
			together(each, func(i int) {
				if err := do(c.context(), i); err != nil {
					t.Error(err)
				}
			})
			// What ran a cleanup, and what waits for a transaction's end, runs beside this.
			for range 100 {
				if goruntime.GC(); c.held.Load() == 0 {
					return
				}
			}
			t.Errorf("%d of %d contexts are held", c.held.Load(), each)
		})
	}
}
