package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/registry"
)

// canary is a credential that is sent where it does not belong.
const canary = "c4n4ry-s3cr3t"

func TestProblems(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	const tenants, connections = "/v1/tenants", "/v1/tenants/acme/connections"
	for _, test := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		code, where              string
	}{
		{name: "no such path", method: "GET", path: "/v2", status: 404, code: "not_found"},
		{name: "another method", method: "DELETE", path: tenants, status: 405, code: "method_not_allowed"},
		{name: "no body", method: "POST", path: tenants, status: 400, code: "malformed_request"},
		{name: "not JSON", method: "POST", path: tenants, body: `{"name":` + canary, status: 400, code: "malformed_request"},
		{name: "another media type", method: "POST", path: tenants, body: canary, header: []string{"Content-Type", "text/plain"}, status: 415, code: "content_type_unsupported"},
		{name: "unknown property", method: "POST", path: tenants, body: `{"name":"a","limits":{"wait":"` + canary + `"}}`, status: 422, code: "invalid_request", where: "/limits/wait"},
		{name: "missing property", method: "POST", path: tenants, body: `{"title":"` + canary + `"}`, status: 422, code: "invalid_request"},
		{name: "another type", method: "POST", path: tenants, body: `{"name":["` + canary + `"]}`, status: 422, code: "invalid_request", where: "/name"},
		{name: "a value that is not offered", method: "POST", path: connections, body: `{"name":"a","type":"` + canary + `","hosts":["a.example"],"credential":{}}`, status: 422, code: "invalid_request", where: "/type"},
		{name: "a credential of another type", method: "POST", path: connections, body: `{"name":"a","type":"bearer","hosts":["a.example"],"credential":{"token":{"is":"` + canary + `"}}}`, status: 422, code: "invalid_request", where: "/credential/token"},
		{name: "a place in a list", method: "POST", path: connections, body: `{"name":"a","type":"bearer","hosts":["a.example",1],"credential":{}}`, status: 422, code: "invalid_request", where: "/hosts/1"},
		{name: "unknown parameter", method: "GET", path: tenants + "?token=" + canary, status: 422, code: "invalid_request", where: "token"},
		{name: "parameter out of range", method: "GET", path: tenants + "?limit=1000", status: 422, code: "invalid_request", where: "limit"},
		{name: "parameter of another type", method: "GET", path: tenants + "?limit=" + canary, status: 422, code: "invalid_request", where: "limit"},
		{name: "a cursor of another list", method: "GET", path: tenants + "?cursor=" + canary, status: 422, code: "cursor_invalid", where: "cursor"},
		{name: "a tag without a value", method: "GET", path: "/v1/tenants/acme/executions?tag=order", status: 422, code: "tag_invalid", where: "tag"},
		{name: "a body over the cap", method: "POST", path: tenants, body: `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, status: 413, code: "body_too_large"},
		{name: "an unknown tenant", method: "GET", path: tenants + "/nobody", status: 404, code: "not_found"},
		{name: "a name that is taken", method: "POST", path: tenants, body: `{"name":"acme"}`, status: 409},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := b.raw(t, test.method, test.path, b.operator, test.body, test.header...)
			p := a.problem(t)
			if a.status != test.status || test.code != "" && p["code"] != test.code {
				t.Errorf("%d %v, want %d %s", a.status, p["code"], test.status, test.code)
			}
			if where, _ := p["where"].(string); where != test.where && test.code != "" {
				t.Errorf("where %q, want %q", where, test.where)
			}
			if p["detail"] == "" || p["class"] == "" {
				t.Errorf("it says too little: %s", a.body)
			}
			if strings.Contains(string(a.body), canary) {
				t.Errorf("it repeats what was sent: %s", a.body)
			}
		})
	}
	t.Cleanup(func() {
		if strings.Contains(b.log.String(), canary) {
			t.Error("the log repeats what was sent")
		}
	})
}

func TestProblemNamesEveryFault(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	p := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":1,"title":2,"limits":{"running":0}}`).problem(t)
	var got []string
	for _, item := range p["errors"].([]any) {
		got = append(got, item.(map[string]any)["where"].(string))
	}
	want := map[string]bool{"/name": true, "/title": true, "/limits/running": true}
	for _, where := range got {
		delete(want, where)
	}
	if len(want) > 0 {
		t.Errorf("errors are at %q, and not at %v", got, want)
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	hook, _ := b.hooked(t)
	for _, path := range []string{"/v1/tenants", hook} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, iotest.ErrReader(io.ErrUnexpectedEOF))
		req.Header.Set("Authorization", "Bearer "+b.operator)
		rec := httptest.NewRecorder()
		b.srv.Config.Handler.ServeHTTP(rec, req)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), "malformed_request") {
			t.Errorf("%s: %d, want 400: %s", path, rec.Code, rec.Body)
		}
	}
}

func TestMethodNotAllowedSaysWhatIs(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	a := b.raw(t, "PUT", "/v1/tenants/acme", b.operator, "")
	if got, want := a.header.Get("Allow"), "GET, PATCH, DELETE"; a.status != 405 || got != want {
		t.Errorf("%d with Allow: %q, want 405 with %q", a.status, got, want)
	}
}

func TestAnswersCarrySecurityHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	a := b.raw(t, "GET", "/v2", "", "")
	want := map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = a.header.Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// down is a store whose database fails whenever it is asked for publishers, and,
// once the host has started, for its readiness.
type down struct {
	store.Store
	err   error
	panic bool
	asked *atomic.Bool
}

func (d down) Publishers(context.Context) ([]registry.Publisher, error) {
	if d.panic {
		panic(canary)
	}
	return nil, d.err
}

func (d down) Ready(ctx context.Context) error {
	if !d.asked.Swap(true) {
		return d.Store.Ready(ctx)
	}
	return d.err
}

func TestFailuresOfOurs(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial " + canary)
	for _, test := range []struct {
		name   string
		store  down
		status int
		retry  string
	}{
		{"a database that is down", down{err: fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "the database cannot be reached").Because(cause)}, 503, "5"},
		{"one that says when", down{err: &fault.Error{Class: fault.Platform, Code: fault.CodeDatabaseReadOnly, Message: "read-only", RetryAfter: 90 * time.Second, Err: cause}}, 503, "90"},
		{"an error without words", down{err: cause}, 500, ""},
		{"a panic", down{panic: true}, 500, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, api.Options{}, func(s store.Store) store.Store {
				test.store.Store, test.store.asked = s, &atomic.Bool{}
				return test.store
			})
			a := b.raw(t, "GET", "/v1/publishers", b.operator, "")
			a.problem(t)
			if a.status != test.status || a.header.Get("Retry-After") != test.retry {
				t.Errorf("%d with Retry-After %q, want %d with %q", a.status, a.header.Get("Retry-After"), test.status, test.retry)
			}
			if strings.Contains(string(a.body), canary) {
				t.Errorf("it shows the cause: %s", a.body)
			}
			if got := strings.Count(b.log.String(), canary); got != 1 {
				t.Errorf("the cause is in the log %d times, want once:\n%s", got, b.log)
			}
			if !test.store.panic {
				if a := b.raw(t, http.MethodGet, "/readyz", "", ""); a.status != 503 || a.header.Get("Retry-After") == "" {
					t.Errorf("readyz: %d, want 503 with Retry-After", a.status)
				}
			}
			if a := b.raw(t, http.MethodGet, "/healthz", "", ""); a.status != 200 {
				t.Errorf("healthz: %d, want 200", a.status)
			}
		})
	}
}
