package retention

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

const (
	// interval is from one round to the next, give or take a tenth.
	interval = 10 * time.Minute
	// hold is how long a round keeps other processes from theirs: less than the
	// shortest interval, so that who had the last one is the first to have the next.
	hold = 8 * time.Minute
	// batch is the most executions of one transaction. They and what hangs off them
	// are about a thousand rows, which SQLite deletes in some 10 ms.
	batch = 100
	// page is how many tenants are read at once.
	page = 200
	// gaveUp is how many tenants may fail before a round ends: then it is not theirs.
	gaveUp = 3
)

// Config configures a Purger.
type Config struct {
	Store Store
	// Default is how long things are kept for tenants that say nothing themselves.
	Default tenant.Retention
	// Fresh is how long after its destruction a tenant's key may be held in memory
	// somewhere: a deletion is not over before. Defaults to none.
	Fresh time.Duration
	// Leave is asked, about a tenant whose deletion is due, how much is left of what others
	// are to be told while its key is there still, such as tokens that are to be revoked
	// where they came from. It is asked until nothing is, for an hour at most: who is not
	// there keeps nobody from being deleted. Defaults to nothing.
	Leave func(ctx context.Context, tenant string) (left int, err error)
	// Forget deletes, of a tenant, what others keep and is older than a time. Defaults to
	// nothing.
	Forget func(ctx context.Context, tenant string, before time.Time) error
	// Destroyed is told of a tenant whose key this process has destroyed. Defaults to nobody.
	Destroyed func(tenant string)
	// Holder names this process among those of a cluster.
	Holder string
	// Registerer is where metrics go. Defaults to none.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Now        func() time.Time
	After      func(d time.Duration) <-chan time.Time
}

// Purger makes the rounds. Run may be called once; the rest at any time.
type Purger struct {
	c       Config
	metrics *metrics
	// nudged has a value when there is a tenant to delete.
	nudged chan struct{}
}

// New returns a Purger, which does nothing until it is run.
func New(c Config) *Purger {
	if c.Destroyed == nil {
		c.Destroyed = func(string) {}
	}
	if c.Forget == nil {
		c.Forget = func(context.Context, string, time.Time) error { return nil }
	}
	if c.Leave == nil {
		c.Leave = func(context.Context, string) (int, error) { return 0, nil }
	}
	return &Purger{c: c, metrics: newMetrics(c.Registerer), nudged: make(chan struct{}, 1)}
}

// Nudge says that a tenant is to be deleted, so that it need not wait for the
// next round.
func (p *Purger) Nudge() {
	select {
	case p.nudged <- struct{}{}:
	default:
	}
}

// Run makes rounds until ctx ends.
func (p *Purger) Run(ctx context.Context) {
	e := &eraser{p: p, turn: turn{p: p, name: "erase", hold: eraseHold}, empty: map[string]time.Time{}, said: map[string]string{}}
	p.Nudge() // What a process that has died had begun to delete.
	var again <-chan time.Time
	// Processes that start together do not make their rounds together.
	next := p.c.After(interval/10 + rand.N(interval/5)) //nolint:gosec // No secret depends on it.
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.nudged:
			again = p.erase(ctx, e)
		case <-again:
			again = p.erase(ctx, e)
		case <-next:
			p.round(ctx)
			again = p.erase(ctx, e)
			next = p.c.After(interval*9/10 + rand.N(interval/5)) //nolint:gosec // As above.
		}
	}
}

// Round purges what is due of every tenant, unless another process is at it. What
// was purged before an error is gone, and the next round goes on from there.
func (p *Purger) Round(ctx context.Context) (Purged, error) {
	r := &round{p: p, turn: turn{p: p, name: "retention", hold: hold}}
	mine, err := r.turn.take(ctx)
	if err != nil || !mine {
		return Purged{}, err
	}
	err = r.tenants(ctx)
	if err == nil {
		err = r.repeat(ctx, func() (Purged, error) { return p.c.Store.Sweep(ctx, p.c.Now().Add(-AnswerLife)) })
	}
	return r.total, errors.Join(append(r.failed, err)...)
}

// round makes a round and says what came of it.
func (p *Purger) round(ctx context.Context) {
	got, err := p.Round(ctx)
	if got != (Purged{}) {
		p.c.Logger.InfoContext(ctx, "what was kept for long enough is gone",
			slog.Int("executions", got.Executions), slog.Int("events", got.Events), slog.Int64("bytes", got.Bytes),
			slog.Int("dedupe_keys", got.Keys), slog.Int("answers", got.Answers), slog.Int("jobs", got.Jobs))
	}
	if err != nil && ctx.Err() == nil {
		p.c.Logger.WarnContext(ctx, "not all that was kept for long enough is gone", slog.Any("error", err))
	}
}

// round is one in progress.
type round struct {
	p      *Purger
	total  Purged
	failed []error
	turn   turn
}

// errGaveUp ends a round that fails for everybody.
var errGaveUp = errors.New("gave up")

// errTurnLost ends a round that took so long that another process has begun one.
var errTurnLost = errors.New("another process has taken the turn")

func (r *round) tenants(ctx context.Context) error {
	for t, err := range r.p.tenants(ctx) {
		if err != nil {
			return err
		}
		if t.State == tenant.Deleting {
			continue
		}
		err := r.tenant(ctx, t)
		switch {
		case errors.Is(err, errTurnLost), ctx.Err() != nil:
			return err
		case err != nil:
			r.failed = append(r.failed, fmt.Errorf("purge tenant %s: %w", t.ID, err))
		}
		if len(r.failed) == gaveUp {
			return errGaveUp
		}
	}
	return nil
}

// tenant purges one tenant: first what is too old, then what is too much.
func (r *round) tenant(ctx context.Context, t tenant.Tenant) error {
	s, now, keep := r.p.c.Store, r.p.c.Now(), t.Retention.Or(r.p.c.Default)
	old := now.Add(-keep.Age())
	err := r.repeat(ctx, func() (Purged, error) { return s.Purge(ctx, t.ID, Batch{Before: old, Executions: batch}) })
	if err != nil {
		return err
	}
	err = r.repeat(ctx, func() (Purged, error) { return s.Forget(ctx, t.ID, now.Add(-KeyLife), old) })
	if err != nil {
		return err
	}
	if err := r.p.c.Forget(ctx, t.ID, old); err != nil {
		return err
	}
	bytes, err := s.Retained(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("count what it has: %w", err)
	}
	over := bytes - keep.Bytes
	return r.repeat(ctx, func() (Purged, error) {
		if over <= 0 {
			return Purged{}, nil
		}
		got, err := s.Purge(ctx, t.ID, Batch{Before: now.Add(-Fresh), Executions: batch, Bytes: over})
		over -= got.Bytes
		return got, err
	})
}

// repeat makes steps until there is nothing left to do. After each it waits for as
// long as the step took: SQLite has one writer, and half of its time is others'.
func (r *round) repeat(ctx context.Context, step func() (Purged, error)) error {
	for {
		mine, err := r.turn.take(ctx)
		if err != nil {
			return err
		}
		if !mine {
			return errTurnLost
		}
		began := r.p.c.Now()
		got, err := step()
		if err != nil {
			return err
		}
		if got == (Purged{}) {
			return nil
		}
		r.total = r.total.Plus(got)
		r.p.metrics.add(got)
		if err := r.p.pause(ctx, r.p.c.Now().Sub(began)); err != nil {
			return err
		}
	}
}

// tenants are all tenants, up to an error.
func (p *Purger) tenants(ctx context.Context) iter.Seq2[tenant.Tenant, error] {
	return func(yield func(tenant.Tenant, error) bool) {
		for after := ""; ; {
			some, err := p.c.Store.Tenants(ctx, after, page)
			if err != nil {
				yield(tenant.Tenant{}, fmt.Errorf("list tenants: %w", err))
				return
			}
			for _, t := range some {
				if !yield(t, nil) {
					return
				}
			}
			if len(some) < page {
				return
			}
			after = some[len(some)-1].ID
		}
	}
}

// turn is this process's turn of doing something, if it has it.
type turn struct {
	p    *Purger
	name string
	hold time.Duration
	// taken is when it was taken last.
	taken time.Time
}

// take takes the turn or, once in a while, extends it.
func (t *turn) take(ctx context.Context) (bool, error) {
	now := t.p.c.Now()
	if now.Sub(t.taken) < t.hold/4 {
		return true, nil
	}
	mine, err := t.p.c.Store.TakeTurn(ctx, Turn{Name: t.name, Holder: t.p.c.Holder, For: t.hold})
	if err != nil {
		return false, fmt.Errorf("take the turn: %w", err)
	}
	if mine {
		t.taken = now
	}
	return mine, nil
}

// pause waits, unless d is nothing.
func (p *Purger) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.c.After(d):
		return nil
	}
}
