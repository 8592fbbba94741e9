package api_test

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// answering installs a connector whose webhook has an output, with an endpoint.
func (b *bundle) answering(t *testing.T, output string, endpoint map[string]any) (path, secret string) {
	t.Helper()
	b.tenant(t, "acme")
	wasm := runtimetest.Outputs(map[string]string{
		"describe": `{"name":"hello","version":"0.1.0","webhooks":[{"name":"issues","scheme":"github"}]}`, "webhook": output,
	})
	if a := b.publish(t, b.operator, wasm, nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	in := map[string]any{"tenant": "acme"}
	b.do(t, 201, "createInstallation", in, map[string]any{"plugin": "hello"})
	endpoint["installation"], endpoint["webhook"] = "hello", "issues"
	e := b.do(t, 201, "createEndpoint", in, endpoint)
	return e["path"].(string), e["secret"].(string)
}

func TestThePluginAnswersADelivery(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		output, contentType, body string
		status                    int
	}{
		"its output":            {`{"seen":true}`, "application/json", `{"seen":true}`, 200},
		"what it wants said":    {`{"respond":{"status":201,"headers":{"Content-Type":"text/xml","X-Odd":"x"},"body":"<ok/>"}}`, "text/xml", "<ok/>", 201},
		"no page for a browser": {`{"respond":{"headers":{"Content-Type":"text/html"},"body":"<script>"}}`, "text/plain; charset=utf-8", "<script>", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, api.Options{})
			path, secret := b.answering(t, tt.output, map[string]any{"respond": "execution"})
			for range 2 { // One that comes again is answered the same.
				a := b.deliver(t, path, secret, "d-1", `{}`)
				if a.status != tt.status || a.header.Get("Content-Type") != tt.contentType || string(a.body) != tt.body || a.header.Get("X-Odd") != "" {
					t.Errorf("got %d %s %q", a.status, a.header, a.body)
				}
			}
			got := b.do(t, 200, "listExecutions", map[string]any{"tenant": "acme"}, nil)["items"].([]any)
			if len(got) != 1 || got[0].(map[string]any)["lane"] != 0.0 {
				t.Errorf("got %v, want one execution in the interactive lane", got)
			}
		})
	}
}

func TestADeliveryWhoseDeadlineIsOverIsStored(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.answering(t, `{"respond":{"body":"late"}}`, map[string]any{"respond": "execution", "deadline_ms": 100})
	in := map[string]any{"tenant": "acme"}
	b.do(t, 200, "pauseTenant", in, nil)
	a := b.deliver(t, path, secret, "d-1", `{}`)
	var taken event.Accepted
	decode(t, a.body, &taken)
	if a.status != 202 || taken.Execution == "" {
		t.Fatalf("got %d %s, want 202 and the execution", a.status, a.body)
	}
	b.do(t, 200, "resumeTenant", in, nil)
	one := map[string]any{"tenant": "acme", "endpoint": endpointOf(path)}
	b.do(t, 200, "disableEndpoint", one, map[string]any{"deadline_ms": 30000})
	if a := b.deliver(t, path, secret, "d-1", `{}`); a.status != 200 || string(a.body) != "late" {
		t.Errorf("once it has run: %d %q, want what the plugin said", a.status, a.body)
	}
	b.do(t, 200, "disableEndpoint", one, map[string]any{"respond": ""})
	if a := b.deliver(t, path, secret, "d-2", `{}`); a.status != 202 || !strings.Contains(string(a.body), "execution") {
		t.Errorf("without respond: %d %s, want 202", a.status, a.body)
	}
}

func TestADeliveryWhoseExecutionFails(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.answering(t, `{}`, map[string]any{"respond": "execution", "deadline_ms": 30000})
	in := map[string]any{"tenant": "acme"}
	b.do(t, 200, "pauseTenant", in, nil)
	answered := make(chan answer, 1)
	go func() { answered <- b.deliver(t, path, secret, "d-1", `{}`) }()
	var queued []any
	for len(queued) == 0 {
		queued = b.do(t, 200, "listExecutions", in, nil)["items"].([]any)
	}
	b.do(t, 200, "cancelExecution", map[string]any{"tenant": "acme", "execution": queued[0].(map[string]any)["id"]}, nil)
	a := <-answered
	if p := a.problem(t); a.status != 502 || p["code"] != "execution_failed" {
		t.Errorf("got %d %s, want 502", a.status, a.body)
	}
}

func TestWhatNoAnswerCanBe(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, _ := b.hooked(t)
	for where, change := range map[string]string{"/respond": `{"respond":"never"}`, "/deadline_ms": `{"deadline_ms":30001}`} {
		a := b.raw(t, "PATCH", "/v1/tenants/acme/endpoints/"+endpointOf(path), b.operator, change)
		if p := a.problem(t); a.status != 422 || p["where"] != where {
			t.Errorf("%s: got %d %s", change, a.status, a.body)
		}
	}
}
