package main

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/runtime"
)

const (
	// runaways are as many as there are cores in the goals.
	runaways = 2
	// settling is how long runaways run before anything is measured.
	settling = 20 * time.Millisecond
	// every is how often the neighbour calls.
	every = time.Millisecond
	// streetRounds is how often runaways are started and ended. Those of plain
	// wazero nothing ends: they run for stalled, in fewer rounds.
	streetRounds, stalledRounds = 9, 3
	stalled                     = 300 * time.Millisecond
	// shortCall is about what the neighbour's calls take on the peers.
	shortCall = 20 * time.Microsecond
)

// street is two runaways and their neighbour, on one engine.
type street struct {
	// run runs away until its context ends, or as long as it was asked to.
	run func(ctx context.Context, d time.Duration) error
	// short is one call of the neighbour's.
	short func(ctx context.Context) error
	close func(ctx context.Context) error
	// endless says that nothing ends run but itself.
	endless bool
}

func (st *street) rounds() int {
	if st.endless {
		return stalledRounds
	}
	return streetRounds
}

// neighbour measures how long a neighbour's short calls take beside runaways,
// from the moment that each was due: their p99.
func (s *suite) neighbour(ctx context.Context) error {
	return s.besideRunaways(ctx, "neighbour_p99_ms", s.waits)
}

// collection measures runtime.GC beside runaways: it needs every processor to
// pause.
func (s *suite) collection(ctx context.Context) error {
	return s.besideRunaways(ctx, "gc_ms", s.collections)
}

// besideRunaways prints what is measured in rounds, in seconds, on an engine and
// beside some runaways: the round in the middle, and that of the peers.
func (s *suite) besideRunaways(
	ctx context.Context, figure string, measure func(ctx context.Context, name string, beside int) ([]float64, error),
) error {
	var all [4][]float64
	for i, street := range []struct {
		name   string
		beside int
	}{{metered, runaways}, {metered, 0}, {terminated, runaways}, {plain, runaways}} {
		var err error
		if all[i], err = measure(ctx, street.name, street.beside); err != nil {
			return fmt.Errorf("%s beside %d runaways: %w", street.name, street.beside, err)
		}
	}
	s.print(figure, stopwatch.Median(all[0])*1e3, "ms",
		peer("best_round", stopwatch.Quantile(all[0], 0)*1e3), peer("worst_round", stopwatch.Quantile(all[0], 1)*1e3),
		peer("without_runaways", stopwatch.Median(all[1])*1e3), peer(terminated, stopwatch.Median(all[2])*1e3), peer(plain, stopwatch.Median(all[3])*1e3))
	return nil
}

// waits returns the p99 of what the neighbour's calls took, in seconds, by round.
func (s *suite) waits(ctx context.Context, name string, beside int) (p99s []float64, err error) {
	st, err := s.newStreet(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.close(ctx)) }()
	window := max(s.window/streetRounds, 100*every)
	for range st.rounds() {
		var waits []float64
		err = st.busy(ctx, beside, window+settling, func(start time.Time) error {
			waits, err = st.calls(ctx, start, window)
			return err
		})
		if err != nil {
			return nil, err
		}
		p99s = append(p99s, stopwatch.Quantile(waits, .99))
	}
	return p99s, nil
}

// calls makes the neighbour's calls for a while, and returns what each took.
func (st *street) calls(ctx context.Context, start time.Time, window time.Duration) (waits []float64, err error) {
	for due := start; due.Before(start.Add(window)); due = due.Add(every) {
		if err := until(ctx, due); err != nil {
			return nil, err
		}
		if err := st.short(ctx); err != nil {
			return nil, err
		}
		waits = append(waits, time.Since(due).Seconds())
		// One stall is one wait, not as many as it swallowed calls.
		if now := time.Now(); now.Sub(due) > 50*time.Millisecond {
			due = now
		}
	}
	return waits, nil
}

// collections returns what a collection took, in seconds, by round.
func (s *suite) collections(ctx context.Context, name string, beside int) (times []float64, err error) {
	st, err := s.newStreet(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.close(ctx)) }()
	for range st.rounds() {
		err := st.busy(ctx, beside, stalled, func(due time.Time) error {
			// Where nothing can interrupt the runaways, this comes after them.
			if err := until(ctx, due); err != nil {
				return err
			}
			goruntime.GC()
			times = append(times, time.Since(due).Seconds())
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return times, nil
}

// busy does f beside some runaways, which it ends and waits for. They were
// settled at the time that f gets.
func (st *street) busy(ctx context.Context, n int, d time.Duration, f func(start time.Time) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	errs := make([]error, n)
	start := time.Now().Add(settling)
	for i := range n {
		wg.Go(func() {
			if err := st.run(running, d); running.Err() == nil {
				errs[i] = err
			}
		})
	}
	err := f(start)
	stop()
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

func (s *suite) newStreet(ctx context.Context, name string) (*street, error) {
	if name == metered {
		return s.newSandboxStreet(ctx)
	}
	return newEngineStreet(ctx, name)
}

// newSandboxStreet has a Go guest run away beside the tiny one.
func (s *suite) newSandboxStreet(ctx context.Context) (*street, error) {
	binary, err := s.golang(ctx, "mapper")
	if err != nil {
		return nil, err
	}
	r, err := runtime.New(ctx, runtime.Config{Functions: []string{waitFunction}})
	if err != nil {
		return nil, err
	}
	st := &street{close: r.Close}
	wild, err := r.Prepare(ctx, binary, runtime.Limits{Deadline: time.Hour, Fuel: plenty})
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	small, err := r.Prepare(ctx, tiny(), runtime.Limits{})
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	runaway := &sandbox{module: wild, share: runtime.Share{Key: "runaway"}}
	neighbour := &sandbox{module: small, share: runtime.Share{Key: "neighbour"}}
	st.run = func(ctx context.Context, _ time.Duration) error { _, err := runaway.call(ctx, "spin"); return err }
	st.short = func(ctx context.Context) error { _, err := neighbour.call(ctx, "transform"); return err }
	return st, st.short(ctx)
}

// newEngineStreet has instances of wazero's: the calls are bare, of a loop.
func newEngineStreet(ctx context.Context, name string) (*street, error) {
	e, err := newEngine(ctx, name)
	if err != nil {
		return nil, err
	}
	c, err := e.compile(ctx, spinner())
	if err != nil {
		return nil, errors.Join(err, e.close(ctx))
	}
	spin := func(ctx context.Context, turns float64) error {
		i, err := c.instantiate(ctx, time.Now)
		if err != nil {
			return err
		}
		_, err = i.call(ctx, "spin", uint64(turns))
		return errors.Join(err, i.module.Close(context.WithoutCancel(ctx)))
	}
	const sample = 10_000_000
	t, err := stopwatch.Timed(1, func() error { return spin(ctx, sample) })
	if err != nil {
		return nil, errors.Join(err, e.close(ctx))
	}
	speed := sample / t.Wall
	st := &street{close: e.close, endless: name == plain}
	st.run = func(ctx context.Context, d time.Duration) error { return spin(ctx, speed*d.Seconds()) }
	st.short = func(ctx context.Context) error { return spin(ctx, speed*shortCall.Seconds()) }
	return st, nil
}

// until waits for a moment. Where nothing runs but guests that cannot be
// interrupted it returns late, and that is to be measured.
func until(ctx context.Context, due time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
		return nil
	}
}
