package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
)

const (
	// clients is how many vendors deliver at once when a rate is measured.
	clients = 64
	// calm is how many deliveries a second come when latency is measured, and patience the
	// goal for it.
	calm     = 500
	patience = 50
)

// accept measures durable webhooks: the rate, what it costs in CPU, and the p99 at a fixed
// rate.
func (s *suite) accept(ctx context.Context, d *database.Database) error {
	r, err := newRig(ctx, d)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	v, err := r.enroll(ctx, "acme")
	if err != nil {
		return err
	}
	if _, err := flatOut(ctx, time.Second/2, v.deliver); err != nil { // The caches are warm.
		return err
	}
	before := command.CPU()
	rate, err := flatOut(ctx, s.seconds, v.deliver)
	if err != nil {
		return err
	}
	used := command.CPU() - before
	least := 6000.
	if d.Name == database.Postgres {
		least = 5000
	}
	s.print("accept_per_s", d, rate, "1/s", s.goal(rate >= least, least), peer("per_cpu_s", rate*s.seconds.Seconds()/used))
	took, err := atRate(ctx, calm, s.seconds, v.deliver)
	if err != nil {
		return err
	}
	p99 := quantile(took, .99)
	s.print("accept_p99_ms", d, p99, "ms", s.goal(p99 <= patience, patience), peer("p50", quantile(took, .5)))
	return nil
}

// flatOut calls f from all clients for a while, and returns how often it succeeded a second.
func flatOut(ctx context.Context, d time.Duration, f func(context.Context) error) (float64, error) {
	var count atomic.Int64
	errs := make(chan error, clients)
	var wg sync.WaitGroup
	start := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(start) < d {
				if err := f(ctx); err != nil {
					errs <- err
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, fmt.Errorf("one of %d clients: %w", clients, err)
	default:
		return float64(count.Load()) / took.Seconds(), nil
	}
}

// atRate calls f at a fixed rate for a while, whether or not the calls before have
// returned, and returns how long each took from the moment that it was due.
func atRate(ctx context.Context, perSecond int, d time.Duration, f func(context.Context) error) ([]time.Duration, error) {
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for i := range int(d.Seconds() * float64(perSecond)) {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Until(due)):
		}
		wg.Go(func() {
			err := f(ctx)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(due))
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return took, failed
}

// quantile returns the q-th quantile in milliseconds.
func quantile(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return float64(sorted[int(float64(len(sorted)-1)*q)]) / float64(time.Millisecond)
}
