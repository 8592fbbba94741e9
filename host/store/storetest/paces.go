package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/pace"
)

func testPaces(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"tokens come at their times":  paceTokens,
		"many lease no more than one": paceTogether,
		"turns":                       paceTurns,
		"held off":                    paceHeldOff,
		"a breaker and its one probe": paceBreaker,
		"rates and pauses":            paceSettings,
		"what waits":                  paceWaits,
		"what is in flight":           paceFlights,
		"goes with its connection":    paceGone,
		"others' paces":               othersPaces,
	})
}

// paced is a new connection.
func (b *bundle) paced(t testing.TB, p place) pace.Key {
	t.Helper()
	c := connection.Connection{
		ID: ident.New(ident.Connection, b.clock.now()), Tenant: p.tenant, Name: ident.New(ident.Connection, b.clock.now()), Type: connection.Bearer,
		Version: 1, CreatedAt: b.clock.now(), UpdatedAt: b.clock.now(),
	}
	must(t, b.InsertConnection(t.Context(), c, []byte("sealed")))
	return pace.Key{Tenant: p.tenant, Connection: c.ID}
}

func (b *bundle) pace(t testing.TB, k pace.Key) pace.Pace {
	t.Helper()
	p, err := b.Pace(t.Context(), k.Tenant, k.Connection)
	must(t, err)
	return p
}

// lease asks for n of the tokens of 10 in a second and a burst of 3.
func (b *bundle) lease(t testing.TB, k pace.Key, n int, ahead time.Duration) pace.Taken {
	t.Helper()
	got, err := b.TakeTokens(t.Context(), pace.Ask{Tenant: k.Tenant, Connection: k.Connection, N: n, Interval: 100 * time.Millisecond, Burst: 3, Ahead: ahead})
	must(t, err)
	return got
}

func paceTokens(t *testing.T, b *bundle) {
	k, noon := b.paced(t, b.acme), b.clock.now()
	after := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	for i, want := range []struct {
		n, got int
		ahead  time.Duration
		first  time.Time
		next   int
	}{
		{2, 2, 0, after(-200), 0},
		{9, 1, 0, after(0), 100},
		{9, 0, 0, after(100), 100},
		{9, 5, 500 * time.Millisecond, after(100), 600},
		{9, 0, 500 * time.Millisecond, after(600), 600},
		{1, 1, 600 * time.Millisecond, after(600), 700},
	} {
		got := b.lease(t, k, want.n, want.ahead)
		if got.N != want.got || got.N > 0 && !got.First.Equal(want.first) || !got.Pace.Next.Equal(after(want.next)) || !got.Pace.At.Equal(noon) {
			t.Errorf("lease %d: got %d from %s, and then %s, want %d from %s, and then %s", i, got.N, got.First, got.Pace.Next, want.got, want.first, after(want.next))
		}
	}
	// What nobody took is there later, up to the burst.
	b.clock.advance(time.Hour)
	equal(t, 3, b.lease(t, k, 9, 0).N)
	// Who says that the answer takes a while has them from then.
	b.clock.advance(time.Hour)
	later, err := b.TakeTokens(t.Context(), pace.Ask{
		Tenant: k.Tenant, Connection: k.Connection, N: 9, Interval: 100 * time.Millisecond, Burst: 3, Lead: 50 * time.Millisecond, Ahead: 50 * time.Millisecond,
	})
	must(t, err)
	equal(t, 3, later.N)
	equal(t, -150*time.Millisecond, later.First.Sub(b.clock.now()))
	_, err = b.TakeTokens(t.Context(), pace.Ask{Tenant: b.acme.tenant, Connection: "con_none", N: 1, Interval: time.Second, Burst: 1})
	wantNotFound(t, "TakeTokens", err)
}

func paceTogether(t *testing.T, b *bundle) {
	k := b.paced(t, b.acme)
	var all atomic.Int64
	together(8, func(int) {
		for range 5 {
			got, err := b.TakeTokens(t.Context(), pace.Ask{Tenant: k.Tenant, Connection: k.Connection, N: 2, Interval: 100 * time.Millisecond, Burst: 3, Ahead: time.Second})
			if err != nil {
				t.Error(err)
			}
			all.Add(int64(got.N))
		}
	})
	equal(t, 13, all.Load()) // The burst, and those of the second.
}

func paceTurns(t *testing.T, b *bundle) {
	k, noon := b.paced(t, b.acme), b.clock.now()
	turn := func() time.Duration {
		at, err := b.GiveTurn(t.Context(), k.Tenant, k.Connection, 100*time.Millisecond)
		must(t, err)
		return at.Sub(noon)
	}
	equal(t, 0, turn())
	equal(t, 100*time.Millisecond, turn())
	b.lease(t, k, 99, 900*time.Millisecond)
	equal(t, time.Second, turn()) // Those tokens are gone.
	equal(t, 1100*time.Millisecond, turn())
	if got := b.pace(t, k).Turns.Sub(noon); got != 1200*time.Millisecond {
		t.Errorf("turns are given up to %s", got)
	}
	// Where tokens lie about, nobody comes to their turn.
	for range 100 {
		turn()
	}
	b.clock.advance(5 * time.Second)
	b.lease(t, k, 1, 0)
	equal(t, 5*time.Second, turn())
}

func paceHeldOff(t *testing.T, b *bundle) {
	ctx, k, noon := t.Context(), b.paced(t, b.acme), b.clock.now()
	b.lease(t, k, 1, 0)
	must(t, b.HoldOff(ctx, k.Tenant, k.Connection, 5*time.Second))
	must(t, b.HoldOff(ctx, k.Tenant, k.Connection, time.Second))
	if got := b.lease(t, k, 9, time.Second); got.N != 0 || !got.Pace.Next.Equal(noon.Add(5*time.Second)) {
		t.Errorf("got %d tokens, and the next at %s", got.N, got.Pace.Next)
	}
	b.clock.advance(5 * time.Second)
	equal(t, 1, b.lease(t, k, 9, 0).N) // No burst: the bucket was emptied.
}

func paceBreaker(t *testing.T, b *bundle) {
	ctx, k, noon := t.Context(), b.paced(t, b.acme), b.clock.now()
	changed := func(want bool) func(bool, error) {
		return func(got bool, err error) {
			t.Helper()
			must(t, err)
			if got != want {
				t.Errorf("changed: got %t, want %t", got, want)
			}
		}
	}
	want := func(w pace.Breaker) {
		t.Helper()
		equal(t, w, b.pace(t, k).Breaker)
	}
	want(pace.Breaker{State: pace.Closed})
	changed(true)(b.OpenBreaker(ctx, k.Tenant, k.Connection, 5*time.Second, "5 of 9"))
	changed(false)(b.OpenBreaker(ctx, k.Tenant, k.Connection, time.Hour, "again"))
	open := pace.Breaker{State: pace.Open, Since: noon, RetryAt: noon.Add(5 * time.Second), Opens: 1, Why: "5 of 9"}
	want(open)
	changed(false)(b.Probe(ctx, k.Tenant, k.Connection, "early", time.Minute))
	b.clock.advance(5 * time.Second)
	var probers atomic.Int64
	together(8, func(i int) {
		mine, err := b.Probe(ctx, k.Tenant, k.Connection, names("p", 8)[i], time.Minute)
		if err != nil {
			t.Error(err)
		}
		if mine {
			probers.Add(1)
		}
	})
	equal(t, 1, probers.Load())
	open.State = pace.HalfOpen
	want(open)
	changed(false)(b.CloseBreaker(ctx, k.Tenant, k.Connection, "nobody"))
	changed(false)(b.ReopenBreaker(ctx, k.Tenant, k.Connection, "nobody", time.Hour, ""))
	// Who has died with it is followed by another, and says nothing any more.
	b.clock.advance(time.Minute)
	changed(true)(b.Probe(ctx, k.Tenant, k.Connection, "q", time.Minute))
	changed(true)(b.ReopenBreaker(ctx, k.Tenant, k.Connection, "q", 10*time.Second, "no"))
	want(pace.Breaker{State: pace.Open, Since: noon, RetryAt: b.clock.now().Add(10 * time.Second), Opens: 2, Why: "no"})
	b.clock.advance(10 * time.Second)
	changed(true)(b.Probe(ctx, k.Tenant, k.Connection, "r", time.Minute))
	must(t, b.LeaveProbe(ctx, k.Tenant, k.Connection, "r"))
	changed(true)(b.Probe(ctx, k.Tenant, k.Connection, "s", time.Minute))
	changed(true)(b.CloseBreaker(ctx, k.Tenant, k.Connection, "s"))
	want(pace.Breaker{State: pace.Closed})
	changed(true)(b.OpenBreaker(ctx, k.Tenant, k.Connection, time.Second, "x"))
	changed(true)(b.CloseBreaker(ctx, k.Tenant, k.Connection, ""))
	want(pace.Breaker{State: pace.Closed})
}

func paceSettings(t *testing.T, b *bundle) {
	ctx, k, noon := t.Context(), b.paced(t, b.acme), b.clock.now()
	b.lease(t, k, 1, 0)
	rate := pace.Rate{PerSecond: 0.5, Burst: 7}
	must(t, b.SetRate(ctx, k.Tenant, k.Connection, rate))
	must(t, b.SetPaused(ctx, k.Tenant, k.Connection, true))
	b.clock.advance(time.Second)
	must(t, b.SetPaused(ctx, k.Tenant, k.Connection, true))
	got := b.pace(t, k)
	equal(t, rate, got.Rate)
	equal(t, noon, got.PausedAt)
	all, err := b.Paces(ctx, k.Tenant)
	must(t, err)
	equal(t, []pace.Pace{got}, all)
	must(t, b.SetPaused(ctx, k.Tenant, k.Connection, false))
	must(t, b.SetRate(ctx, k.Tenant, k.Connection, pace.Rate{}))
	got = b.pace(t, k)
	equal(t, pace.Rate{}, got.Rate)
	equal(t, time.Time{}, got.PausedAt)
	wantNotFound(t, "SetRate", b.SetRate(ctx, k.Tenant, "con_none", rate))
	wantNotFound(t, "SetPaused", b.SetPaused(ctx, k.Tenant, "con_none", true))
}

func paceWaits(t *testing.T, b *bundle) {
	ctx, k, other := t.Context(), b.paced(t, b.acme), b.paced(t, b.acme)
	wait := func(reason string, k pace.Key) string {
		c := b.running(t, b.acme)
		done := success(c)
		done.Outcome, done.Reason, done.WaitsFor, done.Until, done.Counted = execution.Waiting, reason, k.Connection, b.clock.now().Add(time.Hour), false
		must(t, b.Complete(ctx, done))
		return c.Execution
	}
	paused, limited := wait(execution.ReasonConnectionPaused, k), wait(execution.ReasonRateLimited, k)
	elsewhere := wait(execution.ReasonConnectionPaused, other)
	equal(t, k.Connection, b.execution(t, b.acme, paused).WaitsFor)
	waits, err := b.PaceWaits(ctx, k.Tenant, k.Connection)
	must(t, err)
	equal(t, map[string]int{execution.ReasonConnectionPaused: 1, execution.ReasonRateLimited: 1}, waits)
	n, err := b.ReleasePaced(ctx, k.Tenant, k.Connection, execution.ReasonConnectionPaused)
	must(t, err)
	equal(t, 1, n)
	b.wantState(t, b.acme, paused, execution.Queued)
	b.wantState(t, b.acme, limited, execution.Waiting)
	b.wantState(t, b.acme, elsewhere, execution.Waiting)
	n, err = b.ReleasePaced(ctx, k.Tenant, k.Connection, "")
	must(t, err)
	equal(t, 1, n)
	equal(t, 2, len(b.claim(t, "w1", b.acme, 9)))
	b.work(t, b.acme, event.Live)
}

func paceFlights(t *testing.T, b *bundle) {
	ctx, k := t.Context(), b.paced(t, b.acme)
	b.paced(t, b.acme)
	for _, w := range names("w", 2) {
		must2(t)(b.Heartbeat(ctx, w, time.Minute))
	}
	report := func(worker string, executions ...string) {
		must(t, b.ReportFlight(ctx, pace.Flight{Key: k, Worker: worker, Requests: len(executions), Executions: executions}))
	}
	want := func(w pace.Drain) {
		t.Helper()
		got, err := b.Drained(ctx, k.Tenant, k.Connection)
		must(t, err)
		if w.Executions == nil {
			w.Executions = []string{}
		}
		equal(t, w, got)
	}
	paused := func(want ...pace.Key) {
		t.Helper()
		got, err := b.Paused(ctx, time.Minute)
		must(t, err)
		equal(t, append([]pace.Key{}, want...), got)
	}
	report("w1", "exe_before")
	b.clock.advance(time.Second)
	paused()
	must(t, b.SetPaused(ctx, k.Tenant, k.Connection, true))
	paused(k)
	want(pace.Drain{Silent: 2})
	report("w0", "exe_1", "exe_2")
	want(pace.Drain{Silent: 1, Requests: 2, Executions: []string{"exe_1", "exe_2"}})
	report("w1")
	b.clock.advance(2 * time.Minute)
	for _, w := range names("w", 2) {
		must2(t)(b.Heartbeat(ctx, w, time.Minute))
	}
	paused(k) // For as long as something is in flight.
	report("w0")
	want(pace.Drain{Done: true})
	paused()
}

func paceGone(t *testing.T, b *bundle) {
	ctx, k := t.Context(), b.paced(t, b.acme)
	must(t, b.SetPaused(ctx, k.Tenant, k.Connection, true))
	must(t, b.ReportFlight(ctx, pace.Flight{Key: k, Worker: "w1", Requests: 1}))
	must(t, b.DeleteConnection(ctx, k.Tenant, k.Connection))
	all, err := b.Paces(ctx, k.Tenant)
	must(t, err)
	equal(t, []pace.Pace{}, all)
}

func othersPaces(t *testing.T, b *bundle) {
	ctx, k := t.Context(), b.paced(t, b.acme)
	must(t, b.SetRate(ctx, k.Tenant, k.Connection, pace.Rate{PerSecond: 1}))
	wantNotFound(t, "SetPaused", b.SetPaused(ctx, b.other.tenant, k.Connection, true))
	_, err := b.GiveTurn(ctx, b.other.tenant, k.Connection, time.Second)
	wantNotFound(t, "GiveTurn", err)
	all, err := b.Paces(ctx, b.other.tenant)
	must(t, err)
	equal(t, []pace.Pace{}, all)
	got, err := b.Pace(ctx, b.other.tenant, k.Connection)
	must(t, err)
	equal(t, pace.Rate{}, got.Rate)
}
