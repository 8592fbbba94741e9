package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestPagesAreFollowedToTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	want := map[string]bool{}
	for i := range 7 {
		id, _ := b.tenant(t, fmt.Sprintf("tenant-%d", i))
		want[id] = true
	}
	params, pages := map[string]any{"limit": 3}, 0
	for {
		pages++
		page := b.do(t, 200, "listTenants", params, nil)
		for _, item := range page["items"].([]any) {
			id := item.(map[string]any)["id"].(string)
			if !want[id] {
				t.Errorf("%s came twice", id)
			}
			delete(want, id)
		}
		if page["next_cursor"] == "" {
			break
		}
		params["cursor"] = page["next_cursor"]
	}
	if len(want) > 0 || pages != 3 {
		t.Errorf("%d pages leave out %v", pages, want)
	}
}

func TestTenantsLimits(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	in := map[string]any{"tenant": "acme"}
	before := b.do(t, 200, "getTenant", in, nil)["limits"].(map[string]any)
	after := b.do(t, 200, "limitTenant", in, map[string]any{"limits": map[string]any{"running": 3}})["limits"].(map[string]any)
	if after["running"] != 3.0 || after["weight"] != before["weight"] {
		t.Errorf("limits %v became %v", before, after)
	}
	if got := b.do(t, 200, "pauseTenant", in, nil)["state"]; got != "paused" {
		t.Errorf("state %v, want paused", got)
	}
	if got := b.do(t, 200, "resumeTenant", in, nil)["state"]; got != "active" {
		t.Errorf("state %v, want active", got)
	}
}

func TestTenantsRetention(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	in := map[string]any{"tenant": "acme"}
	change := func(retention map[string]any) any {
		return b.do(t, 200, "limitTenant", in, map[string]any{"retention": retention})["retention"]
	}
	for _, step := range []struct{ change, want map[string]any }{
		{map[string]any{}, map[string]any{}},
		{map[string]any{"days": 7}, map[string]any{"days": 7.0}},
		{map[string]any{"bytes": 1 << 30}, map[string]any{"days": 7.0, "bytes": float64(1 << 30)}},
		{map[string]any{"days": 0}, map[string]any{"bytes": float64(1 << 30)}},
	} {
		if got := change(step.change); !maps.Equal(got.(map[string]any), step.want) {
			t.Errorf("after %v: got %v, want %v", step.change, got, step.want)
		}
	}
	b.do(t, 422, "limitTenant", in, map[string]any{"limits": map[string]any{"running": 2}, "retention": map[string]any{"bytes": 5}})
	got := b.do(t, 200, "getTenant", in, nil)
	if got["limits"].(map[string]any)["running"] == 2.0 {
		t.Error("half of a change that was refused was made")
	}
}

func TestTenantsAreDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	in := map[string]any{"tenant": "acme"}
	own := b.do(t, 201, "createToken", in, map[string]any{"name": "own", "scopes": []string{"admin"}})["secret"].(string)
	do(t, b.c.As(own), 403, "deleteTenant", in, nil)
	// It can be called off for as long as it is asked for.
	at := func(grace string) map[string]any { return map[string]any{"tenant": "acme", "grace": grace} }
	for range 2 {
		d := b.do(t, 202, "deleteTenant", in, nil)
		if d["state"] != "asked" || d["was"] != "active" || !strings.HasPrefix(d["asked_by"].(string), "tok_") {
			t.Errorf("got %v", d)
		}
	}
	if got := b.do(t, 200, "getTenant", in, nil); got["state"] != "paused" || got["delete_at"] == nil {
		t.Errorf("got %v", got)
	}
	if got := b.do(t, 409, "resumeTenant", in, nil)["code"]; got != "tenant_leaving" {
		t.Errorf("resumed: got %v", got)
	}
	do(t, b.c.As(own), 403, "restoreTenant", in, nil)
	do(t, b.c.As(own), 403, "getDeletion", in, nil)
	for _, grace := range []string{"soon", "-1h", "91d"} {
		if got := b.do(t, 422, "deleteTenant", at(grace), nil)["code"]; got != "grace_invalid" {
			t.Errorf("a grace of %s: got %v", grace, got)
		}
	}
	for range 2 {
		if got := b.do(t, 200, "restoreTenant", in, nil)["state"]; got != "active" {
			t.Errorf("state %v, want active", got)
		}
	}
	b.do(t, 404, "getDeletion", in, nil)
	for range 2 {
		d := b.do(t, 202, "deleteTenant", at("0s"), nil)
		if d["state"] != "erasing" || d["destroyed_at"] == nil {
			t.Errorf("got %v", d)
		}
	}
	if all := b.do(t, 200, "listDeletions", nil, nil)["items"].([]any); len(all) != 1 || all[0].(map[string]any)["name"] != "acme" {
		t.Errorf("got %v", all)
	}
	b.do(t, 409, "restoreTenant", in, nil)
	// It is shown for as long as it is there, and nothing of it can be changed.
	if got := b.do(t, 200, "getTenant", in, nil)["state"]; got != "deleting" {
		t.Errorf("state %v, want deleting", got)
	}
	b.do(t, 200, "listExecutions", in, nil)
	for _, refused := range []struct {
		operation string
		body      any
	}{
		{"resumeTenant", nil},
		{"limitTenant", map[string]any{"limits": map[string]any{"running": 3}}},
		{"createToken", map[string]any{"name": "late", "scopes": []string{"read"}}},
		{"createConnection", map[string]any{"name": "late", "type": "bearer", "hosts": []string{"a.example"}, "credential": map[string]any{"token": canary}}},
	} {
		if got := b.do(t, 409, refused.operation, in, refused.body)["code"]; got != "tenant_deleting" {
			t.Errorf("%s: got %v, want tenant_deleting", refused.operation, got)
		}
	}
	do(t, b.c.As(own), 401, "getTenant", map[string]any{"tenant": "me"}, nil)
	b.do(t, 404, "deleteTenant", map[string]any{"tenant": "nobody"}, nil)
}

func TestConnectionsNeverShowTheirCredential(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	const base = "/v1/tenants/acme/connections"
	spec := `{"name":"github","type":"bearer","hosts":["api.github.com"],"credential":{"token":"` + canary + `"}}`
	for _, a := range []answer{
		b.raw(t, "POST", base, b.operator, spec),
		b.raw(t, "GET", base, b.operator, ""),
		b.raw(t, "GET", base+"/github", b.operator, ""),
		b.raw(t, "PUT", base+"/github/credential", b.operator, `{"token":"`+canary+`2"}`),
		b.raw(t, "POST", base, b.operator, spec),
	} {
		if strings.Contains(string(a.body), canary) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	got := b.do(t, 200, "getConnection", map[string]any{"tenant": "acme", "connection": "github"}, nil)
	if got["version"] != 2.0 {
		t.Errorf("version %v, want 2", got["version"])
	}
	b.do(t, 204, "deleteConnection", map[string]any{"tenant": "acme", "connection": "github"}, nil)
	b.do(t, 404, "getConnection", map[string]any{"tenant": "acme", "connection": "github"}, nil)
	if strings.Contains(b.log.String(), canary) {
		t.Error("the log shows the credential")
	}
}

func TestInstallationsLife(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	in := map[string]any{"tenant": "acme", "installation": "hello"}
	b.do(t, 200, "configureInstallation", in, map[string]any{"label": "triage"})
	p := b.do(t, 422, "configureInstallation", in, map[string]any{"label": 1, "colour": "red"})
	if !strings.Contains(fmt.Sprint(p), "/label") {
		t.Errorf("the problem does not point at /label: %v", p)
	}
	b.do(t, 200, "grantInstallation", in, map[string]any{"egress": []any{}})
	if a := b.publish(t, b.operator, connector("hello", "0.2.0"), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	if got := b.do(t, 200, "upgradeInstallation", in, map[string]any{"version": "0.2.0"})["version"]; got != "0.2.0" {
		t.Errorf("upgraded to %v", got)
	}
	if got := b.do(t, 200, "rollbackInstallation", in, nil)["version"]; got != "0.1.0" {
		t.Errorf("rolled back to %v", got)
	}
	b.do(t, 204, "removeInstallation", in, nil)
	if got := b.do(t, 200, "listInstallations", map[string]any{"tenant": "acme"}, nil)["items"].([]any); len(got) != 0 {
		t.Errorf("%d installations are left", len(got))
	}
}

func TestEndpointsSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	in := map[string]any{"tenant": "acme", "endpoint": strings.TrimPrefix(path, "/hooks/")}
	for _, a := range []answer{
		b.raw(t, "GET", "/v1/tenants/acme/endpoints", b.operator, ""),
		b.raw(t, "GET", "/v1/tenants/acme/endpoints/"+in["endpoint"].(string), b.operator, ""),
	} {
		if a.status != 200 || strings.Contains(string(a.body), secret) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	rotated := b.do(t, 200, "rotateEndpoint", in, nil)["secret"]
	if rotated == secret || rotated == "" {
		t.Errorf("rotated to %q", rotated)
	}
	b.do(t, 204, "deleteEndpoint", in, nil)
	if a := b.deliver(t, path, secret, "d-1", "{}"); a.status != 404 {
		t.Errorf("after it was deleted: %d, want 404", a.status)
	}
}

func TestPlugins(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	_, acme := b.tenant(t, "acme")
	_, other := b.tenant(t, "other")
	if a := b.publish(t, acme, connector("private", "0.1.0"), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	publisher := publisherOf(t, b, acme)
	one := map[string]any{"plugin": "private"}
	do(t, b.c.As(acme), 200, "getPlugin", one, nil)
	do(t, b.c.As(acme), 200, "getPlugin", map[string]any{"plugin": publisher + "/private"}, nil)
	do(t, b.c.As(other), 404, "getPlugin", one, nil)
	b.do(t, 200, "sharePlugin", one, map[string]any{"tenants": []string{"other"}})
	do(t, b.c.As(other), 200, "getPlugin", one, nil)
	b.do(t, 422, "sharePlugin", one, map[string]any{"tenants": []string{"nobody"}})
	version := map[string]any{"plugin": "private", "version": "0.1.0", "publisher": publisher}
	b.do(t, 200, "getVersion", version, nil)
	if got := b.do(t, 200, "yankVersion", version, map[string]any{"why": "broken"})["yanked_why"]; got != "broken" {
		t.Errorf("yanked because of %v", got)
	}
	b.do(t, 404, "getVersion", map[string]any{"plugin": "private", "version": "9.9.9"}, nil)
}

// publisherOf returns the name that a tenant publishes under.
func publisherOf(t *testing.T, b *bundle, secret string) string {
	t.Helper()
	own, err := b.h.Tokens.Authenticate(t.Context(), token.Presented{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.h.Plugins.PublisherOf(t.Context(), registry.Viewer{Tenant: own.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	return p.Name
}

func TestUploadsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	acmeID, acme := b.tenant(t, "acme")
	if a := b.publish(t, b.operator, connector("hello", "0.1.0"), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	publisher := b.token(t, acmeID, token.Publish)
	if a := b.publish(t, publisher, connector("own", "0.1.0"), nil); a.status != 201 {
		t.Errorf("with the scope publish: %d %s", a.status, a.body)
	}
	echo := runtimetest.Echo("run")
	for _, test := range []struct {
		name   string
		secret string
		wasm   []byte
		query  map[string][]string
		status int
	}{
		{"not wasm", b.operator, []byte("#!/bin/sh"), map[string][]string{"name": {"x"}, "version": {"1.0.0"}}, 422},
		{"other bytes under the same version", b.operator, append(connector("hello", "0.1.0"), 0, 3, 1, 'x', 0), nil, 409},
		{"as somebody else", acme, echo, map[string][]string{"publisher": {"somebody"}, "name": {"x"}, "version": {"1.0.0"}}, 403},
		{"a share with nobody", b.operator, echo, map[string][]string{"share": {"nobody"}, "name": {"x"}, "version": {"1.0.0"}}, 422},
		{"egress that is not JSON", b.operator, echo, map[string][]string{"egress": {"api.github.com"}, "name": {"x"}, "version": {"1.0.0"}}, 422},
		{"over the cap", b.operator, make([]byte, 33<<20), map[string][]string{"name": {"x"}, "version": {"1.0.0"}}, 413},
		{"a parameter that is not there", b.operator, echo, map[string][]string{"colour": {"x"}}, 422},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := b.publish(t, test.secret, test.wasm, test.query)
			if p := a.problem(t); a.status != test.status || p["detail"] == "" {
				t.Errorf("%d, want %d: %s", a.status, test.status, a.body)
			}
		})
	}
	t.Run("another media type", func(t *testing.T) {
		t.Parallel()
		if a := b.raw(t, "POST", "/v1/plugins", b.operator, "{}"); a.status != 415 {
			t.Errorf("%d, want 415: %s", a.status, a.body)
		}
	})
}

func TestPublishers(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	if got := b.do(t, 201, "createPublisher", nil, map[string]any{"name": "octo"})["kind"]; got != "vendor" {
		t.Errorf("kind %v, want vendor", got)
	}
	if a := b.publish(t, b.operator, connector("hello", "0.1.0"), map[string][]string{"publisher": {"octo"}}); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	b.do(t, 200, "getPlugin", map[string]any{"plugin": "hello", "publisher": "octo"}, nil)
	if got := b.do(t, 200, "listPublishers", nil, nil)["items"].([]any); len(got) == 0 {
		t.Error("no publishers are listed")
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	id, acme := b.tenant(t, "acme")
	in := map[string]any{"tenant": "me"}
	made := do(t, b.c.As(acme), 201, "createToken", in, map[string]any{"name": "reader", "scopes": []string{"read"}})
	if made["tenant"] != id {
		t.Errorf("tenant %v, want %s", made["tenant"], id)
	}
	reader := b.c.As(made["secret"].(string))
	do(t, reader, 200, "getTenant", in, nil)
	do(t, reader, 403, "createToken", in, map[string]any{"name": "more"})
	do(t, b.c.As(acme), 204, "revokeToken", map[string]any{"tenant": "me", "token": made["id"]}, nil)
	do(t, reader, 401, "getTenant", in, nil)

	ci := b.do(t, 201, "createOperatorToken", nil, map[string]any{"name": "ci"})
	do(t, b.c.As(ci["secret"].(string)), 200, "listTenants", nil, nil)
	// A tenant's token cannot end an operator's.
	do(t, b.c.As(acme), 404, "revokeToken", map[string]any{"tenant": "me", "token": ci["id"]}, nil)
	b.do(t, 204, "revokeOperatorToken", map[string]any{"token": ci["id"]}, nil)
	do(t, b.c.As(ci["secret"].(string)), 401, "listTenants", nil, nil)
	if got := b.do(t, 200, "listOperatorTokens", nil, nil)["items"].([]any); len(got) < 2 {
		t.Errorf("%d tokens are listed, want the first and ci", len(got))
	}
}

func TestExecutionsAreFoundAndCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	b.do(t, 200, "pauseTenant", map[string]any{"tenant": "acme"}, nil)
	var ids []any
	for range 3 {
		ids = append(ids, b.do(t, 202, "callAction", map[string]any{
			"tenant": "acme", "installation": "hello", "action": "greet", "mode": "async",
		}, map[string]any{})["execution"])
	}
	list := func(more map[string]any) []any {
		params := map[string]any{"tenant": "acme"}
		maps.Copy(params, more)
		return b.do(t, 200, "listExecutions", params, nil)["items"].([]any)
	}
	if got := list(map[string]any{"installation": "hello", "kind": "action", "name": "greet"}); len(got) != 3 {
		t.Errorf("%d executions are found, want 3", len(got))
	}
	if got := list(map[string]any{"tag": "order=1001"}); len(got) != 0 {
		t.Errorf("%d executions have a tag that none has", len(got))
	}
	if got := list(map[string]any{"limit": 2}); len(got) != 2 || got[0].(map[string]any)["id"] != ids[2] {
		t.Errorf("the newest two are %v", got)
	}
	one := map[string]any{"tenant": "acme", "execution": ids[0]}
	if got := b.do(t, 200, "cancelExecution", one, nil)["state"]; got != "cancelled" {
		t.Errorf("state %v, want cancelled", got)
	}
	if got := list(map[string]any{"state": "cancelled"}); len(got) != 1 {
		t.Errorf("%d executions are cancelled, want 1", len(got))
	}
	b.do(t, 200, "redriveExecution", one, nil)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	own := prometheus.NewRegistry()
	own.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "app_things", Help: "Things."}, func() float64 { return 42 }))
	b := setup(t, api.Options{Gatherer: own})
	b.tenant(t, "acme")
	for _, method := range []string{"STRANGE1", "STRANGE2"} {
		b.raw(t, method, "/v1/tenants", "", "")
	}
	a := b.raw(t, http.MethodGet, "/metrics", "", "")
	if strings.Contains(string(a.body), "STRANGE") {
		t.Errorf("a stranger's method is a label:\n%s", a.body)
	}
	for _, want := range []string{
		`cofferdam_http_requests_total{method="other",route="none",status="405"} 2`,
		`cofferdam_http_requests_total{method="POST",route="/v1/tenants",status="201"} 1`, "app_things 42",
	} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("%q is not in\n%s", want, a.body)
		}
	}
}

func TestSystemRoutes(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{Version: "1.2.3"})
	for id, want := range map[string]string{"health": "1.2.3", "ready": "1.2.3", "openapi": `"version":"1.2.3"`, "metrics": "cofferdam_completions"} {
		code, body, err := b.c.Do(t.Context(), id, nil, nil)
		if err != nil || code != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %v: %.200s", id, code, err, body)
		}
	}
	b.tenant(t, "acme")
	for _, path := range []string{"/healthz", "/v1/tenants/acme/executions/tail"} {
		if a := b.raw(t, http.MethodHead, path, b.operator, ""); a.status != 200 {
			t.Errorf("HEAD %s: %d, want 200", path, a.status)
		}
	}
}

func TestHandlerAnswersBelowAPrefix(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	mux := http.NewServeMux()
	mux.Handle("/integrations/", http.StripPrefix("/integrations", api.Handler(b.h, api.Options{})))
	rec := serve(t, mux, "/integrations/v1/tenants", b.operator)
	if rec.Code != 200 {
		t.Errorf("%d, want 200: %s", rec.Code, rec.Body)
	}
}
