package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// app is a new app.
func (b *bundle) app(tenantID, name string) app.App {
	now := b.clock.now()
	return app.App{
		ID: ident.New(ident.App, now), Tenant: tenantID, Name: name, Title: "A", Provider: "acme", Descriptor: raw(`{"name":"acme"}`), ClientID: "id",
		Scopes: []string{"read"}, Variables: map[string]string{"shop": "north"}, Grant: "authorization_code", Shared: tenantID == app.Operator,
		Plugin: &app.Origin{ID: "plg_1", Name: "acme-crm", Version: "1.2.0"}, Callback: "acme.0123",
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

func testApps(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	a := b.app(b.acme.tenant, "github")
	must(t, b.InsertApp(ctx, a, []byte("sealed 1")))
	for _, ref := range []string{a.ID, "github"} {
		got, err := b.App(ctx, a.Tenant, ref)
		must(t, err)
		equal(t, a, got)
		_, err = b.App(ctx, b.other.tenant, ref)
		wantNotFound(t, "another tenant's app", err)
	}
	twin := b.app(b.acme.tenant, "github")
	wantFault(t, b.InsertApp(ctx, twin, []byte("s")), fault.Conflict, "name_taken")
	wantNotFound(t, "InsertApp of no tenant", b.InsertApp(ctx, b.app("ten_none", "x"), []byte("s")))

	was := a
	b.clock.advance(time.Minute)
	a.Version, a.Name, a.Title, a.ClientID, a.Scopes, a.Variables, a.UpdatedAt = 2, "gh", "", "id2", []string{}, nil, b.clock.now()
	must(t, b.UpdateApp(ctx, a, []byte("sealed 2")))
	was.Version = 2
	wantFault(t, b.UpdateApp(ctx, was, []byte("sealed 3")), fault.Conflict, "version_changed")
	got, sealed, err := b.SealedApp(ctx, a.Tenant, a.ID)
	must(t, err)
	equal(t, a, got)
	equal(t, "sealed 2", string(sealed))
	_, _, err = b.SealedApp(ctx, b.other.tenant, a.ID)
	wantNotFound(t, "another tenant's secret", err)
	theirs := a
	theirs.Tenant, theirs.Version = b.other.tenant, 3
	wantNotFound(t, "another tenant's UpdateApp", b.UpdateApp(ctx, theirs, []byte("s")))

	twin.Descriptor, twin.Plugin, twin.Callback = nil, nil, ""
	must(t, b.InsertApp(ctx, twin, []byte("s")))
	renamed := twin
	renamed.Version, renamed.Name = 2, "gh"
	wantFault(t, b.UpdateApp(ctx, renamed, []byte("s")), fault.Conflict, "name_taken")
	all, err := b.Apps(ctx, a.Tenant)
	must(t, err)
	slices.SortFunc(all, func(x, _ app.App) int {
		if x.ID == a.ID {
			return -1
		}
		return 1
	})
	equal(t, []app.App{a, twin}, all)
	none, err := b.Apps(ctx, b.other.tenant)
	must(t, err)
	equal(t, 0, len(none))
	wantNotFound(t, "another tenant's DeleteApp", b.DeleteApp(ctx, b.other.tenant, a.ID))
	must(t, b.DeleteApp(ctx, a.Tenant, a.ID))
	wantNotFound(t, "DeleteApp twice", b.DeleteApp(ctx, a.Tenant, a.ID))
}

// testOperator holds that the tenant of the operator's apps is there for those, and for
// nobody and nothing else.
func testOperator(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"has apps and a key of its own": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			v := vault.New(b.Store, ephemeral(t))
			a := b.app(app.Operator, "github")
			f := vault.Field{Tenant: app.Operator, Table: "oauth_apps", Record: a.ID, Name: "secret", Version: 1}
			_, err := b.Key(ctx, app.Operator)
			wantNotFound(t, "a key that nobody has used", err)
			sealed, err := v.Seal(ctx, f, []byte("secret"))
			must(t, err)
			must2(t)(b.Key(ctx, app.Operator))
			must(t, b.InsertApp(ctx, a, sealed))
			all, err := b.Apps(ctx, app.Operator)
			must(t, err)
			equal(t, []app.App{a}, all)
			// It is wrapped anew with the tenants'.
			k, err := b.Key(ctx, app.Operator)
			must(t, err)
			under, err := b.KeysUnder(ctx, k.KeyID, "", 9)
			must(t, err)
			equal(t, []vault.Key{k}, under)
			// And its key is changed as theirs are.
			must(t, v.Rotate(ctx, app.Operator, "job_1"))
			header, err := v.Header(ctx, app.Operator)
			must(t, err)
			was, err := b.StaleRecords(ctx, app.Operator, vault.Place{Table: "oauth_apps", Name: "secret"}, header, "", 9)
			must(t, err)
			equal(t, 1, len(was))
		},
		"is in no list and no count, and is found by nobody": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			all, err := b.Tenants(ctx, "", 10)
			must(t, err)
			equal(t, 2, len(all))
			_, err = b.Tenant(ctx, app.Operator)
			wantNotFound(t, "Tenant", err)
			totals, err := b.UsageByTenant(ctx, always(), "", 10)
			must(t, err)
			equal(t, 2, len(totals))
			_, err = archive.New(archive.Config{Source: b.Store, Now: b.clock.now}).Check(ctx, archive.Request{Tenant: app.Operator})
			wantNotFound(t, "an export", err)
		},
		"cannot be changed, deleted or emptied": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			like := tenant.Tenant{ID: app.Operator, Name: app.Operator, Limits: tenant.Limits{Running: 1, Weight: 1}, State: "reserved"}
			must(t, b.InsertApp(ctx, b.app(app.Operator, "github"), []byte("sealed")))
			if _, err := b.AskDeletion(ctx, like, 0); err == nil {
				t.Error("its deletion was asked for")
			}
			if done, err := b.DestroyKey(ctx, app.Operator); done {
				t.Errorf("its key was destroyed: %v", err)
			}
			if _, err := b.Erase(ctx, app.Operator); err == nil {
				t.Error("it was emptied")
			}
			renamed := like
			renamed.Name, renamed.State = "operator", tenant.Active
			wantNotFound(t, "UpdateTenant", b.UpdateTenant(ctx, renamed, like))
			twin := like
			twin.State = tenant.Active
			wantFault(t, b.InsertTenant(ctx, twin), fault.Conflict, "tenant_exists")
			_, err := b.Deletion(ctx, app.Operator)
			wantNotFound(t, "Deletion", err)
			left, err := b.Apps(ctx, app.Operator)
			must(t, err)
			equal(t, 1, len(left))
		},
		"takes no events, and no tokens are signed for it": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			e := b.event(b.acme)
			e.Tenant = app.Operator
			_, err := b.Accept(ctx, e, nil)
			wantNotFound(t, "Accept", err)
			_, err = b.InsertTokenKey(ctx, token.Key{Tenant: app.Operator, Version: 1, Sealed: []byte("sealed")})
			wantNotFound(t, "InsertTokenKey", err)
			backlogs, err := b.Backlogs(ctx)
			must(t, err)
			equal(t, 0, len(backlogs))
		},
	})
}
