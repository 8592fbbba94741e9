package pace_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// clock is a time that tests move.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	waiters map[chan time.Time]time.Time
	// slept receives each time that somebody begins to wait.
	slept chan time.Duration
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), waiters: map[chan time.Time]time.Time{}, slept: make(chan time.Duration, 1000)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	ch := make(chan time.Time, 1)
	c.waiters[ch] = c.now.Add(d)
	c.mu.Unlock()
	c.slept <- d
	return ch
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for ch, at := range c.waiters {
		if !at.After(c.now) {
			ch <- c.now
			delete(c.waiters, ch)
		}
	}
}

// sleeps returns once somebody waits, unless it ends before.
func (c *clock) sleeps(t *testing.T, ended <-chan error) time.Duration {
	t.Helper()
	select {
	case d := <-c.slept:
		return d
	case err := <-ended:
		t.Fatalf("it does not wait: %v", err)
		return 0
	}
}

// cluster is some processes that share a store, and a connection.
type cluster struct {
	*clock
	store  *failing
	paces  *pace.Paces
	pacers []*pace.Pacer
}

// failing is a store that can be away.
type failing struct {
	pace.Store
	mu   sync.Mutex
	err  error
	asks int
	// delay passes before what was asked is done, and before the answer is there.
	delay func()
}

func (f *failing) Pace(ctx context.Context, tenant, connection string) (pace.Pace, error) {
	if err := f.fails(); err != nil {
		return pace.Pace{}, err
	}
	return f.Store.Pace(ctx, tenant, connection)
}

func (f *failing) TakeTokens(ctx context.Context, a pace.Ask) (pace.Taken, error) {
	if err := f.fails(); err != nil {
		return pace.Taken{}, err
	}
	f.delay()
	defer f.delay()
	return f.Store.TakeTokens(ctx, a)
}

func (f *failing) away(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asks
}

func (f *failing) fails() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks++
	return f.err
}

func setup(t *testing.T, n int, change func(*pace.PacerConfig)) *cluster {
	t.Helper()
	c := &cluster{clock: newClock()}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, db.InsertTenant(t.Context(), tenant.Tenant{ID: "ten_1", Name: "acme", State: tenant.Active, Limits: tenant.Limits{Running: 1, Weight: 1}, CreatedAt: c.now}))
	must(t, db.InsertConnection(t.Context(), connection.Connection{ID: "con_1", Tenant: "ten_1", Name: "vendor", Type: connection.Bearer, Version: 1}, []byte("sealed")))
	c.store = &failing{Store: db, delay: func() {}}
	c.paces = pace.New(pace.Config{Store: c.store, Connection: db.Connection, Released: func(context.Context, string, int) {}})
	for i := range n {
		config := pace.PacerConfig{
			Store: c.store, Holder: string(rune('a' + i)), Registerer: prometheus.NewRegistry(),
			Logger: slog.New(slog.DiscardHandler), Now: c.Now, After: c.After,
		}
		if change != nil {
			change(&config)
		}
		if _, err := db.Heartbeat(t.Context(), config.Holder, time.Hour); err != nil {
			t.Fatal(err)
		}
		c.pacers = append(c.pacers, pace.NewPacer(config))
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) rate(t *testing.T, perSecond float64, burst int) {
	t.Helper()
	if _, err := c.paces.SetRate(t.Context(), "ten_1", "vendor", pace.Rate{PerSecond: perSecond, Burst: burst}); err != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Second) // All have it by now.
}

// run is one of an execution in a process.
func (c *cluster) run(i int, change ...func(*pace.Run)) egress.Pace {
	r := pace.Run{Tenant: "ten_1", Execution: "exe_1", Lane: event.Live, Connections: map[string]string{"vendor": "con_1"}}
	for _, f := range change {
		f(&r)
	}
	return c.pacers[i].For(r)
}

func again(r *pace.Run) { r.Again = true }

// passes gets a request through.
func passes(t *testing.T, p egress.Pace) egress.Pass {
	t.Helper()
	pass, err := p.Enter(t.Context(), "vendor", false)
	if err != nil {
		t.Fatalf("it does not pass: %v", err)
	}
	return pass
}

// waits holds that a request is to come back later.
func waits(t *testing.T, p egress.Pace, reason string) time.Time {
	t.Helper()
	pass, err := p.Enter(t.Context(), "vendor", false)
	s, ok := errors.AsType[*hostfns.Suspended](err)
	if !ok || s.Reason != reason || s.For != "con_1" || s.Answer != nil {
		t.Fatalf("got %v, %v (%+v), want to wait for %s", pass, err, s, reason)
	}
	return s.Until
}

func ends(t *testing.T, p egress.Pass, r egress.Result) {
	t.Helper()
	p.Leave(t.Context(), egress.Ending{Result: r})
}

func TestARequestWaitsForItsToken(t *testing.T) {
	t.Parallel()
	c := setup(t, 1, func(p *pace.PacerConfig) { p.Waiters = 2 })
	c.rate(t, 2, 1)
	ends(t, passes(t, c.run(0)), egress.Answered)
	got := make(chan error, 1)
	go func() {
		pass, err := c.run(0).Enter(t.Context(), "vendor", false)
		if err == nil && !pass.Fresh() {
			err = errors.New("it is not fresh")
		}
		got <- err
	}()
	if d := c.sleeps(t, got); d != 500*time.Millisecond {
		t.Errorf("it waits for %s, want 500 ms", d)
	}
	select {
	case err := <-got:
		t.Fatalf("it went before its time: %v", err)
	default:
	}
	c.advance(500 * time.Millisecond)
	must(t, <-got)

	// One whose caller has gone takes nothing with it but its token.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := c.run(0).Enter(ctx, "vendor", false)
		got <- err
	}()
	c.sleeps(t, got)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	// A token does not keep.
	c.advance(time.Second)
	pass := passes(t, c.run(0))
	c.advance(time.Second)
	if pass.Fresh() {
		t.Error("a token is fresh after a second")
	}
}

// Those who find no token come back one after the other, and before those who come new.
func TestTurns(t *testing.T) {
	t.Parallel()
	c := setup(t, 2, func(p *pace.PacerConfig) { p.Wait = 100 * time.Millisecond })
	c.rate(t, 1, 1)
	passes(t, c.run(0))
	var turns []time.Time
	for i := range 6 {
		turns = append(turns, waits(t, c.run(i%2), execution.ReasonRateLimited))
	}
	for i, at := range turns {
		want := c.Now().Add(time.Duration(i+1)*time.Second - 25*time.Millisecond)
		if d := at.Sub(want).Abs(); d > 5*time.Millisecond {
			t.Errorf("turn %d is %s from where it was to be", i, d)
		}
	}
	c.advance(time.Second - 20*time.Millisecond)
	waits(t, c.run(1), execution.ReasonRateLimited) // New, and a token is there in 20 ms.
	got := make(chan error, 1)
	go func() {
		_, err := c.run(0, again).Enter(t.Context(), "vendor", false)
		got <- err
	}()
	c.sleeps(t, got)
	c.advance(20 * time.Millisecond)
	must(t, <-got)
	// What somebody waits for goes before what nobody does.
	c.advance(time.Second - 60*time.Millisecond)
	waits(t, c.run(0, again, func(r *pace.Run) { r.Lane = event.Backfill }), execution.ReasonRateLimited)
	go func() {
		_, err := c.run(0, func(r *pace.Run) { r.Lane = event.Interactive }).Enter(t.Context(), "vendor", false)
		got <- err
	}()
	c.sleeps(t, got)
	c.advance(60 * time.Millisecond)
	must(t, <-got)
}

func TestTheRestOfARequestWaitsOn(t *testing.T) {
	t.Parallel()
	c := setup(t, 1, nil)
	c.rate(t, 0.1, 1)
	passes(t, c.run(0))
	got := make(chan error, 1)
	go func() {
		_, err := c.run(0).Enter(t.Context(), "vendor", true)
		got <- err
	}()
	c.sleeps(t, got)
	c.advance(10 * time.Second)
	must(t, <-got)
}

func TestA429HoldsAllOff(t *testing.T) {
	t.Parallel()
	c := setup(t, 2, nil)
	c.rate(t, 100, 50)
	for range 5 {
		passes(t, c.run(1))
	}
	passes(t, c.run(0)).Leave(t.Context(), egress.Ending{Result: egress.Throttled, RetryAfter: 30 * time.Second})
	from := c.Now()
	c.advance(time.Second)
	for i := range 2 {
		if at := waits(t, c.run(i), execution.ReasonRateLimited); at.Before(from.Add(29 * time.Second)) {
			t.Errorf("process %d comes back %s after that", i, at.Sub(from))
		}
	}
	c.advance(29 * time.Second)
	passes(t, c.run(1, again))
}

func TestManifestsSayTheRateUnlessTheConnectionDoes(t *testing.T) {
	t.Parallel()
	c := setup(t, 1, func(p *pace.PacerConfig) { p.Wait = time.Nanosecond })
	declared := func(r *pace.Run) { r.Rates = map[string]pace.Rate{"vendor": {PerSecond: 1, Burst: 1}} }
	for range 100 {
		passes(t, c.run(0))
	}
	passes(t, c.run(0, declared))
	waits(t, c.run(0, declared), execution.ReasonRateLimited)
	c.rate(t, 1000, 1000)
	for range 100 {
		passes(t, c.run(0, declared))
	}
}

func TestABreakerOpensForAllAndOneTries(t *testing.T) {
	t.Parallel()
	var closed []string
	c := setup(t, 3, func(p *pace.PacerConfig) {
		p.Breaker = pace.BreakerConfig{Requests: 4, First: 8 * time.Second, Most: 20 * time.Second}
		p.Closed = func(_ context.Context, _, connection string) { closed = append(closed, connection) }
	})
	for _, r := range []egress.Result{egress.Answered, egress.Throttled, egress.Unsent, egress.Failed} {
		ends(t, passes(t, c.run(0)), r)
	}
	ends(t, passes(t, c.run(1)), egress.Failed) // Another process counts its own.
	late := passes(t, c.run(0))
	ends(t, passes(t, c.run(0)), egress.Failed)
	opened := c.Now()
	c.advance(time.Second) // All have looked.
	for i := range 3 {
		if at := waits(t, c.run(i), execution.ReasonCircuitOpen).Sub(opened); at < 8*time.Second || at > 20*time.Second {
			t.Errorf("process %d comes back after %s", i, at)
		}
	}
	ends(t, late, egress.Failed) // It was sent before.
	if b := c.breaker(t); b.State != pace.Open || b.Opens != 1 || b.Why != "2 of 4 requests within 30s failed" || !b.Since.Equal(opened) {
		t.Errorf("the breaker is %+v", b)
	}
	// Once it is time, one of all tries, and fails: the next try is later.
	c.advance(9 * time.Second)
	try := passes(t, c.run(2))
	for i := range 3 {
		waits(t, c.run(i), execution.ReasonCircuitOpen)
	}
	if b := c.breaker(t); b.State != pace.HalfOpen {
		t.Errorf("the breaker is %+v, want half open", b)
	}
	ends(t, try, egress.Failed)
	if b := c.breaker(t); b.State != pace.Open || b.Opens != 2 || b.RetryAt.Sub(c.Now()) < 16*time.Second || b.RetryAt.Sub(c.Now()) > 20*time.Second {
		t.Errorf("the breaker is %+v", b)
	}
	// One that is given up leaves it to the next, which works.
	c.advance(20 * time.Second)
	ends(t, passes(t, c.run(1)), egress.Unsent)
	c.advance(time.Second)
	ends(t, passes(t, c.run(0)), egress.Answered)
	c.advance(time.Second)
	for i := range 3 {
		ends(t, passes(t, c.run(i)), egress.Failed) // What was counted before is forgotten.
	}
	if b := c.breaker(t); b != (pace.Breaker{State: pace.Closed}) || !slices.Equal(closed, []string{"con_1"}) {
		t.Errorf("the breaker is %+v, and %v were closed", b, closed)
	}
}

func (c *cluster) breaker(t *testing.T) pace.Breaker {
	t.Helper()
	at, err := c.paces.Get(t.Context(), "ten_1", "vendor")
	must(t, err)
	return at.Breaker
}

func TestABreakerIsClosedByHand(t *testing.T) {
	t.Parallel()
	c := setup(t, 1, func(p *pace.PacerConfig) { p.Breaker = pace.BreakerConfig{Requests: 1} })
	ends(t, passes(t, c.run(0)), egress.Failed)
	waits(t, c.run(0), execution.ReasonCircuitOpen)
	at, err := c.paces.Reset(t.Context(), "ten_1", "vendor")
	must(t, err)
	if at.Breaker != (pace.Breaker{State: pace.Closed}) {
		t.Errorf("the breaker is %+v", at.Breaker)
	}
	c.advance(time.Second)
	passes(t, c.run(0))
}

func TestNothingIsSentWhilePaused(t *testing.T) {
	t.Parallel()
	c := setup(t, 2, nil)
	flying := passes(t, c.run(0))
	_, err := c.paces.Pause(t.Context(), "ten_1", "vendor")
	must(t, err)
	c.advance(time.Second)
	for i := range 2 {
		waits(t, c.run(i), execution.ReasonConnectionPaused)
	}
	drain := func(want pace.Drain) {
		t.Helper()
		at, err := c.paces.Get(t.Context(), "ten_1", "vendor")
		must(t, err)
		if at.Drain == nil || at.Drain.Done != want.Done || at.Drain.Requests != want.Requests || at.Drain.Silent != want.Silent || !slices.Equal(at.Drain.Executions, want.Executions) {
			t.Errorf("got %+v, want %+v", at.Drain, want)
		}
	}
	drain(pace.Drain{Silent: 2})
	c.pacers[0].Report(t.Context())
	drain(pace.Drain{Silent: 1, Requests: 1, Executions: []string{"exe_1"}})
	c.pacers[1].Report(t.Context())
	if _, err := c.run(0).Enter(t.Context(), "vendor", true); err != nil {
		t.Errorf("the rest of a request that was sent does not pass: %v", err)
	}
	ends(t, flying, egress.Answered)
	c.pacers[0].Report(t.Context())
	drain(pace.Drain{Requests: 1, Executions: []string{"exe_1"}})
	_, err = c.paces.Resume(t.Context(), "ten_1", "vendor")
	must(t, err)
	c.advance(time.Second)
	passes(t, c.run(1))
}

// A process that cannot read what is true goes on.
func TestWithoutTheStoreRequestsGoOn(t *testing.T) {
	t.Parallel()
	c := setup(t, 1, nil)
	c.rate(t, 1, 1)
	_, err := c.paces.Pause(t.Context(), "ten_1", "vendor")
	must(t, err)
	c.advance(time.Second)
	waits(t, c.run(0), execution.ReasonConnectionPaused)
	c.advance(time.Second)
	c.store.away(errors.New("the database does not answer"))
	for range 5 {
		passes(t, c.run(0))
	}
	c.store.away(nil)
	c.advance(time.Second)
	waits(t, c.run(0), execution.ReasonConnectionPaused)
}

// What is known is not asked for again at once, nor is a token leased for each request.
func TestTheStoreIsAskedLittle(t *testing.T) {
	t.Parallel()
	c := setup(t, 1, nil)
	c.rate(t, 10_000, 10_000)
	for range 1000 {
		ends(t, passes(t, c.run(0)), egress.Answered)
		c.advance(100 * time.Microsecond)
	}
	if n := c.store.asked(); n > 30 {
		t.Errorf("1000 requests have asked the store %d times", n)
	}
}
