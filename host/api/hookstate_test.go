package api_test

import (
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
)

// takes delivers once, and returns the execution that was queued.
func (b *bundle) takes(t *testing.T, path, secret, id string) string {
	t.Helper()
	a := b.deliver(t, path, secret, id, `{}`)
	var taken event.Accepted
	decode(t, a.body, &taken)
	if a.status != 202 || taken.Execution == "" {
		t.Errorf("%s: %d %s, want 202", id, a.status, a.body)
	}
	return taken.Execution
}

// ran waits until an execution of a tenant has succeeded.
func (b *bundle) ran(t *testing.T, tenant, id string) {
	t.Helper()
	x, err := b.h.Executions.Wait(t.Context(), tenant, id)
	if err != nil || x.State != execution.Succeeded {
		t.Errorf("the execution is %s with %v, %v, want succeeded", x.State, x.Error, err)
	}
}

func TestDeliveriesAreTakenWhateverTheStateOfTheInstallation(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	acme, err := b.h.Tenants.Get(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	one := map[string]any{"tenant": "acme", "installation": "hello"}
	b.do(t, 200, "pauseInstallation", one, nil)
	id := b.takes(t, path, secret, "paused")
	b.do(t, 200, "resumeInstallation", one, nil)
	b.ran(t, acme.ID, id)

	is, err := b.h.Installations.Get(t.Context(), acme.ID, "hello")
	if err != nil {
		t.Fatal(err)
	}
	broken := is
	broken.State, broken.Reason = installation.Broken, "its configuration does not fit"
	if err := b.h.Store.UpdateInstallation(t.Context(), broken, is.UpdatedAt); err != nil {
		t.Fatal(err)
	}
	id = b.takes(t, path, secret, "broken")
	b.do(t, 200, "resumeInstallation", one, nil)
	b.ran(t, acme.ID, id)

	con := b.do(t, 201, "createConnection", map[string]any{"tenant": "acme"}, map[string]any{
		"name": "github", "type": "bearer", "credential": map[string]any{"token": "t"}, "hosts": []string{"api.github.com"},
	})
	b.do(t, 204, "deleteConnection", map[string]any{"tenant": "acme", "connection": con["id"]}, nil)
	b.takes(t, path, secret, "disconnected")
}

func TestDeliveriesAreTakenDuringUpgrades(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	acme, err := b.h.Tenants.Get(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if a := b.publish(t, b.operator, connector("hello", "0.2.0"), url.Values{}); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		one := map[string]any{"tenant": "acme", "installation": "hello"}
		for i := range 10 {
			b.do(t, 200, "upgradeInstallation", one, map[string]any{"version": fmt.Sprintf("0.%d.0", 2-i%2)})
		}
	})
	var ids []string
	for i := range 30 {
		ids = append(ids, b.takes(t, path, secret, fmt.Sprint("upgraded-", i)))
	}
	wg.Wait()
	for _, id := range ids {
		b.ran(t, acme.ID, id)
	}
}

func TestARedeliveryIsNoDuplicate(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	acme, err := b.h.Tenants.Get(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	b.ran(t, acme.ID, b.takes(t, path, secret, "d-1"))
	all := b.do(t, 200, "listEvents", map[string]any{"tenant": "acme", "kind": "webhook"}, nil)["items"].([]any)
	spec := map[string]any{"event": all[0].(map[string]any)["id"], "force": true}
	b.do(t, 201, "startRedelivery", map[string]any{"tenant": "acme"}, spec)
	var runs []any
	for len(runs) < 2 && t.Context().Err() == nil {
		runs = b.do(t, 200, "listExecutions", map[string]any{"tenant": "acme", "kind": "webhook"}, nil)["items"].([]any)
	}
	b.ran(t, acme.ID, runs[0].(map[string]any)["id"].(string))
	if a := b.deliver(t, path, secret, "d-1", `{}`); a.status != 200 {
		t.Errorf("the vendor's own copy: %d %s, want 200", a.status, a.body)
	}
	if runs := b.do(t, 200, "listExecutions", map[string]any{"tenant": "acme", "kind": "webhook"}, nil)["items"].([]any); len(runs) != 2 {
		t.Errorf("%d executions, want 2", len(runs))
	}
}
