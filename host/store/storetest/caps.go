package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

func testCaps(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"an installation's cap is its own":              capOne,
		"an installation's cap counts its lanes as one": capLanes,
		"an installation's cap is never exceeded":       capLoad,
		"backfill leaves room in an installation's cap": capReserve,
		"a cap that was changed counts at once":         capChanged,
	})
}

// capped adds an installation with a cap to a tenant.
func (b *bundle) capped(t testing.TB, p place, name string, running int) place {
	t.Helper()
	i := b.installation(p.tenant, name)
	i.MaxRunning = running
	must(t, b.InsertInstallation(t.Context(), i))
	got, err := b.Installation(t.Context(), p.tenant, i.ID)
	must(t, err)
	equal(t, i, got)
	return place{p.tenant, i.ID}
}

// capOne has a backlog of a capped installation in front of another's, in one tenant.
func capOne(t *testing.T, b *bundle) {
	slow := b.capped(t, b.acme, "slow", 2)
	for range 40 {
		b.work(t, slow, event.Live)
		b.clock.advance(time.Millisecond)
	}
	var free []string
	for range 3 {
		free = append(free, b.work(t, b.acme, event.Live))
		b.clock.advance(time.Millisecond)
	}
	first := b.claim(t, "w1", b.acme, 4)
	equal(t, 4, len(first))
	for i, c := range first {
		if of := b.execution(t, b.acme, c.Execution).Installation; (of == slow.installation) != (i < 2) || c.Capped != (i < 2) {
			t.Errorf("the claim %d is of %s and says %v, want two of the capped one and then the other's", i, of, c.Capped)
		}
	}
	equal(t, free[:2], []string{first[2].Execution, first[3].Execution})
	rest := b.claim(t, "w1", b.acme, 10)
	if len(rest) != 1 || rest[0].Execution != free[2] {
		t.Errorf("claimed %+v, want what the other has left", rest)
	}
	must(t, b.Complete(t.Context(), success(first[0])))
	if next := b.claim(t, "w1", b.acme, 10); len(next) != 1 || !next[0].Capped {
		t.Errorf("claimed %+v when one had ended, want one", next)
	}
}

func capLanes(t *testing.T, b *bundle) {
	slow := b.capped(t, b.acme, "slow", 3)
	for _, l := range []event.Lane{event.Interactive, event.Live, event.Backfill} {
		for range 5 {
			b.work(t, slow, l)
		}
	}
	equal(t, [3]int{2, 1, 0}, lanesOf(b.claim(t, "w1", b.acme, 15)))
}

func capReserve(t *testing.T, b *bundle) {
	slow, single := b.capped(t, b.acme, "slow", 4), b.capped(t, b.acme, "single", 1)
	for range 5 {
		b.work(t, slow, event.Backfill)
		b.work(t, single, event.Backfill)
	}
	first := b.claim(t, "w1", b.acme, 15)
	var of []execution.Claimed
	for _, c := range first {
		if b.execution(t, b.acme, c.Execution).Installation == slow.installation {
			of = append(of, c)
		}
	}
	if len(of) != 3 || len(first) != 4 {
		t.Fatalf("claimed %d of a cap of four, and %d in all, want three, and one of the cap of one", len(of), len(first))
	}
	for range 2 {
		b.work(t, slow, event.Live)
	}
	equal(t, [3]int{0, 1, 0}, lanesOf(b.claim(t, "w1", b.acme, 15)))
	must(t, b.Complete(t.Context(), success(of[0])))
	equal(t, [3]int{0, 1, 0}, lanesOf(b.claim(t, "w1", b.acme, 15)))
	must(t, b.Complete(t.Context(), success(of[1])))
	equal(t, [3]int{0, 0, 1}, lanesOf(b.claim(t, "w1", b.acme, 15)))
}

func capLoad(t *testing.T, b *bundle) {
	slow := b.capped(t, b.acme, "slow", most)
	CappedUnderLoad(t, []execution.Claims{b, b, b}, b, b.acme.tenant, func(l event.Lane) { b.work(t, slow, l) })
}

func capChanged(t *testing.T, b *bundle) {
	ctx := t.Context()
	slow := b.capped(t, b.acme, "slow", 1)
	for range 5 {
		b.work(t, slow, event.Live)
	}
	limit := func(n int) {
		i, err := b.Installation(ctx, slow.tenant, slow.installation)
		must(t, err)
		since := i.UpdatedAt
		i.MaxRunning = n
		i.UpdatedAt = since.Add(time.Microsecond)
		must(t, b.UpdateInstallation(ctx, i, since))
	}
	for _, step := range []struct{ limit, want int }{{1, 1}, {3, 2}, {2, 0}, {0, 2}} {
		limit(step.limit)
		if got := b.claim(t, "w1", b.acme, 10); len(got) != step.want {
			t.Errorf("claimed %d with a cap of %d, want %d", len(got), step.limit, step.want)
		}
	}
}

// CappedUnderLoad is CapUnderLoad for an installation with a cap of five, whose tenant
// has one that is out of reach.
func CappedUnderLoad(t *testing.T, claims []execution.Claims, runs execution.Runs, tenantID string, work func(event.Lane)) {
	t.Helper()
	underLoad(t, claims, runs, execution.Quota{Tenant: tenantID, N: 5, Running: 1000}, work)
}
