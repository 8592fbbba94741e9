package storetest

import (
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/registry"
)

// Before are the checks of schemas that were before this program's, by their names.
func Before() map[string]func(*testing.T, store.Store, schema.Migrator, func() time.Time) {
	return map[string]func(*testing.T, store.Store, schema.Migrator, func() time.Time){
		"the one before":           schemaBefore,
		"before payloads' sealing": payloadsBefore,
	}
}

// schemaBefore brings an empty store to the schema before this program's, as it
// is while servers are replaced one by one, and checks that work is done as ever,
// and that what is new is there, too, once the schema is. The migrator is the store's own.
func schemaBefore(t *testing.T, s store.Store, m schema.Migrator, now func() time.Time) {
	t.Helper()
	ctx := t.Context()
	migrateBefore(t, m)
	b := &bundle{Store: s, clock: &clock{}}
	b.clock.us.Store(now().UnixMicro())
	must(t, b.Ready(ctx))
	b.sealedBy(t)
	b.acme, b.other = b.newPlace(t, "acme"), b.newPlace(t, "other")
	b.runAll(t, 2, "early")

	// What was there before is read and written as ever, and what is not there is refused.
	ins, err := b.Installation(ctx, b.acme.tenant, b.acme.installation)
	must(t, err)
	paused := ins
	paused.State = installation.Paused
	must(t, b.UpdateInstallation(ctx, paused, ins.UpdatedAt))
	must(t, b.UpdateInstallation(ctx, ins, ins.UpdatedAt))
	con := connection.Connection{ID: "con_1", Tenant: b.acme.tenant, Name: "c", Type: connection.Bearer, Version: 1, CreatedAt: now(), UpdatedAt: now()}
	must(t, b.InsertConnection(ctx, con, []byte("sealed")))
	con.Version = 2
	must(t, b.UpdateConnection(ctx, con, []byte("sealed again")))
	key := b.keyOf(t, b.other.tenant, "kek")
	under, err := b.KeysUnder(ctx, "kek", "", 9)
	must(t, err)
	equal(t, []vault.Key{key}, under)
	next := key
	next.Version, next.KeyID, next.Wrapped = 2, "new", []byte("anew")
	must2(t)(b.ReplaceKeys(ctx, []vault.Key{next}))
	_, err = b.Plugins(ctx, registry.Viewer{Operator: true})
	must(t, err)
	ten, err := b.Tenant(ctx, "acme")
	must(t, err)
	held := ten
	held.State = tenant.Paused
	must(t, b.UpdateTenant(ctx, held, ten))
	must(t, b.UpdateTenant(ctx, ten, held))

	must2(t)(m.DB.ExecContext(ctx, `ALTER TABLE destinations RENAME TO none`))
	_, err = b.DueDestinations(ctx, 9)
	wantFault(t, err, fault.Platform, fault.CodeSchemaTooOld)
	must2(t)(m.DB.ExecContext(ctx, `ALTER TABLE none RENAME TO destinations`))

	from, to, err := b.Migrate(ctx)
	must(t, err)
	if to != from+1 {
		t.Errorf("migrated from %d to %d, want one more", from, to)
	}
	must(t, b.Ready(ctx))
	// Nothing of what came before is lost, and all is as ever.
	got, err := b.Key(ctx, b.other.tenant)
	must(t, err)
	equal(t, next, got)
	ten, err = b.Tenant(ctx, "acme")
	must(t, err)
	must2(t)(b.AskDeletion(ctx, ten, time.Hour))
	must(t, b.RestoreTenant(ctx, ten.ID))
	b.runAll(t, 2, "late")
	b.wantDays(t, b.acme, total(b.acme, usage.DateOf(now()), "", 1, 1, 1, 1))
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{State: execution.Succeeded})
	must(t, err)
	equal(t, 4, len(list))
}

// payloadsBefore has a store with payloads that are not sealed, of a tenant that was
// there before they were, and checks that they open, that what comes now is sealed, and
// that all is once a rotation has come to its end.
func payloadsBefore(t *testing.T, s store.Store, m schema.Migrator, now func() time.Time) {
	t.Helper()
	ctx := t.Context()
	must3(t)(s.Migrate(ctx))
	b := &bundle{Store: s, clock: &clock{}}
	b.clock.us.Store(now().UnixMicro())
	b.acme = b.newPlace(t, "acme")
	early := b.fill(t, b.acme)
	must2(t)(m.DB.ExecContext(ctx, `UPDATE tenants SET payloads_sealed = FALSE`))
	v := b.sealedBy(t)
	early.wantAll(t, b, b.acme)
	header, err := v.Header(ctx, b.acme.tenant)
	must(t, err)
	before, err := b.CountStale(ctx, b.acme.tenant, header)
	must(t, err)
	must2(t)(b.Accept(ctx, b.event(b.acme), nil))
	after, err := b.CountStale(ctx, b.acme.tenant, header)
	must(t, err)
	equal(t, before, after)
	b.rotated(t, v, b.acme.tenant)
	early.wantAll(t, b, b.acme)
	k, err := b.Key(ctx, b.acme.tenant)
	must(t, err)
	equal(t, vault.SealsAll, k.Sealing)
	must(t, b.openAll(t, b.acme))
}

// runAll has new executions run to their end, one of them redriven first.
func (b *bundle) runAll(t *testing.T, n int, name string) {
	t.Helper()
	ctx := t.Context()
	for range n {
		b.work(t, b.acme, event.Live)
	}
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{State: execution.Queued, Limit: 1})
	must(t, err)
	must2(t)(b.Cancel(ctx, b.acme.tenant, list[0].ID))
	must(t, b.Redrive(ctx, b.acme.tenant, list[0].ID, execution.Redriving{Mode: execution.Restart}))
	claimed := b.claim(t, name, b.acme, n)
	equal(t, n, len(claimed))
	for _, c := range claimed {
		must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("{}")}))
		must(t, b.Append(ctx, c, segment(1, "a")))
		must(t, b.Complete(ctx, costing(c, 1)))
	}
}

// migrateBefore applies all migrations but the last.
func migrateBefore(t *testing.T, m schema.Migrator) {
	t.Helper()
	all, err := fs.Glob(m.Files, "*.sql")
	must(t, err)
	before := fstest.MapFS{}
	for _, name := range all[:len(all)-1] {
		text, err := fs.ReadFile(m.Files, name)
		must(t, err)
		before[name] = &fstest.MapFile{Data: text}
	}
	m.Files = before
	_, _, err = m.Up(t.Context())
	must(t, err)
}
