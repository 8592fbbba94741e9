package api_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
)

// endpointOf is the id in an endpoint's path.
func endpointOf(path string) string { return strings.TrimPrefix(path, "/hooks/") }

// wantLater checks that a delivery was turned away, and says when to come again.
func wantLater(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if got := a.problem(t)["code"]; a.status != status || got != code {
		t.Errorf("got %d %s, want %d %s", a.status, got, status, code)
	}
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 {
		t.Errorf("Retry-After is %q, want seconds", a.header.Get("Retry-After"))
	}
}

func (b *bundle) events(t *testing.T) int {
	t.Helper()
	return len(b.do(t, 200, "listEvents", map[string]any{"tenant": "acme", "kind": "webhook"}, nil)["items"].([]any))
}

func TestDeliveriesBeyondALimitAreTurnedAway(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	one := map[string]any{"tenant": "acme", "endpoint": endpointOf(path)}
	got := b.do(t, 200, "disableEndpoint", one, map[string]any{"limits": map[string]any{"rate": 1, "burst": 2}})
	if l := got["limits"].(map[string]any); l["rate"] != 1.0 || l["burst"] != 2.0 {
		t.Errorf("limits %v", l)
	}
	for i, want := range []int{202, 202, 429} {
		a := b.deliver(t, path, secret, fmt.Sprint("d-", i), `{}`)
		if a.status != want {
			t.Errorf("delivery %d: %d, want %d: %s", i, a.status, want, a.body)
		}
		if want == 429 {
			wantLater(t, a, want, "endpoint_rate_exceeded")
		}
	}
	if n := b.events(t); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
	if m := b.raw(t, http.MethodGet, "/metrics", b.operator, ""); !strings.Contains(string(m.body), `cofferdam_webhook_refused_total{reason="endpoint_rate_exceeded",scheme="github"} 1`) {
		t.Error("it is not counted in cofferdam_webhook_refused_total")
	}

	b.do(t, 200, "disableEndpoint", one, map[string]any{"limits": map[string]any{"max_bytes": 3}})
	if a := b.deliver(t, path, secret, "large", `{"a":1}`); a.status != 413 {
		t.Errorf("a body over the endpoint's cap: %d, want 413", a.status)
	}
	for name, limits := range map[string]map[string]any{"rate": {"rate": -1}, "max_bytes": {"max_bytes": 26<<20 + 1}} {
		p := b.do(t, 422, "disableEndpoint", one, map[string]any{"limits": limits})
		if text := fmt.Sprint(p); !strings.Contains(text, "/limits/"+name) {
			t.Errorf("%s: got %s", name, text)
		}
	}
}

func TestDeliveriesForAFullQueueAreTurnedAway(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	in := map[string]any{"tenant": "acme"}
	b.do(t, 200, "limitTenant", in, map[string]any{"limits": map[string]any{"queued": 2}})
	b.do(t, 200, "pauseTenant", in, nil)
	for i, want := range []int{202, 202, 503} {
		a := b.deliver(t, path, secret, fmt.Sprint("d-", i), `{}`)
		if a.status != want {
			t.Errorf("delivery %d: %d, want %d: %s", i, a.status, want, a.body)
		}
		if want == 503 {
			wantLater(t, a, want, "queue_full")
		}
	}
	if n := b.events(t); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
	if strings.Contains(b.log.String(), "request failed") {
		t.Error("what was turned away is logged as a failure")
	}
}

func TestAServerWithItsHandsFullReadsNoBody(t *testing.T) {
	t.Parallel()
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.Ingest = admission.Bounds{Bytes: 1000} })
	path, secret := b.hooked(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, io.NopCloser(unread{t}))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 1001
	req.Header.Set("Expect", "100-continue")
	wantLater(t, send(t, req), 503, "overloaded")
	if a := b.deliver(t, path, secret, "d-1", `{}`); a.status != 202 {
		t.Errorf("a small one: %d, want 202", a.status)
	}
}

// unread is a body that nobody may want.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}
