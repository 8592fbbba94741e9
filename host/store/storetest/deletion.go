package storetest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// accountsForAll holds that the report of a deletion names each table that the tenant had
// rows in, with as many as it had, or what remains of them: a table that is new cannot be
// forgotten in it.
func (k *kept) accountsForAll(t testing.TB, had map[string]int) {
	t.Helper()
	d, err := k.Deletion(t.Context(), k.acme.tenant)
	must(t, err)
	equal(t, tenant.DeletionDone, d.State)
	remains := map[string]int64{}
	for _, r := range d.Report.Remains {
		if r.Where == "" || r.What == "" || r.Until == "" {
			t.Errorf("what remains says too little: %+v", r)
		}
		remains[r.Where] += r.Rows
	}
	for table, columns := range k.tables(t) {
		if owner(table, columns) == "" || table == "deletions" {
			continue
		}
		if got, want := d.Report.Erased[table]+remains[table], int64(had[table]); got != want {
			t.Errorf("%s: %d rows are accounted for, and there were %d", table, got, want)
		}
	}
	for _, where := range []string{"backups of the database", "audit_leaves", "logs of the servers", "cache folders of the servers"} {
		if _, ok := remains[where]; !ok {
			t.Errorf("nothing is said of what remains in %s", where)
		}
	}
	if key := d.Report.Key; key == nil || key.KEK != "kek" || len(key.SHA256) != 64 || d.DestroyedAt.IsZero() || d.FinishedAt.Before(d.DestroyedAt) {
		t.Errorf("got key %+v, destroyed at %v, finished at %v", key, d.DestroyedAt, d.FinishedAt)
	}
}

func deletionGrace(t *testing.T, k *kept) {
	ctx, id := t.Context(), k.acme.tenant
	must2(t)(k.InsertKey(ctx, vault.Key{Tenant: id, KeyID: "kek", Wrapped: []byte("wrapped")}))
	was, err := k.Tenant(ctx, id)
	must(t, err)
	asked := audit.Begin(ctx, &audit.Act{Who: "tok_1", Tenant: id, Action: "tenant.delete", Object: id})
	began := k.clock.now()
	d, err := k.AskDeletion(asked, was, time.Hour)
	must(t, err)
	equal(t, tenant.Deletion{
		Tenant: id, Name: "acme", State: tenant.DeletionAsked, AskedAt: began, AskedBy: "tok_1", DueAt: began.Add(time.Hour), Was: tenant.Active,
		Report: tenant.Report{Erased: map[string]int64{}},
	}, d)
	wantFault(t, second(k.AskDeletion(ctx, was, 0)), fault.Conflict, tenant.CodeChanged)
	paused, err := k.Tenant(ctx, "acme")
	must(t, err)
	equal(t, tenant.Paused, paused.State)
	equal(t, began.Add(time.Hour), paused.DeleteAt)

	// Who has read it before cannot put it back to use.
	stale := paused
	stale.DeleteAt = time.Time{}
	resumed := stale
	resumed.State = tenant.Active
	wantFault(t, k.UpdateTenant(ctx, resumed, stale), fault.Conflict, tenant.CodeChanged)

	// The grace counts from when it was asked for first.
	k.clock.advance(10 * time.Minute)
	for range 2 {
		if d, err = k.AskDeletion(ctx, paused, 30*time.Minute); err != nil {
			t.Fatal(err)
		}
		equal(t, began.Add(30*time.Minute), d.DueAt)
	}
	equal(t, tenant.Active, d.Was)
	k.clock.advance(20*time.Minute - time.Microsecond)
	destroyed, err := k.DestroyKey(ctx, id)
	must(t, err)
	equal(t, false, destroyed)
	must2(t)(k.Key(ctx, id))

	// It is called off once, and asking again for that changes nothing.
	for range 2 {
		must(t, k.RestoreTenant(ctx, id))
		back, err := k.Tenant(ctx, id)
		must(t, err)
		equal(t, was, back)
	}
	wantNotFound(t, "Deletion", second(k.Deletion(ctx, id)))
	destroyed, err = k.DestroyKey(ctx, id)
	must(t, err)
	equal(t, false, destroyed)
	must2(t)(k.Key(ctx, id))
	wantNotFound(t, "RestoreTenant", k.RestoreTenant(ctx, "ten_none"))

	// When it is due there is no way back.
	must2(t)(k.AskDeletion(ctx, was, time.Minute))
	k.clock.advance(time.Minute)
	for range 2 {
		destroyed, err = k.DestroyKey(ctx, id)
		must(t, err)
		equal(t, true, destroyed)
	}
	wantNotFound(t, "Key", second(k.Key(ctx, id)))
	wantFault(t, k.RestoreTenant(ctx, id), fault.Conflict, tenant.CodeDeleting)
	k.erase(t, k.acme)
	for range 2 {
		must(t, k.Bury(ctx, id))
	}
	byName, err := k.Deletion(ctx, "acme")
	must(t, err)
	byID, err := k.Deletion(ctx, id)
	must(t, err)
	equal(t, byID, byName)
	all, err := k.Deletions(ctx, "", 10)
	must(t, err)
	equal(t, []tenant.Deletion{byID}, all)
	wantNotFound(t, "RestoreTenant", k.RestoreTenant(ctx, id))
	wantNotFound(t, "InsertKey of one that is gone", second(k.InsertKey(ctx, vault.Key{Tenant: id, KeyID: "kek", Wrapped: []byte{1}})))

	// What the program did by itself is in the log, once.
	for range 3 {
		must2(t)(sequenced(k.SequenceActs(ctx, 100)))
	}
	for _, action := range []string{"tenant.delete", "tenant.key.destroy", "tenant.erase"} {
		acts, err := k.Acts(ctx, audit.Filter{Tenant: id, OfTenant: true, Action: action, Limit: 10})
		must(t, err)
		if len(acts) != 1 {
			t.Errorf("%s: %d entries, want one", action, len(acts))
		}
	}
}

// sequenced drops how many there were.
func sequenced(_ int, tree audit.Tree, err error) (audit.Tree, error) { return tree, err }

// deletionResumed holds that one which a server of the version before has put to use
// again is not deleted.
func deletionResumed(t *testing.T, k *kept) {
	ctx, id := t.Context(), k.acme.tenant
	was, err := k.Tenant(ctx, id)
	must(t, err)
	must2(t)(k.AskDeletion(ctx, was, 0))
	_, err = k.catalogue.Conn(k.Store).ExecContext(ctx, `UPDATE tenants SET state = 'active' WHERE id = $1`, id)
	if err != nil {
		t.Skip("this connection only reads: ", err)
	}
	destroyed, err := k.DestroyKey(ctx, id)
	must(t, err)
	equal(t, false, destroyed)
	back, err := k.Tenant(ctx, id)
	must(t, err)
	equal(t, was, back)
	wantNotFound(t, "Deletion", second(k.Deletion(ctx, id)))
}

// Deletions deletes tenants while each statement in turn fails, before it is executed and
// after: who goes on from there ends as one whom nothing has disturbed, with the same
// account of what was erased. The statements of the store are those of the plan, of which
// one in every is tried.
func Deletions(t *testing.T, open Open, c Catalogue, plan *faults.Plan, every int) {
	t.Helper()
	k := &kept{setup(t, open), c}
	want, _ := k.deleted(t, "undisturbed", plan, func() {})
	for when, name := range map[faults.When]string{faults.Before: "before", faults.After: "after"} {
		t.Run(name, func(t *testing.T) {
			n, struck := 1, true
			for ; struck; n += every {
				var got map[string]int64
				got, struck = k.deleted(t, fmt.Sprint(name, n), plan, func() { plan.Arm(n, when) })
				equal(t, want, got)
				if t.Failed() {
					t.Fatalf("when statement %d fails", n)
				}
			}
			// Each step is a transaction.
			if n < 20 {
				t.Errorf("it has %d statements, want one for each step at least", n)
			}
		})
	}
}

// deleted makes a tenant and deletes it, each call until it is answered, and returns what
// was erased, and whether a call has failed.
func (k *kept) deleted(t *testing.T, name string, plan *faults.Plan, arm func()) (erased map[string]int64, struck bool) {
	t.Helper()
	ctx, p := t.Context(), k.newPlace(t, name)
	k.owns(t, p)
	was, err := k.Tenant(ctx, p.tenant)
	must(t, err)
	arm()
	k.until(t, func() error {
		now, err := k.Tenant(ctx, was.ID)
		if err == nil && now.State == tenant.Active {
			_, err = k.AskDeletion(ctx, was, 0)
		}
		return err
	})
	k.until(t, func() error { return second(k.DestroyKey(ctx, was.ID)) })
	for done := false; !done; {
		k.until(t, func() error {
			got, err := k.Erase(ctx, was.ID)
			done = err == nil && got.Rows == 0
			return err
		})
	}
	k.until(t, func() error { return k.Bury(ctx, was.ID) })
	struck = plan.Struck()
	plan.Arm(0, faults.Before)
	d, err := k.Deletion(ctx, was.ID)
	must(t, err)
	equal(t, tenant.DeletionDone, d.State)
	equal(t, []string{"deletions", "tenants", "usage_days"}, slices.Sorted(maps.Keys(k.rows(t, was.ID))))
	return d.Report.Erased, struck
}
