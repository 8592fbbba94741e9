package plugins_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/egress/egresstest"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// platform is a host whose way to a provider leads to its emulation.
type platform struct {
	h           *host.Host
	url, tenant string
	token       string
}

func newPlatform(t *testing.T, vendor *providertest.Server) *platform {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	t.Cleanup(srv.Close)
	p := &platform{url: "http://" + srv.Listener.Addr().String()}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	p.h, err = host.New(t.Context(), host.Config{
		Store: db, Keeper: key, PublicURL: p.url, Egress: towards(t, vendor), Logger: slog.New(slog.DiscardHandler), CacheDir: runtimetest.CacheDir(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := p.h.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if p.token, err = p.h.Tokens.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	acme, err := p.h.Tenants.Create(t.Context(), "acme", "Acme Inc.", tenant.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p.tenant = acme.ID
	srv.Config.Handler = api.Handler(p.h, api.Options{Logger: slog.New(slog.DiscardHandler)})
	srv.Start()
	return p
}

// towards leads from all names to the emulation, through a proxy. The address is one that
// guests may reach; nothing is sent to it.
func towards(t *testing.T, vendor *providertest.Server) egress.Config {
	t.Helper()
	proxy, err := egress.ParseProxy(egresstest.Proxy(t, vendor.Dial), "", true)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(vendor.RootCAs())) {
		t.Fatal("the emulation's authority is no certificate")
	}
	return egress.Config{Resolver: egresstest.Resolver(egresstest.Only("93.184.216.34")), RootCAs: roots, Proxy: proxy}
}

// install publishes a plugin, and installs it with all that it asks for.
func (p *platform) install(t *testing.T, wasm string) installation.Installation {
	t.Helper()
	publisher, err := p.h.Plugins.PublisherOf(t.Context(), registry.Viewer{Operator: true})
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(wasm)
	if err != nil {
		t.Fatal(err)
	}
	version, err := p.h.Plugins.Publish(t.Context(), publisher.ID, registry.Upload{Wasm: bytes.NewReader(module)})
	if err != nil {
		t.Fatal(err)
	}
	made, err := p.h.Installations.Create(t.Context(), p.tenant, installation.Spec{Plugin: version.Name})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// ask makes a request to the API that succeeds.
func (p *platform) ask(t *testing.T, method, path string, body map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+"/v1/tenants/"+p.tenant+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(said, &answer); err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s, %v", method, path, response.Status, said, err)
	}
	return answer
}

// TestAGitHubAccountIsConnected takes the connector that ships from an OAuth app to a run
// that is made with the token of a user who has agreed. GitHub is emulated.
func TestAGitHubAccountIsConnected(t *testing.T) {
	t.Parallel()
	cofferdam := build(t)
	wasm := filepath.Join(t.TempDir(), "github.wasm")
	cofferdam.run(t, "build", install(t, "github"), "-o", wasm)
	vendor := providertest.Serve(t, "github")
	p := newPlatform(t, vendor)
	vendor.RedirectURI = p.url + "/oauth/callback/github"
	installed := p.install(t, wasm)
	if _, err := p.h.Apps.Create(t.Context(), p.tenant, app.Spec{
		Name: "github", Provider: "github", ClientID: vendor.ClientID, Secret: oauth.Secret{ClientSecret: vendor.ClientSecret}, Scopes: vendor.Scopes,
	}); err != nil {
		t.Fatal(err)
	}

	made := p.ask(t, http.MethodPost, "/connect-sessions", map[string]any{"installation": installed.ID, "slot": "github_account"})
	session := "/connect-sessions/" + made["id"].(string)
	next := p.ask(t, http.MethodPost, session+"/steps", map[string]any{"step": "consent"})["next"].(map[string]any)
	p.agree(t, vendor, next["authorization_url"].(string))
	// The plugin's test is an execution. A session that waits for it is looked at again.
	got := p.ask(t, http.MethodGet, session, nil)
	for got["state"] == "testing" {
		got = p.ask(t, http.MethodGet, session, nil)
	}
	if got["state"] != "done" {
		t.Fatalf("the session is %v; the vendor says %v", got, vendor.Complaints())
	}

	token := vendor.Want().AccessToken
	asked := vendor.Asked()
	last := asked[len(asked)-1]
	if last.Endpoint != "api" || last.Header.Get("Authorization") != "Bearer "+token || last.Header.Get("User-Agent") != "cofferdam-github" {
		t.Errorf("the API was asked %v, want the connector's request with the user's token", last)
	}
	page, err := p.h.Executions.List(t.Context(), p.tenant, execution.Filter{})
	if err != nil || len(page) != 1 || page[0].State != execution.Succeeded {
		t.Fatalf("got the executions %v, %v", page, err)
	}
	trace, err := p.h.Executions.Trace(t.Context(), p.tenant, page[0].ID)
	if text := fmt.Sprintf("%+v", trace); err != nil || strings.Contains(text, token) || !strings.Contains(text, "octocat") {
		t.Errorf("the trace is %s, %v: want the answer in it, and not the token", text, err)
	}
	if complaints := vendor.Complaints(); len(complaints) > 0 {
		t.Errorf("the vendor says %q", complaints)
	}
}

// agree goes through the consent as a user's browser does.
func (p *platform) agree(t *testing.T, vendor *providertest.Server, address string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	open := func(address string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode, response.Header.Get("Location")
	}
	_, theirs := open(address)
	callback := vendor.Consent(t, theirs)
	if status, _ := open(vendor.RedirectURI + "?" + callback.Encode()); status >= 400 {
		t.Errorf("the callback is answered with %d", status)
	}
}
