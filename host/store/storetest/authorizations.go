package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

func testAuthorizations(t *testing.T, open Open) {
	tests := map[string]func(*testing.T, *bundle){
		"are kept as they are":               authorizationsKept,
		"are changed by who saw them last":   authorizationsSwapped,
		"are held by one at a time":          authorizationsHeld,
		"keep what was sealed anew":          authorizationsResealed,
		"note once that a token works":       authorizationsWorked,
		"are due in order, of all tenants":   authorizationsDue,
		"are dropped as they were":           authorizationsDropped,
		"are changed by one of many":         authorizationsRaced,
		"are nobody's without their tenant":  authorizationsOrphaned,
		"are made with an app that is there": authorizationsOfApps,
		"never outlive their app":            authorizationsOutlive,
	}
	for name, test := range tests {
		tests[name] = func(t *testing.T, b *bundle) {
			for _, id := range []string{"app_1", "app_2", "app_3"} {
				b.offer(t, app.Operator, id)
			}
			test(t, b)
		}
	}
	each(t, open, tests)
}

// offer keeps an app of that id.
func (b *bundle) offer(t testing.TB, tenant, id string) {
	t.Helper()
	a := b.app(tenant, "the "+id)
	a.ID = id
	must(t, b.InsertApp(t.Context(), a, []byte("sealed")))
}

// authorization is one of which everything is known.
func (b *bundle) authorization(p place, connection string) authorization.Row {
	now := b.clock.now()
	return authorization.Row{
		Authorization: authorization.Authorization{
			Tenant: p.tenant, Connection: connection, App: "app_1", Provider: "acme", Grant: authorization.AuthorizationCode,
			State: authorization.Active, Scopes: []string{"read", "write"}, Missing: []string{"admin"},
			ObtainedAt: now, ExpiresAt: now.Add(time.Hour), DueAt: now.Add(50 * time.Minute), WorkedAt: now.Add(-time.Minute),
			BrokenSince: now.Add(-time.Hour), FailedAt: now.Add(-2 * time.Hour), Failures: 3,
			Error: fault.New(fault.Upstream, "upstream_unavailable", "it was away").WithHint("Wait."), Version: 1,
			EndsAt: now.Add(30 * 24 * time.Hour),
		},
		TellAt: now.Add(23 * 24 * time.Hour),
		Sealed: []byte("sealed"),
	}
}

// agreed keeps an authorization, and returns it as it is stored.
func (b *bundle) agreed(t testing.TB, p place, connection string) authorization.Row {
	t.Helper()
	must(t, b.InsertAuthorization(t.Context(), b.authorization(p, connection)))
	got, err := b.Authorization(t.Context(), p.tenant, connection)
	must(t, err)
	return got
}

// swaps changes an authorization, which has to go.
func (b *bundle) swaps(t testing.TB, was, now authorization.Row, lease time.Duration) authorization.Row {
	t.Helper()
	got, ok, err := b.SwapAuthorization(t.Context(), was, now, lease)
	must(t, err)
	equal(t, true, ok)
	stored, err := b.Authorization(t.Context(), was.Tenant, was.Connection)
	must(t, err)
	if now.Version == was.Version {
		got.Sealed = stored.Sealed
	}
	got.WorkedAt = stored.WorkedAt
	equal(t, stored, got)
	return stored
}

func (b *bundle) wantUnswapped(t testing.TB, was, now authorization.Row) {
	t.Helper()
	_, ok, err := b.SwapAuthorization(t.Context(), was, now, 0)
	must(t, err)
	equal(t, false, ok)
}

func authorizationsKept(t *testing.T, b *bundle) {
	ctx := t.Context()
	want := b.authorization(b.acme, "con_1")
	got := b.agreed(t, b.acme, "con_1")
	equal(t, want, got)
	wantFault(t, b.InsertAuthorization(ctx, want), fault.Conflict, "authorization_exists")
	b.agreed(t, b.acme, "con_0")
	b.agreed(t, b.other, "con_1")
	version, state, err := b.AuthorizationVersion(ctx, b.acme.tenant, "con_1")
	must(t, err)
	equal(t, authorization.Active, state)
	equal(t, int64(1), version)
	all, err := b.Authorizations(ctx, b.acme.tenant)
	must(t, err)
	want.Sealed = nil
	first := want
	first.Connection = "con_0"
	equal(t, []authorization.Row{first, want}, all)
	_, err = b.Authorization(ctx, b.acme.tenant, "con_9")
	wantNotFound(t, "Authorization", err)
	_, _, err = b.AuthorizationVersion(ctx, b.acme.tenant, "con_9")
	wantNotFound(t, "AuthorizationVersion", err)
	bare := authorization.Row{Authorization: authorization.Authorization{
		Tenant: b.acme.tenant, Connection: "con_2", App: "app_1", Provider: "acme", Grant: authorization.ClientCredentials,
		State: authorization.Broken, ObtainedAt: b.clock.now(), Version: 1,
	}, Sealed: []byte("sealed")}
	must(t, b.InsertAuthorization(ctx, bare))
	got, err = b.Authorization(ctx, b.acme.tenant, "con_2")
	must(t, err)
	equal(t, bare, got)
}

func authorizationsSwapped(t *testing.T, b *bundle) {
	was := b.agreed(t, b.acme, "con_1")
	other := b.agreed(t, b.other, "con_1")
	now := was
	now.Version, now.App, now.Provider, now.State, now.Sealed = 2, "app_2", "other", authorization.Broken, []byte("sealed as well")
	now.Grant, now.Scopes, now.Missing = authorization.DeviceCode, []string{"all"}, nil
	now.ObtainedAt, now.ExpiresAt, now.DueAt = b.clock.now().Add(1), time.Time{}, time.Time{}
	now.ObtainedAt = now.ObtainedAt.Truncate(time.Microsecond)
	now.Failures, now.Error, now.FailedAt, now.BrokenSince = 0, nil, time.Time{}, b.clock.now()
	now.RefreshingSince, now.RefreshingHash = b.clock.now(), []byte("hash")
	stored := b.swaps(t, was, now, 0)
	b.wantUnswapped(t, was, now)
	for what, change := range map[string]func(r *authorization.Row){
		"version": func(r *authorization.Row) { r.Version++ },
		"state":   func(r *authorization.Row) { r.State = authorization.Active },
		"owner":   func(r *authorization.Row) { r.Owner = "wrk_2" },
		"lease":   func(r *authorization.Row) { r.HeldUntil = b.clock.now() },
		"intent":  func(r *authorization.Row) { r.RefreshingSince = time.Time{} },
		"due":     func(r *authorization.Row) { r.DueAt = b.clock.now() },
		"tenant":  func(r *authorization.Row) { r.Tenant = "ten_9" },
	} {
		t.Run(what, func(t *testing.T) {
			seen := stored
			change(&seen)
			b.wantUnswapped(t, seen, was)
		})
	}
	same, err := b.Authorization(t.Context(), b.other.tenant, "con_1")
	must(t, err)
	equal(t, other, same)
	b.swaps(t, stored, was, 0)
}

func authorizationsHeld(t *testing.T, b *bundle) {
	was := b.agreed(t, b.acme, "con_1")
	mine := was
	mine.Owner, mine.RefreshingSince = "wrk_1", b.clock.now()
	held := b.swaps(t, was, mine, 30*time.Second)
	equal(t, true, held.Held)
	equal(t, b.clock.now().Add(30*time.Second), held.HeldUntil)
	equal(t, "wrk_1", held.Owner)
	// Who read it before cannot have it, and who reads it now knows.
	mine.Owner = "wrk_2"
	b.wantUnswapped(t, was, mine)
	b.clock.advance(30 * time.Second)
	over, err := b.Authorization(t.Context(), b.acme.tenant, "con_1")
	must(t, err)
	equal(t, false, over.Held)
	equal(t, "wrk_1", over.Owner)
	mine = over
	mine.Owner = "wrk_2"
	theirs := b.swaps(t, over, mine, 30*time.Second)
	// The first one is late.
	held.Held = true
	b.wantUnswapped(t, held, was)
	free := b.swaps(t, theirs, theirs, 0)
	equal(t, "", free.Owner)
	equal(t, time.Time{}, free.HeldUntil)
}

func authorizationsResealed(t *testing.T, b *bundle) {
	was := b.agreed(t, b.acme, "con_1")
	p := vault.Place{Table: "authorizations", Name: "tokens"}
	records, err := b.StaleRecords(t.Context(), b.acme.tenant, p, []byte("no head"), "", 9)
	must(t, err)
	must2(t)(b.ResealRecords(t.Context(), records, [][]byte{[]byte("sealed anew")}))
	// Who had read it before takes the lease, and leaves what is sealed alone.
	held := b.swaps(t, was, was, time.Second)
	equal(t, "sealed anew", string(held.Sealed))
	next := held
	next.Version, next.Sealed = 2, []byte("of version 2")
	equal(t, "of version 2", string(b.swaps(t, held, next, 0).Sealed))
}

func authorizationsWorked(t *testing.T, b *bundle) {
	was := b.agreed(t, b.acme, "con_1")
	at := b.clock.now().Add(time.Minute)
	worked := func() authorization.Row {
		t.Helper()
		got, err := b.Authorization(t.Context(), b.acme.tenant, "con_1")
		must(t, err)
		return got
	}
	old := was
	old.Version = 9
	must(t, b.NoteWorked(t.Context(), old, at, true))
	equal(t, was, worked())
	must(t, b.NoteWorked(t.Context(), was, at, false))
	equal(t, at, worked().WorkedAt)
	equal(t, int64(3), worked().Failures)
	must(t, b.NoteWorked(t.Context(), was, at.Add(time.Hour), false)) // It is known.
	equal(t, at, worked().WorkedAt)
	must(t, b.NoteWorked(t.Context(), was, at, true))
	equal(t, int64(0), worked().Failures)
	// No change takes it back.
	equal(t, at, b.swaps(t, worked(), was, 0).WorkedAt)
}

func authorizationsDue(t *testing.T, b *bundle) {
	ctx, now := t.Context(), b.clock.now()
	put := func(p place, connection, provider, app string, state authorization.State, due time.Time) {
		r := b.authorization(p, connection)
		r.Provider, r.App, r.State, r.DueAt = provider, app, state, due
		must(t, b.InsertAuthorization(ctx, r))
	}
	due := func(f authorization.DueFilter) (found []string, next time.Time) {
		t.Helper()
		all, next, err := b.DueAuthorizations(ctx, f)
		must(t, err)
		for _, d := range all {
			found = append(found, d.Connection)
		}
		return found, next
	}
	found, next := due(authorization.DueFilter{Limit: 9})
	equal(t, 0, len(found))
	equal(t, time.Time{}, next)
	put(b.acme, "con_3", "a", "app_1", authorization.Active, now)
	put(b.other, "con_1", "a", "app_2", authorization.Revoking, now.Add(-2*time.Minute))
	put(b.acme, "con_2", "b", "app_3", authorization.Broken, now.Add(-time.Minute))
	put(b.acme, "con_never", "b", "app_3", authorization.Active, time.Time{})
	put(b.acme, "con_later", "b", "app_3", authorization.Active, now.Add(time.Minute))
	put(b.acme, "con_last", "a", "app_1", authorization.Active, now.Add(time.Hour))
	all, next, err := b.DueAuthorizations(ctx, authorization.DueFilter{Limit: 9})
	must(t, err)
	equal(t, now.Add(time.Minute), next)
	equal(t, authorization.Due{
		Tenant: b.other.tenant, Connection: "con_1", App: "app_2", Provider: "a", State: authorization.Revoking, DueAt: now.Add(-2 * time.Minute),
	}, all[0])
	for _, c := range []struct {
		filter authorization.DueFilter
		want   []string
		next   time.Time
	}{
		{authorization.DueFilter{Limit: 9}, []string{"con_1", "con_2", "con_3"}, now.Add(time.Minute)},
		{authorization.DueFilter{Limit: 2}, []string{"con_1", "con_2"}, time.Time{}},
		{authorization.DueFilter{Limit: 9, Providers: []string{"b", "c"}}, []string{"con_1", "con_3"}, now.Add(time.Hour)},
		{authorization.DueFilter{Limit: 9, Apps: []string{"app_2"}}, []string{"con_2", "con_3"}, now.Add(time.Minute)},
		{authorization.DueFilter{Limit: 9, Providers: []string{"b"}, Apps: []string{"app_1", "app_2"}}, nil, time.Time{}},
	} {
		found, next := due(c.filter)
		equal(t, c.want, found)
		if len(found) < c.filter.Limit {
			equal(t, c.next, next)
		}
	}
	// What somebody holds is not due, and what is a deleted tenant's never.
	row, err := b.Authorization(ctx, b.acme.tenant, "con_2")
	must(t, err)
	held := row
	held.Owner = "wrk_1"
	b.swaps(t, row, held, time.Second)
	found, _ = due(authorization.DueFilter{Limit: 9})
	equal(t, []string{"con_1", "con_3"}, found)
	b.clock.advance(time.Second)
	found, _ = due(authorization.DueFilter{Limit: 9})
	equal(t, []string{"con_1", "con_2", "con_3"}, found)
	other, err := b.Tenant(ctx, b.other.tenant)
	must(t, err)
	must2(t)(b.AskDeletion(ctx, other, 0))
	must2(t)(b.DestroyKey(ctx, b.other.tenant))
	found, _ = due(authorization.DueFilter{Limit: 9})
	equal(t, false, slices.Contains(found, "con_1"))
}

func authorizationsDropped(t *testing.T, b *bundle) {
	was := b.agreed(t, b.acme, "con_1")
	now := was
	now.State = authorization.Revoking
	now = b.swaps(t, was, now, 0)
	for _, c := range []struct {
		row  authorization.Row
		want bool
	}{{was, false}, {now, true}, {now, false}} {
		ok, err := b.DropAuthorization(t.Context(), c.row)
		must(t, err)
		equal(t, c.want, ok)
	}
	_, err := b.Authorization(t.Context(), b.acme.tenant, "con_1")
	wantNotFound(t, "Authorization", err)
}

func authorizationsRaced(t *testing.T, b *bundle) {
	was := b.agreed(t, b.acme, "con_1")
	won := make([]bool, 8)
	together(len(won), func(i int) {
		mine := was
		mine.Owner = names("wrk_", len(won))[i]
		_, ok, err := b.SwapAuthorization(t.Context(), was, mine, time.Minute)
		if err != nil {
			t.Error(err)
		}
		won[i] = ok
	})
	wins := 0
	for i, ok := range won {
		if ok {
			wins++
			got, err := b.Authorization(t.Context(), b.acme.tenant, "con_1")
			must(t, err)
			equal(t, names("wrk_", len(won))[i], got.Owner)
		}
	}
	equal(t, 1, wins)
}

func authorizationsOrphaned(t *testing.T, b *bundle) {
	wantNotFound(t, "InsertAuthorization", b.InsertAuthorization(t.Context(), b.authorization(place{tenant: "ten_9"}, "con_1")))
}

func authorizationsOfApps(t *testing.T, b *bundle) {
	ctx := t.Context()
	b.offer(t, b.other.tenant, "app_theirs")
	b.offer(t, b.acme.tenant, "app_own")
	r := b.authorization(b.acme, "con_1")
	for _, missing := range []string{"app_none", "app_theirs"} {
		r.App = missing
		wantNotFound(t, "InsertAuthorization with "+missing, b.InsertAuthorization(ctx, r))
	}
	was := b.agreed(t, b.acme, "con_1")
	for _, missing := range []string{"app_none", "app_theirs"} {
		now := was
		now.App = missing
		_, ok, err := b.SwapAuthorization(ctx, was, now, 0)
		wantNotFound(t, "SwapAuthorization to "+missing, err)
		equal(t, false, ok)
	}
	now := was
	now.App = "app_own"
	was = b.swaps(t, was, now, 0)
	wantFault(t, b.DeleteApp(ctx, b.acme.tenant, "app_own"), fault.Conflict, "app_in_use")
	must2(t)(b.App(ctx, b.acme.tenant, "app_own")) // It is there as before.
	gone, err := b.DropAuthorization(ctx, was)
	must(t, err)
	equal(t, true, gone)
	must(t, b.DeleteApp(ctx, b.acme.tenant, "app_own"))
}

// authorizationsOutlive has apps deleted while the first is authorized with them: one of
// the two is told that it cannot be.
func authorizationsOutlive(t *testing.T, b *bundle) {
	for _, id := range names("app_own_", 20) {
		b.offer(t, b.acme.tenant, id)
		was := b.agreed(t, b.acme, "con_of_"+id)
		errs := make([]error, 3)
		together(len(errs), func(i int) {
			now := was
			switch now.App = id; i {
			case 0:
				errs[i] = b.DeleteApp(t.Context(), b.acme.tenant, id)
			case 1:
				_, _, errs[i] = b.SwapAuthorization(t.Context(), was, now, 0)
			default:
				now.Connection = "con_new_" + id
				errs[i] = b.InsertAuthorization(t.Context(), now)
			}
		})
		deleted := errs[0] == nil
		if !deleted {
			wantFault(t, errs[0], fault.Conflict, "app_in_use")
		}
		for _, err := range errs[1:] {
			if err != nil {
				wantNotFound(t, "authorize", err)
			}
			if deleted != (err != nil) {
				t.Errorf("%s: the app's deletion gave %v, and who used it %v", id, errs[0], err)
			}
		}
	}
}
