package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// world answers in place of the network, and remembers who was asked.
type world struct {
	mu    sync.Mutex
	asked []string
}

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r.URL.Host)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}},
		Body: io.NopCloser(strings.NewReader("hello from " + r.URL.Host)), Request: r,
	}, nil
}

func (w *world) hosts() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.asked, " ")
}

// reporter is a connector that asks one host, and whose manifest asks for some.
func reporter(version, calls string, hosts ...string) []byte {
	var egress []string
	for _, h := range hosts {
		egress = append(egress, fmt.Sprintf(`{"host":%q,"methods":["GET"]}`, h))
	}
	return runtimetest.Asking(
		fmt.Sprintf(`{"name":"reporter","version":%q,"actions":[{"name":"report"}],"egress":[%s]}`, version, strings.Join(egress, ",")),
		"http", fmt.Sprintf(`{"method":"GET","url":"https://%s/"}`, calls))
}

// TestAReviewersAfternoon is what a reviewer and a tenant see of a version that asks
// for one more host.
func TestAReviewersAfternoon(t *testing.T) {
	t.Parallel()
	out := &world{}
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.Egress.Instead = out })
	_, secret := b.tenant(t, "acme")
	tenant := b.c.As(secret)
	publish := func(wasm []byte) map[string]any {
		t.Helper()
		a := b.publish(t, b.operator, wasm, nil)
		var v map[string]any
		if err := json.Unmarshal(a.body, &v); err != nil || a.status != 201 {
			t.Fatalf("publish: %d %s", a.status, a.body)
		}
		return v
	}
	in := map[string]any{"tenant": "me", "installation": "reporter"}
	report := func() string {
		t.Helper()
		call := map[string]any{"tenant": "me", "installation": "reporter", "action": "report"}
		return fmt.Sprint(do(t, tenant, 200, "callAction", call, map[string]any{})["output"])
	}

	// Version 1 is installed and asks its host; a host that is not in the manifest is denied.
	if v := publish(reporter("1.0.0", "api.example.com", "api.example.com")); v["changes"] != nil {
		t.Errorf("the first version changes %v", v["changes"])
	}
	do(t, tenant, 201, "createInstallation", map[string]any{"tenant": "me"}, map[string]any{"plugin": "reporter", "channel": "stable"})
	if got := report(); !strings.Contains(got, "hello from api.example.com") {
		t.Fatalf("version 1: got %s", got)
	}

	// The reviewer sees at upload what version 2 asks for, and can look again.
	v2 := publish(reporter("2.0.0", "files.example.net", "api.example.com", "files.example.net"))
	const ask = "map[methods:[GET] name:files.example.net needs:consent part:egress text:may send GET there verb:added]"
	if got := fmt.Sprint(v2["changes"]); got != "map[changes:["+ask+"] from:1.0.0 to:2.0.0]" {
		t.Errorf("at upload: got %s", got)
	}
	again := b.do(t, 200, "diffVersion", map[string]any{"plugin": "reporter", "version": "2.0.0", "against": "1.0.0"}, nil)
	if fmt.Sprint(again) != fmt.Sprint(v2["changes"]) {
		t.Errorf("later: got %v", again)
	}

	// The tenant's installation follows the channel, and waits.
	var waiting map[string]any
	b.await(t, func() bool {
		waiting = do(t, tenant, 200, "getInstallation", in, nil)
		return waiting["upgrade"] != nil
	})
	upgrade := waiting["upgrade"].(map[string]any)
	if waiting["version"] != "1.0.0" || upgrade["to"] != "2.0.0" || fmt.Sprint(upgrade["asks"]) != "["+ask+"]" {
		t.Errorf("got %v", waiting)
	}
	if got := report(); !strings.Contains(got, "hello from api.example.com") {
		t.Errorf("before consent: got %s", got)
	}
	// To ask for it is not to consent, and neither is consent to something else.
	if got := do(t, tenant, 202, "upgradeInstallation", in, nil); got["version"] != "1.0.0" {
		t.Errorf("without consent it moved to %v", got["version"])
	}
	do(t, tenant, 409, "upgradeInstallation", in, map[string]any{"digest": "sha256:of-something-else"})
	// Nor can the host be granted while version 1 runs, which does not ask for it.
	grants := map[string]any{"egress": []any{map[string]any{"host": "files.example.net", "methods": []string{"GET"}}}}
	do(t, tenant, 422, "grantInstallation", in, grants)
	if strings.Contains(out.hosts(), "files") {
		t.Fatalf("the new host was asked before consent: %s", out.hosts())
	}

	// Consent to exactly that lets it run.
	moved := do(t, tenant, 200, "upgradeInstallation", in, map[string]any{"digest": upgrade["digest"]})
	if moved["version"] != "2.0.0" || moved["upgrade"] != nil || moved["channel"] != "stable" {
		t.Errorf("got %v", moved)
	}
	if got := report(); !strings.Contains(got, "hello from files.example.net") {
		t.Errorf("after consent: got %s", got)
	}
	// What is taken away again is denied, version 2 or not.
	do(t, tenant, 200, "grantInstallation", in, map[string]any{"egress": []any{map[string]any{"host": "api.example.com", "methods": []string{"GET"}}}})
	if got := report(); !strings.Contains(got, "denied") {
		t.Errorf("after it was taken away: got %s", got)
	}
}

func TestConnectionsTellTheirFields(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	_, secret := b.tenant(t, "acme")
	tenant := b.c.As(secret)
	manifest := `{"name":"echo","version":"1.0.0","actions":[{"name":"echo"}],
		"connections":[{"name":"shop","type":"bearer","hosts":["a.example"],"fields":{"type":"object","required":["account"],
		"properties":{"account":{"type":"string"},"region":{"type":"string","default":"eu"}},"additionalProperties":false}}]}`
	if a := b.publish(t, b.operator, runtimetest.Echoing(manifest), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	me, shop := map[string]any{"tenant": "me"}, map[string]any{"tenant": "me", "connection": "shop"}
	spec := map[string]any{"name": "shop", "type": "bearer", "hosts": []string{"a.example"}, "credential": map[string]any{"token": canary}}
	spec["fields"] = []any{canary}
	if p := do(t, tenant, 422, "createConnection", me, spec); p["where"] != "/fields" || strings.Contains(fmt.Sprint(p), canary) {
		t.Errorf("a list of fields: got %v", p)
	}
	delete(spec, "fields")
	do(t, tenant, 201, "createConnection", me, spec)
	if p := do(t, tenant, 422, "createInstallation", me, map[string]any{"plugin": "echo"}); p["code"] != "connection_fields_invalid" {
		t.Errorf("without the fields: got %v", p)
	}
	if c := do(t, tenant, 200, "setConnectionFields", shop, map[string]any{"account": "a-1"}); fmt.Sprint(c["fields"]) != "map[account:a-1]" {
		t.Errorf("got %v", c)
	}
	do(t, tenant, 201, "createInstallation", me, map[string]any{"plugin": "echo"})
	told := func() string {
		call := map[string]any{"tenant": "me", "installation": "echo", "action": "echo"}
		out := do(t, tenant, 200, "callAction", call, map[string]any{})["output"].(map[string]any)
		return fmt.Sprint(out["connections"])
	}
	if got := told(); got != "map[shop:map[account:a-1 region:eu]]" {
		t.Errorf("the guest was told %s", got)
	}
	if p := do(t, tenant, 422, "setConnectionFields", shop, map[string]any{"colour": "red"}); p["code"] != "connection_fields_invalid" {
		t.Errorf("fields with which it could not work: got %v", p)
	}
	do(t, tenant, 200, "setConnectionFields", shop, map[string]any{"account": "a-2", "region": "us"})
	if got := told(); got != "map[shop:map[account:a-2 region:us]]" {
		t.Errorf("the guest was told %s", got)
	}
}
