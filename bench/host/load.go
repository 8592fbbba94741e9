package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// flatOut calls f from n goroutines for a while, and returns how often it
// succeeded a second.
func flatOut(n int, d time.Duration, f func() error) (perSecond float64, err error) {
	var count atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	start := time.Now()
	for range n {
		wg.Go(func() {
			for time.Since(start) < d && failed.Load() == nil {
				if err := f(); err != nil {
					failed.Store(err)
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	if err, ok := failed.Load().(error); ok {
		return 0, err
	}
	return float64(count.Load()) / time.Since(start).Seconds(), nil
}

// atRate calls f at a fixed rate for a while, whether or not the calls before
// have returned, and returns each call's latency from the moment that it was due.
func atRate(ctx context.Context, perSecond int, d time.Duration, f func() error) ([]time.Duration, error) {
	var mu sync.Mutex
	var latencies []time.Duration
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	total := int(d.Seconds() * float64(perSecond))
	for i := range total {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Until(due)):
		}
		wg.Go(func() {
			err := f()
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, time.Since(due))
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return latencies, failed
}

// quantile returns the q-th quantile in milliseconds.
func quantile(all []time.Duration, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return float64(sorted[int(float64(len(sorted)-1)*q)]) / float64(time.Millisecond)
}
