package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
)

// warm compares a token in memory with that of x/oauth2's ReuseTokenSource. One whose
// version is read each time is beside it: that is what the first use after 5 s costs.
func (s *suite) warm(ctx context.Context, d *database.Database) (err error) {
	b, err := newBed(ctx, d, authorizationtest.Rules{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	fresh, err1 := b.authorizations(b.store, http.DefaultTransport, time.Hour)
	checked, err2 := b.authorizations(b.store, http.DefaultTransport, time.Nanosecond)
	if err := errors.Join(err1, err2, b.put(ctx, fresh, "con_1", time.Hour)); err != nil {
		return err
	}
	token := func(a *authorization.Authorizations) func() error {
		return func() error {
			_, err := a.Token(ctx, b.tenant, "con_1")
			return err
		}
	}
	reused := oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(time.Hour)}, nil)
	measured, err := stopwatch.Interleaved(s.rounds, 20*time.Millisecond, token(fresh), token(checked), func() error {
		_, err := reused.Token()
		return err
	})
	if err != nil {
		return err
	}
	s.print("warm_token_us_"+d.Name, 1e6*stopwatch.Middle(measured[0], stopwatch.ByWall), "us",
		peer("x_oauth2_reuse", 1e6*stopwatch.Middle(measured[2], stopwatch.ByWall)),
		peer("ratio", stopwatch.Over(measured[0], measured[2], stopwatch.ByWall)),
		peer("version_read", 1e6*stopwatch.Middle(measured[1], stopwatch.ByWall)))
	return nil
}

// lost measures the time from an answer to its commit, in which a crash loses it: one
// refresh after the other, on a database that does nothing else.
func (s *suite) lost(ctx context.Context, d *database.Database) (err error) {
	b, err := newBed(ctx, d, authorizationtest.Rules{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	m := &marked{Store: b.store}
	a, err := b.authorizations(m, m, time.Hour)
	if err != nil {
		return err
	}
	for range s.windows {
		if err := b.put(ctx, a, "con_1", time.Nanosecond); err != nil {
			return err
		}
		if _, err := a.Token(ctx, b.tenant, "con_1"); err != nil {
			return err
		}
	}
	s.print("lost_window_ms_"+d.Name, 1e3*stopwatch.Median(m.windows), "ms", peer("p99", 1e3*stopwatch.Quantile(m.windows, .99)),
		peer("refreshes", float64(len(m.windows))))
	return nil
}

// marked is a transport and a store that note when an answer was read, and when what
// came of it was stored.
type marked struct {
	authorization.Store

	came    time.Time
	windows []float64
}

// RoundTrip implements http.RoundTripper.
func (m *marked) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		response.Body = &read{response.Body, m}
	}
	return response, err
}

// SwapAuthorization implements authorization.Store.
func (m *marked) SwapAuthorization(ctx context.Context, was, now authorization.Row, lease time.Duration) (authorization.Row, bool, error) {
	row, ok, err := m.Store.SwapAuthorization(ctx, was, now, lease)
	if ok && now.Version != was.Version && !m.came.IsZero() {
		m.windows = append(m.windows, time.Since(m.came).Seconds())
		m.came = time.Time{}
	}
	return row, ok, err
}

// read is a body that notes when it was read.
type read struct {
	io.ReadCloser

	m *marked
}

// Close implements io.Closer.
func (r *read) Close() error {
	r.m.came = time.Now()
	return r.ReadCloser.Close()
}
