package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

func testDepths(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"of tenants that have work":       depthOfTenants,
		"of a tenant's installations":     depthOfInstallations,
		"counting ends where it is said":  depthBounded,
		"a tenant sees only what is hers": depthApart,
	})
}

func depthOfTenants(t *testing.T, b *bundle) {
	ctx := t.Context()
	got, err := b.TenantDepths(ctx, "", 9)
	must(t, err)
	equal(t, []execution.Depth{}, got)
	// Two tenants' ids may come in either order.
	first, second := b.acme, b.other
	if second.tenant < first.tenant {
		first, second = second, first
	}
	b.end(t, first, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	b.end(t, first, waiting(execution.ReasonPaused, time.Time{}))
	b.end(t, first, waiting(execution.ReasonPaused, time.Time{}))
	b.running(t, first)
	b.clock.advance(time.Minute)
	oldest := b.clock.now()
	b.work(t, first, event.Backfill)
	b.clock.advance(time.Minute)
	for range 2 {
		b.work(t, first, event.Interactive)
	}
	b.work(t, first, event.Live)
	b.running(t, second)
	want := []execution.Depth{
		{
			Tenant: first.tenant, Name: b.name(t, first), State: "active", Weight: 1, Cap: 16, Queued: execution.Lanes{Interactive: 2, Live: 1, Backfill: 1}, Running: 1,
			Waiting: map[string]int{execution.ReasonRetry: 1, execution.ReasonPaused: 2}, OldestDueAt: oldest,
		},
		{Tenant: second.tenant, Name: b.name(t, second), State: "active", Weight: 1, Cap: 16, Running: 1, Waiting: map[string]int{}},
	}
	got, err = b.TenantDepths(ctx, "", 9)
	must(t, err)
	equal(t, want, got)
	got, err = b.TenantDepths(ctx, "", 1)
	must(t, err)
	equal(t, want[:1], got)
	got, err = b.TenantDepths(ctx, first.tenant, 9)
	must(t, err)
	equal(t, want[1:], got)
}

func (b *bundle) name(t testing.TB, p place) string {
	t.Helper()
	ten, err := b.Tenant(t.Context(), p.tenant)
	must(t, err)
	return ten.Name
}

func depthOfInstallations(t *testing.T, b *bundle) {
	ctx := t.Context()
	slow := b.capped(t, b.acme, "slow", 3)
	idle := b.capped(t, b.acme, "idle", 0)
	b.running(t, slow)
	b.end(t, slow, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	b.end(t, b.acme, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	oldest := b.clock.now()
	b.work(t, slow, event.Live)
	got, err := b.InstallationDepths(ctx, b.acme.tenant, "", 9)
	must(t, err)
	all := map[string]execution.Depth{}
	for i, d := range got {
		all[d.Installation] = d
		if i > 0 && d.Installation < got[i-1].Installation {
			t.Errorf("%s comes after %s", d.Installation, got[i-1].Installation)
		}
	}
	equal(t, map[string]execution.Depth{
		b.acme.installation: {Installation: b.acme.installation, Name: "hello", State: "active", Waiting: map[string]int{execution.ReasonRetry: 1}},
		slow.installation: {
			Installation: slow.installation, Name: "slow", State: "active", Cap: 3, Running: 1, Queued: execution.Lanes{Live: 1},
			Waiting: map[string]int{execution.ReasonRetry: 1}, OldestDueAt: oldest,
		},
		idle.installation: {Installation: idle.installation, Name: "idle", State: "active", Waiting: map[string]int{}},
	}, all)
	page, err := b.InstallationDepths(ctx, b.acme.tenant, got[0].Installation, 1)
	must(t, err)
	equal(t, got[1:2], page)
}

func depthBounded(t *testing.T, b *bundle) {
	const more = execution.CountMost + 100
	together(16, func(int) {
		for range more/16 + 1 {
			b.work(t, b.acme, event.Live)
		}
	})
	got, err := b.TenantDepths(t.Context(), "", 9)
	must(t, err)
	if len(got) != 1 || got[0].Queued != (execution.Lanes{Live: execution.CountMost}) {
		t.Errorf("got %+v, want one tenant with %d counted", got, execution.CountMost)
	}
}

func depthApart(t *testing.T, b *bundle) {
	b.work(t, b.other, event.Live)
	got, err := b.InstallationDepths(t.Context(), b.acme.tenant, "", 9)
	must(t, err)
	if len(got) != 1 || got[0].Installation != b.acme.installation || got[0].Queued != (execution.Lanes{}) {
		t.Errorf("got %+v, want what is the tenant's own", got)
	}
}
