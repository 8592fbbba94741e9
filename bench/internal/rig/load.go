package rig

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Load is how much is run at once, and what.
type Load struct {
	Plugin string
	// N executions are run, of which the first Warm ones warm up.
	N, Warm int
	Slots   int
	// Note is in each input, if it is not empty.
	Note string
}

// Cost is what one execution cost, in seconds.
type Cost struct {
	// Cost is that of running it.
	stopwatch.Cost
	// Accepted is that of queueing it before.
	Accepted stopwatch.Cost
	// Writes is how often it wrote to its journal while it ran.
	Writes float64
}

// ByWall is the time by the clock in which it ran.
func ByWall(c Cost) float64 { return c.Wall }

// ByCPU is this process's CPU while it ran.
func ByCPU(c Cost) float64 { return c.CPU }

// Turn runs a load: all is queued, then the workers start, so that as much is in flight
// as there are slots, until what is left is less. Then also, if it is not nil, is given
// the host.
func (r *Rig) Turn(ctx context.Context, l Load, also func(context.Context, *host.Host) error) (c Cost, err error) {
	counted := &counting{Store: r.Store, from: int64(l.Warm), to: int64(l.N - l.Slots + 1), all: make(chan struct{}), n: int64(l.N)}
	pprof.Do(ctx, r.label(), func(ctx context.Context) { c.Accepted, err = r.run(ctx, counted, l, also) })
	if err != nil {
		return c, fmt.Errorf("run %s on the side %s: %w", l.Plugin, r.c.Name, err)
	}
	n := float64(counted.to - counted.from)
	c.Wall, c.CPU = counted.last.at.Sub(counted.first.at).Seconds()/n, (counted.last.cpu-counted.first.cpu)/n
	c.Writes = float64(counted.last.writes-counted.first.writes) / n
	return c, nil
}

// Versus runs loads on two rigs, in turns, so that what else the machine does meets
// both. Nobody always comes after the same one. It returns what an execution of each
// load cost, by round.
func Versus(ctx context.Context, rounds int, on, off *Rig, loads ...Load) (a, b [][]Cost, err error) {
	a, b = make([][]Cost, len(loads)), make([][]Cost, len(loads))
	for round := range rounds {
		for i, l := range loads {
			first, second := on, off
			if (round+i)%2 == 1 {
				first, second = second, first
			}
			for _, r := range []*Rig{first, second} {
				c, err := r.Turn(ctx, l, nil)
				if err != nil {
					return nil, nil, err
				}
				if r == on {
					a[i] = append(a[i], c)
				} else {
					b[i] = append(b[i], c)
				}
			}
		}
	}
	return a, b, nil
}

func (r *Rig) run(ctx context.Context, db *counting, l Load, also func(context.Context, *host.Host) error) (accepted stopwatch.Cost, err error) {
	h, err := r.Host(ctx, db, l.Slots)
	if err != nil {
		return accepted, err
	}
	accepted, err = stopwatch.Timed(1, func() error { return r.Queue(ctx, h, l) })
	if err != nil {
		return accepted, errors.Join(err, h.Close(ctx))
	}
	accepted.CPU, accepted.Wall = accepted.CPU/float64(l.N), accepted.Wall/float64(l.N)
	goruntime.GC() // Nobody pays for what another has left behind.
	running, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- h.Run(running) }()
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-db.all:
		err = db.failed()
	}
	if err == nil && also != nil {
		err = also(ctx, h)
	}
	stop()
	return accepted, errors.Join(err, <-ran, h.Close(ctx))
}

// Queue queues a load's executions, as many for each tenant.
func (r *Rig) Queue(ctx context.Context, h *host.Host, l Load) error {
	var next atomic.Int64
	var all sync.WaitGroup
	const askers = 32
	errs := make(chan error, askers)
	for range askers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.N; i = int(next.Add(1)) - 1 {
				_, err := h.Executions.Start(ctx, r.Tenants[i%len(r.Tenants)], execution.Start{
					Installation: l.Plugin, Kind: event.Action, Name: "run", Input: l.input(i),
				})
				if err != nil {
					errs <- fmt.Errorf("queue an execution: %w", err)
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// input is that of the i-th execution.
func (l Load) input(i int) []byte {
	if l.Note == "" {
		return fmt.Appendf(nil, `{"id":"%d"}`, 1000+i)
	}
	return fmt.Appendf(nil, `{"id":"%d","note":%q}`, 1000+i, l.Note)
}

// counting is a store that notes when executions were done.
type counting struct {
	store.Store

	from, to, n int64
	writes      atomic.Int64

	mu          sync.Mutex
	ended       int64
	first, last mark
	err         error
	// all is closed when all have ended, or one has failed.
	all  chan struct{}
	over sync.Once
}

// mark is a moment.
type mark struct {
	at     time.Time
	cpu    float64
	writes int64
}

// Append implements execution.Runs.
func (c *counting) Append(ctx context.Context, claimed execution.Claimed, s journal.Segment) error {
	c.writes.Add(1)
	return c.Store.Append(ctx, claimed, s)
}

// Complete implements execution.Runs.
func (c *counting) Complete(ctx context.Context, done execution.Completion) error {
	err := c.Store.Complete(ctx, done)
	if err != nil || done.Outcome == execution.Waiting && done.Reason == execution.ReasonSleep {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if done.Outcome != execution.Succeeded && c.err == nil {
		c.err = fmt.Errorf("an execution is %s: %s", done.Outcome, done.Error)
	}
	c.ended++
	switch c.ended {
	case c.from:
		c.first = c.mark()
	case c.to:
		c.last = c.mark()
	}
	if c.ended == c.n || c.err != nil {
		c.over.Do(func() { close(c.all) })
	}
	return nil
}

func (c *counting) mark() mark {
	return mark{at: time.Now(), cpu: command.CPU(), writes: c.writes.Load()}
}

func (c *counting) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
