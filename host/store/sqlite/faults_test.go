package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
)

func TestEveryStatementMayFail(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.Failing(t, failing(&plan), &plan)
}

func TestEveryStatementOfAGroupMayFail(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.FailingGroups(t, failing(&plan), sqlite.AcceptAll, &plan)
}

func TestADeletionGoesOnWhereverItDied(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.Deletions(t, failing(&plan), catalogue(), &plan, 5)
}

// failing opens stores of which a chosen statement fails.
func failing(plan *faults.Plan) storetest.Open {
	return func(tb testing.TB, now func() time.Time) store.Store {
		tb.Helper()
		path := filepath.Join(tb.TempDir(), "cofferdam.db")
		s, err := sqlite.Open(tb.Context(), path, sqlite.Options{Driver: faults.SQLite(plan), Now: now})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = s.Close() })
		if _, _, err := s.Migrate(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		return s
	}
}
