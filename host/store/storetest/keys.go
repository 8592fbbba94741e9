package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

func testKeysets(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"are counted by what wraps them": func(t *testing.T, b *bundle) {
			if n, err := b.KeyCounts(t.Context()); err != nil || len(n) != 0 {
				t.Errorf("got %v, %v, want none", n, err)
			}
			for i, kek := range []string{"kek_b", "kek_a", "kek_b"} {
				b.keyOf(t, b.newPlace(t, fmt.Sprintf("t%d", i)).tenant, kek)
			}
			got, err := b.KeyCounts(t.Context())
			must(t, err)
			for i := range got {
				k, err := b.Key(t.Context(), got[i].Sample)
				must(t, err)
				equal(t, got[i].KeyID, k.KeyID)
				got[i].Sample = ""
			}
			equal(t, []vault.KeyCount{{KeyID: "kek_a", Tenants: 1}, {KeyID: "kek_b", Tenants: 2}}, got)
		},
		"are listed in pages": func(t *testing.T, b *bundle) {
			want := []string{}
			for i := range 5 {
				want = append(want, b.newPlace(t, fmt.Sprintf("t%d", i)).tenant)
				b.keyOf(t, want[i], "kek")
			}
			slices.Sort(want)
			b.keyOf(t, b.acme.tenant, "another")
			got := []string{}
			for after := ""; ; {
				page, err := b.KeysUnder(t.Context(), "kek", after, 2)
				must(t, err)
				if len(page) == 0 {
					break
				}
				for _, k := range page {
					got = append(got, k.Tenant)
				}
				after = got[len(got)-1]
			}
			equal(t, want, got)
		},
		"are replaced by who is first": func(t *testing.T, b *bundle) {
			was := b.keyOf(t, b.acme.tenant, "kek")
			other := b.keyOf(t, b.other.tenant, "kek")
			now := was
			now.KeyID, now.Wrapped, now.Version, now.Generation, now.RotatedBy = "new", []byte("anew"), 2, 2, "job_1"
			late := other
			late.Version = 3
			n, err := b.ReplaceKeys(t.Context(), []vault.Key{now, late})
			must(t, err)
			equal(t, 1, n)
			got, err := b.Key(t.Context(), b.acme.tenant)
			must(t, err)
			equal(t, now, got) // With the seed as it was.
			equal(t, was.Seed, got.Seed)
			n, err = b.ReplaceKeys(t.Context(), []vault.Key{now})
			must(t, err)
			equal(t, 0, n)
			got, err = b.Key(t.Context(), b.other.tenant)
			must(t, err)
			equal(t, other, got)
			now.Version, now.Wrapped = 3, []byte("and again")
			must2(t)(b.ReplaceKeys(t.Context(), []vault.Key{now}))
			got, err = b.Key(t.Context(), b.acme.tenant)
			must(t, err)
			equal(t, was.Seed, got.Seed)
		},
		"are replaced once, by many": func(t *testing.T, b *bundle) {
			was := b.keyOf(t, b.acme.tenant, "kek")
			replaced := make([]int, 8)
			together(len(replaced), func(i int) {
				now := was
				now.Version, now.Wrapped = 2, []byte{byte(i)}
				n, err := b.ReplaceKeys(t.Context(), []vault.Key{now})
				if err != nil {
					t.Error(err)
				}
				replaced[i] = n
			})
			total := 0
			for _, n := range replaced {
				total += n
			}
			equal(t, 1, total)
		},
	})
}

// keyOf gives a tenant a keyset.
func (b *bundle) keyOf(t *testing.T, tenant, kek string) vault.Key {
	t.Helper()
	k, err := b.InsertKey(t.Context(), vault.Key{Tenant: tenant, KeyID: kek, Wrapped: []byte("wrapped for " + tenant)})
	must(t, err)
	equal(t, k.Wrapped, k.Seed)
	if k.Version != 1 || k.Generation != 1 {
		t.Errorf("a first key is of version %d and generation %d", k.Version, k.Generation)
	}
	return k
}

func testSealed(t *testing.T, open Open) {
	older, newer := "\x01\x01\x00\x00\x00\x01", "\x01\x01\x00\x00\x00\x02"
	credentials, secrets := vault.Place{Table: "connections", Name: "credential"}, vault.Place{Table: "endpoints", Name: "secret"}
	signing, apps := vault.Place{Table: "token_keys", Name: "secret"}, vault.Place{Table: "oauth_apps", Name: "secret"}
	flows, visits := vault.Place{Table: "oauth_flows", Name: "flow"}, vault.Place{Table: "connect_sessions", Name: "visit"}
	tokens := vault.Place{Table: "authorizations", Name: "tokens"}
	each(t, open, map[string]func(*testing.T, *bundle){
		"is found by its header": func(t *testing.T, b *bundle) {
			equal(t, []vault.Place{credentials, secrets, signing, apps, tokens}, b.SealedPlaces()[:5])
			c := b.sealed(t, b.acme, older+"c")
			b.sealed(t, b.acme, newer+"d")
			b.sealed(t, b.other, older+"e")
			for p, want := range map[vault.Place]string{credentials: c.connection, secrets: c.endpoint, signing: b.acme.tenant, apps: c.app, tokens: c.connection, flows: c.flow, visits: c.visit} {
				got, err := b.StaleRecords(t.Context(), b.acme.tenant, p, []byte(newer), "", 9)
				must(t, err)
				equal(t, []vault.Sealed{{
					Field: vault.Field{Tenant: b.acme.tenant, Table: p.Table, Name: p.Name, Record: want, Version: 1},
					Bytes: []byte(older + "c"),
				}}, got)
				got, err = b.StaleRecords(t.Context(), b.acme.tenant, p, []byte(newer), want, 9)
				must(t, err)
				equal(t, 0, len(got))
			}
			n, err := b.CountStale(t.Context(), b.acme.tenant, []byte(newer))
			must(t, err)
			equal(t, 7, n)
			if _, err := b.StaleRecords(t.Context(), b.acme.tenant, vault.Place{Table: "tenants", Name: "name"}, []byte(newer), "", 9); err == nil {
				t.Error("a place that there is not has records")
			}
		},
		"is replaced where it is still the same": func(t *testing.T, b *bundle) {
			made := b.sealed(t, b.acme, older+"c")
			was, err := b.StaleRecords(t.Context(), b.acme.tenant, credentials, []byte(newer), "", 9)
			must(t, err)
			elsewhere := was[0]
			elsewhere.Tenant = b.other.tenant
			stale := was[0]
			stale.Version = 2
			changed := was[0]
			changed.Bytes = []byte(older + "another")
			n, err := b.ResealRecords(t.Context(), []vault.Sealed{elsewhere, stale, changed}, [][]byte{{1}, {1}, {1}})
			must(t, err)
			equal(t, 0, n)
			n, err = b.ResealRecords(t.Context(), was, [][]byte{[]byte(newer + "c")})
			must(t, err)
			equal(t, 1, n)
			got, bytes, err := b.Sealed(t.Context(), b.acme.tenant, made.connection)
			must(t, err)
			equal(t, newer+"c", string(bytes))
			equal(t, int64(1), got.Version)
		},
		"keeps its key from being retired": func(t *testing.T, b *bundle) {
			k := b.keyOf(t, b.acme.tenant, "kek")
			b.keyOf(t, b.other.tenant, "kek")
			b.sealed(t, b.acme, older+"c")
			k.Version, k.Generation, k.Wrapped = 2, 2, []byte("retired")
			ok, err := b.RetireKeys(t.Context(), k, []byte(newer))
			wantFault(t, err, fault.Conflict, vault.CodeKeyInUse)
			equal(t, false, ok)
			for _, p := range b.SealedPlaces() {
				was, err := b.StaleRecords(t.Context(), b.acme.tenant, p, []byte(newer), "", 9)
				must(t, err)
				must2(t)(b.ResealRecords(t.Context(), was, [][]byte{[]byte(newer + "c")}))
			}
			for _, want := range []bool{true, false} { // The second is too late.
				ok, err = b.RetireKeys(t.Context(), k, []byte(newer))
				must(t, err)
				equal(t, want, ok)
			}
		},
	})
}

// records are what has something sealed; a tenant has one key that signs tokens.
type records struct{ connection, endpoint, app, visit, flow string }

// sealed gives a place a connection, with its authorization, an endpoint and an app with
// something sealed.
func (b *bundle) sealed(t *testing.T, p place, sealed string) records {
	t.Helper()
	id := ident.New(ident.Connection, b.clock.now())
	must(t, b.InsertConnection(t.Context(), connection.Connection{
		ID: id, Tenant: p.tenant, Name: id, Type: connection.Bearer, Version: 1, CreatedAt: b.clock.now(), UpdatedAt: b.clock.now(),
	}, []byte(sealed)))
	a := b.app(p.tenant, "of-"+id)
	must(t, b.InsertApp(t.Context(), a, []byte(sealed)))
	agreed := b.authorization(p, id)
	agreed.App, agreed.Sealed = a.ID, []byte(sealed)
	must(t, b.InsertAuthorization(t.Context(), agreed))
	end := ident.New(ident.Endpoint, b.clock.now())
	must(t, b.InsertEndpoint(t.Context(), endpoint.Endpoint{
		ID: end, Tenant: p.tenant, Installation: p.installation, Webhook: "w", Scheme: "none", Version: 1, CreatedAt: b.clock.now(),
	}, []byte(sealed)))
	must2(t)(b.InsertTokenKey(t.Context(), token.Key{Tenant: p.tenant, Version: 1, Sealed: []byte(sealed)}))
	v, f := b.visit(p), b.flow(p)
	v.Sealed, f.Sealed = []byte(sealed), []byte(sealed)
	must(t, b.InsertVisit(t.Context(), v))
	must(t, b.InsertFlow(t.Context(), f))
	return records{connection: id, endpoint: end, app: a.ID, visit: v.ID, flow: f.ID}
}
