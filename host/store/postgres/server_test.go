package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

const acme = "ten_acme"

// cluster opens several stores on one database, which has one tenant.
func cluster(t *testing.T, n int) (dsn string, stores []store.Store) {
	t.Helper()
	dsn = postgrestest.DSN(t)
	for range n {
		stores = append(stores, open(t, dsn, nil))
	}
	err := stores[0].InsertTenant(t.Context(), tenant.Tenant{ID: acme, Name: "acme", State: tenant.Active, Limits: tenant.Limits{Running: 3, Weight: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return dsn, stores
}

// run executes a statement on a connection of its own.
func run(t *testing.T, dsn, statement string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	if _, err := c.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}

func accept(ctx context.Context, s store.Store, id, key string) (event.Accepted, error) {
	return acceptIn(ctx, s, id, key, event.Live)
}

func acceptIn(ctx context.Context, s store.Store, id, key string, l event.Lane) (event.Accepted, error) {
	e := event.Event{ID: "evt_" + id, Tenant: acme, Kind: event.Webhook, Source: "end_1", DedupeKey: key}
	return s.Accept(ctx, e, &event.Work{Execution: "exe_" + id, Lane: l})
}

func TestTheCapHoldsForAllProcesses(t *testing.T) {
	t.Parallel()
	_, stores := cluster(t, 3)
	n := 0
	storetest.CapUnderLoad(t, []execution.Claims{stores[0], stores[1], stores[2]}, stores[1], acme, func(l event.Lane) {
		n++
		if _, err := acceptIn(t.Context(), stores[0], fmt.Sprint(n), "", l); err != nil {
			t.Fatal(err)
		}
	})
}

// Groups of two processes share keys in different orders: nothing blocks, and
// each key is accepted once.
func TestProcessesAcceptEachKeyOnce(t *testing.T) {
	t.Parallel()
	_, stores := cluster(t, 2)
	const keys = 40
	var mu sync.Mutex
	fresh := map[string]int{}
	var wg sync.WaitGroup
	for i, s := range stores {
		for k := range keys {
			if i == 1 {
				k = keys - 1 - k
			}
			wg.Go(func() {
				key := fmt.Sprint("key", k)
				a, err := accept(t.Context(), s, fmt.Sprintf("%d_%d", i, k), key)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if !a.Duplicate {
					fresh[key]++
				}
			})
		}
	}
	wg.Wait()
	for key, n := range fresh {
		if n != 1 {
			t.Errorf("%s was accepted %d times", key, n)
		}
	}
	if len(fresh) != keys {
		t.Errorf("%d keys were accepted, want %d", len(fresh), keys)
	}
}

func TestHintsReachOtherProcesses(t *testing.T) {
	t.Parallel()
	_, stores := cluster(t, 2)
	// The first hint says that the listener listens now.
	for _, s := range stores {
		if got := receive(t, s.Woken()); got != "" {
			t.Errorf("got %q first, want the hint that any tenant may have work", got)
		}
	}
	stores[0].Wake(t.Context(), acme)
	if got := receive(t, stores[1].Woken()); got != acme {
		t.Errorf("got %q, want %q", got, acme)
	}
	stores[1].Wake(t.Context(), "ten_reply")
	// Its own hint did not come back to the first.
	if got := receive(t, stores[0].Woken()); got != "ten_reply" {
		t.Errorf("got %q, want the other's hint", got)
	}
}

func receive(t *testing.T, hints <-chan string) string {
	t.Helper()
	select {
	case h := <-hints:
		return h
	case <-time.After(30 * time.Second):
		t.Fatal("no hint came")
		return ""
	}
}

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	stores := []store.Store{open(t, dsn, nil), open(t, dsn, nil), open(t, dsn, nil)}
	wantCode(t, stores[0].Ready(t.Context()), fault.Platform, "schema_too_old")
	var wg sync.WaitGroup
	versions := make([]int64, len(stores))
	for i, s := range stores {
		wg.Go(func() {
			var err error
			if _, versions[i], err = s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if versions[0] == 0 || versions[0] != versions[1] || versions[0] != versions[2] {
		t.Errorf("got versions %d, want one and the same", versions)
	}
	if err := stores[1].Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSchemasOfOtherVersions(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	s := open(t, dsn, nil)
	const newer = "INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version"
	run(t, dsn, newer)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("one newer: %v", err)
	}
	run(t, dsn, newer)
	wantCode(t, s.Ready(t.Context()), fault.Platform, "schema_too_new")
	_, _, err := s.Migrate(t.Context())
	wantCode(t, err, fault.Platform, "schema_too_new")
}

func TestTheSchemaBefore(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
	for name, test := range storetest.Before() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, postgrestest.Empty(t), now)
			test(t, s, postgres.Migrator(s), now)
		})
	}
}

func TestServersThatWouldLoseWhatTheyAcknowledge(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{"off": "database_not_durable", "local": "", "on": ""} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.Empty(t)
			run(t, dsn, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = `+setting+`', current_database()); END $$`)
			s, err := postgres.Open(t.Context(), dsn, postgres.Options{})
			if want != "" {
				wantCode(t, err, fault.Platform, want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAddressesThatDoNotWork(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), "mysql://example", postgres.Options{})
	wantCode(t, err, fault.InvalidInput, "database_address_invalid")
	_, err = postgres.Open(t.Context(), "postgres://nobody:secret@127.0.0.1:1/none?connect_timeout=2", postgres.Options{})
	wantCode(t, err, fault.Platform, store.CodeUnreachable)
	if !store.Unavailable(err) {
		t.Error("it is not called unavailable")
	}
}

func TestAReadOnlyServerSaysSo(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	run(t, dsn, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	s := open(t, dsn, nil)
	wantCode(t, s.Ready(t.Context()), fault.Platform, store.CodeReadOnly)
	err := s.InsertTenant(t.Context(), tenant.Tenant{ID: acme, Name: "acme"})
	wantCode(t, err, fault.Platform, store.CodeReadOnly)
	_, err = accept(t.Context(), s, "1", "k")
	wantCode(t, err, fault.Platform, store.CodeReadOnly)
}

// While connections are cut, calls may fail, and say that the database was
// away; whoever was told of success finds the event, and later calls work.
func TestConnectionsThatAreCut(t *testing.T) {
	t.Parallel()
	dsn, stores := cluster(t, 1)
	s := stores[0]
	stop := make(chan struct{})
	var mu sync.Mutex
	var kept []string
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				a, err := accept(t.Context(), s, fmt.Sprintf("%d_%d", w, i), fmt.Sprintf("%d_%d", w, i))
				if err != nil {
					if !store.Unavailable(err) {
						t.Errorf("got %v, want a database that is unavailable", err)
					}
					continue
				}
				mu.Lock()
				kept = append(kept, a.Event)
				mu.Unlock()
			}
		})
	}
	for range 5 {
		run(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	close(stop)
	wg.Wait()
	for _, id := range kept {
		if _, err := s.Event(t.Context(), acme, id); err != nil && !store.Unavailable(err) {
			t.Errorf("%s was acknowledged: %v", id, err)
		}
	}
	for range 50 { // Idle connections that were cut are found out one by one.
		if _, err := accept(t.Context(), s, "last", "last"); err == nil {
			return
		}
	}
	t.Error("the store did not recover")
}

func TestTheClockIsTheServers(t *testing.T) {
	t.Parallel()
	_, stores := cluster(t, 1)
	before := time.Now()
	got, err := stores[0].Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Sub(before).Abs(); d > 10*time.Second {
		t.Errorf("the server's clock, which is this machine's, is off by %v", d)
	}
}

func wantCode(t *testing.T, err error, class fault.Class, code string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Class != class || f.Code != code || f.Hint == "" {
		t.Errorf("got error %v, want a fault %s/%s with a hint", err, class, code)
	}
}
