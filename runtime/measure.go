package runtime

import (
	"context"
	"errors"
	goruntime "runtime"
	"slices"
	"time"
)

// Cost is what the sandboxes of a module cost.
type Cost struct {
	// MakeTime is what making a sandbox takes, and ResetTime what making it clean
	// again takes after a call. ResetTime is zero when it cannot be reset.
	MakeTime  time.Duration `json:"make_ns"`
	ResetTime time.Duration `json:"reset_ns"`
	// ResetPages are the pages that a call writes, which are the sandbox's own from
	// then on.
	ResetPages int `json:"reset_pages"`
	// IdleBytes is what a sandbox holds that waits for a call: these pages and those
	// of Extism's memory, and its part of the Go heap.
	IdleBytes int64 `json:"idle_bytes"`
}

// crowd is how many sandboxes are measured: one alone is lost in the noise of the
// heap.
const crowd = 16

// Measure makes a call, and says what sandboxes of the module cost by making more
// of them and the same call in each. It is for a process that does nothing else: it
// collects garbage and looks at the heap. Errors are as those of Call.
func (m *Module) Measure(ctx context.Context, c Call) (_ Cost, _ Result, err error) {
	if err := m.admit(ctx, c, c.Limits.within(m.limits)); err != nil {
		return Cost{}, Result{}, err
	}
	first, err := m.take(ctx)
	if err != nil {
		return Cost{}, Result{}, err
	}
	defer func() { err = joined(err, first.close(ctx), m.leave(ctx, nil)) }()
	result, err := first.once(ctx, c)
	if err != nil {
		return Cost{}, result, err
	}
	cost, err := first.live.measure(ctx, c)
	return cost, result, err
}

// once makes a call in a sandbox that is not reset afterwards.
func (s *sandbox) once(ctx context.Context, c Call) (Result, error) {
	s.run = run{sandbox: s, ctx: ctx, call: c, limits: c.Limits.within(s.live.limits), start: s.live.runtime.now()}
	return s.run.do() //nolint:contextcheck // The run has it.
}

func (l *loaded) measure(ctx context.Context, c Call) (cost Cost, err error) {
	now := l.runtime.now
	var made, reset []time.Duration
	var all []*sandbox
	defer func() {
		for _, s := range all {
			err = joined(err, s.close(ctx))
		}
	}()
	heap, held := heapBytes(), 0
	for range crowd {
		begun := now()
		s, err := l.newSandbox(ctx)
		if err != nil {
			return cost, err
		}
		made = append(made, now().Sub(begun))
		all = append(all, s)
		if _, err := s.once(ctx, c); err != nil {
			return cost, err
		}
		begun = now()
		if s.reset() {
			reset = append(reset, now().Sub(begun))
			cost.ResetPages, held = max(cost.ResetPages, s.pages), max(held, s.memory.Held())
		} else if l.plan.Fresh == "" {
			return cost, errors.New("measure sandbox: it cannot be reset after this call")
		}
	}
	cost.MakeTime, cost.ResetTime = median(made), median(reset)
	if l.plan.Fresh == "" {
		cost.IdleBytes = max(0, heapBytes()-heap)/crowd + int64(held)
	}
	return cost, nil
}

// heapBytes is what is on the heap and no garbage.
func heapBytes() int64 {
	goruntime.GC()
	var stats goruntime.MemStats
	goruntime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// median returns the middle one, or zero.
func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)/2]
}
