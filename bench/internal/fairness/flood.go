package fairness

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/worker"
)

const (
	// runFor is how long a run of the flood's takes: the tenant has its 16 places taken
	// all the while, in both turns, so that the machine is as busy in one as in the other.
	runFor = 2 * time.Millisecond
	// small is the backlog of the turns that are compared with.
	small = 64
	// others is how often one of the others queues something.
	others = 5 * time.Millisecond
)

// flooded measures how long the others wait until they start while one tenant has a
// backlog that is never empty: in turns of a small one and of a flood.
func flooded(ctx context.Context, d *database.Database, s Size) ([]Figure, error) {
	var calm, flood []float64
	for range s.Turns {
		for _, turn := range []struct {
			backlog int
			p99     *[]float64
		}{{small, &calm}, {s.Flood, &flood}} {
			err := on(ctx, d, func(b *bed) error {
				waits, err := b.flood(ctx, turn.backlog, s)
				*turn.p99 = append(*turn.p99, quantile(waits, 0.99))
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	before, with := quantile(calm, 0.5), quantile(flood, 0.5)
	return []Figure{
		{Name: "fair_p99_ratio", Value: with / before, Unit: "ratio", Goal: 2},
		{Name: "fair_p99_flood_ms", Value: with, Unit: "ms"},
		{Name: "fair_p99_calm_ms", Value: before, Unit: "ms"},
	}, nil
}

// waits are how long executions waited until they started.
type waits struct {
	mu       sync.Mutex
	accepted map[string]time.Time
	started  map[string]time.Time
}

func (w *waits) note(m map[string]time.Time, id string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m[id] = at
}

// milliseconds are those of executions that have started.
func (w *waits) milliseconds() []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []float64
	for id, at := range w.accepted {
		if started, ok := w.started[id]; ok {
			all = append(all, max(float64(started.Sub(at).Microseconds())/1000, 0.001))
		}
	}
	return all
}

// flood has one tenant have a backlog of so many for a turn, and returns the others' waits.
func (b *bed) flood(ctx context.Context, backlog int, s Size) ([]float64, error) {
	all, err := b.places(ctx, s.Tenants+1, func(int) tenant.Limits { return tenant.Limits{Running: slots / 2, Weight: 1} })
	if err != nil {
		return nil, err
	}
	flooder, victims := all[0], all[1:]
	if err := b.fill(ctx, backlog, func(int) place { return flooder }); err != nil {
		return nil, err
	}
	w := &waits{accepted: map[string]time.Time{}, started: map[string]time.Time{}}
	ended := make(chan struct{}, slots)
	runner := running(func(c execution.Claimed) {
		if c.Tenant != flooder.tenant {
			w.note(w.started, c.Execution, time.Now())
			return
		}
		time.Sleep(runFor)
		select {
		case ended <- struct{}{}:
		default: // The turn is over.
		}
	})
	err = b.work(ctx, runner, func(ctx context.Context, wk *worker.Worker) error {
		feed, end := context.WithTimeout(ctx, s.Turn)
		defer end()
		var feeding sync.WaitGroup
		for range slots / 2 {
			feeding.Go(func() { b.refill(ctx, feed, wk, flooder, ended) })
		}
		err := b.trickle(ctx, feed, wk, victims, w)
		feeding.Wait()
		return err
	})
	return w.milliseconds(), err
}

// refill queues one of the flooder's for each that ends, until the feeding is over.
func (b *bed) refill(ctx, feed context.Context, w *worker.Worker, flooder place, ended <-chan struct{}) {
	for {
		select {
		case <-feed.Done():
			return
		case <-ended:
			if _, err := b.accept(ctx, flooder); err == nil {
				w.Wake(flooder.tenant)
			}
		}
	}
}

// trickle queues one of the others' now and then, until the feeding is over.
func (b *bed) trickle(ctx, feed context.Context, w *worker.Worker, victims []place, noted *waits) error {
	for {
		select {
		case <-feed.Done():
			return nil
		case <-time.After(others):
		}
		p := victims[rand.IntN(len(victims))] //nolint:gosec // No secret.
		id, err := b.accept(ctx, p)
		if err != nil {
			return err
		}
		noted.note(noted.accepted, id, time.Now())
		w.Wake(p.tenant)
	}
}
