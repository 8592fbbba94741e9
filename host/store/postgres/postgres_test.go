package postgres_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, fresh)
}

func TestGroups(t *testing.T) {
	t.Parallel()
	storetest.Groups(t, fresh, postgres.AcceptAll)
}

// fresh opens a database of its own.
func fresh(tb testing.TB, now func() time.Time) store.Store {
	tb.Helper()
	return open(tb, postgrestest.DSN(tb), now)
}

// open opens a database that has the schema.
func open(tb testing.TB, dsn string, now func() time.Time) store.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), dsn, postgres.Options{Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestRetention(t *testing.T) {
	t.Parallel()
	storetest.Retention(t, fresh, catalogue())
}

func catalogue() storetest.Catalogue {
	return storetest.Catalogue{
		Conn: postgres.Reader,
		Columns: `SELECT table_name, column_name FROM information_schema.columns
		 WHERE table_schema = 'public' AND table_name <> 'goose_db_version'`,
	}
}
