package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

// TestStoreWhoseGroupsAreBegunAnew has whatever is written be written twice, the first
// time in vain.
func TestStoreWhoseGroupsAreBegunAnew(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB, now func() time.Time) store.Store {
		tb.Helper()
		s := open(tb, now)
		sqlite.Troubled(s)
		return s
	})
}

// TestATransactionThatEndsByItselfKeepsNothing: what comes after in its group would be
// committed statement by statement, and be told that it was not.
func TestATransactionThatEndsByItselfKeepsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, time.Now)
	err := sqlite.BesideOneThatEnds(t.Context(), s, func(ctx context.Context, tx store.Conn) error {
		_, err := tx.ExecContext(ctx, `UPDATE sequences SET value = 1000 WHERE name = 'ready'`)
		return err
	})
	if err == nil {
		t.Error("a write is told that it was made, in a transaction that has ended")
	}
	var value int
	if err := sqlite.Reader(s).QueryRowContext(t.Context(), `SELECT value FROM sequences WHERE name = 'ready'`).Scan(&value); err != nil || value == 1000 {
		t.Errorf("it reads %d, and %v: the write was made nevertheless", value, err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("the next group: %v", err)
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	storetest.Groups(t, open, sqlite.AcceptAll)
}

// open opens a new file with the schema.
func open(tb testing.TB, now func() time.Time) store.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "data", "cofferdam.db"), sqlite.Options{Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	if _, _, err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestRetention(t *testing.T) {
	t.Parallel()
	storetest.Retention(t, open, catalogue())
}

func catalogue() storetest.Catalogue {
	return storetest.Catalogue{
		Conn: sqlite.Reader,
		Columns: `SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
		 WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'goose_db_version'`,
	}
}
