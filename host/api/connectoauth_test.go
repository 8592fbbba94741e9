package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// idp is an authorization server on this machine, whose user agrees at once.
type idp struct {
	srv *httptest.Server

	mu sync.Mutex
	// codes are those that were given, with the scope that the user left, or nothing; asked
	// are the authorization requests, which may have "refuse" and "narrow" too.
	codes map[string]string
	asked []url.Values
	// agreed says that the device's user has.
	agreed bool
	issued int
	// items is what the lookup answers, and carried what the last that asked was let in by.
	items, carried string
	// ends is how long a refresh token lives, if that is said.
	ends time.Duration
	// revoked are the tokens that are.
	revoked chan string
	// who has logged in, if the server is one of OpenID Connect, and info says that its
	// UserInfo endpoint tells that, and no ID token does.
	who  string
	info bool
	// refusal is the error of the token endpoint, or empty.
	refusal string
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	p := &idp{codes: map[string]string{}, revoked: make(chan string, 100), items: `[{"id":"site-1","name":"North"}]`}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, 200, map[string]any{"device_code": "dev", "user_code": "WDJB-MJHT", "verification_uri": p.srv.URL + "/activate", "interval": 1, "expires_in": 600})
	})
	mux.HandleFunc("GET /sites", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.carried = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(p.items))
	})
	mux.HandleFunc("POST /revoke", func(_ http.ResponseWriter, r *http.Request) {
		p.revoked <- r.PostFormValue("token")
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.info || r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", p.issued) {
			answerJSON(w, 403, map[string]any{"error": "insufficient_scope"})
			return
		}
		answerJSON(w, 200, map[string]any{"sub": "sub-of-" + p.who, "email": p.who})
	})
	p.srv = httptest.NewServer(mux)
	t.Cleanup(p.srv.Close)
	return p
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *idp) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	p.asked = append(p.asked, q)
	back := url.Values{"state": {q.Get("state")}}
	if reason := q.Get("refuse"); reason != "" {
		back.Set("error", reason)
		back.Set("error_description", "The user <b>declined</b> the request.")
	} else {
		code := fmt.Sprintf("code-%d", len(p.asked))
		p.codes[code] = q.Get("narrow")
		back.Set("code", code)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = r.ParseForm()
	code := r.PostForm.Get("code")
	scope, given := p.codes[code]
	switch grant := r.PostForm.Get("grant_type"); {
	case p.refusal != "":
		answerJSON(w, 401, map[string]any{"error": p.refusal, "error_description": "The client is <unknown>."})
		return
	case grant == "authorization_code" && !given:
		answerJSON(w, 400, map[string]any{"error": "invalid_grant"})
		return
	case strings.HasSuffix(grant, "device_code") && !p.agreed:
		answerJSON(w, 400, map[string]any{"error": "authorization_pending"})
		return
	}
	delete(p.codes, code)
	p.issued++
	answer := map[string]any{"access_token": fmt.Sprintf("token-%d", p.issued), "refresh_token": fmt.Sprintf("refresh-%d", p.issued), "token_type": "bearer", "expires_in": 3600}
	if p.ends > 0 {
		answer["refresh_token_expires_in"] = p.ends.Seconds()
	}
	if scope != "" {
		answer["scope"] = scope
	}
	if p.who != "" && !p.info {
		claims := fmt.Sprintf(`{"iss":%q,"sub":"sub-of-%s","email":%q}`, p.srv.URL, p.who, p.who)
		answer["id_token"] = "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	answerJSON(w, 200, answer)
}

// set changes what the server does next.
func (p *idp) set(change func(p *idp)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// bearer is what the last request of the API was let in by.
func (p *idp) bearer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.carried
}

// last is the authorization request that came last.
func (p *idp) last() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[len(p.asked)-1]
}

// descriptor is the server as a provider.
func (p *idp) descriptor(name, title string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"name":%[1]q,"title":%[2]q,"docs":["https://acme.example/oauth"],
		"grant_types_supported":["authorization_code","device_code"],
		"authorization_endpoint":"%[3]s/authorize","token_endpoint":"%[3]s/token","revocation_endpoint":"%[3]s/revoke","device_authorization_endpoint":"%[3]s/device","hosts":["%[4]s"],
		"variables":{"site":{"title":"Site","example":"site-1","from":"lookup"}},
		"token_response":{"refresh_expires_in":"/refresh_token_expires_in"},
		"lookups":[{"url":"%[3]s/sites","items":"","label":"/name","variables":{"site":"/id"}}]}`,
		name, title, p.srv.URL, strings.TrimPrefix(p.srv.URL, "http://")))
}

// openID is the server as a provider that tells nothing of accounts but who logs in.
func (p *idp) openID(name string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"name":%[1]q,"title":"Open","docs":["https://acme.example/oauth"],"userinfo_endpoint":"%[2]s/userinfo",
		"authorization_endpoint":"%[2]s/authorize","token_endpoint":"%[2]s/token","hosts":["%[3]s"]}`, name, p.srv.URL, strings.TrimPrefix(p.srv.URL, "http://")))
}

// setupOAuth is setupConnect with a provider on this machine, and an app with it.
func setupOAuth(t *testing.T, grant string, change ...func(*host.Config)) (*connects, *idp) {
	t.Helper()
	return setupOAuthBelow(t, "", grant, change...)
}

func setupOAuthBelow(t *testing.T, prefix, grant string, change ...func(*host.Config)) (*connects, *idp) {
	t.Helper()
	p := newIDP(t)
	c := setupConnectBelow(t, prefix, append(change, func(c *host.Config) {
		c.Egress = egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	})...)
	c.app(t, p, "northwind", "Northwind", grant)
	return c, p
}

func (c *connects) app(t *testing.T, p *idp, name, title, grant string) app.App {
	t.Helper()
	a, err := c.h.Apps.Create(t.Context(), c.tenant, app.Spec{
		Name: name, Provider: name, Descriptor: p.descriptor(name, title), ClientID: "client", Secret: oauth.Secret{ClientSecret: "client-secret"},
		Scopes: []string{"contacts.read", "deals.write"}, Grant: grant,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const oauthSlot = `[{"name":"northwind","title":"Northwind","type":"oauth2","provider":"northwind","scopes":["contacts.read"]}]`

var refresh = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]*)">`)

// leaves presses the button that leads to the provider, and returns the address there.
func (b *browser) leaves(t *testing.T) string {
	t.Helper()
	b.post(t, "step", "consent").wants(t, 200, "Taking you to Northwind")
	return onward(t, b)
}

// onward is where a page leads by itself.
func onward(t *testing.T, b *browser) string {
	t.Helper()
	to := refresh.FindStringSubmatch(b.html)
	if to == nil {
		t.Fatalf("the page leads nowhere: %s", b.html)
	}
	return html.UnescapeString(to[1])
}

// visits opens the provider's page, where the user agrees at once, and returns the
// callback's address.
func (b *browser) visits(t *testing.T, address string) string {
	t.Helper()
	b.open(t, address)
	back := b.hops[len(b.hops)-1].Header.Get("Location")
	if back == "" {
		t.Fatalf("the provider does not send back: %d %s", b.status, b.html)
	}
	return back
}

// agrees goes through the consent.
func (b *browser) agrees(t *testing.T) *browser {
	t.Helper()
	return b.open(t, b.visits(t, b.leaves(t))).settled(t)
}

// asked has a session of the plugin's whose link a browser has opened.
func (c *connects) asked(t *testing.T, change map[string]any) (id string, b *browser) {
	t.Helper()
	body := map[string]any{"installation": "crm"}
	maps.Copy(body, change)
	maps.DeleteFunc(body, func(_ string, v any) bool { return v == nil })
	id, link := c.session(t, body)
	return id, newBrowser(t).open(t, link)
}

func TestAUserAgrees(t *testing.T) {
	t.Parallel()
	c, p := setupOAuth(t, "authorization_code")
	c.asking(t, oauthSlot, `{"ok":true}`)
	id, b := c.asked(t, nil)
	b.wants(t, 200, "Connect Northwind", "contacts.read", "deals.write", "Acme CRM")
	b.agrees(t).wants(t, 200, "Northwind is connected", "You can close this window")
	if asked := p.last(); asked.Get("scope") != "contacts.read deals.write" || asked.Get("code_challenge_method") != "S256" ||
		!strings.HasPrefix(asked.Get("redirect_uri"), c.url+"/oauth/callback/northwind.") {
		t.Errorf("the provider was asked for %v", asked)
	}
	made := c.do(t, 200, "getConnection", map[string]any{"tenant": c.tenant, "connection": "northwind"}, nil)
	if fields := made["fields"].(map[string]any); made["type"] != "oauth2" || fields["site"] != "site-1" || c.get(t, id)["connection"] != made["id"] {
		t.Errorf("the connection is %v", made)
	}
	for _, secret := range []string{"code-1", "token-1", "refresh-1", p.last().Get("state")} {
		if strings.Contains(c.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}

	// Once more, as the same account, and then as another.
	_, again := c.asked(t, map[string]any{"connection": "northwind"})
	again.wants(t, 200, "Reconnect Northwind", "same account as before")
	again.agrees(t).wants(t, 200, "Northwind is connected", "goes on by itself")
	p.set(func(p *idp) { p.items = `[{"id":"site-2","name":"South"}]` })
	for _, allowed := range []bool{false, true} {
		id, b := c.asked(t, map[string]any{"connection": "northwind", "another_account": allowed})
		b.agrees(t)
		if got := c.get(t, id); allowed != (got["state"] == "done") {
			t.Errorf("another account, allowed %v: %v", allowed, got)
		} else if !allowed {
			b.wants(t, 200, "This is another account", "site-2", "site-1")
		}
	}
	if now := c.do(t, 200, "getConnection", map[string]any{"tenant": c.tenant, "connection": "northwind"}, nil); now["id"] != made["id"] {
		t.Errorf("the connection is %v, and was %v", now["id"], made["id"])
	}
}

func TestAUserSelects(t *testing.T) {
	t.Parallel()
	c, p := setupOAuth(t, "authorization_code")
	c.asking(t, oauthSlot, `{"ok":true}`)
	p.set(func(p *idp) { p.items = `[{"id":"site-1","name":"North"},{"id":"site-2","name":"South <b>"}]` })
	_, b := c.asked(t, nil)
	b.agrees(t).wants(t, 200, "Which one?", "North", "South &lt;b&gt;")
	b.post(t, "step", "select", "choice", "9").wants(t, 422, "This link does not work")
	b.open(t, b.url.String()).post(t, "step", "select", "choice", "2").settled(t).wants(t, 200, "Northwind is connected")
	made := c.do(t, 200, "getConnection", map[string]any{"tenant": c.tenant, "connection": "northwind"}, nil)
	if fields := made["fields"].(map[string]any); fields["site"] != "site-2" {
		t.Errorf("the connection is %v", made)
	}
	p.set(func(p *idp) { p.items = `[]` })
	_, b = c.asked(t, nil)
	b.agrees(t).wants(t, 200, "That did not work", "nothing that Northwind could be used for")
}

func TestADeviceIsWaitedFor(t *testing.T) {
	t.Parallel()
	now := atomic.Int64{}
	now.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixNano())
	p := newIDP(t)
	c := setupConnect(t, func(c *host.Config) {
		c.Egress = egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
		c.Now = func() time.Time { return time.Unix(0, now.Load()) }
	})
	c.app(t, p, "northwind", "Northwind", "device_code")
	id, b := c.asked(t, map[string]any{"installation": nil, "app": "northwind"})
	b.wants(t, 200, "Connect Northwind")
	b.post(t, "step", "consent").wants(t, 200, "Enter this code", "WDJB-MJHT", p.srv.URL+"/activate")
	if next := c.get(t, id)["next"].(map[string]any); next["device"].(map[string]any)["user_code"] != "WDJB-MJHT" {
		t.Errorf("next is %v", next)
	}
	now.Add(int64(2 * time.Second))
	b.open(t, b.url.String()).wants(t, 200, "Enter this code")
	p.set(func(p *idp) { p.agreed = true })
	now.Add(int64(2 * time.Second))
	b.open(t, b.url.String()).wants(t, 200, "Northwind is connected")
}

func TestAHostAppSendsItsUserItself(t *testing.T) {
	t.Parallel()
	c, _ := setupOAuth(t, "authorization_code")
	c.asking(t, oauthSlot, `{"ok":true}`)
	id, _ := c.session(t, map[string]any{"installation": "crm", "return_url": "https://app.example/done"})
	params := map[string]any{"tenant": c.tenant, "session": id}
	next := c.do(t, 200, "stepConnectSession", params, map[string]any{"step": "consent"})["next"].(map[string]any)
	to := next["authorization_url"].(string)
	framed := newBrowser(t)
	framed.headers.Set("Sec-Fetch-Dest", "iframe")
	framed.open(t, to).wants(t, 403, "This link does not work", "not shown in a frame")
	b := newBrowser(t)
	back := b.visits(t, b.open(t, to).hops[0].Header.Get("Location"))
	newBrowser(t).open(t, to).wants(t, 404, "This link does not work") // It is good once.
	b.open(t, back).settled(t).wants(t, 200, "Northwind is connected", "https://app.example/done?connect_session="+id)
}

// callbackPage is what whoever has no session to come back to sees.
const callbackPage = "This link does not work"

func TestBadCallbacks(t *testing.T) {
	t.Parallel()
	c, p := setupOAuth(t, "authorization_code")
	c.asking(t, oauthSlot, `{"ok":true}`)
	c.app(t, p, "southwind", "Southwind", "authorization_code")
	for name, test := range map[string]func(t *testing.T){
		"a state in another browser": func(t *testing.T) {
			t.Helper()
			id, b := c.asked(t, nil)
			back := b.visits(t, b.leaves(t))
			newBrowser(t).open(t, back).wants(t, 422, callbackPage, "nothing that was begun here")
			_, other := c.asked(t, nil) // One that has a session of its own.
			other.open(t, back).wants(t, 422, callbackPage)
			b.open(t, back).wants(t, 422, callbackPage) // The state was shown to others: it is used up.
			if got := c.get(t, id)["state"]; got != "consent" {
				t.Errorf("the session is %v", got)
			}
		},
		"a state of another tenant": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			back := b.visits(t, b.leaves(t))
			other, _ := c.bundle.tenant(t, "rival")
			if _, err := c.h.Apps.Create(t.Context(), other, app.Spec{
				Name: "northwind", Provider: "northwind", Descriptor: p.descriptor("northwind", "Northwind"), ClientID: "client", Secret: oauth.Secret{ClientSecret: "client-secret"},
			}); err != nil {
				t.Fatal(err)
			}
			made := c.do(t, 201, "createConnectSession", map[string]any{"tenant": other}, map[string]any{"app": "northwind"})
			newBrowser(t).open(t, made["url"].(string)).open(t, back).wants(t, 422, callbackPage)
			if got := c.do(t, 200, "getConnectSession", map[string]any{"tenant": other, "session": made["id"]}, nil); got["state"] != "consent" {
				t.Errorf("the other tenant's session is %v", got)
			}
		},
		"a callback that comes twice": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			back := b.visits(t, b.leaves(t))
			b.open(t, back).settled(t).wants(t, 200, "Northwind is connected")
			b.open(t, back).wants(t, 422, callbackPage)
		},
		"a callback at another provider's address": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			back := strings.Replace(b.visits(t, b.leaves(t)), "/callback/northwind", "/callback/southwind", 1)
			b.open(t, back).wants(t, 200, "That did not work", "callback_invalid")
		},
		"a consent that is refused": func(t *testing.T) {
			t.Helper()
			id, b := c.asked(t, nil)
			to := b.leaves(t) + "&refuse=access_denied"
			b.open(t, b.visits(t, to)).wants(t, 200, "You did not agree", "The user &lt;b&gt;declined&lt;/b&gt; the request.", "access_denied", "Try again")
			if got := c.get(t, id); got["state"] != "failed" || got["error"].(map[string]any)["message"] == "" {
				t.Errorf("got %v", got)
			}
			b.post(t, "step", "retry").wants(t, 200, "Connect Northwind")
			b.agrees(t).wants(t, 200, "Northwind is connected")
		},
		"scopes that the plugin needs were taken out": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			b.open(t, b.visits(t, b.leaves(t)+"&narrow=deals.write")).wants(t, 200, "Something was left out", "contacts.read", "Acme CRM does not work without that")
		},
		"scopes that it can do without were taken out": func(t *testing.T) {
			t.Helper()
			id, b := c.asked(t, nil)
			b.open(t, b.visits(t, b.leaves(t)+"&narrow=contacts.read")).settled(t).wants(t, 200, "Northwind is connected", "You left out", "deals.write")
			if got := c.get(t, id)["missing_scopes"]; fmt.Sprint(got) != "[deals.write]" {
				t.Errorf("missing are %v", got)
			}
		},
		"a connection that was deleted meanwhile": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, map[string]any{"name": "short-lived"})
			b.agrees(t).wants(t, 200, "Northwind is connected")
			_, b = c.asked(t, map[string]any{"connection": "short-lived"})
			back := b.visits(t, b.leaves(t))
			c.do(t, 204, "deleteConnection", map[string]any{"tenant": c.tenant, "connection": "short-lived"}, nil)
			b.open(t, back).wants(t, 200, "That did not work", "there is no connection")
		},
		"a session that was cancelled meanwhile": func(t *testing.T) {
			t.Helper()
			id, b := c.asked(t, nil)
			back := b.visits(t, b.leaves(t))
			c.do(t, 200, "cancelConnectSession", map[string]any{"tenant": c.tenant, "session": id}, nil)
			b.open(t, back).wants(t, 200, "Nothing was connected")
		},
		"a window that was closed": func(t *testing.T) {
			t.Helper()
			id, link := c.session(t, map[string]any{"installation": "crm"})
			b := newBrowser(t).open(t, link)
			first := b.leaves(t)
			b.open(t, link).wants(t, 200, "Connect Northwind") // The same link, in the same browser.
			second := b.leaves(t)
			if first == second {
				t.Error("two flows have one state")
			}
			newBrowser(t).open(t, link).wants(t, 403, "This link is in use")
			b.open(t, b.visits(t, second)).settled(t).wants(t, 200, "Northwind is connected")
			if got := c.get(t, id)["state"]; got != "done" {
				t.Errorf("the session is %v", got)
			}
		},
		"a link that something else opens first": func(t *testing.T) {
			t.Helper()
			_, link := c.session(t, map[string]any{"installation": "crm"})
			newBrowser(t).open(t, link).wants(t, 200, "Connect Northwind") // A chat that looks what is behind it.
			newBrowser(t).open(t, link).wants(t, 200, "Connect Northwind")
		},
		"a form of nobody's": func(t *testing.T) {
			t.Helper()
			id, b := c.asked(t, nil)
			b.form(t, b.url.String(), url.Values{"step": {"consent"}}).wants(t, 404, callbackPage)
			b.form(t, b.url.String(), url.Values{"step": {"cancel"}, "token": {strings.Repeat("A", 43)}}).wants(t, 404, callbackPage)
			if got := c.get(t, id)["state"]; got != "consent" {
				t.Errorf("the session is %v", got)
			}
		},
		"a callback that is too large": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			b.form(t, c.url+"/oauth/callback/northwind", url.Values{"code": {strings.Repeat("x", 65<<10)}}).wants(t, 413, callbackPage)
			b.open(t, c.url+"/oauth/callback/northwind?code="+strings.Repeat("x", 17<<10)).wants(t, 403, callbackPage)
			b.open(t, c.url+"/oauth/callback/northwind?code=%zz").wants(t, 400, callbackPage)
			b.open(t, c.url+"/oauth/callback/northwind").wants(t, 422, callbackPage)
		},
		"a callback by a form": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			back, err := url.Parse(b.visits(t, b.leaves(t)))
			if err != nil {
				t.Fatal(err)
			}
			at := c.url + back.Path
			// From another site, it comes without the cookie: the page sends it once more.
			newBrowser(t).form(t, at, back.Query()).wants(t, 200, "One moment", `name="state"`, `?again=1"`)
			b.form(t, at+"?again=1", back.Query()).settled(t).wants(t, 200, "Northwind is connected")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func TestASessionEnds(t *testing.T) {
	t.Parallel()
	now := atomic.Int64{}
	now.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixNano())
	p := newIDP(t)
	c := setupConnect(t, func(c *host.Config) {
		c.Egress = egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
		c.Now = func() time.Time { return time.Unix(0, now.Load()) }
	})
	c.app(t, p, "northwind", "Northwind", "authorization_code")
	id, b := c.asked(t, map[string]any{"installation": nil, "app": "northwind"})
	back := b.visits(t, b.leaves(t))
	now.Add(int64(time.Hour))
	b.open(t, back).wants(t, 422, callbackPage)
	_, other := c.asked(t, map[string]any{"installation": nil, "app": "northwind"})
	other.wants(t, 200, "Connect Northwind")
	b.open(t, c.url+"/connect/"+id).wants(t, 200, "This took too long")
	if got := c.get(t, id); got["state"] != "expired" || got["next"] != nil {
		t.Errorf("got %v", got)
	}
	now.Add(int64(25 * time.Hour))
	if err := c.h.Connects.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.open(t, c.url+"/connect/"+id).wants(t, 404, callbackPage)
	c.do(t, 404, "getConnectSession", map[string]any{"tenant": c.tenant, "session": id}, nil)
}
