package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// vendor is an authorization server that gives tokens to clients themselves, and the API
// that takes them.
type vendor struct {
	srv *httptest.Server

	mu sync.Mutex
	// good is the token that the API takes, and issued how many there were.
	good   string
	issued int
	// lifetime of tokens, in seconds, and refusal what is answered instead of one.
	lifetime int
	refusal  string
	// effects are what the API did, and refused how many requests it did not take.
	effects, refused int
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{lifetime: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", v.token)
	mux.HandleFunc("POST /orders", v.order)
	v.srv = httptest.NewServer(mux)
	t.Cleanup(v.srv.Close)
	return v
}

func (v *vendor) token(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if id, secret, ok := r.BasicAuth(); !ok || id != "client" || secret != "client-secret" || r.PostFormValue("grant_type") != "client_credentials" {
		answerJSON(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	if v.refusal != "" {
		answerJSON(w, 400, map[string]any{"error": v.refusal, "error_description": "The client was switched off."})
		return
	}
	v.issued++
	v.good = fmt.Sprintf("machine-token-%d", v.issued)
	answerJSON(w, 200, map[string]any{"access_token": v.good, "token_type": "bearer", "expires_in": v.lifetime})
}

func (v *vendor) order(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.good == "" || r.Header.Get("Authorization") != "Bearer "+v.good {
		v.refused++
		answerJSON(w, 401, map[string]any{"error": "unauthorized"})
		return
	}
	v.effects++
	answerJSON(w, 200, map[string]any{"order": v.effects})
}

// set changes what the vendor does next.
func (v *vendor) set(change func(v *vendor)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
}

// counts are how many tokens were issued, effects there are, and requests were refused.
func (v *vendor) counts() [3]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return [3]int{v.issued, v.effects, v.refused}
}

func (v *vendor) host() string { return strings.TrimPrefix(v.srv.URL, "http://") }

// app is a client of the vendor's.
func (v *vendor) app(name, grant string) map[string]any {
	return map[string]any{
		"name": name, "client_id": "client", "secret": map[string]any{"client_secret": "client-secret"}, "grant": grant, "scopes": []string{"orders"},
		"descriptor": json.RawMessage(fmt.Sprintf(`{"name":"vendor","title":"Vendor","docs":["https://vendor.example/oauth"],
			"grant_types_supported":["client_credentials","authorization_code"],"token_endpoint_auth_method":"client_secret_basic",
			"authorization_endpoint":"%[1]s/authorize","token_endpoint":"%[1]s/token","hosts":[%[2]q],
			"variables":{"account":{"title":"Account","example":"a-1"}}}`, v.srv.URL, v.host())),
	}
}

// near lets a host reach this machine.
func near(c *host.Config) {
	c.Egress = egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
}

func TestAMachineConnects(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	c := setupConnect(t, near)
	in := map[string]any{"tenant": c.tenant}
	c.do(t, 201, "createApp", in, v.app("robot", "client_credentials"))
	c.do(t, 201, "createApp", in, v.app("people", "authorization_code"))
	body := func(change map[string]any) map[string]any {
		b := map[string]any{"name": "vendor", "type": "oauth2", "app": "robot", "grant": "client_credentials", "variables": map[string]string{"account": "a-1"}}
		maps.Copy(b, change)
		return b
	}
	for name, bad := range map[string]struct {
		change            map[string]any
		status            int
		code, where, hint string
	}{
		"a user's grant":               {map[string]any{"app": "people", "grant": "authorization_code"}, 422, "grant_not_for_machines", "/grant", "connect-sessions"},
		"an app of users'":             {map[string]any{"app": "people", "grant": ""}, 422, "grant_not_for_machines", "/grant", "connect-sessions"},
		"another grant than the app's": {map[string]any{"grant": "jwt_bearer"}, 422, "grant_not_for_machines", "/grant", "registered for it"},
		"no app":                       {map[string]any{"app": ""}, 422, "invalid_connection", "/app", ""},
		"an app that is not there":     {map[string]any{"app": "nobody"}, 404, "not_found", "/app", "oauth-apps"},
		"a credential":                 {map[string]any{"credential": map[string]any{"token": "x"}}, 422, "invalid_connection", "/credential", ""},
		"another's host":               {map[string]any{"hosts": []string{"evil.example"}}, 422, "invalid_connection", "/hosts/0", ""},
		"a name that is none":          {map[string]any{"name": "1"}, 422, "invalid_connection", "/name", ""},
		"a field of the provider's":    {map[string]any{"fields": map[string]any{"account": "a-2"}}, 422, "invalid_connection", "/fields/account", ""},
		"an app of another type":       {map[string]any{"type": "bearer"}, 422, "invalid_connection", "/type", ""},
	} {
		got := c.do(t, bad.status, "createConnection", in, body(bad.change))
		hint, _ := got["hint"].(string)
		if got["code"] != bad.code || got["where"] != bad.where || !strings.Contains(hint, bad.hint) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	v.set(func(v *vendor) { v.refusal = "unauthorized_client" })
	got := c.do(t, 422, "createConnection", in, body(nil))
	if !strings.Contains(got["detail"].(string), "switched off") {
		t.Errorf("the provider's own words are lost: %v", got)
	}
	if all := c.do(t, 200, "listConnections", in, nil)["items"].([]any); len(all) != 0 {
		t.Fatalf("there are connections without tokens: %v", all)
	}

	v.set(func(v *vendor) { v.refusal = "" })
	made := c.do(t, 201, "createConnection", in, body(map[string]any{"fields": map[string]any{"plan": "gold"}}))
	if fields := made["fields"].(map[string]any); made["type"] != "oauth2" || fields["account"] != "a-1" || fields["plan"] != "gold" || fmt.Sprint(made["hosts"]) != "["+v.host()+"]" {
		t.Errorf("the connection is %v", made)
	}
	one := map[string]any{"tenant": c.tenant, "connection": "vendor"}
	if h := c.do(t, 200, "getConnectionHealth", one, nil); h["state"] != "healthy" || h["provider"] != "vendor" {
		t.Errorf("its health is %v", h)
	}
	issued := v.counts()[0]
	if got := c.do(t, 409, "createConnection", in, body(nil)); got["code"] != "name_taken" || v.counts()[0] != issued {
		t.Errorf("a name that is taken asks for %d tokens: %v", v.counts()[0]-issued, got)
	}
	acts := string(c.raw(t, http.MethodGet, "/v1/audit", c.operator, "").body)
	if !strings.Contains(acts, "connection.create") || strings.Contains(c.log.String()+acts, "machine-token") || strings.Contains(c.log.String()+acts, "client-secret") {
		t.Errorf("the audit log is %s", acts)
	}
}
