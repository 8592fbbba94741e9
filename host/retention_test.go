package host_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
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

func TestThePublicURLIsChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"app.example", "/cofferdam", "https://", "https://:8080", "ftp://app.example", "http://app.example", "http://10.0.0.1",
		"https://me@app.example", "https://app.example?", "https://app.example/?a=b", "https://app.example/#", "https://app.example//",
		"https://app.example/a//b", "https://app.example/../b", "https://app.example/.", "https://app.example/a%2fb", "https://app.example/a b",
		"https://app.example/\"onload=x", "https://app.example/a;b", "https://app.example/{x}",
	} {
		_, err := host.New(t.Context(), host.Config{Store: openStore(t), Keeper: newKey(t), PublicURL: bad})
		if err == nil || !strings.Contains(err.Error(), "configure host: PublicURL, which is serve's --public-url: it is ") {
			t.Errorf("%s: got %v, want it to say what is wrong", bad, err)
		}
	}
	for good, want := range map[string]string{
		"https://app.example": "https://app.example", "https://app.example/": "https://app.example", "https://app.example:8443/a/b-1_c.d~": "https://app.example:8443/a/b-1_c.d~",
		"http://localhost:8080/cofferdam/": "http://localhost:8080/cofferdam", "http://[::1]:8080": "http://[::1]:8080",
	} {
		h, err := host.New(t.Context(), host.Config{Store: openStore(t), Keeper: newKey(t), PublicURL: good, Logger: slog.New(slog.DiscardHandler), CacheDir: runtimetest.CacheDir(t)})
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		if got, callback := h.Connects.PublicURL(), h.Apps.RedirectURI("acme"); got != want || callback != want+"/oauth/callback/acme" {
			t.Errorf("%s: got %s and %s", good, got, callback)
		}
		_ = h.Close(t.Context())
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
	if got, err := b.h.Tenants.Delete(t.Context(), "acme", new(time.Duration)); err != nil || got.State != tenant.DeletionErasing {
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

// TestADeletedTenantLeavesNothing deletes a tenant to the end, and looks for what it had
// in the files of the database themselves.
func TestADeletedTenantLeavesNothing(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := runHost(t, host.Config{Store: db, Now: now, After: func(d time.Duration) <-chan time.Time {
		if d == 15*time.Second { // Until a deletion is looked at again.
			ahead.Add(int64(d))
			d = time.Millisecond
		}
		return time.After(d)
	}})
	b.tenant = b.addTenant(t, "acme", tenant.Limits{})
	b.install(t, b.tenant.ID, "plugin", runtimetest.Echo("go"), nil)
	other := b.addTenant(t, "other", tenant.Limits{})
	const secret, payload, name = "canary-credential", "canary-payload", "canary-name"
	for _, id := range []string{b.tenant.ID, other.ID} {
		spec := connection.Spec{
			Name: name, Type: connection.Bearer, Hosts: []string{"a.example"},
			Credential: connection.Credential{Token: secret}, Fields: []byte(`{"account":"` + name + id + `"}`),
		}
		if _, err := b.h.Connections.Create(t.Context(), id, spec); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if got, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, b.start(t, `"`+payload+`"`)); err != nil || got.State != execution.Succeeded {
			t.Fatalf("it is %s and %v, want succeeded", got.State, err)
		}
	}
	if _, err := b.h.Tenants.Delete(t.Context(), "acme", new(time.Duration)); err != nil {
		t.Fatal(err)
	}
	var d tenant.Deletion
	for deadline := time.Now().Add(time.Minute); d.State != tenant.DeletionDone; {
		if d, err = b.h.Tenants.Deletion(t.Context(), "acme"); err != nil || time.Now().After(deadline) {
			t.Fatalf("it is %+v and %v, want done", d, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if d.Report.Key == nil || len(d.Report.Key.IDs) != 1 || !d.Report.Key.Payloads || d.Report.Erased["executions"] != 3 || d.Report.Erased["connections"] != 1 {
		t.Errorf("got %+v", d.Report)
	}
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for what, canary := range map[string]string{
			"a credential": secret, "a payload": payload, "what is not sealed": name + b.tenant.ID,
		} {
			if bytes.Contains(raw, []byte(canary)) {
				t.Errorf("%s is in the file%s", what, suffix)
			}
		}
		if suffix == "" && !bytes.Contains(raw, []byte(name+other.ID)) {
			t.Error("another tenant's is not there: this proves nothing")
		}
	}
}
