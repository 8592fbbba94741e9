package egress

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is by how much a limit of time may be late.
	tick = 20 * time.Millisecond
	// quiet is how many ticks go by without an exchange before there are no more.
	quiet = 50
)

// watch ends exchanges that take too long, all with one timer: one of its own for each
// request, and another one for its answer, would have the scheduler wake a thread for
// each.
type watch struct {
	mu      sync.Mutex
	active  map[*patience]struct{}
	ticking bool
	// unused is for how many ticks there has been nothing to watch.
	unused int
	// also is called with each tick.
	also func()
}

// patience is how long an exchange may go on.
type patience struct {
	watch *watch
	stop  context.CancelCauseFunc
	// total and idle are how many ticks are left; idle is negative while an answer is
	// not waited for.
	total, idle atomic.Int64
}

func newWatch(also func()) *watch { return &watch{active: map[*patience]struct{}{}, also: also} }

// begin has an exchange stopped after a time. The caller ends the patience.
func (w *watch) begin(total time.Duration, stop context.CancelCauseFunc) *patience {
	p := &patience{watch: w, stop: stop}
	p.total.Store(ticks(total))
	p.idle.Store(-1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active[p] = struct{}{}
	// It may be over before the next tick: what it leaves behind is swept all the same.
	w.unused = 0
	if !w.ticking {
		w.ticking = true
		time.AfterFunc(tick, w.tick)
	}
	return p
}

// ticks are at least as long as d: the first one has begun already.
func ticks(d time.Duration) int64 { return int64((d+tick-1)/tick) + 1 }

func (w *watch) tick() {
	w.also()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unused++
	for p := range w.active {
		w.unused = 0
		if p.total.Add(-1) == 0 {
			p.stop(context.DeadlineExceeded)
		}
		if p.idle.Load() > 0 && p.idle.Add(-1) == 0 {
			p.stop(errIdle)
		}
	}
	// One more than quiet: what begins to be unused with the last exchange is swept.
	if w.ticking = w.unused <= quiet; w.ticking {
		time.AfterFunc(tick, w.tick)
	}
}

// await has the exchange stopped where nothing comes for a time, counted from now; a
// negative time is no limit any more.
func (p *patience) await(d time.Duration) {
	if d < 0 {
		p.idle.Store(-1)
		return
	}
	p.idle.Store(ticks(d))
}

// extend has the exchange stopped after a time from now; a negative time is no limit any
// more.
func (p *patience) extend(d time.Duration) {
	if d < 0 {
		p.total.Store(math.MaxInt64)
		return
	}
	p.total.Store(ticks(d))
}

func (p *patience) end() {
	p.watch.mu.Lock()
	defer p.watch.mu.Unlock()
	delete(p.watch.active, p)
}
