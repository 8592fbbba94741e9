package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func TestOneProcessServesAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "with ?#% signs.db")
	first, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got folder %v and %v, want mode 0700", info, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got file %v and %v, want mode 0600", info, err)
	}
	_, err = sqlite.Open(t.Context(), path, sqlite.Options{})
	wantCode(t, err, "database_in_use")
	shared, err := sqlite.Open(t.Context(), path, sqlite.Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := shared.Migrate(t.Context()); err != nil {
		t.Errorf("migrate beside a server: %v", err)
	}
	for _, s := range []store.Store{shared, first} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	again, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatalf("open after the first has closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("this is no database, and long enough to be sure of it: "+strings.Repeat("x", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a folder that is a file": filepath.Join(file, "cofferdam.db"),
		"a file that is a folder": t.TempDir(),
		"a file of another kind":  file,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err == nil {
				_ = s.Close()
			}
			wantCode(t, err, store.CodeUnreachable)
			if !store.Unavailable(err) {
				t.Error("it is not called unavailable")
			}
		})
	}
}

func TestSchemasThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		beyond int
		want   string
	}{
		"one newer":  {1, ""},
		"two newer":  {2, "schema_too_new"},
		"no version": {0, "schema_too_old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "cofferdam.db")
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var own int64
			if tt.beyond > 0 {
				own = migrateBeyond(t, s, path, tt.beyond)
			}
			err = s.Ready(t.Context())
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else {
				wantCode(t, err, tt.want)
			}
			if tt.beyond == 2 {
				_, _, err := s.Migrate(t.Context())
				wantCode(t, err, tt.want)
				has, knows := fmt.Sprintf("schema %d", own+2), fmt.Sprintf("%d to %d", own-1, own+1)
				if got := err.Error(); !strings.Contains(got, has) || !strings.Contains(got, knows) {
					t.Errorf("%q does not name both versions", got)
				}
			}
		})
	}
}

func TestTheSchemaBefore(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
	for name, test := range storetest.Before() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "cofferdam.db"), sqlite.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			test(t, s, sqlite.Migrator(s), now)
		})
	}
}

// migrateBeyond migrates a file, and makes it look as if a newer program had done so.
// It returns this program's version.
func migrateBeyond(t *testing.T, s store.Store, path string, beyond int) (own int64) {
	t.Helper()
	_, own, err := s.Migrate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for i := range beyond {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1)", own+int64(i)+1); err != nil {
			t.Fatal(err)
		}
	}
	return own
}

func TestAReadOnlyDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	if err := sqlite.Pragma(t.Context(), s, "query_only = 1"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Ready(t.Context()), store.CodeReadOnly)
	err := s.InsertTenant(t.Context(), tenant.Tenant{ID: "ten_1", Name: "acme"})
	wantCode(t, err, store.CodeReadOnly)
	if !store.Unavailable(err) {
		t.Error("it is not called unavailable")
	}
	if err := sqlite.Pragma(t.Context(), s, "query_only = 0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

// A full disk can end the transaction of a whole group: nobody may be told of
// success whose event is not there.
func TestAFullDiskLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	if err := s.InsertTenant(t.Context(), tenant.Tenant{ID: "ten_1", Name: "acme", State: tenant.Active}); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Pragma(t.Context(), s, "max_page_count = 120"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var kept []string
	full := 0
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			e := event.Event{ID: fmt.Sprintf("evt_%d", i), Tenant: "ten_1", Kind: event.Webhook, DedupeKey: fmt.Sprint(i), Body: make([]byte, 20_000)}
			_, err := s.Accept(t.Context(), e, &event.Work{Execution: fmt.Sprintf("exe_%d", i)})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				kept = append(kept, e.ID)
				return
			}
			full++
			wantCode(t, err, store.CodeFull)
		})
	}
	wg.Wait()
	if full == 0 {
		t.Error("the disk was never full")
	}
	events, err := s.Events(t.Context(), "ten_1", event.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	for _, e := range events {
		stored[e.ID] = true
	}
	for _, id := range kept {
		if !stored[id] {
			t.Errorf("%s was acknowledged and is not there", id)
		}
	}
	if len(stored) != len(kept) {
		t.Errorf("%d are stored, and %d were acknowledged", len(stored), len(kept))
	}
	if err := sqlite.Pragma(t.Context(), s, "max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestWhatWasAcknowledgedIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cofferdam.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := tenant.Tenant{ID: "ten_1", Name: "acme", State: tenant.Active, CreatedAt: time.UnixMicro(5).UTC()}
	if err := s.InsertTenant(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	err = s.InsertTenant(t.Context(), want)
	if !store.Unavailable(err) {
		t.Errorf("after Close: got %v, want a database that is unavailable", err)
	}
	s, err = sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	got, err := s.Tenant(t.Context(), "acme")
	if err != nil || got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Class != fault.Platform || f.Code != code || f.Hint == "" {
		t.Errorf("got error %v, want a fault platform/%s with a hint", err, code)
	}
}
