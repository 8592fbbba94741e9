package storetest

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func testUsage(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"runs that end at once add up":                usageAddsUp,
		"every end of a run counts":                   usageOfOutcomes,
		"a run that is fenced off adds nothing":       usageIsFenced,
		"a run that is refused adds once, if it ends": usageOfRefused,
		"days begin at midnight UTC":                  usageByDay,
		"totals are a tenant's own":                   usageOfTenants,
	})
}

// today is the day of setup's clock.
const today usage.Date = "2026-11-20"

// always is a range with all days of the tests in it.
func always() usage.Range { return usage.Range{From: "2026-01-01", To: "2026-12-31"} }

// cost is a run's usage, of which each figure is another multiple of n.
func cost(n int) runtime.Usage {
	return runtime.Usage{
		Fuel: int64(n) * 1_000_000, CPU: time.Duration(2 * n), Wall: time.Duration(3 * n),
		HostCalls: 4 * n, InputBytes: 5 * n, OutputBytes: 6 * n, MemoryBytes: int64(7 * n),
	}
}

// total is what runs of some costs come to.
func total(p place, day usage.Date, installation string, costs ...int) usage.Total {
	t := usage.Total{Tenant: p.tenant, Day: day, Installation: installation}
	for _, n := range costs {
		u := cost(n)
		t = t.Plus(usage.Total{
			Executions: 1, Attempts: 1, Fuel: u.Fuel, CPU: u.CPU, Wall: u.Wall, HostCalls: int64(u.HostCalls),
			InputBytes: int64(u.InputBytes), OutputBytes: int64(u.OutputBytes), MemoryBytes: u.MemoryBytes,
		})
	}
	return t
}

// costing is a claim's success that has cost something.
func costing(c execution.Claimed, n int) execution.Completion {
	s := success(c)
	s.Usage = cost(n)
	return s
}

func (b *bundle) wantDays(t testing.TB, p place, want ...usage.Total) {
	t.Helper()
	got, err := b.UsageByDay(t.Context(), p.tenant, "", always())
	must(t, err)
	equal(t, append([]usage.Total{}, want...), got)
}

// second adds another installation to a tenant.
func (b *bundle) second(t testing.TB, p place) place {
	t.Helper()
	ins := b.installation(p.tenant, "second")
	must(t, b.InsertInstallation(t.Context(), ins))
	return place{p.tenant, ins.ID}
}

func usageAddsUp(t *testing.T, b *bundle) {
	const n = 96
	places := []place{b.acme, b.second(t, b.acme), b.other}
	costs := map[place][]int{}
	var claims []execution.Claimed
	for i := range n {
		p := places[i%len(places)]
		claims = append(claims, b.running(t, p))
		costs[p] = append(costs[p], i)
	}
	var mu sync.Mutex
	fenced := 0
	// Each run ends twice at once: one of the ends counts.
	together(2*n, func(i int) {
		err := b.Complete(t.Context(), costing(claims[i/2], i/2))
		if errors.Is(err, execution.ErrFenced) {
			mu.Lock()
			defer mu.Unlock()
			fenced++
			return
		}
		if err != nil {
			t.Error(err)
		}
	})
	equal(t, n, fenced)
	for _, p := range places {
		// The cost of nothing is a run all the same: it was counted.
		got, err := b.UsageByInstallation(t.Context(), p.tenant, p.installation, always())
		must(t, err)
		equal(t, []usage.Total{total(p, "", p.installation, costs[p]...)}, got)
	}
	b.wantDays(t, b.acme, total(b.acme, today, "", append(costs[places[0]], costs[places[1]]...)...))
	b.wantDays(t, b.other, total(b.other, today, "", costs[b.other]...))
}

func usageOfOutcomes(t *testing.T, b *bundle) {
	want := total(b.acme, today, "")
	for i, tt := range []struct {
		change               func(*execution.Completion)
		executions, attempts int64
	}{
		{func(*execution.Completion) {}, 1, 1},
		{dead("f"), 1, 1},
		{waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)), 0, 1},
		{func(c *execution.Completion) { c.Outcome, c.Counted = execution.Queued, false }, 0, 1},
		{func(c *execution.Completion) { c.Outcome, c.Counted = execution.Cancelled, false }, 1, 1},
		// It did not come to the plugin.
		{func(c *execution.Completion) {
			*c = execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, Outcome: execution.Waiting, Reason: execution.ReasonPaused}
		}, 0, 0},
	} {
		run := b.running(t, b.acme)
		c := costing(run, i+1)
		tt.change(&c)
		must(t, b.Complete(t.Context(), c))
		add := total(b.acme, today, "", i+1)
		if c.Usage == (runtime.Usage{}) {
			add = usage.Total{}
		}
		add.Executions, add.Attempts = tt.executions, tt.attempts
		want = want.Plus(add)
		b.wantDays(t, b.acme, want)
	}
}

func usageIsFenced(t *testing.T, b *bundle) {
	lost := b.running(t, b.acme)
	b.clock.advance(time.Minute)
	must2(t)(b.Reap(t.Context()))
	again := b.claim(t, "w2", b.acme, 1)
	equal(t, 1, len(again))
	wantIs(t, b.Complete(t.Context(), costing(lost, 100)), execution.ErrFenced)
	b.wantDays(t, b.acme)
	must(t, b.Complete(t.Context(), costing(again[0], 1)))
	// What ended already cannot end again, and so cost again.
	for _, c := range []execution.Claimed{lost, again[0]} {
		wantIs(t, b.Complete(t.Context(), costing(c, 100)), execution.ErrFenced)
	}
	b.wantDays(t, b.acme, total(b.acme, today, "", 1))
}

func usageOfRefused(t *testing.T, b *bundle) {
	c := costing(b.running(t, b.acme), 3)
	c.State = state.Changes{Reads: map[string]int64{"absent": 3}}
	wantConflict(t, b.Complete(t.Context(), c), "absent")
	b.wantDays(t, b.acme)
	c.State = state.Changes{}
	waiting(execution.ReasonConflict, b.clock.now().Add(time.Second))(&c)
	must(t, b.Complete(t.Context(), c))
	want := total(b.acme, today, "", 3)
	want.Executions = 0
	b.wantDays(t, b.acme, want)
}

func usageByDay(t *testing.T, b *bundle) {
	first, last := b.running(t, b.acme), b.running(t, b.acme)
	b.clock.us.Store(time.Date(2026, 11, 20, 23, 59, 59, 999_999_000, time.UTC).UnixMicro())
	must(t, b.Complete(t.Context(), costing(first, 1)))
	// A run counts on the day that it ends.
	b.clock.advance(time.Microsecond)
	must(t, b.Complete(t.Context(), costing(last, 2)))
	b.clock.advance(24*time.Hour - time.Microsecond)
	must(t, b.Complete(t.Context(), costing(b.running(t, b.acme), 3)))
	b.clock.advance(24 * time.Hour)
	must(t, b.Complete(t.Context(), costing(b.running(t, b.acme), 4)))

	days := []usage.Total{
		total(b.acme, "2026-11-20", "", 1), total(b.acme, "2026-11-21", "", 2, 3), total(b.acme, "2026-11-22", "", 4),
	}
	for r, want := range map[usage.Range][]usage.Total{
		always():                               days,
		{From: "2026-11-20", To: "2026-11-22"}: days,
		{From: "2026-11-21", To: "2026-11-21"}: days[1:2],
		{From: "2026-11-22", To: "2026-11-30"}: days[2:],
		{From: "2026-11-01", To: "2026-11-20"}: days[:1],
		{From: "2026-11-23", To: "2027-11-20"}: {},
		{From: "2026-11-21", To: "2026-11-20"}: {},
	} {
		got, err := b.UsageByDay(t.Context(), b.acme.tenant, "", r)
		must(t, err)
		equal(t, want, got)
	}
	got, err := b.UsageByInstallation(t.Context(), b.acme.tenant, "", usage.Range{From: "2026-11-20", To: "2026-11-21"})
	must(t, err)
	equal(t, []usage.Total{total(b.acme, "", b.acme.installation, 1, 2, 3)}, got)
}

// byID sorts totals as they are listed: ids of one millisecond are in no order.
func byID(totals ...usage.Total) []usage.Total {
	slices.SortFunc(totals, func(x, y usage.Total) int {
		return cmp.Or(strings.Compare(x.Tenant, y.Tenant), strings.Compare(x.Installation, y.Installation))
	})
	return totals
}

func usageOfTenants(t *testing.T, b *bundle) {
	ctx := t.Context()
	more := b.second(t, b.acme)
	must(t, b.Complete(ctx, costing(b.running(t, b.acme), 1)))
	must(t, b.Complete(ctx, costing(b.running(t, more), 2)))
	idle := b.newPlace(t, "idle")

	byInstallation, err := b.UsageByInstallation(ctx, b.acme.tenant, "", always())
	must(t, err)
	equal(t, byID(total(b.acme, "", b.acme.installation, 1), total(more, "", more.installation, 2)), byInstallation)
	days, err := b.UsageByDay(ctx, b.acme.tenant, more.installation, always())
	must(t, err)
	equal(t, []usage.Total{total(b.acme, today, "", 2)}, days)
	// Another tenant's installation is nobody's.
	for _, installation := range []string{"", more.installation} {
		byDay, err := b.UsageByDay(ctx, b.other.tenant, installation, always())
		must(t, err)
		byInstallation, err := b.UsageByInstallation(ctx, b.other.tenant, installation, always())
		must(t, err)
		equal(t, [2]int{}, [2]int{len(byDay), len(byInstallation)})
	}

	all := byID(total(b.acme, "", "", 1, 2), total(b.other, "", ""), total(idle, "", ""))
	for _, tt := range []struct {
		after string
		limit int
		want  []usage.Total
	}{{"", 10, all}, {"", 2, all[:2]}, {all[1].Tenant, 2, all[2:]}, {all[2].Tenant, 2, []usage.Total{}}} {
		got, err := b.UsageByTenant(ctx, always(), tt.after, tt.limit)
		must(t, err)
		equal(t, tt.want, got)
	}
	got, err := b.UsageByTenant(ctx, usage.Range{From: "2026-11-21", To: "2026-12-31"}, "", 1)
	must(t, err)
	equal(t, []usage.Total{{Tenant: all[0].Tenant}}, got)
}
