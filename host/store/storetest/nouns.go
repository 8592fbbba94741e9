package storetest

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

func testTenants(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	acme, err := b.Tenant(ctx, "acme")
	must(t, err)
	byID, err := b.Tenant(ctx, acme.ID)
	must(t, err)
	equal(t, acme, byID)
	equal(t, tenant.Limits{Running: 16, Weight: 1}, acme.Limits)

	second := acme
	second.ID = ident.New(ident.Tenant, b.clock.now())
	wantFault(t, b.InsertTenant(ctx, second), fault.Conflict, "tenant_exists")

	was := acme
	acme.Title, acme.State, acme.Limits = "Acme", tenant.Paused, tenant.Limits{Running: 2, Weight: 5, Rate: 50, Burst: 100, Queued: 1000}
	must(t, b.UpdateTenant(ctx, acme, was))
	limited := was // By one who had read it before it was paused.
	limited.Limits.Running = 3
	wantFault(t, b.UpdateTenant(ctx, limited, was), fault.Conflict, tenant.CodeChanged)
	rated, stale := acme, acme // By one who had read another rate.
	rated.Limits.Rate, stale.Limits.Rate = 60, 40
	wantFault(t, b.UpdateTenant(ctx, rated, stale), fault.Conflict, tenant.CodeChanged)
	got, err := b.Tenant(ctx, "acme")
	must(t, err)
	equal(t, acme, got)
	was, acme.Name = acme, "other"
	wantFault(t, b.UpdateTenant(ctx, acme, was), fault.Conflict, "tenant_exists")

	_, err = b.Tenant(ctx, "nobody")
	wantNotFound(t, "Tenant", err)
	none := tenant.Tenant{ID: "ten_none", Name: "none"}
	wantNotFound(t, "UpdateTenant", b.UpdateTenant(ctx, none, none))

	all, err := b.Tenants(ctx, "", 10)
	must(t, err)
	if len(all) != 2 || all[0].ID >= all[1].ID {
		t.Fatalf("got %d tenants, want 2 by id", len(all))
	}
	rest, err := b.Tenants(ctx, all[0].ID, 1)
	must(t, err)
	equal(t, all[1:], rest)
}

func testInstallations(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	i := b.installation(b.acme.tenant, "second")
	i.Grants = installation.Grants{
		Egress:      []manifest.Egress{{Host: "api.example.com", Methods: []string{"GET"}}},
		Connections: map[string]string{"github": "con_1"}, Functions: []string{"f"},
	}
	must(t, b.InsertInstallation(ctx, i))
	for _, key := range []string{i.ID, "second"} {
		got, err := b.Installation(ctx, b.acme.tenant, key)
		must(t, err)
		equal(t, i, got)
	}
	again := b.installation(b.acme.tenant, "second")
	wantFault(t, b.InsertInstallation(ctx, again), fault.Conflict, "name_taken")
	stranger := b.installation("ten_none", "x")
	wantNotFound(t, "InsertInstallation of no tenant", b.InsertInstallation(ctx, stranger))

	b.clock.advance(time.Minute)
	since := i.UpdatedAt
	i.Previous, i.VersionID, i.State, i.Reason, i.UpdatedAt = "plv_1", "plv_2", installation.Broken, "why", b.clock.now()
	must(t, b.UpdateInstallation(ctx, i, since))
	wantFault(t, b.UpdateInstallation(ctx, i, since), fault.Conflict, installation.CodeChanged)
	got, err := b.Installation(ctx, b.acme.tenant, i.ID)
	must(t, err)
	equal(t, i, got)

	i.State = installation.Removed
	must(t, b.UpdateInstallation(ctx, i, i.UpdatedAt))
	_, err = b.Installation(ctx, b.acme.tenant, "second")
	wantNotFound(t, "a removed one by name", err)
	_, err = b.Installation(ctx, b.acme.tenant, i.ID)
	must(t, err)
	listed, err := b.Installations(ctx, b.acme.tenant)
	must(t, err)
	if len(listed) != 1 || listed[0].ID != b.acme.installation {
		t.Errorf("got %d listed, want the one that is not removed", len(listed))
	}
	must(t, b.InsertInstallation(ctx, again)) // The name is free again.
}

func testFollowing(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	var want []installation.Installation
	for _, p := range []place{b.acme, b.other} {
		for _, name := range []string{"one", "two"} {
			i := b.installation(p.tenant, name)
			i.Channel = channel.Beta
			i.Upgrade = &installation.Upgrade{
				To: "2.0.0", VersionID: "plv_2", Digest: "sha256:1", Problem: "p", Channel: channel.Beta, Since: b.clock.now(),
				Asks: []diff.Change{{Verb: diff.Added, Part: diff.Egress, Name: "a.example", Methods: []string{"GET"}, Text: "t", Needs: diff.Consent}},
			}
			must(t, b.InsertInstallation(ctx, i))
			want = append(want, i)
		}
	}
	slices.SortFunc(want, func(a, b installation.Installation) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID))
	})
	after := installation.Place{}
	for n := range want {
		page, err := b.Following(ctx, after, 1)
		must(t, err)
		equal(t, want[n:n+1], page)
		after = installation.Place{Tenant: page[0].Tenant, ID: page[0].ID}
	}
	rest, err := b.Following(ctx, after, 9)
	must(t, err)
	equal(t, 0, len(rest))

	pinned, gone := want[0], want[1]
	pinned.Channel, pinned.Upgrade = "", nil
	must(t, b.UpdateInstallation(ctx, pinned, pinned.UpdatedAt))
	gone.State = installation.Removed
	must(t, b.UpdateInstallation(ctx, gone, gone.UpdatedAt))
	left, err := b.Following(ctx, installation.Place{}, 9)
	must(t, err)
	equal(t, want[2:], left)
	got, err := b.Installation(ctx, pinned.Tenant, pinned.ID)
	must(t, err)
	equal(t, pinned, got)

	for tenant, n := range map[string]int{"": 5, want[0].Tenant: 2, want[2].Tenant: 3, "ten_none": 0} {
		running, err := b.Running(ctx, tenant, "plv_1", installation.Place{}, 9)
		must(t, err)
		equal(t, n, len(running))
	}
	first, err := b.Running(ctx, "", "plv_1", installation.Place{}, 2)
	must(t, err)
	next, err := b.Running(ctx, "", "plv_1", installation.Place{Tenant: first[1].Tenant, ID: first[1].ID}, 9)
	must(t, err)
	equal(t, 3, len(next))
}

func testConnections(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	c := connection.Connection{
		ID: ident.New(ident.Connection, b.clock.now()), Tenant: b.acme.tenant, Name: "github", Type: connection.Bearer,
		Hosts: []string{"api.github.com"}, Version: 1, CreatedAt: b.clock.now(), UpdatedAt: b.clock.now(),
	}
	must(t, b.InsertConnection(ctx, c, []byte("sealed 1")))
	got, err := b.Connection(ctx, c.Tenant, "github")
	must(t, err)
	equal(t, c, got)
	twin := c
	twin.ID = ident.New(ident.Connection, b.clock.now())
	wantFault(t, b.InsertConnection(ctx, twin, nil), fault.Conflict, "name_taken")

	stale := c
	c.Version, c.Hosts = 2, []string{"ghe.example.com:8443"}
	must(t, b.UpdateConnection(ctx, c, []byte("sealed 2")))
	stale.Version = 2
	wantFault(t, b.UpdateConnection(ctx, stale, []byte("sealed 3")), fault.Conflict, "version_changed")
	got, sealed, err := b.Sealed(ctx, c.Tenant, c.ID)
	must(t, err)
	equal(t, c, got)
	equal(t, "sealed 2", string(sealed))

	c.Version, c.Fields = 3, raw(`{"account":"a-1"}`)
	must(t, b.UpdateConnection(ctx, c, nil))
	got, sealed, err = b.Sealed(ctx, c.Tenant, c.ID)
	must(t, err)
	equal(t, c, got)
	equal(t, "sealed 2", string(sealed))
	twin.Name = "twin"
	twin.Fields = raw(`{}`)
	must(t, b.InsertConnection(ctx, twin, nil))
	listed, err := b.Connections(ctx, c.Tenant)
	must(t, err)
	equal(t, 2, len(listed))
	equal(t, []connection.Connection{c, twin}, sortedByName(listed))
	must(t, b.DeleteConnection(ctx, c.Tenant, c.ID))
	wantNotFound(t, "DeleteConnection twice", b.DeleteConnection(ctx, c.Tenant, c.ID))
	c.Version = 4
	wantNotFound(t, "UpdateConnection of a deleted one", b.UpdateConnection(ctx, c, []byte("sealed 4")))
}

// sortedByName sorts connections, whose ids have no order if they are made at once.
func sortedByName(all []connection.Connection) []connection.Connection {
	return slices.SortedFunc(slices.Values(all), func(a, b connection.Connection) int { return cmp.Compare(a.Name, b.Name) })
}

func testEndpoints(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	plain := b.endpoint(b.acme)
	must(t, b.InsertEndpoint(ctx, plain, []byte("sealed")))
	got, err := b.Endpoint(ctx, plain.Tenant, plain.ID)
	must(t, err)
	equal(t, plain, got)
	must(t, b.DeleteEndpoint(ctx, plain.Tenant, plain.ID))

	e := b.endpoint(b.acme)
	e.Descriptor, e.Parameters = json.RawMessage(`{"name":"own", "a": "\u0000"}`), map[string]string{"url": "https://example.com/\u00e4"}
	must(t, b.InsertEndpoint(ctx, e, []byte("sealed 1")))
	wantFault(t, b.InsertEndpoint(ctx, e, nil), fault.Conflict, "endpoint_exists")
	got, sealed, err := b.Delivery(ctx, e.ID)
	must(t, err)
	equal(t, e, got)
	equal(t, "sealed 1", string(sealed))

	e.Respond, e.Deadline = endpoint.Execution, 5000
	e.Limits = endpoint.Limits{Rate: 5, Burst: 10, Queued: 100, MaxBytes: 1 << 20}
	e.Disabled, e.Version, e.Parameters = true, 2, map[string]string{"url": "https://example.org"}
	must(t, b.UpdateEndpoint(ctx, e, nil))
	got, sealed, err = b.Delivery(ctx, e.ID)
	must(t, err)
	equal(t, e, got)
	equal(t, "sealed 1", string(sealed))
	wantFault(t, b.UpdateEndpoint(ctx, e, nil), fault.Conflict, "version_changed")
	e.Version = 3
	must(t, b.UpdateEndpoint(ctx, e, []byte("sealed 2")))
	_, sealed, err = b.Delivery(ctx, e.ID)
	must(t, err)
	equal(t, "sealed 2", string(sealed))

	foreign := b.endpoint(place{b.acme.tenant, b.other.installation})
	wantNotFound(t, "an endpoint of another tenant's installation", b.InsertEndpoint(ctx, foreign, nil))
	must(t, b.DeleteEndpoint(ctx, e.Tenant, e.ID))
	_, _, err = b.Delivery(ctx, e.ID)
	wantNotFound(t, "Delivery", err)
}

func testTokens(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	n, err := b.CountTokens(ctx)
	must(t, err)
	equal(t, 0, n)
	operator := token.Token{ID: "tok_1", Name: "first", Scopes: []token.Scope{token.Admin}, CreatedAt: b.clock.now()}
	tenants := token.Token{
		ID: "tok_2", Name: "acme's", Tenant: b.acme.tenant, Scopes: []token.Scope{token.Read, token.Publish},
		CreatedAt: b.clock.now(), ExpiresAt: b.clock.now().Add(time.Hour),
	}
	must(t, b.InsertToken(ctx, operator, []byte("hash 1")))
	must(t, b.InsertToken(ctx, tenants, []byte("hash 2")))
	wantFault(t, b.InsertToken(ctx, token.Token{ID: "tok_3"}, []byte("hash 1")), fault.Conflict, "token_exists")
	got, err := b.TokenByHash(ctx, []byte("hash 2"), b.clock.now())
	must(t, err)
	equal(t, tenants, got)
	_, err = b.TokenByHash(ctx, []byte("hash"), b.clock.now())
	wantNotFound(t, "TokenByHash", err)

	listed, err := b.Tokens(ctx, "")
	must(t, err)
	equal(t, []token.Token{operator}, listed)
	wantNotFound(t, "another tenant's token", b.RevokeToken(ctx, b.other.tenant, "tok_2", b.clock.now()))
	wantNotFound(t, "an operator's token", b.RevokeToken(ctx, b.acme.tenant, "tok_1", b.clock.now()))
	at := b.clock.now()
	must(t, b.RevokeToken(ctx, "", "tok_2", at))
	must(t, b.RevokeToken(ctx, b.acme.tenant, "tok_2", at.Add(time.Hour)))
	got, err = b.TokenByHash(ctx, []byte("hash 2"), b.clock.now())
	must(t, err)
	equal(t, at, got.RevokedAt)
	n, err = b.CountTokens(ctx)
	must(t, err)
	equal(t, 1, n)
	wantNotFound(t, "a revoked token", b.RotateToken(ctx, got, []byte("hash 3")))
}

func testTokenSecrets(t *testing.T, open Open) {
	b := setup(t, open)
	ctx, now := t.Context(), b.clock.now()
	was := token.Token{ID: "tok_1", Name: "n", Tenant: b.acme.tenant, Scopes: []token.Scope{token.Admin}, CreatedAt: now}
	must(t, b.InsertToken(ctx, was, []byte("hash 1")))
	is := was
	is.RotatedAt, is.OverlapUntil, is.ExpiresAt = now, now.Add(time.Minute), now.Add(time.Hour)
	theirs := is
	theirs.Tenant = b.other.tenant
	wantNotFound(t, "another tenant's token", b.RotateToken(ctx, theirs, []byte("hash 2")))
	must(t, b.RotateToken(ctx, is, []byte("hash 2")))
	for _, hash := range []string{"hash 1", "hash 2"} {
		got, err := b.TokenByHash(ctx, []byte(hash), now.Add(time.Minute-1))
		must(t, err)
		equal(t, is, got)
	}
	_, err := b.TokenByHash(ctx, []byte("hash 1"), now.Add(time.Minute))
	wantNotFound(t, "the secret before, when the overlap has ended", err)

	// A second rotation ends the first one's overlap.
	must(t, b.RotateToken(ctx, is, []byte("hash 3")))
	_, err = b.TokenByHash(ctx, []byte("hash 1"), now)
	wantNotFound(t, "the secret before the one before", err)
	for _, hash := range []string{"hash 2", "hash 3"} {
		must2(t)(b.TokenByHash(ctx, []byte(hash), now))
	}
	wantFault(t, b.InsertToken(ctx, token.Token{ID: "tok_2"}, []byte("hash 3")), fault.Conflict, "token_exists")

	// The latest use counts, whoever writes it down last.
	for _, at := range []time.Time{now.Add(time.Minute), now} {
		must(t, b.UseTokens(ctx, map[string]time.Time{"tok_1": at, "tok_none": at}))
		got, err := b.TokenByHash(ctx, []byte("hash 3"), now)
		must(t, err)
		equal(t, now.Add(time.Minute), got.UsedAt)
	}
}

func testTokenKeys(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	_, err := b.TokenKey(ctx, b.acme.tenant)
	wantNotFound(t, "TokenKey", err)
	first := token.Key{Tenant: b.acme.tenant, Version: 1, Sealed: []byte("sealed 1")}
	got, err := b.InsertTokenKey(ctx, first)
	must(t, err)
	equal(t, first, got)
	got, err = b.InsertTokenKey(ctx, token.Key{Tenant: b.acme.tenant, Version: 1, Sealed: []byte("another")})
	must(t, err)
	equal(t, first, got)
	_, err = b.InsertTokenKey(ctx, token.Key{Tenant: "ten_none", Version: 1, Sealed: []byte("sealed")})
	wantNotFound(t, "a tenant that is not", err)

	second := token.Key{Tenant: b.acme.tenant, Version: 2, Sealed: []byte("sealed 2")}
	for _, want := range []bool{true, false} { // The second one is too late.
		done, err := b.ReplaceTokenKey(ctx, second)
		must(t, err)
		equal(t, want, done)
	}
	got, err = b.TokenKey(ctx, b.acme.tenant)
	must(t, err)
	equal(t, second, got)
	_, err = b.TokenKey(ctx, b.other.tenant)
	wantNotFound(t, "another tenant's", err)
}

func testKeys(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	_, err := b.AnyKey(ctx)
	wantNotFound(t, "AnyKey", err)
	_, err = b.Key(ctx, b.acme.tenant)
	wantNotFound(t, "Key", err)
	keys := make([]vault.Key, 10)
	together(len(keys), func(i int) {
		k, err := b.InsertKey(ctx, vault.Key{Tenant: b.acme.tenant, KeyID: "kek", Wrapped: []byte{byte(i)}})
		if err != nil {
			t.Error(err)
		}
		keys[i] = k
	})
	stored, err := b.Key(ctx, b.acme.tenant)
	must(t, err)
	for _, k := range keys {
		equal(t, stored, k)
	}
	some, err := b.AnyKey(ctx)
	must(t, err)
	equal(t, stored, some)
	_, err = b.InsertKey(ctx, vault.Key{Tenant: "ten_none", KeyID: "kek", Wrapped: []byte{1}})
	wantNotFound(t, "InsertKey of no tenant", err)
}

// raw is JSON.
func raw(s string) json.RawMessage { return json.RawMessage(s) }
