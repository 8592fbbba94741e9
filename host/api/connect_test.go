package api_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/api/apitest"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// connects is a server that browsers reach, with a tenant whose plugin asks for accounts.
type connects struct {
	*bundle

	tenant, token string
}

// setupConnect starts a server whose public URL is its own.
func setupConnect(t *testing.T, change ...func(*host.Config)) *connects {
	t.Helper()
	return setupConnectBelow(t, "", change...)
}

// setupConnectBelow starts one whose handler is mounted below a prefix of the public URL.
// Nothing of it is at the root: what operators ask for is at an address of its own.
func setupConnectBelow(t *testing.T, prefix string, change ...func(*host.Config)) *connects {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	t.Cleanup(srv.Close)
	c := &connects{bundle: setupHost(t, api.Options{}, func(c *host.Config) {
		c.PublicURL = "http://" + srv.Listener.Addr().String() + prefix
		for _, f := range change {
			f(c)
		}
	})}
	srv.Config.Handler = c.srv.Config.Handler
	if prefix != "" {
		mux := http.NewServeMux()
		mux.Handle(prefix+"/", http.StripPrefix(prefix, c.srv.Config.Handler))
		srv.Config.Handler = mux
	}
	srv.Start()
	c.url = srv.URL + prefix
	c.tenant, c.token = c.bundle.tenant(t, "acme")
	return c
}

// asking installs a plugin whose manifest has these connections, and whose test answers so.
func (c *connects) asking(t *testing.T, connections, test string) {
	t.Helper()
	c.installs(t, runtimetest.Outputs(map[string]string{"describe": crm(connections), "test": test}))
}

// crm is the manifest of a plugin that asks for connections.
func crm(connections string) string {
	return fmt.Sprintf(`{"name":"crm","version":"1.0.0","title":"Acme CRM","test":true,"connections":%s,
		"egress":[{"host":"api.example.com","methods":["GET"]}]}`, connections)
}

func (c *connects) installs(t *testing.T, wasm []byte) {
	t.Helper()
	if a := c.publish(t, c.operator, wasm, nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	c.do(t, 201, "createInstallation", map[string]any{"tenant": c.tenant}, map[string]any{"plugin": "crm"})
}

// session creates a connect session.
func (c *connects) session(t *testing.T, body map[string]any) (id, link string) {
	t.Helper()
	made := c.do(t, 201, "createConnectSession", map[string]any{"tenant": c.tenant}, body)
	return made["id"].(string), made["url"].(string)
}

// get looks at a session through the API.
func (c *connects) get(t *testing.T, id string) map[string]any {
	t.Helper()
	return c.do(t, 200, "getConnectSession", map[string]any{"tenant": c.tenant, "session": id}, nil)
}

// browser is one with a cookie jar.
type browser struct {
	client *http.Client
	// url, status, html and header are those of the page that it shows.
	url    *url.URL
	status int
	html   string
	header http.Header
	// headers go with each request.
	headers http.Header
	// hops are the answers that led to the page, which is the last.
	hops []*http.Response
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{headers: http.Header{}}
	b.client = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return b
}

// open opens an address, and follows redirects that stay on the server.
func (b *browser) open(t *testing.T, address string) *browser {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.send(t, req)
}

func (b *browser) send(t *testing.T, req *http.Request) *browser {
	t.Helper()
	b.hops = nil
	for {
		maps.Copy(req.Header, b.headers)
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		b.url, b.status, b.html, b.header = req.URL, resp.StatusCode, string(body), resp.Header
		b.hops = append(b.hops, resp) //nolint:bodyclose // It is closed above.
		to, err := resp.Location()
		if err != nil || to.Host != req.URL.Host {
			return b
		}
		if req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, to.String(), nil); err != nil {
			t.Fatal(err)
		}
	}
}

var hidden = regexp.MustCompile(`<input type="hidden" name="token" value="([^"]*)">`)

// post sends the page's form with values.
func (b *browser) post(t *testing.T, values ...string) *browser {
	t.Helper()
	form := url.Values{}
	if token := hidden.FindStringSubmatch(b.html); token != nil {
		form.Set("token", token[1])
	}
	for i := 0; i+1 < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return b.form(t, b.url.String(), form)
}

// form sends any form.
func (b *browser) form(t *testing.T, address string, form url.Values) *browser {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(t, req)
}

// settled looks at the page until what it waits for has come.
func (b *browser) settled(t *testing.T) *browser {
	t.Helper()
	for strings.Contains(b.html, "data-poll") {
		b.open(t, b.url.String())
	}
	return b
}

var heading = regexp.MustCompile(`<h1[^>]*>([^<]*)</h1>`)

// wants checks the page's status and heading, and what its text has.
func (b *browser) wants(t *testing.T, status int, title string, texts ...string) *browser {
	t.Helper()
	got := ""
	if h := heading.FindStringSubmatch(b.html); h != nil {
		got = h[1]
	}
	if b.status != status || got != title {
		t.Fatalf("%s shows %d %q, want %d %q: %s", b.url.Path, b.status, got, status, title, b.html)
	}
	for _, text := range texts {
		if !strings.Contains(b.html, text) {
			t.Errorf("%q is not on the page %s", text, b.html)
		}
	}
	return b
}

const tokenSlot = `[{"name":"crm","title":"Example CRM","type":"bearer","description":"Under Settings, API.","hosts":["api.example.com"],
	"fields":{"type":"object","properties":{"account_id":{"type":"string","title":"Account","pattern":"^a-[0-9]+$"}},"required":["account_id"],"additionalProperties":false}}]`

func TestAUserConnectsAnAPIKey(t *testing.T) {
	t.Parallel()
	c := setupConnect(t)
	c.asking(t, tokenSlot, `{"ok":true}`)
	id, link := c.session(t, map[string]any{
		"installation": "crm", "return_url": "http://localhost:3000/done?x=1", "origins": []string{"http://localhost:3000"},
		"brand": map[string]any{"name": "Acme", "color": "#ffee00"},
	})
	b := newBrowser(t).open(t, link)
	b.wants(t, 200, "Connect Example CRM", "Under Settings, API.", "Access token", "Account", "api.example.com")
	if b.url.Path != "/connect/"+id || b.hops[0].StatusCode != http.StatusSeeOther {
		t.Errorf("the link leads to %s by %d, want the session's own address by a 303", b.url, b.hops[0].StatusCode)
	}
	b.post(t, "step", "fields", "credential.token", "canary-secret", "fields.account_id", "wrong").wants(t, 422, "Connect Example CRM", "Account")
	if strings.Contains(b.html, "canary-secret") || !strings.Contains(b.html, `value="wrong"`) {
		t.Error("the page shows what is secret, or not what was entered")
	}
	b.post(t, "step", "fields", "credential.token", "canary-secret", "fields.account_id", "a-1").settled(t)
	b.wants(t, 200, "Example CRM is connected", "Back to Acme", "http://localhost:3000/done?connect_session="+id+"&amp;status=done&amp;x=1")
	got := c.get(t, id)
	made := c.do(t, 200, "getConnection", map[string]any{"tenant": c.tenant, "connection": "crm"}, nil)
	if got["state"] != "done" || got["connection"] != made["id"] {
		t.Errorf("the session is %v, and the connection %v", got, made)
	}
	installation := c.do(t, 200, "getInstallation", map[string]any{"tenant": c.tenant, "installation": "crm"}, nil)
	if granted := installation["grants"].(map[string]any)["connections"].(map[string]any); granted["crm"] != made["id"] {
		t.Errorf("it was granted %v", granted)
	}
	for _, e := range c.trail(t, "connection.connect") {
		if e["who"] != id || e["tenant"] != c.tenant {
			t.Errorf("in the audit log is %v, want it as the session's", e)
		}
	}
	if strings.Contains(c.log.String(), "canary-secret") || strings.Contains(c.log.String(), link[len(link)-43:]) {
		t.Error("the log has what was entered, or the link")
	}
}

func TestAHostAppDoesTheStepsItself(t *testing.T) {
	t.Parallel()
	c := setupConnect(t)
	c.asking(t, tokenSlot, `{"ok":true}`)
	id, _ := c.session(t, map[string]any{"installation": "crm"})
	next := c.get(t, id)["next"].(map[string]any)
	if next["step"] != "fields" || next["schema"] == nil {
		t.Fatalf("next is %v, want fields with their schema", next)
	}
	params := map[string]any{"tenant": c.tenant, "session": id}
	values := map[string]any{"credential": map[string]any{"token": "t"}, "fields": map[string]any{}}
	p := c.do(t, 422, "stepConnectSession", params, map[string]any{"step": "fields", "values": values})
	if p["where"] != "/values/fields/account_id" {
		t.Errorf("the problem is at %v, want /values/fields/account_id", p["where"])
	}
	if p := c.do(t, 409, "stepConnectSession", params, map[string]any{"step": "select", "choice": "1"}); p["code"] != "connect_step_invalid" {
		t.Errorf("the code is %v", p["code"])
	}
	values["fields"] = map[string]any{"account_id": "a-1"}
	got := c.do(t, 200, "stepConnectSession", params, map[string]any{"step": "fields", "values": values})
	for got["state"] == "testing" {
		got = c.get(t, id)
	}
	if got["state"] != "done" || got["next"] != nil {
		t.Errorf("got %v, want it done", got)
	}
	if p := c.do(t, 409, "cancelConnectSession", params, nil); p["code"] != "connect_session_over" {
		t.Errorf("the code is %v", p["code"])
	}
	list := c.do(t, 200, "listConnectSessions", map[string]any{"tenant": c.tenant}, nil)
	if n := len(list["items"].([]any)); n != 1 {
		t.Errorf("%d sessions are listed, want 1", n)
	}
	otherTenant, secret := c.bundle.tenant(t, "other")
	doc, _ := document(t)
	other, err := apitest.New(doc, c.url, secret)
	if err != nil {
		t.Fatal(err)
	}
	do(t, other, 404, "getConnectSession", map[string]any{"tenant": otherTenant, "session": id}, nil)
}

func TestASessionThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	c := setupConnect(t)
	c.asking(t, tokenSlot, `{"ok":true}`)
	for name, refused := range map[string]struct {
		change map[string]any
		status int
		where  string
	}{
		"a return URL in the clear":           {map[string]any{"return_url": "http://app.example/x"}, 422, "/return_url"},
		"a return URL that is a script":       {map[string]any{"return_url": "javascript:alert(1)"}, 422, "/return_url"},
		"a return URL with a user":            {map[string]any{"return_url": "https://app.example@evil.example/"}, 422, "/return_url"},
		"a return URL at another origin":      {map[string]any{"return_url": "https://evil.example/", "origins": []string{"https://app.example"}}, 422, "/return_url"},
		"an origin with a path":               {map[string]any{"origins": []string{"https://app.example/x"}}, 422, "/origins/0"},
		"an origin that is a wildcard":        {map[string]any{"origins": []string{"*"}}, 422, "/origins/0"},
		"an origin of a wildcard":             {map[string]any{"origins": []string{"https://*.example"}}, 422, "/origins/0"},
		"an origin that ends a header":        {map[string]any{"origins": []string{"https://app.example; script-src *"}}, 422, "/origins/0"},
		"no origin":                           {map[string]any{"origins": []string{"https://ok.example", ""}}, 422, "/origins/1"},
		"a plugin that there is not":          {map[string]any{"installation": "", "plugin": "none"}, 404, ""},
		"an installation that there is not":   {map[string]any{"installation": "none"}, 404, ""},
		"a slot that the plugin does not ask": {map[string]any{"slot": "none"}, 422, "/slot"},
		"a connection that there is not":      {map[string]any{"connection": "none"}, 404, ""},
		"an app of nobody's":                  {map[string]any{"installation": "", "app": "app_00000000000000000000000000"}, 404, ""},
		"nothing":                             {map[string]any{"installation": ""}, 422, ""},
		"both":                                {map[string]any{"plugin": "crm"}, 422, "/plugin"},
		"a logo from elsewhere":               {map[string]any{"brand": map[string]any{"logo": "https://app.example/logo.png"}}, 422, "/brand/logo"},
		"a logo that is a document":           {map[string]any{"brand": map[string]any{"logo": "data:image/svg+xml;base64,PHN2Zy8+"}}, 422, "/brand/logo"},
		"a logo that is not what it says":     {map[string]any{"brand": map[string]any{"logo": "data:image/png;base64,PHN2Zy8+"}}, 422, "/brand/logo"},
		"a colour that is none":               {map[string]any{"brand": map[string]any{"color": "red;}"}}, 422, "/brand/color"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := map[string]any{"installation": "crm"}
			for k, v := range refused.change {
				if body[k] = v; v == "" {
					delete(body, k)
				}
			}
			p := c.do(t, refused.status, "createConnectSession", map[string]any{"tenant": c.tenant}, body)
			if where, _ := p["where"].(string); where != refused.where {
				t.Errorf("it is at %q, want %q: %v", where, refused.where, p)
			}
		})
	}
}
