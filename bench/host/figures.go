package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

const (
	// clients is how many vendors deliver at once when a rate is measured.
	clients = 64
	// acceptRate, jobRate and victimRate are deliveries a second where latency is measured.
	acceptRate, jobRate, victimRate = 300, 20, 20
)

// accepts measures durable webhooks with the workers switched off: the rate,
// what it costs in CPU, against bare inserts, and the p99 at a fixed rate.
func (s *suite) accepts(ctx context.Context, d *database.Database) error {
	r, err := s.newRig(ctx, d, false)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	c, err := r.enroll(ctx, "acme", "tiny")
	if err != nil {
		return err
	}
	deliver := func() error { return r.deliver(ctx, c) }
	before := command.CPU()
	rate, err := flatOut(clients, s.seconds, deliver)
	if err != nil {
		return err
	}
	used := command.CPU() - before
	bare, err := s.bareInserts(ctx, d, c.body)
	if err != nil {
		return err
	}
	latencies, err := atRate(ctx, acceptRate, s.seconds, deliver)
	if err != nil {
		return err
	}
	s.print("accept_per_s", d, rate, "1/s", fmt.Sprintf("bare_inserts=%.2f", rate/bare))
	s.print("accept_per_cpu_s", d, rate*s.seconds.Seconds()/used, "1/cpu-s")
	s.print("accept_p99_ms", d, quantile(latencies, .99), "ms")
	return nil
}

// executions measures how many webhooks a second come in and are done, with the
// example connector doing its whole job, and with a guest that does nothing.
func (s *suite) executions(ctx context.Context, d *database.Database) error {
	for plugin, figure := range map[string]struct {
		name string
		n    int
	}{"hello-go": {"executions_per_s", 400}, "tiny": {"executions_per_s_tiny", 4000}} {
		r, err := s.newRig(ctx, d, true)
		if err != nil {
			return err
		}
		rate, err := s.endToEnd(ctx, r, plugin, figure.n)
		if err := r.close(ctx); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		s.print(figure.name, d, rate, "1/s")
	}
	return nil
}

func (s *suite) endToEnd(ctx context.Context, r *rig, plugin string, n int) (float64, error) {
	c, err := r.enroll(ctx, "acme", plugin)
	if err != nil {
		return 0, err
	}
	if err := r.warmUp(ctx, c); err != nil {
		return 0, err
	}
	before, err := r.runs()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := r.deliverAll(ctx, c, n); err != nil {
		return 0, err
	}
	done, err := r.settled(ctx, c, before, n)
	if err != nil {
		return 0, err
	}
	last := start
	for _, x := range done {
		if x.FinishedAt.After(last) {
			last = x.FinishedAt
		}
	}
	return float64(n) / last.Sub(start).Seconds(), nil
}

// deliverAll makes n deliveries as fast as they are accepted.
func (r *rig) deliverAll(ctx context.Context, c customer, n int) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := r.deliver(ctx, c); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// latencies measures webhook in to done, for the example connector's whole job
// at a fixed rate.
func (s *suite) latencies(ctx context.Context, d *database.Database) error {
	r, err := s.newRig(ctx, d, true)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	c, err := r.enroll(ctx, "acme", "hello-go")
	if err != nil {
		return err
	}
	if err := r.warmUp(ctx, c); err != nil {
		return err
	}
	before, err := r.runs()
	if err != nil {
		return err
	}
	accepted, err := atRate(ctx, jobRate, s.seconds, func() error { return r.deliver(ctx, c) })
	if err != nil {
		return err
	}
	done, err := r.settled(ctx, c, before, len(accepted))
	if err != nil {
		return err
	}
	took := between(done, func(x execution.Execution) time.Duration { return x.FinishedAt.Sub(x.CreatedAt) })
	s.print("latency_p50_ms", d, quantile(took, .5), "ms")
	s.print("latency_p99_ms", d, quantile(took, .99), "ms")
	return nil
}

// victims measures how long a tenant's executions wait to start while another
// tenant keeps every slot busy: behind a backlog of 64, and behind a flood. A p99
// of 300 waits is three of them, and one slow fsync makes them, so it is measured
// in turns, of which the medians count.
func (s *suite) victims(ctx context.Context, d *database.Database) error {
	const turns = 5
	var smalls, larges []float64
	for range turns {
		small, err := s.victim(ctx, d, 64)
		if err != nil {
			return err
		}
		large, err := s.victim(ctx, d, s.flood)
		if err != nil {
			return err
		}
		smalls, larges = append(smalls, small), append(larges, large)
	}
	slices.Sort(smalls)
	slices.Sort(larges)
	small, large := smalls[turns/2], larges[turns/2]
	s.print("victim_start_p99_ms_64", d, small, "ms")
	s.print("victim_start_p99_ms", d, large, "ms", fmt.Sprintf("backlog_64=%.2f", large/small))
	return nil
}

// victim returns the p99 wait behind a backlog, which is kept up meanwhile.
func (s *suite) victim(ctx context.Context, d *database.Database, backlog int) (float64, error) {
	r, err := s.newRig(ctx, d, true)
	if err != nil {
		return 0, err
	}
	defer r.close(ctx)
	flood, err := r.enroll(ctx, "flood", "tiny")
	if err != nil {
		return 0, err
	}
	victim, err := r.enroll(ctx, "victim", "tiny")
	if err != nil {
		return 0, err
	}
	if err := r.warmUp(ctx, victim); err != nil {
		return 0, err
	}
	if err := r.deliverAll(ctx, flood, backlog); err != nil {
		return 0, err
	}
	// What is measured is the wait behind the queue, not behind the disk that is
	// still writing what made it.
	syscall.Sync()
	feeding, stop := context.WithCancel(ctx)
	fed := make(chan error, 1)
	go func() { fed <- r.feed(feeding, flood) }()
	// Three times as long as the others: the p99 of a hundred waits is one wait.
	accepted, err := atRate(ctx, victimRate, 3*s.seconds, func() error { return r.deliver(ctx, victim) })
	stop()
	if fedErr := <-fed; err == nil {
		err = fedErr
	}
	if err != nil {
		return 0, err
	}
	done, err := r.victims(ctx, victim, len(accepted))
	if err != nil {
		return 0, err
	}
	waited := between(done, func(x execution.Execution) time.Duration { return x.StartedAt.Sub(x.CreatedAt) })
	return quantile(waited, .99), nil
}

// warmUp has one delivery run: the first one compiles.
func (r *rig) warmUp(ctx context.Context, c customer) error {
	before, err := r.runs()
	if err != nil {
		return err
	}
	if err := r.deliver(ctx, c); err != nil {
		return err
	}
	_, err = r.settled(ctx, c, before, 1)
	return err
}

// victims waits until n executions of a tenant have succeeded while others' run too.
func (r *rig) victims(ctx context.Context, c customer, n int) ([]execution.Execution, error) {
	for {
		done, err := r.succeeded(ctx, c, n)
		if err != nil || len(done) == n {
			return done, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func between(all []execution.Execution, f func(execution.Execution) time.Duration) []time.Duration {
	var out []time.Duration
	for _, x := range all {
		out = append(out, f(x))
	}
	return out
}

// feed keeps a customer's backlog up: it delivers as many as have run.
func (r *rig) feed(ctx context.Context, c customer) error {
	fed, err := r.runs()
	if err != nil {
		return err
	}
	for {
		ran, err := r.runs()
		if err != nil {
			return err
		}
		for ; fed < ran && ctx.Err() == nil; fed++ {
			if err := r.deliver(ctx, c); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Millisecond):
		}
	}
}

// runs is how many runs have ended.
func (r *rig) runs() (int, error) {
	families, err := r.host.Metrics.Gather()
	if err != nil {
		return 0, fmt.Errorf("gather metrics: %w", err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() != "cofferdam_runs_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue()
		}
	}
	return int(total), nil
}
