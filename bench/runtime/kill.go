package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/runtime"
)

const (
	// deadline is a runaway's, and kills how often each is stopped at it.
	deadline = 100 * time.Millisecond
	kills    = 5
)

// kill measures how long after its deadline a runaway is stopped, two at a time.
func (s *suite) kill(ctx context.Context) (err error) {
	binary, err := s.golang(ctx, "mapper")
	if err != nil {
		return err
	}
	limits := runtime.Limits{Deadline: deadline, Fuel: plenty}
	wild, err := newSandbox(ctx, runaway(), limits)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wild.close(ctx)) }()
	golang, err := newSandbox(ctx, binary, limits)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, golang.close(ctx)) }()
	var late []float64
	for _, r := range []struct {
		sandbox *sandbox
		export  string
	}{{wild, "loop"}, {wild, "fill"}, {wild, "calls"}, {golang, "spin"}} {
		for range kills {
			all, err := r.sandbox.overdue(ctx, r.export)
			if err != nil {
				return fmt.Errorf("%s: %w", r.export, err)
			}
			late = append(late, all...)
		}
	}
	s.print("kill_ms", stopwatch.Quantile(late, 1)*1e3, "ms", peer("median", stopwatch.Median(late)*1e3), fmt.Sprintf("runaways=%d", len(late)))
	return nil
}

// overdue returns for how long runaways ran on after their deadline, in seconds.
func (s *sandbox) overdue(ctx context.Context, export string) ([]float64, error) {
	late, errs := make([]float64, runaways), make([]error, runaways)
	var wg sync.WaitGroup
	for i := range runaways {
		wg.Go(func() {
			result, err := s.call(ctx, export)
			failure := (*runtime.Failure)(nil)
			if !errors.As(err, &failure) || failure.Code != runtime.CodeDeadlineExceeded {
				errs[i] = fmt.Errorf("it ended by itself: %w", err)
			}
			late[i] = (result.Usage.Wall - deadline).Seconds()
		})
	}
	wg.Wait()
	return late, errors.Join(errs...)
}
