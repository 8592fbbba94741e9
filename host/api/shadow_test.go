package api_test

import (
	"maps"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// shadowing is a server with a tenant whose installation of hello 0.1.0 was called,
// and with two more versions: 0.2.0 does the same, and 0.3.0 greets otherwise.
func shadowing(t *testing.T) (b *bundle, owner string) {
	t.Helper()
	b = setup(t, api.Options{})
	owner, _ = b.tenant(t, "acme")
	in := b.installed(t, owner)
	for range 3 {
		b.do(t, 200, "callAction", map[string]any{"tenant": owner, "installation": in, "action": "greet"}, map[string]any{})
	}
	other := runtimetest.Outputs(map[string]string{
		"describe": `{"name":"hello","version":"0.3.0","actions":[{"name":"greet"}]}`, "action": `{"greeting":"holla"}`,
	})
	for _, wasm := range [][]byte{connector("hello", "0.2.0"), other} {
		if a := b.publish(t, b.operator, wasm, nil); a.status != 201 {
			t.Fatalf("publish: %d %s", a.status, a.body)
		}
	}
	return b, owner
}

// shadowed waits for a run's end and returns its report.
func (b *bundle) shadowed(t *testing.T, params map[string]any) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got := b.do(t, 200, "getShadowRun", params, nil)
		switch got["state"] {
		case "done":
			return got["report"].(map[string]any)
		case "failed":
			t.Fatalf("it has failed: %v", got["error"])
		}
	}
	t.Fatal("it has not ended after a minute")
	return nil
}

func TestShadowRunsReport(t *testing.T) {
	t.Parallel()
	b, owner := shadowing(t)
	ask := func(version string, more map[string]any) map[string]any {
		body := map[string]any{"plugin": "hello", "version": version, "against": "0.1.0"}
		maps.Copy(body, more)
		return b.do(t, 201, "startShadowRun", nil, body)
	}
	all := ask("0.2.0", nil)["id"].(string)
	report := b.shadowed(t, map[string]any{"run": all})
	if report["total"] != 3.0 || report["same"] != 3.0 || len(report["groups"].([]any)) != 0 {
		t.Errorf("a version that does the same: %v", report)
	}
	own := ask("0.3.0", map[string]any{"tenant": "acme", "last": "2d", "limit": 2})
	if own["tenant"] != owner || own["spec"].(map[string]any)["limit"] != 2.0 {
		t.Errorf("a run of one tenant: %v", own)
	}
	of := map[string]any{"run": own["id"], "tenant": "acme"}
	report = b.shadowed(t, of)
	group := report["groups"].([]any)[0].(map[string]any)
	if report["done"] != 2.0 || report["output_differs"] != 2.0 || group["key"] != "/greeting" || group["verdict"] != "output_differs" {
		t.Errorf("a version that does otherwise: %v", report)
	}
	change := group["samples"].([]any)[0].(map[string]any)["changes"].([]any)[0].(map[string]any)
	if change["recorded"] != `"hello"` || change["now"] != `"holla"` {
		t.Errorf("a sample: %v", change)
	}

	b.do(t, 404, "getShadowRun", map[string]any{"run": own["id"]}, nil)
	b.do(t, 404, "getShadowRun", map[string]any{"run": own["id"], "tenant": "nobody"}, nil)
	if got := b.do(t, 409, "cancelShadowRun", of, nil)["code"]; got != "job_done" {
		t.Errorf("cancelling what is done: got %v", got)
	}
	for tenant, want := range map[string]string{"": all, owner: own["id"].(string)} {
		items := b.do(t, 200, "listShadowRuns", map[string]any{"tenant": tenant}, nil)["items"].([]any)
		if len(items) != 1 || items[0].(map[string]any)["id"] != want {
			t.Errorf("the runs of %q: %v", tenant, items)
		}
	}
}

func TestShadowRunsRefuse(t *testing.T) {
	t.Parallel()
	b, _ := shadowing(t)
	body := func(change ...any) map[string]any {
		m := map[string]any{"plugin": "hello", "version": "0.2.0", "against": "0.1.0"}
		for i := 0; i < len(change); i += 2 {
			m[change[i].(string)] = change[i+1]
		}
		return m
	}
	for name, tt := range map[string]struct {
		body   map[string]any
		status int
		code   string
		where  string
	}{
		"an unknown plugin":   {body("plugin", "nobody"), 404, "not_found", ""},
		"an unknown version":  {body("against", "7.0.0"), 404, "not_found", ""},
		"no version":          {body("version", ""), 422, "version_missing", "/version"},
		"an unknown tenant":   {body("tenant", "nobody"), 404, "not_found", ""},
		"no period":           {body("last", "soon"), 422, "period_invalid", "/last"},
		"a period of nothing": {body("last", "0d"), 422, "period_invalid", "/last"},
		"two periods":         {body("last", "7d", "since", "2026-01-01T00:00:00Z"), 422, "period_twice", "/last"},
		"an empty period":     {body("since", "2026-01-02T00:00:00Z", "until", "2026-01-01T00:00:00Z"), 422, "period_empty", "/since"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.do(t, tt.status, "startShadowRun", nil, tt.body)
			if where, _ := got["where"].(string); got["code"] != tt.code || where != tt.where {
				t.Errorf("got %v", got)
			}
		})
	}
	b.do(t, 404, "getShadowRun", map[string]any{"run": "job_none"}, nil)
	b.do(t, 404, "cancelShadowRun", map[string]any{"run": "job_none"}, nil)
	do(t, b.c.As(b.token(t, "", token.Read)), 403, "listShadowRuns", nil, nil)
}
