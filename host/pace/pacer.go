package pace

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/skew"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

const (
	// pausedAgain is when what waits for a paused connection looks again, if nobody says
	// that it was resumed.
	pausedAgain = 15 * time.Minute
	// storeWithin is how long a request waits for the store.
	storeWithin = 5 * time.Second
	// holdOff is how long nothing is sent after a 429 that does not say, and holdOffMost
	// after one that does.
	holdOff     = time.Second
	holdOffMost = time.Hour
	// gatesMost bounds the connections that are known.
	gatesMost = 16384
)

// PacerConfig configures a Pacer.
type PacerConfig struct {
	Store Store
	// Holder names this process among all those that share the store.
	Holder string
	// Worker is what leases know this process by, empty for nothing yet. Defaults to
	// Holder.
	Worker func() string
	// Wait is how long a request waits for its token before its run is ended. Defaults to
	// 1 s; for those of the lane of events three quarters of it, and half for backfill.
	Wait time.Duration
	// Waiters is how many requests of one connection wait at a time, each with its sandbox.
	// Defaults to 8.
	Waiters int
	// Fresh is for how long what was read of a connection is used. Defaults to 1 s.
	Fresh   time.Duration
	Breaker BreakerConfig
	// Closed is told of a breaker that was closed by a request that worked. Defaults to
	// nobody.
	Closed     func(ctx context.Context, tenant, connection string)
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Now        func() time.Time
	After      func(time.Duration) <-chan time.Time
}

// Pacer is a process's part: it says when requests go. It is safe for concurrent use.
type Pacer struct {
	c       PacerConfig
	metrics *metrics

	mu    sync.Mutex
	gates map[Key]*gate
	// theirs is the database's clock.
	theirs skew.Clock
	// unread says that the store could not be read last.
	unread atomic.Bool
}

// NewPacer returns a Pacer.
func NewPacer(c PacerConfig) *Pacer {
	c.Wait = orDefault(c.Wait, time.Second)
	c.Waiters = orDefault(c.Waiters, 8)
	c.Fresh = orDefault(c.Fresh, time.Second)
	c.Breaker = c.Breaker.WithDefaults()
	if c.Worker == nil {
		c.Worker = func() string { return c.Holder }
	}
	if c.Closed == nil {
		c.Closed = func(context.Context, string, string) {}
	}
	return &Pacer{c: c, metrics: newMetrics(c.Registerer), gates: map[Key]*gate{}}
}

// Run is what a run is to its requests.
type Run struct {
	Tenant, Execution string
	Lane              event.Lane
	// Again says that the execution has been claimed before: it may have waited already.
	Again bool
	// Connections are their ids by the plugin's names, and Rates what its manifest says of
	// them.
	Connections map[string]string
	Rates       map[string]Rate
}

// For binds a Pacer to a run.
func (p *Pacer) For(r Run) egress.Pace { return &paced{pacer: p, run: r} }

// paced is a run's.
type paced struct {
	pacer *Pacer
	run   Run
}

// Enter implements egress.Pace.
func (r *paced) Enter(ctx context.Context, name string, rest bool) (egress.Pass, error) {
	id := r.run.Connections[name]
	if id == "" {
		return &pass{}, nil // It is refused when its credential is looked for.
	}
	p := r.pacer
	x := &pass{pacer: p, gate: p.gate(Key{r.run.Tenant, id}), execution: r.run.Execution}
	row := p.row(ctx, x.gate)
	if !rest {
		if err := p.open(ctx, x, row); err != nil {
			return nil, err
		}
	}
	x.gate.fly(x.execution, 1)
	rate := row.Rate
	if rate.IsZero() {
		rate = r.run.Rates[name]
	}
	if rate.IsZero() {
		return x, nil
	}
	if err := p.token(ctx, x, asking{terms: rate.terms(), lane: r.run.Lane, again: r.run.Again, rest: rest}); err != nil {
		x.Leave(ctx, egress.Ending{})
		return nil, err
	}
	return x, nil
}

// open says whether anything is sent with a connection at all.
func (p *Pacer) open(ctx context.Context, x *pass, row Pace) error {
	if !row.PausedAt.IsZero() {
		p.metrics.held.WithLabelValues(execution.ReasonConnectionPaused).Inc()
		return p.suspended(x, execution.ReasonConnectionPaused, p.c.Now().Add(pausedAgain+spread(pausedAgain/4)))
	}
	if row.Breaker.State == Closed || row.Breaker.State == "" {
		return nil
	}
	now := p.c.Now()
	due := p.local(row.Breaker.RetryAt)
	if due.After(now) {
		p.metrics.held.WithLabelValues(execution.ReasonCircuitOpen).Inc()
		return p.suspended(x, execution.ReasonCircuitOpen, due.Add(spread(min(10*time.Second, p.c.Breaker.First*2))))
	}
	mine, err := p.probe(ctx, x)
	switch {
	case err != nil:
		return nil //nolint:nilerr // What cannot be read is done without, and probe has said so.
	case !mine:
		x.gate.stale()
		p.metrics.held.WithLabelValues(execution.ReasonCircuitOpen).Inc()
		return p.suspended(x, execution.ReasonCircuitOpen, now.Add(p.c.Fresh+spread(2*p.c.Fresh)))
	default:
		return nil
	}
}

func (p *Pacer) probe(ctx context.Context, x *pass) (bool, error) {
	ctx, cancel := p.within(ctx)
	defer cancel()
	prober := p.c.Holder + "/" + x.execution
	mine, err := p.c.Store.Probe(ctx, x.gate.Tenant, x.gate.Connection, prober, p.c.Breaker.Patience)
	p.read(ctx, err)
	if mine && err == nil {
		x.prober = prober
		p.metrics.breakers.WithLabelValues(string(HalfOpen)).Inc()
	}
	return mine, err
}

func (p *Pacer) suspended(x *pass, reason string, until time.Time) error {
	return &hostfns.Suspended{Reason: reason, For: x.gate.Connection, Until: until}
}

// row is what is known of a connection: what was read of it a short time ago, or is now.
func (p *Pacer) row(ctx context.Context, g *gate) Pace {
	row, reading, mine := g.read(p.c.Now(), p.c.Fresh)
	if reading == nil {
		return row
	}
	if !mine {
		select {
		case <-reading:
		case <-ctx.Done():
		}
		return g.known()
	}
	bounded, cancel := p.within(ctx)
	defer cancel()
	asked := p.c.Now()
	row, err := p.c.Store.Pace(bounded, g.Tenant, g.Connection)
	p.read(ctx, err)
	now := p.c.Now()
	if err == nil {
		p.theirs.Learn(row.At, asked, now)
	}
	return g.settle(row, err == nil, now)
}

// local is a time of the database's by this process's clock. It is never early.
func (p *Pacer) local(at time.Time) time.Time {
	if _, most, known := p.theirs.Here(at); known {
		return most
	}
	return at
}

// read takes note of whether the store can be read.
func (p *Pacer) read(ctx context.Context, err error) {
	if ctx.Err() != nil && err != nil {
		return // Nobody waits for it any more.
	}
	if err != nil {
		p.metrics.unread.Inc()
	}
	if was := p.unread.Swap(err != nil); was == (err != nil) {
		return
	}
	if err != nil {
		p.c.Logger.WarnContext(ctx, "the pace of connections cannot be read: requests go on without rates, breakers and pauses", slog.Any("error", err))
		return
	}
	p.c.Logger.InfoContext(ctx, "the pace of connections can be read again")
}

// within bounds what is asked of the store, whatever becomes of the run.
func (p *Pacer) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeWithin)
}

// gate finds what is known of a connection.
func (p *Pacer) gate(k Key) *gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.gates[k]
	if g != nil {
		return g
	}
	if len(p.gates) >= gatesMost {
		for other, g := range p.gates {
			if g.idle() {
				delete(p.gates, other)
			}
		}
	}
	g = newGate(k)
	p.gates[k] = g
	return g
}

// spread is a time up to d, by chance.
func spread(d time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(max(d, 0)) + 1)) //nolint:gosec // Spread, no secret.
}
