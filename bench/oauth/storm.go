package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
)

const (
	// latency is what the provider takes for an answer.
	latency = 50 * time.Millisecond
	// goal is at most how long one caller in a hundred waits, in milliseconds.
	goal = 2000
)

// storm has many tokens end within one window, refreshed from a second Authorizations
// beside the callers of it, and says how long those wait.
func (s *suite) storm(ctx context.Context, d *database.Database) (err error) {
	b, err := newBed(ctx, d, authorizationtest.Rules{Latency: latency, Lifetime: 24 * time.Hour})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	defer transport.CloseIdleConnections()
	a, err := b.authorizations(b.store, transport, 0)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.connectAll(ctx, a, b, began.Add(s.lifetime)); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var swept sync.WaitGroup
	swept.Go(func() { a.Run(running) })
	delays, err := s.callAll(ctx, a, b, began.Add(s.lifetime))
	// What nobody has asked for is refreshed, too.
	for until := time.Now().Add(s.window); err == nil && b.server.Counts().Refreshes < s.connections && time.Now().Before(until); {
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	swept.Wait()
	if err != nil {
		return err
	}
	got := b.server.Counts()
	s.print("storm_p99_ms_"+d.Name, 1e3*stopwatch.Quantile(delays, .99), "ms", peer("goal", goal),
		peer("median", 1e3*stopwatch.Median(delays)), peer("worst", 1e3*stopwatch.Quantile(delays, 1)), peer("callers", float64(len(delays))),
		peer("window_s", s.window.Seconds()), peer("lifetime_s", s.lifetime.Seconds()), peer("seconds", time.Since(began).Seconds()))
	s.print("refreshes_"+d.Name, float64(got.Refreshes), "refreshes", peer("connections", float64(s.connections)),
		peer("requests", float64(got.Requests)), peer("families_revoked", float64(got.Reused)), peer("at_once", float64(got.AtOnce)))
	return nil
}

// connectAll connects all, whose tokens end evenly within a window from a moment on.
func (s *suite) connectAll(ctx context.Context, a *authorization.Authorizations, b *bed, first time.Time) error {
	var next atomic.Int64
	var all sync.WaitGroup
	const atOnce = 32
	errs := make(chan error, atOnce)
	for range atOnce {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < s.connections; i = int(next.Add(1)) - 1 {
				ends := first.Add(s.window * time.Duration(i) / time.Duration(s.connections))
				if err := b.put(ctx, a, "con_"+strconv.Itoa(i), time.Until(ends)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// callAll has callers want tokens at a steady rate while they end, and returns how long
// each waited.
func (s *suite) callAll(ctx context.Context, a *authorization.Authorizations, b *bed, first time.Time) ([]float64, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Until(first)):
	}
	n := int(s.window.Seconds() * float64(s.calls))
	delays, errs := make([]float64, n), make(chan error, n)
	var all sync.WaitGroup
	for i := range n {
		at := first.Add(s.window * time.Duration(i) / time.Duration(n))
		time.Sleep(time.Until(at))
		all.Go(func() {
			// Half of them want one that ends just now.
			which := rand.IntN(s.connections) //nolint:gosec // It is no secret.
			if i%2 == 0 {
				which = s.connections * i / n
			}
			began := time.Now()
			_, err := a.Token(ctx, b.tenant, "con_"+strconv.Itoa(which))
			if delays[i] = time.Since(began).Seconds(); err != nil {
				errs <- fmt.Errorf("a caller got no token: %w", err)
			}
		})
	}
	all.Wait()
	close(errs)
	return delays, <-errs
}
