package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// ailingHost is a tenant with a connection whose token an app gets for itself, and a
// plugin that places an order with it.
type ailingHost struct {
	*connects

	vendor *vendor
	// ahead is by how much the host's clock is.
	ahead atomic.Int64
}

func setupAiling(t *testing.T, change ...func(*host.Config)) *ailingHost {
	t.Helper()
	a := &ailingHost{vendor: newVendor(t)}
	change = append(change, near, func(c *host.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }
	})
	a.connects = setupConnect(t, change...)
	in := map[string]any{"tenant": a.tenant}
	robot := a.vendor.app("robot", "client_credentials")
	robot["variables"] = map[string]string{"account": "a-1"}
	a.do(t, 201, "createApp", in, robot)
	con := a.do(t, 201, "createConnection", in, map[string]any{"name": "vendor", "type": "oauth2", "app": "robot"})
	wasm := runtimetest.Insisting(fmt.Sprintf(`{"name":"orders","version":"1.0.0","actions":[{"name":"order"}],
		"connections":[{"name":"vendor","type":"oauth2","provider":"vendor","hosts":[%[1]q]}],"egress":[{"host":%[1]q,"methods":["POST"]}]}`, a.vendor.host()),
		fmt.Sprintf(`{"method":"POST","url":"%s/orders","connection":"vendor","body":"1"}`, a.vendor.srv.URL),
		`{"code":"auth","message":"the vendor does not take the token"}`)
	if r := a.publish(t, a.operator, wasm, nil); r.status != 201 {
		t.Fatalf("publish: %d %s", r.status, r.body)
	}
	a.do(t, 201, "createInstallation", in, map[string]any{
		"plugin": "orders", "grants": map[string]any{
			"egress":      []map[string]any{{"host": a.vendor.host(), "methods": []string{"POST"}}},
			"connections": map[string]any{"vendor": con["id"]},
		},
	})
	return a
}

// order has the plugin place one, and returns the execution.
func (a *ailingHost) order(t *testing.T) string {
	t.Helper()
	call := map[string]any{"tenant": a.tenant, "installation": "orders", "action": "order", "mode": "async"}
	return a.do(t, 202, "callAction", call, map[string]any{})["execution"].(string)
}

// waits returns once an execution is waiting. (A tail would look from the host's time on,
// which is ahead of the store's.)
func (a *ailingHost) waits(t *testing.T, id string) execution.Execution {
	t.Helper()
	for range 600 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		x, _ := a.h.Executions.Wait(ctx, a.tenant, id)
		cancel()
		if x.State == execution.Waiting {
			return x
		}
		if x.State.Done() {
			t.Fatalf("the execution is %s with %v, want waiting", x.State, x.Error)
		}
	}
	t.Fatal("the execution does not wait")
	return execution.Execution{}
}

// succeeds waits for an execution that does.
func (a *ailingHost) succeeds(t *testing.T, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := a.h.Executions.Wait(ctx, a.tenant, id); err != nil || got.State != execution.Succeeded {
		t.Fatalf("the execution is %s with %v and %v, want succeeded", got.State, got.Error, err)
	}
}

// ordered places an order that goes well.
func (a *ailingHost) ordered(t *testing.T, want [3]int) {
	t.Helper()
	a.succeeds(t, a.order(t))
	if got := a.vendor.counts(); got != want {
		t.Fatalf("there were %v tokens, effects and refusals, want %v", got, want)
	}
}

// told are the kinds of the notices, the newest first.
func (a *ailingHost) told(t *testing.T, operation string, params map[string]any) string {
	t.Helper()
	var kinds []string
	for _, n := range a.do(t, 200, operation, params, nil)["items"].([]any) {
		kinds = append(kinds, n.(map[string]any)["kind"].(string))
	}
	return strings.Join(kinds, " ")
}

func (a *ailingHost) health(t *testing.T) map[string]any {
	t.Helper()
	return a.do(t, 200, "getConnectionHealth", map[string]any{"tenant": a.tenant, "connection": "vendor"}, nil)
}

func onPostgres(t *testing.T) func(*host.Config) {
	t.Helper()
	return func(c *host.Config) {
		db, err := postgres.Open(t.Context(), postgrestest.DSN(t), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		c.Store = db
	}
}

// TestAConnectionBreaksAndMends: its token ends, is refused, and is not to be had any
// more; all that a caller sees is that it took longer.
func TestAConnectionBreaksAndMends(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T) func(*host.Config){
		"sqlite":   func(*testing.T) func(*host.Config) { return func(*host.Config) {} },
		"postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := setupAiling(t, change(t))
			a.ordered(t, [3]int{1, 1, 0})

			// Its token ends: another is got before the request is sent.
			a.ahead.Store(int64(2 * time.Hour))
			a.ordered(t, [3]int{2, 2, 0})

			// The API refuses one that has not ended: another is got, once.
			a.vendor.set(func(v *vendor) { v.good = "" })
			a.ordered(t, [3]int{3, 3, 1})
			if got := a.health(t); got["state"] != "healthy" || got["waiting"] != 0.0 {
				t.Errorf("its health is %v", got)
			}
			if got := a.told(t, "listTenantNotices", map[string]any{"tenant": a.tenant}); got != "" {
				t.Errorf("the tenant was told of %q, though nothing broke", got)
			}

			// There is none any more: what needs one waits, and it is told once.
			a.vendor.set(func(v *vendor) { v.good, v.refusal = "", "invalid_grant" })
			a.ahead.Store(int64(4 * time.Hour))
			id := a.order(t)
			if got := a.waits(t, id); got.Reason != execution.ReasonReconnect {
				t.Fatalf("it waits for %q", got.Reason)
			}
			a.broken(t, id, 1)
			second := a.order(t)
			a.waits(t, second)
			a.broken(t, id, 2)

			// It is connected anew: all that waited goes on by itself, once each.
			effects := a.vendor.counts()[1]
			a.reconnect(t)
			a.succeeds(t, id)
			a.succeeds(t, second)
			if got := a.vendor.counts()[1] - effects; got != 2 {
				t.Errorf("2 executions had %d effects", got)
			}
			if got := a.health(t); got["state"] != "healthy" || got["waiting"] != 0.0 || got["last_error"] != nil || got["broken_since"] != nil {
				t.Errorf("its health is %v", got)
			}
			if got := a.told(t, "listTenantNotices", map[string]any{"tenant": a.tenant}); got != "connection_mended connection_broken" {
				t.Errorf("the tenant was told of %q", got)
			}
			if got := a.do(t, 200, "listConnectionHealth", nil, nil)["items"].([]any); len(got) != 0 {
				t.Errorf("the operator still sees %v", got)
			}
		})
	}
}

// reconnect has the vendor give tokens again, and one got in a session.
func (a *ailingHost) reconnect(t *testing.T) {
	t.Helper()
	a.vendor.set(func(v *vendor) { v.refusal = "" })
	made := a.do(t, 201, "createConnectSession", map[string]any{"tenant": a.tenant}, map[string]any{"app": "robot", "connection": "vendor"})
	session := map[string]any{"tenant": a.tenant, "session": made["id"]}
	if got := a.do(t, 200, "stepConnectSession", session, map[string]any{"step": "consent"}); got["state"] != "done" {
		t.Fatalf("the session is %v", got)
	}
}

// TestWhatAnAPIRefusesGoesOnOnceItIsReconnected: though its provider thinks the token
// good, so that nothing but the API says that it is broken.
func TestWhatAnAPIRefusesGoesOnOnceItIsReconnected(t *testing.T) {
	t.Parallel()
	a := setupAiling(t)
	a.ordered(t, [3]int{1, 1, 0})
	a.vendor.set(func(v *vendor) { v.good = "" })
	a.ordered(t, [3]int{2, 2, 1})
	a.vendor.set(func(v *vendor) { v.good = "" }) // No refresh is forced so soon again.
	id := a.order(t)
	if got := a.waits(t, id); got.Reason != execution.ReasonReconnect {
		t.Fatalf("it waits for %q", got.Reason)
	}
	if got := a.health(t); got["state"] != "broken" || got["waiting"] != 1.0 {
		t.Errorf("its health is %v", got)
	}
	a.reconnect(t)
	a.succeeds(t, id)
	if got := a.vendor.counts(); got != [3]int{3, 3, 2} {
		t.Errorf("there were %v tokens, effects and refusals", got)
	}
	if got := a.health(t); got["state"] != "healthy" || got["waiting"] != 0.0 {
		t.Errorf("its health is %v", got)
	}
}

// broken looks at a connection that is, in all places that say so.
func (a *ailingHost) broken(t *testing.T, oldest string, waiting int) {
	t.Helper()
	got := a.health(t)
	if got["state"] != "broken" || got["waiting"] != float64(waiting) || got["oldest_waiting"] != oldest || got["broken_since"] == nil ||
		len(got["installations"].([]any)) != 1 || got["last_error"].(map[string]any)["class"] != "auth" {
		t.Errorf("its health is %v, with %d waiting, the oldest %s", got, waiting, oldest)
	}
	for operation, params := range map[string]map[string]any{"listConnectionHealth": nil, "listTenantConnectionHealth": {"tenant": a.tenant}} {
		all := a.do(t, 200, operation, params, nil)["items"].([]any)
		if len(all) != 1 || all[0].(map[string]any)["connection"] != got["connection"] || all[0].(map[string]any)["state"] != "broken" {
			t.Errorf("%s: %v", operation, all)
		}
	}
	for operation, params := range map[string]map[string]any{"listNotices": nil, "listTenantNotices": {"tenant": a.tenant}} {
		if told := a.told(t, operation, params); told != "connection_broken" {
			t.Errorf("%s: %q", operation, told)
		}
	}
}

// TestHealthAndNoticesAreTheTenantsOwn: nobody else sees them.
func TestHealthAndNoticesAreTheTenantsOwn(t *testing.T) {
	t.Parallel()
	a := setupAiling(t)
	a.vendor.set(func(v *vendor) { v.good, v.refusal = "", "invalid_grant" })
	a.waits(t, a.order(t))
	_, secret := a.bundle.tenant(t, "rival")
	rival := a.c.As(secret)
	do(t, rival, 404, "getConnectionHealth", map[string]any{"tenant": "me", "connection": "vendor"}, nil)
	for _, operation := range []string{"listTenantConnectionHealth", "listTenantNotices"} {
		if all := do(t, rival, 200, operation, map[string]any{"tenant": "me"}, nil)["items"].([]any); len(all) != 0 {
			t.Errorf("%s: a rival sees %v", operation, all)
		}
		do(t, rival, 404, operation, map[string]any{"tenant": a.tenant}, nil)
	}
	for _, operation := range []string{"listConnectionHealth", "listNotices"} {
		do(t, rival, 403, operation, nil, nil)
	}
}
