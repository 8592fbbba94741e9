package pace

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// gate is what a process knows of one connection.
type gate struct {
	Key

	mu sync.Mutex
	// pace is what is known; readAt is when somebody has looked last, and reading is
	// closed when that is over.
	pace    Pace
	readAt  time.Time
	reading chan struct{}
	bucket  bucket
	// leasing has one lease at a time.
	leasing chan struct{}
	// asking wait for a lease, and waiting for their token.
	asking, waiting int
	window          window
	// flights are the requests in flight, by execution.
	flights map[string]int
}

func newGate(k Key) *gate {
	return &gate{Key: k, leasing: make(chan struct{}, 1), flights: map[string]int{}}
}

// read gives what is known, if it is fresh or somebody reads it already; else the caller
// reads it.
func (g *gate) read(now time.Time, fresh time.Duration) (row Pace, reading chan struct{}, mine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.readAt.IsZero() && now.Sub(g.readAt) < fresh:
		return g.pace, nil, false
	case g.reading != nil:
		return g.pace, g.reading, false
	default:
		g.reading = make(chan struct{})
		return g.pace, g.reading, true
	}
}

// settle keeps what was read; where that failed, what was known holds for longer, but for
// what keeps requests from being sent.
func (g *gate) settle(row Pace, ok bool, now time.Time) Pace {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.reading)
	g.reading, g.readAt = nil, now
	if ok {
		g.pace = row
	} else {
		g.pace.PausedAt, g.pace.Breaker = time.Time{}, Breaker{}
	}
	return g.pace
}

// learn keeps what came with something else that was asked.
func (g *gate) learn(row Pace, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pace, g.readAt = row, now
}

func (g *gate) known() Pace {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pace
}

// stale has the next one read it anew.
func (g *gate) stale() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readAt = time.Time{}
}

func (g *gate) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.flights) == 0 && g.asking == 0 && g.waiting == 0 && g.reading == nil
}

// fly counts requests in flight.
func (g *gate) fly(execution string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flights[execution] += n; g.flights[execution] <= 0 {
		delete(g.flights, execution)
	}
}

// inFlight is what is.
func (g *gate) inFlight() (requests int, executions []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.flights {
		requests += n
	}
	return requests, slices.Sorted(maps.Keys(g.flights))
}

// count counts how a request has ended.
func (g *gate) count(now time.Time, c BreakerConfig, failed bool) (all, bad int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.window.add(now, c.Window, failed)
}

// pass is a request's way through.
type pass struct {
	pacer     *Pacer
	gate      *gate
	execution string
	// until is when its token is too late, zero for none.
	until time.Time
	// prober is set if the request tries whether the other side works again.
	prober string
	once   sync.Once
}

// Fresh implements egress.Pass.
func (x *pass) Fresh() bool {
	return x.gate == nil || x.until.IsZero() || !x.pacer.c.Now().After(x.until)
}

// Leave implements egress.Pass.
func (x *pass) Leave(ctx context.Context, e egress.Ending) {
	if x.gate == nil {
		return
	}
	x.once.Do(func() {
		x.gate.fly(x.execution, -1)
		x.pacer.ended(ctx, x, e)
	})
}
