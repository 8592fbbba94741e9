package sqlite_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// writeMiB accepts events whose bodies have a megabyte each, which is 256 pages of the log.
func writeMiB(t *testing.T, s store.Store, n int) {
	t.Helper()
	ctx := t.Context()
	now, err := s.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ten := tenant.Tenant{ID: ident.New(ident.Tenant, now), Name: "acme", State: tenant.Active, Limits: tenant.Limits{Running: 1, Weight: 1}, CreatedAt: now}
	if err := s.InsertTenant(ctx, ten); err != nil {
		t.Fatal(err)
	}
	for range n {
		body := make([]byte, 1<<20)
		_, _ = rand.Read(body)
		e := event.Event{ID: ident.New(ident.Event, now), Tenant: ten.ID, Kind: event.Webhook, Name: "issues", Body: body, ReceivedAt: now}
		if _, err := s.Accept(ctx, e, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheLogIsBroughtInBesideTheWriter(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	writeMiB(t, s, 8) // Half of what has the writer do it.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		_, done, err := sqlite.Log(t.Context(), s)
		switch {
		case err != nil:
			t.Fatal(err)
		case done > 0:
			return
		case time.Now().After(deadline):
			t.Fatal("after a minute none of the log is in the file")
		}
	}
}

func TestTheLogBeginsAnewUnderLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cofferdam.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeMiB(t, s, 96)
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if got, most := info.Size()>>20, int64(64); got > most {
		t.Errorf("after 96 MiB were written the log has %d MiB, want %d at most", got, most)
	}
}
