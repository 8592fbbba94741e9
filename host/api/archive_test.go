package api_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/audit"
)

func TestTenantsAreExported(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	id, _ := b.tenant(t, "acme")
	b.tenant(t, "other")
	in := map[string]any{"tenant": "acme"}
	secret := func(scope string) string {
		return b.do(t, 201, "createToken", in, map[string]any{"name": scope, "scopes": []string{scope}})["secret"].(string)
	}
	b.do(t, 201, "createConnection", in, map[string]any{
		"name": "c", "type": "bearer", "hosts": []string{"a.example"}, "credential": map[string]any{"token": canary},
	})
	own := secret("admin")
	b.sequence(t) // What is sequenced between two exports would be in the second.
	a := b.raw(t, http.MethodGet, "/v1/tenants/me/export", own, "")
	if a.status != 200 || a.header.Get("Content-Type") != "application/gzip" {
		t.Fatalf("status %d, %s", a.status, a.header)
	}
	whole := string(a.body)
	m, err := archive.Verify(strings.NewReader(whole))
	if err != nil || m.Tenant != id || m.Counts["connections"] != 1 || m.Counts["tokens"] != 2 {
		t.Errorf("got %+v, %v", m, err)
	}
	if strings.Contains(whole, canary) {
		t.Error("a credential is in it")
	}
	part := archive.Whole(strings.NewReader(whole[:len(whole)/2]))
	rest := b.raw(t, http.MethodGet, "/v1/tenants/acme/export?cursor="+url.QueryEscape(part.Cursor), b.operator, "")
	if whole[:part.Bytes]+string(rest.body) != whole {
		t.Error("the rest is not what it would have been")
	}
	if _, err := archive.Verify(strings.NewReader(whole[:len(whole)/2])); err == nil || errors.Is(err, archive.ErrDamaged) {
		t.Errorf("half of it: got %v", err)
	}
	for path, want := range map[string]int{
		"/v1/tenants/acme/export?cursor=x": 422, "/v1/tenants/acme/export?at=noon": 422, "/v1/tenants/acme/export?since=1": 422,
		"/v1/tenants/acme/export?at=2099-01-01T00:00:00Z": 422, "/v1/tenants/nobody/export": 404,
		"/v1/tenants/other/export?cursor=" + url.QueryEscape(part.Cursor): 422,
	} {
		if got := b.raw(t, http.MethodGet, path, b.operator, ""); got.status != want {
			t.Errorf("%s: status %d, want %d: %s", path, got.status, want, got.body)
		}
	}
	if got := b.raw(t, http.MethodGet, "/v1/tenants/other/export", own, ""); got.status != 404 {
		t.Errorf("another tenant's: status %d", got.status)
	}
	if got := b.raw(t, http.MethodGet, "/v1/tenants/me/export", secret("read"), ""); got.status != 403 {
		t.Errorf("a viewer's: status %d", got.status)
	}
	// Each is written down, once.
	b.sequence(t)
	acts, err := b.h.Store.Acts(t.Context(), audit.Filter{Tenant: id, OfTenant: true, Action: "tenant.export", Limit: 10})
	// Those that were refused are noted once a minute, which may be over.
	acts = slices.DeleteFunc(acts, func(l audit.Leaf) bool { return !strings.Contains(string(l.Text), `"result":"done"`) })
	if err != nil || len(acts) != 2 {
		t.Errorf("%d entries of exports, %v, want 2", len(acts), err)
	}
	b.do(t, 202, "deleteTenant", map[string]any{"tenant": "acme", "grace": "0s"}, nil)
	if got := b.raw(t, http.MethodGet, "/v1/tenants/acme/export", b.operator, ""); got.status != 409 {
		t.Errorf("one whose key is destroyed: status %d: %s", got.status, got.body)
	}
}

// sequence has all acts numbered that there are.
func (b *bundle) sequence(t *testing.T) {
	t.Helper()
	for {
		n, _, err := b.h.Store.SequenceActs(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
}
