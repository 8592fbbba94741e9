package host_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestRetentionIsChecked(t *testing.T) {
	t.Parallel()
	_, err := host.New(t.Context(), host.Config{Store: openStore(t), Keeper: newKey(t), Retention: tenant.Retention{Days: -1}})
	if err == nil || !strings.Contains(err.Error(), "configure host: Retention") {
		t.Errorf("got %v, want it to say what is wrong", err)
	}
}

// TestADeletedTenantsKeyIsForgotten holds that a process that has used a
// tenant's key does not go on using it.
func TestADeletedTenantsKeyIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Echo("go"))
	spec := connection.Spec{Name: "one", Type: connection.Bearer, Hosts: []string{"a.example"}, Credential: connection.Credential{Token: "t"}}
	if _, err := b.h.Connections.Create(t.Context(), b.tenant.ID, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, b.start(t, `1`)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.h.Tenants.Pause(t.Context(), b.tenant.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := b.h.Tenants.Delete(t.Context(), "acme"); err != nil || got.State != tenant.Deleting {
		t.Fatalf("got %s, %v", got.State, err)
	}
	spec.Name = "two"
	_, err := b.h.Connections.Create(t.Context(), b.tenant.ID, spec)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != fault.CodeNotFound {
		t.Errorf("got %v, want that there is no key to seal with", err)
	}
}

// TestRunPurges runs a host whose clock is set ahead.
func TestRunPurges(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, rounds := make(chan time.Time), make(chan time.Duration, 1)
	b := runHost(t, host.Config{
		Store: db, Now: now, Retention: tenant.Retention{Days: 5},
		After: func(d time.Duration) <-chan time.Time {
			switch {
			case d > time.Minute && d < 3*time.Minute: // Until the first round.
				return first
			case d >= 9*time.Minute: // Until the next.
				rounds <- d
			}
			return time.After(d)
		},
	})
	b.tenant = b.addTenant(t, "acme", tenant.Limits{})
	b.install(t, b.tenant.ID, "plugin", runtimetest.Echo("go"), nil)
	id := b.start(t, `1`)
	if got, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, id); err != nil || got.State != execution.Succeeded {
		t.Fatalf("it is %s and %v, want succeeded", got.State, err)
	}
	ahead.Store(int64(6 * 24 * time.Hour))
	first <- now()
	<-rounds
	_, err = b.h.Executions.Get(t.Context(), b.tenant.ID, id)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != fault.CodeNotFound {
		t.Errorf("got %v, want it to be gone", err)
	}
}
