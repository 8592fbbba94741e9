package storetest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// owns gives a tenant a row in every table that a tenant can have one in.
func (k *kept) owns(t testing.TB, p place) {
	t.Helper()
	ctx, now := t.Context(), k.clock.now()
	k.dies(t, p, "why")
	must2(t)(k.GatherDead(ctx, 100))
	k.finished(t, p, "large")
	k.clock.advance(12 * time.Minute)
	must2(t)(k.Retained(ctx, p.tenant))
	must(t, k.Complete(ctx, costing(k.running(t, p), 5)))
	k.end(t, p, waiting(execution.ReasonSleep, now.Add(time.Hour)))
	k.work(t, p, event.Live)
	must2(t)(k.Accept(ctx, k.event(p), nil))
	large := k.event(p)
	large.Body = largeBody('a')
	must2(t)(k.Accept(ctx, large, nil))
	must2(t)(k.InsertKey(ctx, vault.Key{Tenant: p.tenant, KeyID: "kek", Wrapped: []byte("wrapped")}))
	must(t, k.InsertToken(ctx, token.Token{ID: "tok_" + p.tenant, Tenant: p.tenant}, []byte("hash "+p.tenant)))
	must2(t)(k.InsertTokenKey(ctx, token.Key{Tenant: p.tenant, Version: 1, Sealed: []byte("sealed")}))
	must(t, k.InsertConnection(ctx, connection.Connection{ID: "con_1", Tenant: p.tenant, Name: "c", Type: connection.Bearer, Version: 1}, []byte("sealed")))
	must(t, k.SetRate(ctx, p.tenant, "con_1", pace.Rate{PerSecond: 10}))
	must(t, k.ReportFlight(ctx, pace.Flight{Key: pace.Key{Tenant: p.tenant, Connection: "con_1"}, Worker: "w1"}))
	must2(t)(k.InsertNotice(ctx, k.broke(p, "con_1 broken")))
	k.offer(t, p.tenant, "app_1")
	must(t, k.InsertAuthorization(ctx, k.authorization(p, "con_1")))
	end := k.endpoint(p)
	must(t, k.InsertEndpoint(ctx, end, []byte("sealed")))
	k.insertSchedule(t, k.schedule(p, "nightly"))
	d := k.destination(t, p.tenant, "app", "*")
	must(t, k.InsertDelivery(ctx, k.delivery(d, p.tenant), time.Hour))
	must(t, k.PutWatch(ctx, alert.Watch{Tenant: p.tenant, Object: alert.Queue, WithinS: 60, Since: now, LookedAt: now, CreatedAt: now}))
	k.emitted(t, p, "order")
	must2(t)(k.Reserve(ctx, store.Key{Scope: p.tenant, Key: "a", Digest: []byte("d")}, now))
	k.insertJob(t, p, ident.New(ident.Job, k.clock.now()))
	must(t, k.InsertVisit(ctx, k.visit(p)))
	must(t, k.InsertFlow(ctx, k.flow(p)))
	s := shelf{k.bundle}
	v, err := s.publish(t, s.publisher("pub-"+p.tenant, p.tenant), "own", "0.1.0", "module of "+p.tenant)
	must(t, err)
	must(t, k.Share(ctx, v.Plugin, []string{p.tenant}))
	must(t, k.InsertPublisherKey(ctx, signature.Key{ID: "key_1", Publisher: "pub_pub-" + p.tenant, CreatedAt: now}))
}

// marked asks for a tenant's deletion, which is due at once, and destroys its key.
func (k *kept) marked(t testing.TB, p place) {
	t.Helper()
	ctx := t.Context()
	was, err := k.Tenant(ctx, p.tenant)
	must(t, err)
	must2(t)(k.AskDeletion(ctx, was, 0))
	destroyed, err := k.DestroyKey(ctx, p.tenant)
	must(t, err)
	equal(t, true, destroyed)
}

// erase goes on with a deletion until there is nothing left, and returns how many
// steps it took.
func (k *kept) erase(t testing.TB, p place) int {
	t.Helper()
	for n := 1; ; n++ {
		got, err := k.Erase(t.Context(), p.tenant)
		must(t, err)
		if got == (retention.Erased{}) {
			return n
		}
		if got.Waits != "" {
			t.Fatalf("it waits for %s", got.Waits)
		}
	}
}

func eraseAll(t *testing.T, k *kept) {
	ctx := t.Context()
	k.owns(t, k.acme)
	k.owns(t, k.other)
	mine, theirs := k.rows(t, k.acme.tenant), k.rows(t, k.other.tenant)
	for table, columns := range k.tables(t) {
		if owner(table, columns) != "" && mine[table] == 0 && table != "deletions" {
			t.Errorf("the tenant has nothing in %s: this proves nothing of it", table)
		}
	}
	_, err := k.Erase(ctx, k.acme.tenant)
	wantFault(t, err, fault.Conflict, "tenant_not_deleting")
	equal(t, mine, k.rows(t, k.acme.tenant))

	// The key is gone, and the tokens, before anything else is.
	k.marked(t, k.acme)
	equal(t, map[string]int{"tenant_keys": 1, "tokens": 1, "token_keys": 1, "deletions": -1}, lost(mine, k.rows(t, k.acme.tenant)))
	_, err = k.InsertKey(ctx, vault.Key{Tenant: k.acme.tenant, KeyID: "kek", Wrapped: []byte("again")})
	wantNotFound(t, "InsertKey", err)
	_, err = k.InsertTokenKey(ctx, token.Key{Tenant: k.acme.tenant, Version: 1, Sealed: []byte("again")})
	wantNotFound(t, "InsertTokenKey", err)
	_, err = k.Accept(ctx, k.event(k.acme), &event.Work{Execution: "exe_late"})
	wantNotFound(t, "Accept", err)
	deleting, err := k.Tenant(ctx, "acme")
	must(t, err)
	equal(t, tenant.Deleting, deleting.State)

	k.erase(t, k.acme)
	used := map[string]int{"tenants": 1, "usage_days": mine["usage_days"], "deletions": 1}
	equal(t, used, k.rows(t, k.acme.tenant))
	must(t, k.Bury(ctx, k.acme.tenant))
	equal(t, used, k.rows(t, k.acme.tenant))
	k.accountsForAll(t, mine)
	equal(t, theirs, k.rows(t, k.other.tenant))
	for _, ref := range []string{"acme", k.acme.tenant} {
		_, err = k.Tenant(ctx, ref)
		wantNotFound(t, "a deleted tenant", err)
	}
	all, err := k.Tenants(ctx, "", 10)
	must(t, err)
	equal(t, 1, len(all))
	totals, err := k.UsageByTenant(ctx, always(), "", 10)
	must(t, err)
	equal(t, 2, len(totals))
	equal(t, totals[1].Fuel, totals[0].Fuel)
	if totals[0].Fuel == 0 {
		t.Error("what the tenant has used is gone")
	}
	_, err = k.Accept(ctx, k.event(k.acme), nil)
	wantNotFound(t, "Accept", err)
	_, err = k.InsertKey(ctx, vault.Key{Tenant: "ten_none", KeyID: "kek", Wrapped: []byte{1}})
	wantNotFound(t, "InsertKey of no tenant", err)
	k.newPlace(t, "acme") // The name is free.
}

// eraseSteps stops a deletion after each step, as a crash would.
func eraseSteps(t *testing.T, k *kept) {
	ctx := t.Context()
	k.owns(t, k.acme)
	for range 120 {
		k.work(t, k.acme, event.Live)
	}
	k.marked(t, k.acme)
	total := func() int { return sum(slices.Collect(maps.Values(k.rows(t, k.acme.tenant)))) }
	steps := 0
	for before := total(); ; steps++ {
		got, err := k.Erase(ctx, k.acme.tenant)
		must(t, err)
		now := total()
		if got == (retention.Erased{}) {
			equal(t, before, now)
			break
		}
		if now >= before {
			t.Fatalf("step %d of %d rows took nothing away: %d rows before, %d now", steps, got.Rows, before, now)
		}
		before = now
	}
	if steps < 10 {
		t.Errorf("%d steps, want more: what is large must not go at once", steps)
	}
	equal(t, map[string]int{"tenants": 1, "usage_days": 1, "deletions": 1}, k.rows(t, k.acme.tenant))
	equal(t, 1, k.erase(t, k.acme)) // Again, which changes nothing.
	must(t, k.Bury(ctx, k.acme.tenant))
	_, err := k.Erase(ctx, k.acme.tenant)
	wantFault(t, err, fault.Conflict, "tenant_not_deleting")
}

func eraseWaits(t *testing.T, k *kept) {
	ctx := t.Context()
	run := k.running(t, k.acme)
	must(t, k.Append(ctx, run, segment(1, "a", "large")))
	k.work(t, k.acme, event.Live)
	k.marked(t, k.acme)
	first, err := k.Erase(ctx, k.acme.tenant)
	must(t, err)
	equal(t, retention.Erased{Rows: 1}, first)
	for range 2 {
		got, err := k.Erase(ctx, k.acme.tenant)
		must(t, err)
		equal(t, retention.Erased{Waits: "runs in flight"}, got)
	}
	stop, err := k.Heartbeat(ctx, "w1", time.Minute)
	must(t, err)
	equal(t, []string{run.Execution}, stop)
	// What it does until then is still recorded, and it ends.
	must(t, k.Append(ctx, run, segment(2, "b", "large")))
	must(t, k.Complete(ctx, success(run)))
	k.erase(t, k.acme)
	equal(t, 1, k.rows(t, k.acme.tenant)["tenants"])
	wantIs(t, k.Append(ctx, run, segment(3, "c", "large")), execution.ErrFenced)
	equal(t, 0, k.rows(t, k.acme.tenant)["journal_bodies"])
}

func erasePlugins(t *testing.T, k *kept) {
	ctx := t.Context()
	s := shelf{k.bundle}
	mine, vendor := s.publisher("acme-pub", k.acme.tenant), s.publisher("vendor", "")
	v, err := s.publish(t, mine, "crm", "1.0.0", "the same module")
	must(t, err)
	must2(t)(s.publish(t, mine, "crm", "2.0.0", "another module"))
	same, err := s.publish(t, vendor, "crm", "1.0.0", "the same module")
	must(t, err)
	must(t, k.Share(ctx, v.Plugin, []string{k.other.tenant}))
	i := k.installation(k.other.tenant, "crm")
	i.VersionID = v.ID
	must(t, k.InsertInstallation(ctx, i))

	was, err := k.Tenant(ctx, k.acme.tenant)
	must(t, err)
	wantFault(t, second(k.AskDeletion(ctx, was, 0)), fault.Conflict, tenant.CodePublisher)
	i.State = "removed"
	must(t, k.UpdateInstallation(ctx, i, i.UpdatedAt))
	must2(t)(k.AskDeletion(ctx, was, 0))

	// One that installs it within the grace is waited for, with the key whole.
	within := k.installation(k.other.tenant, "within")
	within.VersionID = v.ID
	must(t, k.InsertInstallation(ctx, within))
	needed, err := k.Needed(ctx, k.acme.tenant)
	must(t, err)
	equal(t, true, needed)
	destroyed, err := k.DestroyKey(ctx, k.acme.tenant)
	must(t, err)
	d, err := k.Deletion(ctx, k.acme.tenant)
	must(t, err)
	if destroyed || d.State != tenant.DeletionAsked || d.Waits == "" {
		t.Errorf("destroyed %v, got %+v, want it to wait", destroyed, d)
	}
	within.State = "removed"
	must(t, k.UpdateInstallation(ctx, within, within.UpdatedAt))
	needed, err = k.Needed(ctx, k.acme.tenant)
	must(t, err)
	equal(t, false, needed)
	destroyed, err = k.DestroyKey(ctx, k.acme.tenant)
	must(t, err)
	equal(t, true, destroyed)

	// One that installs it at the last moment is waited for.
	late := k.installation(k.other.tenant, "late")
	late.VersionID = v.ID
	must(t, k.InsertInstallation(ctx, late))
	for {
		got, err := k.Erase(ctx, k.acme.tenant)
		must(t, err)
		if got.Waits != "" {
			break
		}
		if got.Rows == 0 {
			t.Fatal("a plugin that another tenant has installed was taken away")
		}
	}
	must2(t)(k.Version(ctx, registry.Viewer{Operator: true}, v.ID))
	late.State = "removed"
	must(t, k.UpdateInstallation(ctx, late, late.UpdatedAt))
	k.erase(t, k.acme)
	if _, err := k.Version(ctx, registry.Viewer{Operator: true}, v.ID); err == nil {
		t.Error("its plugin is still there")
	}
	must(t, k.Bury(ctx, k.acme.tenant))
	d, err = k.Deletion(ctx, k.acme.tenant)
	must(t, err)
	if len(d.Report.Modules) != 2 || !slices.ContainsFunc(d.Report.Remains, func(r tenant.Remain) bool { return r.Where == "blobs" && r.Rows == 1 }) {
		t.Errorf("got %+v, want that one of two modules is others', too", d.Report)
	}
	blob, err := k.Blob(ctx, same.Digest)
	must(t, err)
	equal(t, "the same module", string(blob))
	equal(t, map[string]int{"blobs": 1, "plugin_versions": 1, "plugins": 1},
		only(k.rows(t, ""), "blobs", "plugin_versions", "plugins"))
}
