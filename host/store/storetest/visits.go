package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// visit is a new connect session of a place's tenant.
func (b *bundle) visit(p place) connect.Row {
	id := ident.New(ident.ConnectSession, b.clock.now())
	digest := sha256.Sum256([]byte(id))
	return connect.Row{
		Tenant: p.tenant, ID: id, Digest: digest[:], State: connect.Open, Body: []byte(`{}`), Version: 1,
		CreatedAt: b.clock.now(), ExpiresAt: b.clock.now().Add(30 * time.Minute),
	}
}

// flow is a new flow of a place's tenant.
func (b *bundle) flow(p place) connect.FlowRow {
	sum := sha256.Sum256([]byte(ident.New("st_", b.clock.now())))
	return connect.FlowRow{ID: hex.EncodeToString(sum[:]), Tenant: p.tenant, Sealed: []byte("sealed"), ExpiresAt: b.clock.now().Add(10 * time.Minute)}
}

func testVisits(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"are found by id, by link and by tenant": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			v, theirs := b.visit(b.acme), b.visit(b.other)
			must(t, b.InsertVisit(ctx, v))
			must(t, b.InsertVisit(ctx, theirs))
			for _, found := range []func() (connect.Row, error){
				func() (connect.Row, error) { return b.Visit(ctx, b.acme.tenant, v.ID) },
				func() (connect.Row, error) { return b.VisitByID(ctx, v.ID) },
				func() (connect.Row, error) { return b.VisitByDigest(ctx, v.Digest) },
			} {
				got, err := found()
				must(t, err)
				equal(t, v, got)
			}
			_, err := b.Visit(ctx, b.other.tenant, v.ID)
			wantNotFound(t, "Visit of another tenant", err)
			_, err = b.VisitByID(ctx, "cse_none")
			wantNotFound(t, "VisitByID", err)
			_, err = b.VisitByDigest(ctx, []byte("none"))
			wantNotFound(t, "VisitByDigest", err)
			b.clock.advance(time.Second)
			second := b.visit(b.acme)
			must(t, b.InsertVisit(ctx, second))
			all, err := b.Visits(ctx, b.acme.tenant, "", 9)
			must(t, err)
			equal(t, []connect.Row{v, second}, all)
			rest, err := b.Visits(ctx, b.acme.tenant, v.ID, 9)
			must(t, err)
			equal(t, []connect.Row{second}, rest)
			one, err := b.Visits(ctx, b.acme.tenant, "", 1)
			must(t, err)
			equal(t, []connect.Row{v}, one)
			wantNotFound(t, "InsertVisit of no tenant", b.InsertVisit(ctx, b.visit(place{tenant: "ten_none"})))
			again := b.visit(b.acme)
			again.Digest = v.Digest
			if err := b.InsertVisit(ctx, again); err == nil {
				t.Error("two sessions have one link")
			}
		},
		"change for who has read them last": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			v := b.visit(b.acme)
			must(t, b.InsertVisit(ctx, v))
			now := v
			now.Version, now.State, now.Body, now.Sealed = 2, connect.Selecting, []byte(`{"a":1}`), []byte("tokens")
			must(t, b.UpdateVisit(ctx, now))
			got, err := b.Visit(ctx, b.acme.tenant, v.ID)
			must(t, err)
			equal(t, now, got)
			wantFault(t, b.UpdateVisit(ctx, now), fault.Conflict, "version_changed")
			now.Version, now.State, now.Sealed = 3, connect.Done, nil
			must(t, b.UpdateVisit(ctx, now))
			got, err = b.VisitByID(ctx, v.ID)
			must(t, err)
			if got.Sealed != nil {
				t.Error("the tokens of a session that is done are still there")
			}
			now.Tenant, now.Version = b.other.tenant, 4
			wantNotFound(t, "UpdateVisit of another tenant", b.UpdateVisit(ctx, now))
		},
		"are forgotten": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			v, f := b.visit(b.acme), b.flow(b.acme)
			must(t, b.InsertVisit(ctx, v))
			must(t, b.InsertFlow(ctx, f))
			must(t, b.PurgeVisits(ctx, v.ExpiresAt, f.ExpiresAt))
			must2(t)(b.VisitByID(ctx, v.ID))
			if _, there, err := b.FlowTenant(ctx, f.ID); err != nil || !there {
				t.Errorf("a flow is gone before its time: %v", err)
			}
			must(t, b.PurgeVisits(ctx, v.ExpiresAt.Add(time.Second), f.ExpiresAt.Add(time.Second)))
			_, err := b.VisitByID(ctx, v.ID)
			wantNotFound(t, "VisitByID", err)
			if _, there, err := b.FlowTenant(ctx, f.ID); err != nil || there {
				t.Errorf("a flow outlives its time: %v", err)
			}
		},
		"are listed if they hold something and have expired": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			held, empty, theirs := b.visit(b.acme), b.visit(b.acme), b.visit(b.other)
			for _, v := range []*connect.Row{&held, &theirs} {
				must(t, b.InsertVisit(ctx, *v))
				v.Version, v.Sealed = 2, []byte("tokens")
				must(t, b.UpdateVisit(ctx, *v))
			}
			must(t, b.InsertVisit(ctx, empty))
			list := func(before time.Time, limit int) (ids []string) {
				all, err := b.HeldVisits(ctx, before, limit)
				must(t, err)
				for _, v := range all {
					ids = append(ids, v.ID)
				}
				return ids
			}
			equal(t, nil, list(held.ExpiresAt, 9))
			after := held.ExpiresAt.Add(time.Second)
			equal(t, 2, len(list(after, 9)))
			equal(t, 1, len(list(after, 1)))
			ten, err := b.Tenant(ctx, b.other.tenant)
			must(t, err)
			must2(t)(b.AskDeletion(ctx, ten, 0))
			equal(t, 2, len(list(after, 9)))
			must2(t)(b.DestroyKey(ctx, b.other.tenant))
			equal(t, []string{held.ID}, list(after, 9)) // The other's cannot be opened any more.
		},
		"are made for no tenant that goes": func(t *testing.T, b *bundle) {
			ten, err := b.Tenant(t.Context(), b.acme.tenant)
			must(t, err)
			must2(t)(b.AskDeletion(t.Context(), ten, 0))
			must2(t)(b.DestroyKey(t.Context(), b.acme.tenant))
			must(t, b.InsertVisit(t.Context(), b.visit(b.acme)))
			f := b.flow(b.acme)
			must(t, b.InsertFlow(t.Context(), f))
			all, err := b.Visits(t.Context(), b.acme.tenant, "", 9)
			must(t, err)
			equal(t, 0, len(all))
			_, there, err := b.FlowTenant(t.Context(), f.ID)
			must(t, err)
			equal(t, false, there)
		},
	})
}

func testFlows(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"are taken once": func(t *testing.T, b *bundle) {
			ctx := t.Context()
			f := b.flow(b.acme)
			must(t, b.InsertFlow(ctx, f))
			tenant, there, err := b.FlowTenant(ctx, f.ID)
			must(t, err)
			equal(t, true, there)
			equal(t, b.acme.tenant, tenant)
			got := make([]bool, 8)
			together(len(got), func(i int) {
				row, there, err := b.TakeFlow(ctx, f.ID)
				if err != nil || there && string(row.Sealed) != "sealed" {
					t.Errorf("took %q, %v", row.Sealed, err)
				}
				got[i] = there
			})
			n := 0
			for _, took := range got {
				if took {
					n++
				}
			}
			equal(t, 1, n)
			_, there, err = b.TakeFlow(ctx, f.ID)
			must(t, err)
			equal(t, false, there)
			_, there, err = b.FlowTenant(ctx, f.ID)
			must(t, err)
			equal(t, false, there)
		},
		"are a tenant's": func(t *testing.T, b *bundle) {
			wantNotFound(t, "InsertFlow of no tenant", b.InsertFlow(t.Context(), b.flow(place{tenant: "ten_none"})))
		},
	})
}
