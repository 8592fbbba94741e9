package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// rolesTable is roles.txt as the document has it: a line for each route.
func rolesTable(doc openapi) string {
	var lines []string
	for path, item := range doc.Paths {
		for method, op := range item {
			roles := strings.Join(op.Roles, " ")
			if op.Reach == "public" {
				roles = "-"
			}
			lines = append(lines, fmt.Sprintf("%-72s %s", path+" "+strings.ToUpper(method), roles))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// The table is checked in, so that nobody changes who may do what without seeing it.
func TestDocumentHasTheRolesThatAreCheckedIn(t *testing.T) {
	t.Parallel()
	_, doc := document(t)
	got := rolesTable(doc)
	if *update {
		if err := os.WriteFile("roles.txt", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("roles.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("who may do what has changed; look at the difference, then run go test ./host/api -run Document -update (-was +is):\n%s", diff)
	}
}

// permission is a line of roles.txt.
type permission struct {
	method, path string
	roles        []string
}

func permissions(t *testing.T) []permission {
	t.Helper()
	text, err := os.ReadFile("roles.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []permission
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		all = append(all, permission{path: words[0], method: words[1], roles: words[2:]})
	}
	return all
}

// bearer is somebody who asks.
type bearer struct {
	role   token.Role
	signed bool
	// secret makes a token, when it is needed: some requests revoke them.
	secret func(t *testing.T) string
}

func (f fixture) bearers(t *testing.T) []bearer {
	t.Helper()
	var all []bearer
	for _, r := range token.Roles() {
		scope, tenants := r.Scope()
		tenant := ""
		if tenants {
			tenant = f.ids["tenant"]
			all = append(all, bearer{role: r, signed: true, secret: func(t *testing.T) string {
				t.Helper()
				_, secret, err := f.h.Tokens.Sign(t.Context(), token.SignedSpec{Tenant: tenant, Role: r, Subject: "user-1"})
				if err != nil {
					t.Fatal(err)
				}
				return secret
			}})
		}
		kept := f.token(t, tenant, scope)
		all = append(all, bearer{role: r, secret: func(*testing.T) string { return kept }})
	}
	return all
}

// harmless fills in a path so that nothing is done to the victim: what is named is not
// there, which only those are told who may ask.
func (f fixture) harmless(p permission) string {
	ids := map[string]string{}
	for _, name := range parameter.FindAllString(p.path, -1) {
		ids[strings.Trim(name, "{}")] = "none"
	}
	itself := slices.Contains([]string{"/v1/tenants/{tenant}", "/v1/tenants/{tenant}/pause", "/v1/tenants/{tenant}/resume"}, p.path)
	if !itself || p.method == http.MethodGet {
		delete(ids, "tenant")
	}
	return f.path(p.path, ids)
}

// TestRoles makes each request that there is as each role that there is, with tokens
// that are kept and with signed ones, against what roles.txt says.
func TestRoles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, doc := document(t)
	bearers := f.bearers(t)
	allowed, denied := 0, 0
	for _, p := range permissions(t) {
		op := doc.Paths[p.path][strings.ToLower(p.method)]
		if p.roles[0] == "-" {
			continue
		}
		for _, who := range bearers {
			name := fmt.Sprintf("%s %s as %s (signed: %v)", p.method, p.path, who.role, who.signed)
			a := f.call(t, p.method, f.harmless(p), who.secret(t), op)
			may := slices.Contains(p.roles, string(who.role))
			refused := a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
			switch {
			case may && !refused:
				allowed++
			case may && who.signed && a.problem(t)["code"] == "token_signed":
				// Of a signed token no other is made.
				if !strings.Contains(p.path, "tokens") {
					t.Errorf("%s: %s", name, a.body)
				}
				denied++
			case !may && a.status == http.StatusForbidden:
				f.saysHow(t, name, p, a)
				denied++
			default:
				t.Errorf("%s: status %d, want to be let in: %v: %s", name, a.status, may, a.body)
			}
		}
	}
	t.Logf("%d requests were let in, and %d refused", allowed, denied)
	if allowed < 200 || denied < 150 {
		t.Errorf("%d requests were let in, and %d refused: the table cannot be so short", allowed, denied)
	}
}

// saysHow checks that a refusal names the roles that would do, and how to get one.
func (fixture) saysHow(t *testing.T, name string, p permission, a answer) {
	t.Helper()
	problem := a.problem(t)
	if problem["code"] == "token_signed" {
		return
	}
	detail, hint := fmt.Sprint(problem["detail"]), fmt.Sprint(problem["hint"])
	if problem["code"] != "role_missing" || !strings.Contains(hint, "cofferdam token create") {
		t.Errorf("%s: %s", name, a.body)
	}
	for _, role := range p.roles {
		if !strings.Contains(detail, role) {
			t.Errorf("%s: the refusal does not name %s: %s", name, role, detail)
		}
	}
}

func TestGuessingIsHeldUp(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if a := b.raw(t, http.MethodGet, "/v1/token", b.operator, ""); a.status != 200 {
		t.Fatal(string(a.body))
	}
	var last answer
	for n := range 21 {
		// Nobody trusts this client's X-Forwarded-For, which is another each time.
		last = b.raw(t, http.MethodGet, "/v1/token", fmt.Sprintf("cfd_%043d", n), "")
		if want := 401; n < 20 && last.status != want {
			t.Fatalf("guess %d: status %d, want %d", n, last.status, want)
		}
	}
	if last.status != 429 || last.header.Get("Retry-After") == "" || last.problem(t)["code"] != "too_many_attempts" {
		t.Errorf("status %d, Retry-After %q: %s", last.status, last.header.Get("Retry-After"), last.body)
	}
	if a := b.raw(t, http.MethodGet, "/v1/token", b.operator, ""); a.status != 200 {
		t.Errorf("whoever was let in before gets %d", a.status)
	}
}

// TestAddressIsWhatAProxySays counts guesses by what the nearest trusted proxy wrote
// down, not by what came before that.
func TestAddressIsWhatAProxySays(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}})
	guess := func(n int, forwarded string) int {
		return b.raw(t, http.MethodGet, "/v1/token", fmt.Sprintf("cfd_%043d", n), "", "X-Forwarded-For", forwarded).status
	}
	for n := range 20 {
		guess(n, fmt.Sprintf("10.9.8.%d, 203.0.113.7, 192.0.2.1", n))
	}
	for forwarded, want := range map[string]int{
		"203.0.113.7": 429, "10.0.0.1, 203.0.113.7": 429, "203.0.113.8, 192.0.2.1": 401, "nonsense, 203.0.113.9": 401, "nonsense": 401, "": 401,
	} {
		if got := guess(99, forwarded); got != want {
			t.Errorf("%q: status %d, want %d", forwarded, got, want)
		}
	}
}

// people is a token.Verifier of one login.
type people struct{ roles []token.Scope }

func (p people) Verify(_ context.Context, raw string) (token.Token, error) {
	if raw != "a.b.c" {
		return token.Token{}, fault.New(fault.Auth, "login_refused", "no")
	}
	return token.Token{ID: "login:ada", Name: "ada", Subject: "ada", Kind: token.Login, Scopes: p.roles}, nil
}

func TestLogins(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scopes []token.Scope
		want   map[string]int
	}{
		"an operator":    {[]token.Scope{token.Admin}, map[string]int{"/v1/tenants": 200, "/v1/tokens": 200, "/v1/plugins": 200}},
		"a viewer":       {[]token.Scope{token.Read}, map[string]int{"/v1/tenants": 200, "/v1/tokens": 403, "/v1/plugins": 200}},
		"a publisher":    {[]token.Scope{token.Publish}, map[string]int{"/v1/tenants": 403, "/v1/tokens": 403, "/v1/plugins": 200}},
		"without a role": {nil, map[string]int{"/v1/tenants": 403, "/v1/tokens": 403, "/v1/plugins": 403}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, api.Options{Login: people{tt.scopes}})
			for path, want := range tt.want {
				a := b.raw(t, http.MethodGet, path, "a.b.c", "")
				if a.status != want {
					t.Errorf("%s: status %d, want %d: %s", path, a.status, want, a.body)
				}
				if a.status == 403 && len(tt.scopes) == 0 && !strings.Contains(string(a.body), "claims") {
					t.Errorf("%s: it does not say where roles come from: %s", path, a.body)
				}
			}
			if a := b.raw(t, http.MethodGet, "/v1/plugins", "a.b.d", ""); a.status != 401 || bytes.Contains(a.body, []byte("login_refused")) {
				t.Errorf("another login: status %d: %s", a.status, a.body)
			}
		})
	}
}

func TestTokenLives(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	id, admin := b.tenant(t, "acme")
	in := map[string]any{"tenant": "me"}
	c := b.c.As(admin)
	made := do(t, c, 201, "createToken", in, map[string]any{"name": "backend", "scopes": []string{"read"}})
	if diff := cmp.Diff([]any{"tenant_viewer"}, made["roles"]); diff != "" {
		t.Error(diff)
	}
	first := made["secret"].(string)
	rotated := do(t, c, 200, "rotateToken", map[string]any{"tenant": "me", "token": made["id"]}, map[string]any{"overlap_seconds": 60})
	second := rotated["secret"].(string)
	for _, secret := range []string{first, second} {
		if got := do(t, b.c.As(secret), 200, "getOwnToken", nil, nil); got["id"] != made["id"] || got["overlap_until"] == nil || got["tenant"] != id {
			t.Errorf("got %v", got)
		}
	}
	do(t, c, 200, "rotateToken", map[string]any{"tenant": "me", "token": made["id"]}, map[string]any{})
	if a := b.raw(t, http.MethodGet, "/v1/token", second, ""); a.status != 401 {
		t.Errorf("a secret without an overlap opens: %d", a.status)
	}
	do(t, b.c, 404, "rotateOperatorToken", map[string]any{"token": made["id"]}, map[string]any{})

	signed := do(t, c, 201, "signToken", in, map[string]any{"subject": "user-17", "role": "tenant_admin"})
	user := b.c.As(signed["secret"].(string))
	if got := do(t, user, 200, "getOwnToken", nil, nil); got["subject"] != "user-17" {
		t.Errorf("got %v", got)
	}
	do(t, user, 200, "listTokens", in, nil)
	do(t, user, 403, "createToken", in, map[string]any{"name": "for ever"})
	do(t, user, 403, "signToken", in, map[string]any{"subject": "user-17"})
	do(t, c, 204, "revokeSignedTokens", in, nil)
	do(t, user, 401, "getOwnToken", nil, nil)
}

// A signed token does nothing in a tenant that is being deleted, although no look-up
// is made for it.
func TestSignedTokensEndWithTheirTenant(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	id, _ := b.tenant(t, "acme")
	secret := b.do(t, 201, "signToken", map[string]any{"tenant": id}, map[string]any{"subject": "user-17", "role": "tenant_admin"})["secret"].(string)
	b.do(t, 202, "deleteTenant", map[string]any{"tenant": id, "grace": "0s"}, nil)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if a := b.raw(t, method, "/v1/tenants/me/connections", secret, "{}"); a.status != 401 {
			t.Errorf("%s: status %d: %s", method, a.status, a.body)
		}
	}
}

func TestStrictTransportIsSaidOverTLS(t *testing.T) {
	t.Parallel()
	h := api.Handler(nil, api.Options{})
	over, plain := httptest.NewTLSServer(h), httptest.NewServer(h)
	t.Cleanup(over.Close)
	t.Cleanup(plain.Close)
	for _, srv := range []*httptest.Server{over, plain} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got, want := resp.Header.Get("Strict-Transport-Security") != "", srv == over; got != want {
			t.Errorf("%s: Strict-Transport-Security %q", srv.URL, resp.Header.Get("Strict-Transport-Security"))
		}
	}
}
