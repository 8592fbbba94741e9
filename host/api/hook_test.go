package api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// hooked installs the connector with an endpoint, and returns its path and secret.
func (b *bundle) hooked(t *testing.T) (path, secret string) {
	t.Helper()
	b.tenant(t, "acme")
	b.installed(t, "acme")
	e := b.do(t, 201, "createEndpoint", map[string]any{"tenant": "acme"}, map[string]any{"installation": "hello", "webhook": "issues"})
	return e["path"].(string), e["secret"].(string)
}

// deliver delivers as GitHub does.
func (b *bundle) deliver(t *testing.T, path, secret, id, body string) answer {
	t.Helper()
	header, err := webhook.Sign("github", secret, id, time.Now(), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	return send(t, req)
}

func TestDeliveryIsStoredOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	var first, again event.Accepted
	a := b.deliver(t, path, secret, "d-1", `{"action":"opened"}`)
	decode(t, a.body, &first)
	if a.status != 202 || first.Event == "" || first.Execution == "" || first.Duplicate {
		t.Fatalf("first: %d %s", a.status, a.body)
	}
	a = b.deliver(t, path, secret, "d-1", `{"action":"opened"}`)
	decode(t, a.body, &again)
	if a.status != 200 || !again.Duplicate || again.Event != first.Event {
		t.Errorf("again: %d %s, want 200 and the first event", a.status, a.body)
	}
	events := b.do(t, 200, "listEvents", map[string]any{"tenant": "acme", "kind": "webhook"}, nil)["items"].([]any)
	if len(events) != 1 {
		t.Errorf("%d events, want 1", len(events))
	}
	e := b.do(t, 200, "getEvent", map[string]any{"tenant": "acme", "event": first.Event}, nil)
	if e["body"] != `{"action":"opened"}` || e["encoding"] != "utf8" {
		t.Errorf("event = %v", e)
	}
}

func TestDeliveryIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{MaxBodyBytes: 100})
	path, secret := b.hooked(t)
	if a := b.deliver(t, path, secret+"x", "d-1", `{}`); a.status != 401 {
		t.Errorf("with a wrong signature: %d, want 401: %s", a.status, a.body)
	}
	if a := b.raw(t, "POST", path, "", `{}`); a.status != 401 && a.status != 400 {
		t.Errorf("without a signature: %d, want 401: %s", a.status, a.body)
	}
	if a := b.deliver(t, "/hooks/end_00000000000000000000000000", secret, "d-1", `{}`); a.status != 404 {
		t.Errorf("at no endpoint: %d, want 404: %s", a.status, a.body)
	}
	a := b.deliver(t, path, secret, "d-1", strings.Repeat("x", 101))
	p := a.problem(t)
	if detail, _ := p["detail"].(string); a.status != 413 || !strings.Contains(detail, "101") || !strings.Contains(detail, "100") {
		t.Errorf("over the cap: %d %s, want 413 with size and limit", a.status, a.body)
	}
	// A body of no announced length is cut off at the cap.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, io.MultiReader(strings.NewReader(strings.Repeat("x", 101))))
	if err != nil {
		t.Fatal(err)
	}
	if a := send(t, req); a.status != 413 {
		t.Errorf("over the cap unannounced: %d, want 413", a.status)
	}
	if got := b.do(t, 200, "listEvents", map[string]any{"tenant": "acme"}, nil)["items"].([]any); len(got) != 0 {
		t.Errorf("%d events were stored of deliveries that were refused", len(got))
	}
	b.do(t, 200, "disableEndpoint", map[string]any{"tenant": "acme", "endpoint": strings.TrimPrefix(path, "/hooks/")}, map[string]any{"disabled": true})
	if a := b.deliver(t, path, secret, "d-2", `{}`); a.status != 410 {
		t.Errorf("disabled: %d, want 410: %s", a.status, a.body)
	}
}

func TestEventsAreListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	body := "\xff\xfe"
	var taken event.Accepted
	decode(t, b.deliver(t, path, secret, "d-1", body).body, &taken)
	e := b.do(t, 200, "getEvent", map[string]any{"tenant": "acme", "event": taken.Event}, nil)
	if e["body"] != "//4=" || e["encoding"] != "base64" {
		t.Errorf("a body that is not text is shown as %v in %v", e["body"], e["encoding"])
	}
	if a := b.deliver(t, path, secret, "d-2", "{}"); a.status != 202 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	endpoint := strings.TrimPrefix(path, "/hooks/")
	params := map[string]any{"tenant": "acme", "installation": "hello", "endpoint": endpoint, "name": "issues", "limit": 1}
	page := b.do(t, 200, "listEvents", params, nil)
	if items := page["items"].([]any); len(items) != 1 || items[0].(map[string]any)["id"] == taken.Event || page["next_cursor"] == "" {
		t.Fatalf("the first page is %v, want the newest and a cursor", page)
	}
	params["cursor"] = page["next_cursor"]
	page = b.do(t, 200, "listEvents", params, nil)
	if items := page["items"].([]any); len(items) != 1 || items[0].(map[string]any)["id"] != taken.Event || page["next_cursor"] != "" {
		t.Errorf("the last page is %v, want the oldest and no cursor", page)
	}
	b.do(t, 404, "listEvents", map[string]any{"tenant": "acme", "installation": "nothing"}, nil)
}

// full is a store that takes no events.
type full struct{ store.Store }

func (full) Accept(context.Context, event.Event, *event.Work) (event.Accepted, error) {
	return event.Accepted{}, fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "the database cannot be reached")
}

func TestDeliveryToADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{}, func(s store.Store) store.Store { return full{s} })
	path, secret := b.hooked(t)
	a := b.deliver(t, path, secret, "d-1", `{}`)
	a.problem(t)
	if a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d with Retry-After %q, want 503", a.status, a.header.Get("Retry-After"))
	}
}
