package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// The table of authorizations is held up, so that a deletion and a use of the app are in
// their transactions both: whoever came first has it, and the other waits and sees that.
func TestAnAppIsDeletedOrUsed(t *testing.T) {
	t.Parallel()
	row := authorization.Row{Authorization: authorization.Authorization{
		Tenant: acme, Connection: "con_1", App: "app_2", Provider: "test", State: authorization.Active, Version: 1,
	}, Sealed: []byte("sealed")}
	insert := func(ctx context.Context, s store.Store) error { return s.InsertAuthorization(ctx, row) }
	swap := func(ctx context.Context, s store.Store) error {
		was, err := s.Authorization(ctx, acme, "con_0")
		if err != nil {
			return err
		}
		now := was
		now.App = row.App
		_, _, err = s.SwapAuthorization(ctx, was, now, 0)
		return err
	}
	remove := func(ctx context.Context, s store.Store) error { return s.DeleteApp(ctx, acme, row.App) }
	// The first mode lets others read, the second does not.
	const writes, reads = "EXCLUSIVE", "ACCESS EXCLUSIVE"
	for name, c := range map[string]struct {
		first, second func(context.Context, store.Store) error
		held          string
		want          string
	}{
		"as it is inserted":     {insert, remove, writes, "app_in_use"},
		"as it is changed to":   {swap, remove, writes, "app_in_use"},
		"before it is inserted": {remove, insert, reads, fault.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, dsn := t.Context(), postgrestest.DSN(t)
			s := open(t, dsn, time.Now)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(s.InsertTenant(ctx, tenant.Tenant{ID: acme, Name: "acme", State: tenant.Active, Limits: tenant.Limits{Running: 3, Weight: 1}}))
			for _, id := range []string{"app_1", "app_2"} {
				must(s.InsertApp(ctx, app.App{ID: id, Tenant: acme, Name: id, Version: 1}, []byte("sealed")))
			}
			before := row
			before.Connection, before.App = "con_0", "app_1"
			must(s.InsertAuthorization(ctx, before))

			holder, err := pgx.Connect(ctx, dsn)
			must(err)
			defer func() { _ = holder.Close(ctx) }()
			tx, err := holder.Begin(ctx)
			must(err)
			_, err = tx.Exec(ctx, `LOCK TABLE authorizations IN `+c.held+` MODE`)
			must(err)
			first, second := make(chan error, 1), make(chan error, 1)
			go func() { first <- c.first(ctx, s) }()
			waiters(t, tx, 1)
			go func() { second <- c.second(ctx, s) }()
			waiters(t, tx, 2)
			must(tx.Commit(ctx))
			must(<-first)
			if got := fault.From(<-second); got == nil || got.Code != c.want {
				t.Errorf("who came second got %v, want %s", got, c.want)
			}
		})
	}
}
