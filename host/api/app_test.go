package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/app"
)

func TestApps(t *testing.T) {
	t.Parallel()
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.PublicURL = "https://cofferdam.example" })
	_, admin := b.tenant(t, "acme")
	github := map[string]any{"name": "github", "provider": "github", "client_id": "Iv1.shared", "secret": map[string]any{"client_secret": "s3cret-of-ours"}, "scopes": []string{"repo"}}
	shared := b.do(t, 201, "createOperatorApp", nil, github)
	if shared["shared"] != true || shared["client_id"] != "Iv1.shared" {
		t.Errorf("got %v", shared)
	}
	c, in := b.c.As(admin), map[string]any{"tenant": "me"}
	one := map[string]any{"tenant": "me", "app": "github"}
	if seen := do(t, c, 200, "getApp", one, nil); seen["client_id"] != nil || seen["tenant"] != nil || seen["shared"] != true {
		t.Errorf("a tenant sees %v", seen)
	}
	// What is the operator's, a tenant does not change, nor reach by the operator's way.
	do(t, c, 404, "updateApp", one, map[string]any{"title": "x"})
	do(t, c, 404, "deleteApp", one, nil)
	do(t, c, 403, "listOperatorApps", nil, nil)
	for _, of := range []string{app.Operator, "operator"} {
		b.do(t, 404, "listApps", map[string]any{"tenant": of}, nil)
		b.do(t, 404, "getTenant", map[string]any{"tenant": of}, nil)
		b.do(t, 404, "createToken", map[string]any{"tenant": of}, map[string]any{"name": "x"})
		b.do(t, 404, "deleteTenant", map[string]any{"tenant": of, "grace": "0s"}, nil)
	}
	github["client_id"] = "Iv1.own"
	own := do(t, c, 201, "createApp", in, github)
	if got := do(t, c, 200, "getApp", one, nil); got["id"] != own["id"] {
		t.Errorf("the tenant's own does not come first: %v", got)
	}
	if all := do(t, c, 200, "listApps", in, nil)["items"].([]any); len(all) != 2 {
		t.Errorf("got %d apps", len(all))
	}
	changed := do(t, c, 200, "updateApp", one, map[string]any{"title": "GitHub", "secret": map[string]any{"client_secret": "another"}})
	if changed["title"] != "GitHub" || changed["version"] != float64(2) {
		t.Errorf("got %v", changed)
	}
	do(t, c, 422, "updateApp", one, map[string]any{"client_id": "Iv1.moved"})
	bad := do(t, c, 422, "createApp", in, map[string]any{"name": "x y", "provider": "gogle", "client_id": ""})
	if bad["code"] != "provider_not_found" || !strings.Contains(bad["hint"].(string), `"google"`) || len(bad["errors"].([]any)) != 3 {
		t.Errorf("got %v", bad)
	}
	b.do(t, 200, "updateOperatorApp", map[string]any{"app": "github"}, map[string]any{"scopes": []string{}})
	do(t, c, 204, "deleteApp", one, nil)
	b.do(t, 204, "deleteOperatorApp", map[string]any{"app": shared["id"]}, nil)
	do(t, c, 404, "getApp", one, nil)
	acts := string(b.raw(t, http.MethodGet, "/v1/audit", b.operator, "").body)
	for _, act := range []string{"app.create", "app.update", "app.delete"} {
		if !strings.Contains(acts, act) {
			t.Errorf("%s is not in the audit log: %s", act, acts)
		}
	}
	if strings.Contains(b.log.String()+acts, "s3cret-of-ours") {
		t.Error("the secret is in a log")
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.PublicURL = "https://cofferdam.example" })
	_, admin := b.tenant(t, "acme")
	c := b.c.As(admin)
	if all := do(t, c, 200, "listProviders", nil, nil)["items"].([]any); len(all) < 60 {
		t.Errorf("got %d providers", len(all))
	}
	got := do(t, c, 200, "getProvider", map[string]any{"provider": "amazon-selling-partner"}, nil)
	form, appForm := got["form"].(map[string]any)["properties"].(map[string]any), got["app_form"].(map[string]any)
	if _, there := form["seller_central"]; !there || len(form) != 1 || appForm["required"].([]any)[0] != "application_id" {
		t.Errorf("got %v and %v", form, appForm)
	}
	if got["redirect_uri"] != "https://cofferdam.example/oauth/callback/amazon-selling-partner" || len(got["quirks"].([]any)) < 5 {
		t.Errorf("got %v", got)
	}
	if missing := do(t, c, 404, "getProvider", map[string]any{"provider": "githib"}, nil); !strings.Contains(missing["hint"].(string), `"github"`) {
		t.Errorf("got %v", missing)
	}
}
