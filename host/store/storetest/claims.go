package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func testClaims(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"the oldest of a lane first":                      claimOrder,
		"lanes first, over tenants, and then the oldest":  claimLanes,
		"every lane gets its share":                       claimShares,
		"each execution is claimed once":                  claimOnce,
		"a tenant's cap is never exceeded":                claimCap,
		"quotas are per tenant":                           claimQuotas,
		"a worker without a lease claims nothing":         claimUnleased,
		"tenants with due work are listed":                backlogs,
		"backfill leaves room in a tenant's cap":          claimReserve,
		"backfill has no more of a claim than it may":     claimBackfill,
		"waiting executions are promoted when it is time": promote,
	})
}

func claimOrder(t *testing.T, b *bundle) {
	var want []string
	for range 5 {
		b.clock.advance(time.Millisecond)
		want = append(want, b.work(t, b.acme, event.Live))
	}
	queued := b.clock.now()
	b.clock.advance(time.Second)
	var got []string
	for _, n := range []int{2, 10} {
		for _, c := range b.claim(t, "w1", b.acme, n) {
			got = append(got, c.Execution)
			if c.Claim != 1 || c.Attempt != 1 || c.Tenant != b.acme.tenant || c.Lane != event.Live || c.QueuedAt.After(queued) {
				t.Errorf("claimed %+v", c)
			}
		}
	}
	equal(t, want, got)
	e := b.execution(t, b.acme, want[0])
	if e.State != execution.Running || e.Worker != "w1" || e.Claim != 1 || e.Attempt != 1 {
		t.Errorf("a claimed execution: %+v", e)
	}
}

func claimShares(t *testing.T, b *bundle) {
	for _, l := range []event.Lane{event.Interactive, event.Live, event.Backfill} {
		for range 40 {
			b.work(t, b.acme, l)
		}
	}
	// However small the claims are: here one at a time.
	var got [3]int
	for range 16 {
		for _, c := range b.claim(t, "w1", b.acme, 1) {
			got[c.Lane]++
		}
	}
	equal(t, [3]int{10, 4, 2}, got)
	for _, c := range b.claim(t, "w1", b.acme, 24) {
		got[c.Lane]++
	}
	equal(t, [3]int{25, 10, 5}, got)
	// What nobody else uses is backfill's.
	if n := len(b.claim(t, "w1", b.acme, 200)); n != 80 {
		t.Errorf("claimed %d of the rest, want 80", n)
	}
}

func claimOnce(t *testing.T, b *bundle) {
	const total = 200
	for range total {
		b.work(t, b.acme, event.Live)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	together(4, func(i int) {
		for {
			got := b.claim(t, names("w", 4)[i], b.acme, 7)
			if len(got) == 0 {
				return
			}
			mu.Lock()
			for _, c := range got {
				seen[c.Execution]++
			}
			mu.Unlock()
		}
	})
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
	equal(t, total, len(seen))
}

func claimCap(t *testing.T, b *bundle) {
	CapUnderLoad(t, []execution.Claims{b, b, b}, b, b.acme.tenant, func(l event.Lane) { b.work(t, b.acme, l) })
}

// CapUnderLoad queues executions of a tenant with work, claims with a worker on
// each of claims, live ones and backfill at once, and completes with runs, until 200 are
// done. It fails if ever more than five run: a cap is the cluster's, however many processes claim.
func CapUnderLoad(t *testing.T, claims []execution.Claims, runs execution.Runs, tenantID string, work func(event.Lane)) {
	t.Helper()
	underLoad(t, claims, runs, execution.Quota{Tenant: tenantID, N: 5, Running: most}, work)
}

// most is how many may run at once under load.
const most = 5

// underLoad claims by a quota, with a worker on each of claims.
func underLoad(t *testing.T, claims []execution.Claims, runs execution.Runs, quota execution.Quota, work func(event.Lane)) {
	t.Helper()
	const total = 200
	for i := range total {
		work([]event.Lane{event.Interactive, event.Live, event.Backfill, event.Backfill}[i%4])
	}
	workers := names("capped", len(claims))
	for i, worker := range workers {
		must2(t)(claims[i].Heartbeat(t.Context(), worker, time.Hour))
	}
	var done, running atomic.Int64
	together(2*len(claims), func(i int) {
		s, worker := claims[i/2], workers[i/2]
		for done.Load() < total && !t.Failed() {
			var taken execution.Taken
			var err error
			if quotas := []execution.Quota{quota}; i%2 == 0 {
				taken, err = s.Claim(t.Context(), worker, quotas, 1000)
			} else {
				taken, err = s.ClaimBackfill(t.Context(), worker, quotas)
			}
			if err != nil {
				t.Error(err)
				return
			}
			if n := running.Add(int64(len(taken.Claimed))); n > most {
				t.Errorf("%d run at once, and the cap is %d", n, most)
			}
			for _, c := range taken.Claimed {
				// Counted out before, because it may be claimed again right after.
				running.Add(-1)
				if err := runs.Complete(t.Context(), success(c)); err != nil {
					t.Error(err)
				}
				done.Add(1)
			}
		}
	})
}

func claimQuotas(t *testing.T, b *bundle) {
	for range 5 {
		b.work(t, b.acme, event.Live)
		b.work(t, b.other, event.Live)
	}
	must2(t)(b.Heartbeat(t.Context(), "w1", time.Minute))
	claim := func(qs ...execution.Quota) map[string]int {
		taken, err := b.Claim(t.Context(), "w1", qs, 1000)
		got := taken.Claimed
		must(t, err)
		counts := map[string]int{}
		for _, c := range got {
			counts[c.Tenant]++
		}
		return counts
	}
	equal(t, map[string]int{b.acme.tenant: 1, b.other.tenant: 3},
		claim(execution.Quota{Tenant: b.acme.tenant, N: 1, Running: 9}, execution.Quota{Tenant: b.other.tenant, N: 9, Running: 3}))
	equal(t, map[string]int{}, claim(execution.Quota{Tenant: b.other.tenant, N: 9, Running: 3}))
	equal(t, map[string]int{}, claim(execution.Quota{Tenant: b.other.tenant, N: 0, Running: 9}))
	equal(t, map[string]int{}, claim())
	equal(t, map[string]int{}, claim(execution.Quota{Tenant: "ten_none", N: 9, Running: 3}))
	q := execution.Quota{Tenant: b.acme.tenant, N: 1, Running: 9}
	equal(t, map[string]int{b.acme.tenant: 2}, claim(q, q))
}

func claimLanes(t *testing.T, b *bundle) {
	work := func(p place, l event.Lane) string {
		b.clock.advance(time.Second)
		return b.work(t, p, l)
	}
	backfill, live := work(b.acme, event.Backfill), work(b.other, event.Live)
	first, second := work(b.other, event.Interactive), work(b.acme, event.Interactive)
	must2(t)(b.Heartbeat(t.Context(), "w1", time.Minute))
	taken, err := Claim(t.Context(), b, "w1", []execution.Quota{{Tenant: b.acme.tenant, N: 9, Running: 9}, {Tenant: b.other.tenant, N: 9, Running: 9}}, 1000)
	claimed := taken.Claimed
	must(t, err)
	var got []string
	for _, c := range claimed {
		got = append(got, c.Execution)
	}
	equal(t, []string{first, second, live, backfill}, got)
}

// lanesOf counts executions by their lanes.
func lanesOf(claimed []execution.Claimed) (n [3]int) {
	for _, c := range claimed {
		n[c.Lane]++
	}
	return n
}

// claimReserve has two workers claim from a tenant whose cap is eight.
func claimReserve(t *testing.T, b *bundle) {
	for range 20 {
		b.work(t, b.acme, event.Backfill)
	}
	must2(t)(b.Heartbeat(t.Context(), "w1", time.Minute))
	must2(t)(b.Heartbeat(t.Context(), "w2", time.Minute))
	claim := func(worker string, n int, full bool) []execution.Claimed {
		t.Helper()
		taken, err := Claim(t.Context(), b, worker, []execution.Quota{{Tenant: b.acme.tenant, N: n, Running: 8}}, 100)
		must(t, err)
		if len(taken.Left) > 0 || (len(taken.Full) > 0) != full {
			t.Errorf("left are %v and full %v, want only that it is full: %v", taken.Left, taken.Full, full)
		}
		return taken.Claimed
	}
	first := claim("w1", 4, false)
	equal(t, [3]int{0, 0, 4}, lanesOf(first))
	last := claim("w2", 8, true)
	equal(t, [3]int{0, 0, 2}, lanesOf(last))
	equal(t, 0, len(claim("w1", 8, true)))
	b.work(t, b.acme, event.Interactive)
	for range 3 {
		b.work(t, b.acme, event.Live)
	}
	// Two places are left, and the tenant is at its cap then.
	equal(t, [3]int{1, 1, 0}, lanesOf(claim("w1", 8, false)))
	must(t, b.Complete(t.Context(), success(last[0])))
	equal(t, [3]int{0, 1, 0}, lanesOf(claim("w1", 8, false)))
	must(t, b.Complete(t.Context(), success(last[1])))
	must(t, b.Complete(t.Context(), success(first[0])))
	equal(t, [3]int{0, 1, 1}, lanesOf(claim("w1", 8, false)))
}

// claimBackfill gives two tenants different room for backfill.
func claimBackfill(t *testing.T, b *bundle) {
	for range 5 {
		b.work(t, b.acme, event.Backfill)
		b.work(t, b.other, event.Backfill)
	}
	b.work(t, b.acme, event.Live)
	b.work(t, b.other, event.Live)
	must2(t)(b.Heartbeat(t.Context(), "w1", time.Minute))
	quotas := []execution.Quota{{Tenant: b.acme.tenant, N: 4, Running: 100}, {Tenant: b.other.tenant, N: 4, Running: 100}}
	both, other := []string{b.acme.tenant, b.other.tenant}, []string{b.other.tenant}
	for _, step := range []struct {
		backfill int
		want     [3]int
		left     []string
	}{
		{0, [3]int{0, 2, 0}, both}, {-1, [3]int{}, both}, {1, [3]int{0, 0, 1}, both}, {5, [3]int{0, 0, 5}, other}, {100, [3]int{0, 0, 4}, nil},
	} {
		taken, err := Claim(t.Context(), b, "w1", quotas, step.backfill)
		must(t, err)
		equal(t, step.want, lanesOf(taken.Claimed))
		equal(t, step.left, taken.Left)
		equal(t, nil, taken.Full)
	}
}

func claimUnleased(t *testing.T, b *bundle) {
	id := b.work(t, b.acme, event.Live)
	_, err := b.Claim(t.Context(), "stranger", []execution.Quota{{Tenant: b.acme.tenant, N: 1, Running: 1}}, 0)
	wantIs(t, err, execution.ErrFenced)
	b.wantState(t, b.acme, id, execution.Queued)
}

func backlogs(t *testing.T, b *bundle) {
	for range 3 {
		b.work(t, b.acme, event.Backfill)
	}
	b.work(t, b.other, event.Interactive)
	third := b.newPlace(t, "third")
	b.end(t, third, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	paused, err := b.Tenant(t.Context(), b.other.tenant)
	must(t, err)
	b.work(t, b.other, event.Backfill)
	want := []execution.Backlog{
		{Tenant: b.acme.tenant, Running: 16, Weight: 1, Backfill: true}, {Tenant: b.other.tenant, Running: 16, Weight: 1},
	}
	if want[0].Tenant > want[1].Tenant {
		want[0], want[1] = want[1], want[0]
	}
	got, err := b.Backlogs(t.Context())
	must(t, err)
	equal(t, want, got)
	was := paused
	paused.State = tenant.Paused
	must(t, b.UpdateTenant(t.Context(), paused, was))
	got, err = b.Backlogs(t.Context())
	must(t, err)
	equal(t, want[slices.IndexFunc(want, func(w execution.Backlog) bool { return w.Tenant == b.acme.tenant }):][:1], got)
}

func promote(t *testing.T, b *bundle) {
	ctx := t.Context()
	tenants, next, err := b.Promote(ctx, 10)
	must(t, err)
	if len(tenants) != 0 || !next.IsZero() {
		t.Errorf("with nothing waiting: got %v and %v", tenants, next)
	}
	soon, later := b.clock.now().Add(time.Second), b.clock.now().Add(time.Minute)
	first := b.end(t, b.acme, waiting(execution.ReasonRetry, soon))
	last := b.end(t, b.other, waiting(execution.ReasonConflict, later))
	forever := b.end(t, b.acme, waiting(execution.ReasonPaused, time.Time{}))
	if got := b.execution(t, b.acme, first); got.Until != soon {
		t.Errorf("got until %v, want %v", got.Until, soon)
	}
	_, next, err = b.Promote(ctx, 10)
	must(t, err)
	equal(t, soon, next)
	b.clock.advance(2 * time.Second)
	tenants, next, err = b.Promote(ctx, 10)
	must(t, err)
	equal(t, []string{b.acme.tenant}, tenants)
	equal(t, later, next)
	b.wantState(t, b.acme, first, execution.Queued)
	b.wantState(t, b.other, last, execution.Waiting)
	if c := b.claim(t, "w2", b.acme, 5); len(c) != 1 || c[0].Claim != 2 || c[0].Attempt != 2 || c[0].QueuedAt != soon {
		t.Errorf("claimed %+v, want the promoted one", c)
	}
	b.clock.advance(1000 * time.Hour)
	_, next, err = b.Promote(ctx, 10)
	must(t, err)
	if !next.IsZero() {
		t.Errorf("got next %v, want none", next)
	}
	b.wantState(t, b.acme, forever, execution.Waiting)
}

func testLeases(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"a dead worker's executions are queued again": reap,
		"a worker that comes back is told once":       comeBack,
		"what has not begun keeps its crashes":        crashesKept,
		"claims and reaping do not miss each other":   reapRaces,
		"a worker retires when it holds nothing":      retire,
	})
}

func reap(t *testing.T, b *bundle) {
	ctx := t.Context()
	c, asked := b.running(t, b.acme), b.running(t, b.other)
	must2(t)(b.Cancel(ctx, b.other.tenant, asked.Execution))
	got, err := b.Reap(ctx)
	must(t, err)
	equal(t, 0, len(got))

	b.clock.advance(5 * time.Second)
	alive := b.work(t, b.acme, event.Live)
	b.claim(t, "w2", b.acme, 1)
	b.clock.advance(4 * time.Second) // 9 s after w1's heartbeat, with a lease of 8 s.
	got, err = b.Reap(ctx)
	must(t, err)
	want := []string{b.acme.tenant, b.other.tenant}
	if want[0] > want[1] {
		want[0], want[1] = want[1], want[0]
	}
	equal(t, want, got)
	b.wantState(t, b.acme, c.Execution, execution.Queued)
	b.wantState(t, b.other, asked.Execution, execution.Cancelled)
	b.wantState(t, b.acme, alive, execution.Running)

	wantIs(t, b.Complete(ctx, success(c)), execution.ErrFenced)
	second := b.claim(t, "w2", b.acme, 5)
	if len(second) != 1 || second[0].Claim != 2 || second[0].Attempt != 1 {
		t.Fatalf("claimed %+v, want the second claim of the same attempt", second)
	}
	wantIs(t, b.Complete(ctx, success(c)), execution.ErrFenced)
	wantIs(t, b.Begin(ctx, c, begins("plv_1")), execution.ErrFenced)
	must(t, b.Complete(ctx, success(second[0])))
}

// crashesKept has a worker die while it runs something, which is claimed again and handed
// back, or parked, before it has begun: that it did not kill anybody then says nothing.
func crashesKept(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	must(t, b.Begin(ctx, c, begins("plv_1")))
	b.clock.advance(time.Minute)
	must2(t)(b.Reap(ctx))
	for n, end := range []func(*execution.Completion){
		waiting(execution.ReasonRetry, b.clock.now()), func(done *execution.Completion) { done.Outcome = execution.Queued },
		waiting(execution.ReasonRetry, b.clock.now()),
	} {
		claimed := b.claim(t, "w2", b.acme, 1)
		if len(claimed) != 1 || claimed[0].Crashes != 1 {
			t.Fatalf("claimed %+v after %d ends, want one with a crash", claimed, n)
		}
		done := success(claimed[0])
		done.Counted = false
		end(&done)
		if n == 2 {
			must(t, b.Begin(ctx, claimed[0], begins("plv_1")))
		}
		must(t, b.Complete(ctx, done))
		must3(t)(b.Promote(ctx, 9))
	}
	if claimed := b.claim(t, "w2", b.acme, 1); len(claimed) != 1 || claimed[0].Crashes != 0 {
		t.Errorf("claimed %+v, want one that has run without killing its worker", claimed)
	}
}

func comeBack(t *testing.T, b *bundle) {
	ctx := t.Context()
	b.running(t, b.acme)
	b.clock.advance(9 * time.Second)
	// A lease that nobody has reaped can be extended: the database was away, say.
	must2(t)(b.Heartbeat(ctx, "w1", 8*time.Second))
	b.clock.advance(9 * time.Second)
	must2(t)(b.Reap(ctx))
	_, err := b.Claim(ctx, "w1", []execution.Quota{{Tenant: b.acme.tenant, N: 1, Running: 9}}, 0)
	wantIs(t, err, execution.ErrFenced)
	_, err = b.Heartbeat(ctx, "w1", 8*time.Second)
	wantIs(t, err, execution.ErrFenced)
	must2(t)(b.Heartbeat(ctx, "w1", 8*time.Second))
	if got := b.claim(t, "w1", b.acme, 1); len(got) != 1 {
		t.Errorf("claimed %v, want one", got)
	}
	b.clock.advance(48 * time.Hour)
	must2(t)(b.Reap(ctx))
}

// reapRaces claims while leases end: at the end every execution is queued, or
// held by a worker that lives.
func reapRaces(t *testing.T, b *bundle) {
	ctx := t.Context()
	for range 60 {
		b.work(t, b.acme, event.Live)
	}
	var dying atomic.Int64
	together(4, func(i int) {
		for n := range 10 {
			if i == 3 {
				b.clock.advance(time.Second)
				if _, err := b.Reap(ctx); err != nil {
					t.Error(err)
				}
				continue
			}
			worker := fmt.Sprintf("dying%d-%d", i, n)
			if _, err := b.Heartbeat(ctx, worker, time.Millisecond); err != nil {
				t.Error(err)
			}
			taken, err := b.Claim(ctx, worker, []execution.Quota{{Tenant: b.acme.tenant, N: 3, Running: 1000}}, 1000)
			got := taken.Claimed
			if err != nil {
				wantIs(t, err, execution.ErrFenced)
			}
			dying.Add(int64(len(got)))
		}
	})
	b.clock.advance(time.Minute)
	must2(t)(b.Reap(ctx))
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{State: execution.Running})
	must(t, err)
	if len(list) != 0 {
		t.Errorf("%d executions are held by nobody (%d were claimed)", len(list), dying.Load())
	}
}

func retire(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	wantFault(t, b.Retire(ctx, "w1"), fault.Conflict, "worker_busy")
	back := success(c)
	back.Outcome, back.Counted = execution.Queued, false
	must(t, b.Complete(ctx, back))
	must(t, b.Retire(ctx, "w1"))
	must(t, b.Retire(ctx, "w1"))
	_, err := b.Claim(ctx, "w1", []execution.Quota{{Tenant: b.acme.tenant, N: 1, Running: 9}}, 0)
	wantIs(t, err, execution.ErrFenced)
	again := b.claim(t, "w2", b.acme, 1)
	if len(again) != 1 || again[0].Attempt != 1 || again[0].Claim != 2 {
		t.Errorf("claimed %+v, want what was handed back, uncounted", again)
	}
}
