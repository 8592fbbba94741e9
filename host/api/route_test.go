package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// TestEveryRouteIsInTheTable walks the router: what is mounted around the table,
// and so around the guard, shows here.
func TestEveryRouteIsInTheTable(t *testing.T) {
	t.Parallel()
	_, doc := document(t)
	router, ok := api.Handler(nil, api.Options{}).(chi.Routes)
	if !ok {
		t.Fatal("the handler is not a chi router")
	}
	mounted := 0
	err := chi.Walk(router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		mounted++
		op, ok := doc.Paths[path][strings.ToLower(method)]
		if !ok {
			t.Errorf("%s %s is not in the route table", method, path)
			return nil
		}
		want := "public"
		switch {
		case strings.HasPrefix(path, "/v1/tenants/{tenant}/") && op.Reach != "operator":
			want = "tenant"
		case strings.HasPrefix(path, "/v1/"):
			if op.Reach == "public" {
				t.Errorf("%s %s is public", method, path)
			}
			return nil
		}
		if op.Reach != want && !strings.HasPrefix(path, "/v1/tenants/{tenant}/") {
			t.Errorf("%s %s has the reach %q, want %q", method, path, op.Reach, want)
		}
		if want == "tenant" && op.Reach != want {
			t.Errorf("%s %s belongs to a tenant and has the reach %q", method, path, op.Reach)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for _, item := range doc.Paths {
		declared += len(item)
	}
	if mounted != declared {
		t.Errorf("%d routes are mounted, and %d are in the table", mounted, declared)
	}
}

// fixture has two tenants, one of which, victim, has one of everything.
type fixture struct {
	*bundle
	// thief is a token of the other tenant.
	thief string
	// ids are the victim's things, by the name of the path parameter.
	ids map[string]string
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.PublicURL = "https://cofferdam.example" })
	f := fixture{bundle: b, ids: map[string]string{"action": "greet", "poll": "news", "version": "0.1.0", "run": "job_none", "provider": "github"}}
	var secret string
	f.ids["tenant"], secret = b.tenant(t, "victim")
	_, f.thief = b.tenant(t, "thief")
	a := b.publish(t, secret, connector("private", "0.1.0"), nil)
	if a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	var version struct{ Plugin string }
	if err := json.Unmarshal(a.body, &version); err != nil {
		t.Fatal(err)
	}
	f.ids["plugin"] = version.Plugin
	f.ids["publisher"] = b.do(t, 200, "getPlugin", map[string]any{"plugin": version.Plugin}, nil)["publisher"].(string)
	f.ids["key"] = b.do(t, 201, "addPublisherKey", map[string]any{"publisher": f.ids["publisher"]}, map[string]any{"public_key": newKey(t)})["id"].(string)
	in := map[string]any{"tenant": f.ids["tenant"]}
	f.ids["connection"] = b.do(t, 201, "createConnection", in, map[string]any{
		"name": "github", "type": "bearer", "hosts": []string{"api.github.com"}, "credential": map[string]any{"token": "t0k3n"},
	})["id"].(string)
	f.ids["session"] = b.do(t, 201, "createConnectSession", in, map[string]any{"connection": "github"})["id"].(string)
	f.ids["app"] = b.do(t, 201, "createApp", in, map[string]any{
		"name": "github", "provider": "github", "client_id": "c", "secret": map[string]any{"client_secret": "s3cr3t"},
	})["id"].(string)
	f.ids["installation"] = b.do(t, 201, "createInstallation", in, map[string]any{"plugin": "private"})["id"].(string)
	f.ids["endpoint"] = b.do(t, 201, "createEndpoint", in, map[string]any{
		"installation": f.ids["installation"], "webhook": "issues",
	})["id"].(string)
	f.ids["schedule"] = b.do(t, 201, "createSchedule", in, map[string]any{
		"installation": f.ids["installation"], "poll": "news", "when": map[string]any{"cron": "0 3 * * *"}, "paused": true,
	})["id"].(string)
	f.ids["destination"] = b.do(t, 201, "createDestination", in, map[string]any{"url": "https://app.invalid/hooks", "kinds": []string{"record.*"}})["id"].(string)
	f.ids["delivery"] = b.do(t, 200, "testDestination", map[string]any{"tenant": f.ids["tenant"], "destination": f.ids["destination"]}, nil)["id"].(string)
	f.ids["object"] = b.do(t, 200, "putWatch", map[string]any{"tenant": f.ids["tenant"], "object": f.ids["endpoint"]}, map[string]any{"within_seconds": 3600})["object"].(string)
	call := b.do(t, 200, "callAction", map[string]any{
		"tenant": f.ids["tenant"], "installation": f.ids["installation"], "action": "greet",
	}, map[string]any{})
	f.ids["event"], f.ids["execution"] = call["event"].(string), call["execution"].(string)
	f.ids["rotation"] = b.do(t, 201, "startKeyRotation", in, nil)["id"].(string)
	f.ids["redrive"] = b.do(t, 201, "startRedrive", in, map[string]any{"all": true})["redrive"].(map[string]any)["id"].(string)
	f.ids["redelivery"] = b.do(t, 201, "startRedelivery", in, map[string]any{"event": f.ids["event"]})["redelivery"].(map[string]any)["id"].(string)
	f.ids["token"] = b.do(t, 201, "createToken", in, map[string]any{"name": "own"})["id"].(string)
	return f
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// path fills in a template with the victim's things; change replaces some.
func (f fixture) path(template string, change map[string]string) string {
	return parameter.ReplaceAllStringFunc(template, func(p string) string {
		name := strings.Trim(p, "{}")
		if v, ok := change[name]; ok {
			return v
		}
		return f.ids[name]
	})
}

func (f fixture) call(t *testing.T, method, path, secret string, op operation) answer {
	t.Helper()
	body := ""
	if op.RequestBody != nil {
		body = string(op.RequestBody.Content["application/json"].Example)
	}
	return f.raw(t, strings.ToUpper(method), path, secret, body)
}

// TestReach is generated from the route table: it makes every request that there
// is with tokens that must not be let in, so that a new route cannot be forgotten.
func TestReach(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, doc := document(t)
	doc.each(t, func(t *testing.T, method, path string, op operation) {
		t.Helper()
		if op.Reach == "public" {
			return
		}
		f.refusesStrangers(t, method, path, op)
		if op.Reach == "operator" {
			if a := f.call(t, method, f.path(path, nil), f.thief, op); a.status != 403 {
				t.Errorf("with a tenant's token: status %d, want 403: %s", a.status, a.body)
			}
			return
		}
		f.hidesOthers(t, method, path, op)
		// What was asked for is there: no 404 above was for another reason, and
		// nothing that would have destroyed it was let in.
		if method == "get" {
			if a := f.call(t, method, f.path(path, nil), f.operator, op); a.status != 200 {
				t.Errorf("with the operator's token: status %d, want 200: %s", a.status, a.body)
			}
		}
	})
}

// refusesStrangers tries no token, tokens that do not exist, and one without the scope.
func (f fixture) refusesStrangers(t *testing.T, method, path string, op operation) {
	t.Helper()
	// Wrong tokens that all begin alike would be held up.
	unknown := "cfd_" + (op.ID + strings.Repeat("0", 43))[:43]
	for _, secret := range []string{"", "nonsense", unknown, f.token(t, "", token.Read) + "x"} {
		a := f.call(t, method, f.path(path, nil), secret, op)
		if a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("with the token %q: status %d, want 401 with WWW-Authenticate", secret, a.status)
		}
	}
	if op.Scope == string(token.Read) {
		return
	}
	reader := f.token(t, "", token.Read)
	if a := f.call(t, method, f.path(path, nil), reader, op); a.status != 403 {
		t.Errorf("with a token that may only look: status %d, want 403", a.status)
	}
}

// hidesOthers tries to reach the victim's things with the thief's token: through
// the victim's path and through the thief's own.
func (f fixture) hidesOthers(t *testing.T, method, path string, op operation) {
	t.Helper()
	if strings.Contains(path, "{tenant}") {
		other := f.call(t, method, f.path(path, nil), f.thief, op)
		missing := f.call(t, method, f.path(path, map[string]string{"tenant": "nobody"}), f.thief, op)
		if other.status != 404 || missing.status != 404 {
			t.Errorf("in another's tenant: status %d, in a missing one %d, want 404", other.status, missing.status)
		}
		if got := strings.ReplaceAll(string(other.body), f.ids["tenant"], "nobody"); got != string(missing.body) {
			t.Errorf("another's tenant can be told from a missing one:\n%s\n%s", got, missing.body)
		}
	}
	own := f.path(path, map[string]string{"tenant": "me"})
	objects := slices.DeleteFunc(parameter.FindAllString(path, -1), func(p string) bool {
		return p == "{tenant}" || p == "{provider}" // Which are everybody's.
	})
	switch a := f.call(t, method, own, f.thief, op); {
	case len(objects) > 0 && a.status != 404:
		t.Errorf("%s %s: status %d, want 404: %s", method, own, a.status, a.body)
	case len(objects) == 0 && method == "get":
		for name, id := range f.ids {
			if name != "version" && name != "provider" && strings.Contains(string(a.body), fmt.Sprintf("%q", id)) {
				t.Errorf("%s shows the victim's %s: %s", own, name, a.body)
			}
		}
	}
}

func TestTenantsTokenReachesItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	id, secret := b.tenant(t, "acme")
	for _, name := range []string{"me", "self", "acme", id} {
		if got := do(t, b.c.As(secret), 200, "getTenant", map[string]any{"tenant": name}, nil)["id"]; got != id {
			t.Errorf("%q is %v, want %s", name, got, id)
		}
	}
}

func TestFiltersByAnothersThingsMatchNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, query := range []string{"installation=" + f.ids["installation"], "event=" + f.ids["event"]} {
		a := f.raw(t, http.MethodGet, "/v1/tenants/me/executions?"+query, f.thief, "")
		if got, want := strings.TrimSpace(string(a.body)), `{"items":[],"next_cursor":""}`; got != want {
			t.Errorf("executions?%s = %s, want %s", query, got, want)
		}
	}
	a := f.raw(t, http.MethodPost, "/v1/tenants/me/installations", f.thief, `{"plugin":"private"}`)
	if a.status != 404 {
		t.Errorf("installing another's plugin: status %d, want 404: %s", a.status, a.body)
	}
}
