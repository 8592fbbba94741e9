package main

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// shadow compares how long executions took, four at a time so that they did not wait
// for each other, with how long it takes to replay them: as a shadow run of a new
// version does, from its start to its report, and by package replay alone.
func (s *suite) shadow(ctx context.Context, d *database.Database) (err error) {
	if !sole(d) {
		return nil
	}
	x, err := s.newSide(ctx, d, true, 1, orders, bare)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	few := func(plugin string) rig.Load { return rig.Load{Plugin: plugin, N: s.executions, Warm: 1, Slots: 4} }
	var report shadow.Report
	var alone, handmade sped
	_, err = x.Turn(ctx, few(orders), func(ctx context.Context, h *host.Host) error {
		if report, err = shadowed(ctx, h); err != nil {
			return err
		}
		alone, err = s.replayed(ctx, h, x.Tenants[0])
		return err
	})
	if err != nil {
		return err
	}
	_, err = x.Turn(ctx, few(bare), func(ctx context.Context, h *host.Host) error {
		handmade, err = s.replayed(ctx, h, x.Tenants[0])
		return err
	})
	if err != nil {
		return err
	}
	value := report.RecordedSeconds / report.Seconds
	s.print("shadow_speedup", value, "ratio", s.goal(value, 20), peer("executions", float64(report.Done)),
		peer("recorded_s", report.RecordedSeconds), peer("took_s", report.Seconds))
	s.print("replay_speedup", alone.recorded/alone.took, "ratio", peer("handmade", handmade.recorded/handmade.took),
		peer("recorded_s", alone.recorded), peer("took_s", alone.took))
	return nil
}

// shadowed runs the new version against what the old one has done.
func shadowed(ctx context.Context, h *host.Host) (shadow.Report, error) {
	r, err := h.Shadows.Start(ctx, shadow.Spec{Plugin: orders, Version: "1.0.1", Against: "1.0.0"})
	for err == nil && !r.State.Ended() {
		select {
		case <-ctx.Done():
			return r.Report, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		r, err = h.Shadows.Get(ctx, "", r.ID)
	}
	switch {
	case err != nil:
		return r.Report, err
	case r.State != job.Done:
		return r.Report, fmt.Errorf("the shadow run is %s: %w", r.State, r.Error)
	case r.Report.Same != r.Report.Total:
		return r.Report, fmt.Errorf("of %d executions %d are the same on the new version", r.Report.Total, r.Report.Same)
	}
	return r.Report, nil
}

// recordings reads those of a tenant's newest executions.
func recordings(ctx context.Context, h *host.Host, tenant string, n int) ([]replay.Recording, error) {
	var all []replay.Recording
	for before := ""; len(all) < n; {
		page, err := h.Executions.List(ctx, tenant, execution.Filter{Before: before, Limit: 200})
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return nil, fmt.Errorf("%d executions are there, and %d were run", len(all), n)
		}
		for _, e := range page[:min(len(page), n-len(all))] {
			r, err := h.Recording(ctx, tenant, e.ID, false)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
		}
		before = page[len(page)-1].ID
	}
	return all, nil
}

// sped is how long executions took, in seconds, and how long their replay.
type sped struct{ recorded, took float64 }

// replayed replays a tenant's newest executions, one on each processor.
func (s *suite) replayed(ctx context.Context, h *host.Host, tenant string) (t sped, err error) {
	all, err := recordings(ctx, h, tenant, s.executions)
	if err != nil {
		return t, err
	}
	first, err := h.Recording(ctx, tenant, all[0].Execution, true)
	if err != nil {
		return t, err
	}
	again, stop, err := s.player(ctx, first)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, stop(ctx)) }()
	if err := again(ctx, first); err != nil {
		return t, err
	}
	var next atomic.Int64
	var players sync.WaitGroup
	errs := make(chan error, goruntime.GOMAXPROCS(0))
	began := time.Now()
	for range cap(errs) {
		players.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				if err := again(ctx, all[i]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	players.Wait()
	close(errs)
	t.took = time.Since(began).Seconds()
	for i := range all {
		t.recorded += all[i].Wall.Seconds()
	}
	return t, <-errs
}

// player returns what replays recordings of the module that is in one, each to the
// same end.
func (s *suite) player(ctx context.Context, like replay.Recording) (again func(context.Context, replay.Recording) error, stop func(context.Context) error, err error) {
	functions, err := replay.Functions(like.Module)
	if err != nil {
		return nil, nil, err
	}
	rt, err := runtime.New(ctx, runtime.Config{Functions: functions, CacheDir: s.cache, Now: time.Now})
	if err != nil {
		return nil, nil, err
	}
	module, err := rt.Prepare(ctx, like.Module, replay.Limits(like))
	if err != nil {
		return nil, nil, errors.Join(err, rt.Close(ctx))
	}
	stop = func(ctx context.Context) error { return errors.Join(module.Close(ctx), rt.Close(ctx)) }
	again = func(ctx context.Context, r replay.Recording) error {
		report, err := replay.Run(ctx, module, r, replay.Options{})
		if err != nil {
			return err
		}
		if !report.Same() {
			return fmt.Errorf("the replay of %s differs: %v", r.Execution, report.Differences)
		}
		return nil
	}
	return again, stop, nil
}

// resume measures the run that goes on after a wait: it replays a hundred answers.
// Beside it is what a run takes that asks for nothing, and one replay in memory.
func (s *suite) resume(ctx context.Context, d *database.Database) (err error) {
	x, err := s.newSide(ctx, d, true, 1, sleeper, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	const n = 40
	one := func(plugin string) rig.Load { return rig.Load{Plugin: plugin, N: n, Warm: 1, Slots: 1} }
	var resumed, plain []float64
	var sample replay.Recording
	_, err = x.Turn(ctx, one(silent), func(ctx context.Context, h *host.Host) error {
		plain, _, err = x.runs(ctx, h, 1)
		return err
	})
	if err != nil {
		return err
	}
	_, err = x.Turn(ctx, one(sleeper), func(ctx context.Context, h *host.Host) error {
		var last string
		if resumed, last, err = x.runs(ctx, h, 2); err != nil {
			return err
		}
		sample, err = h.Recording(ctx, x.Tenants[0], last, true)
		return err
	})
	if err != nil {
		return err
	}
	s.print("resume_run_us_"+d.Name, 1e6*stopwatch.Quantile(resumed, .5), "us", peer("answers", recorded),
		peer("p99", 1e6*stopwatch.Quantile(resumed, .99)), peer("asking_nothing", 1e6*stopwatch.Quantile(plain, .5)))
	if !sole(d) {
		return nil
	}
	return s.replays(ctx, sample)
}

// runs gives how long those runs took that were an execution's n-th and last, and one
// of the executions.
func (x *side) runs(ctx context.Context, h *host.Host, n int) (seconds []float64, last string, err error) {
	all, err := h.Executions.List(ctx, x.Tenants[0], execution.Filter{Limit: 200})
	if err != nil {
		return nil, "", err
	}
	for _, e := range all {
		t, err := h.Executions.Trace(ctx, x.Tenants[0], e.ID)
		if err != nil {
			return nil, "", err
		}
		if len(t.Attempts) != n {
			continue
		}
		a := t.Attempts[n-1]
		seconds, last = append(seconds, a.FinishedAt.Sub(a.StartedAt).Seconds()), e.ID
	}
	if len(seconds) == 0 {
		return nil, "", fmt.Errorf("no execution has had %d runs", n)
	}
	return seconds, last, nil
}

// replays measures one recording's replay in memory.
func (s *suite) replays(ctx context.Context, r replay.Recording) (err error) {
	again, stop, err := s.player(ctx, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(ctx)) }()
	var took []float64
	for range 500 {
		began := time.Now()
		if err := again(ctx, r); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds())
	}
	slices.Sort(took)
	s.print("resume_us", 1e6*stopwatch.Quantile(took, .5), "us", peer("answers", float64(len(r.Entries)-2)), peer("p99", 1e6*stopwatch.Quantile(took, .99)))
	return nil
}
