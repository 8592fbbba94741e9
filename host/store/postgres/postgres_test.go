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
	storetest.Run(t, func(t testing.TB, now func() time.Time) store.Store {
		t.Helper()
		return open(t, postgrestest.DSN(t), now)
	})
}

// open opens a database that has the schema.
func open(t testing.TB, dsn string, now func() time.Time) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, postgres.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
