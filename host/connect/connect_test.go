package connect_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
)

const (
	acme  = "ten_0000000000000000000000ACME"
	rival = "ten_00000000000000000000000RIVAL"
)

// testBundle is Sessions of two tenants, whose one app is at a server on this machine.
type testBundle struct {
	*connect.Sessions

	ahead atomic.Int64
	kept  *accounts
	url   string
}

func setup(t *testing.T, db store.Store) *testBundle {
	t.Helper()
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{acme, rival} {
		if err := db.InsertTenant(t.Context(), tenant.Tenant{ID: id, Name: strings.ToLower(id), State: tenant.Active}); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"at","token_type":"bearer"}`))
	}))
	t.Cleanup(srv.Close)
	b := &testBundle{kept: &accounts{all: map[string]connection.Connection{}}, url: srv.URL}
	v := vaulttest.New(t)
	client, err := oauth.New(oauth.Config{Transport: srv.Client().Transport, Flows: connect.NewFlows(db, v), Now: b.now, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	b.Sessions, err = connect.New(connect.Config{
		Store: db, Vault: v, Client: client, Apps: b, Connections: b.kept, Authorizations: b.kept, Plugins: none{},
		PublicURL: "http://127.0.0.1:1/below", Now: b.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// App implements connect.Apps.
func (b *testBundle) App(context.Context, string, string) (connect.App, error) {
	return connect.App{ID: "app_1", Name: "northwind", Provider: provider.Provider{Name: "northwind", Title: "Northwind"}}, nil
}

// AppsOf implements connect.Apps.
func (*testBundle) AppsOf(context.Context, string, string) ([]connect.App, error) { return nil, nil }

// Registration implements connect.Apps.
func (b *testBundle) Registration(context.Context, string, string, map[string]string) (connect.Registered, error) {
	return connect.Registered{
		Registration: oauth.Registration{
			Provider: "northwind", ClientID: "client", Secret: oauth.Secret{ClientSecret: "secret"}, RedirectURI: b.PublicURL() + "/oauth/callback/northwind",
			Endpoints: oauth.Endpoints{Authorization: b.url + "/authorize", Token: b.url + "/token"},
		},
		Provider: provider.Resolved{Provider: provider.Provider{Name: "northwind", Title: "Northwind", Hosts: []string{"api.example.com"}}},
	}, nil
}

// Look implements connect.Apps.
func (*testBundle) Look(_ context.Context, _, _ string, l connect.Look) (connect.Look, error) {
	return l, nil
}

// none are no plugins.
type none struct{ connect.Plugins }

// accounts are connections, and what was agreed to.
type accounts struct {
	connect.Connections

	mu  sync.Mutex
	all map[string]connection.Connection
}

func (a *accounts) Create(_ context.Context, tenant string, spec connection.Spec) (connection.Connection, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := "con_" + tenant + spec.Name
	if _, there := a.all[id]; there {
		return connection.Connection{}, fault.New(fault.Conflict, "name_taken", "there is one")
	}
	a.all[id] = connection.Connection{ID: id, Name: spec.Name, Type: spec.Type}
	return a.all[id], nil
}

func (*accounts) Agree(context.Context, connect.Agreed) error   { return nil }
func (*accounts) Discard(context.Context, connect.Agreed) error { return nil }

func (*accounts) AppOf(context.Context, string, string) (string, error) { return "app_1", nil }

func (*accounts) AccountOf(context.Context, string, string) (connect.Account, error) {
	return connect.Account{}, nil
}

func (a *accounts) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}

// onEach runs a test with each database.
func onEach(t *testing.T, test func(t *testing.T, b *testBundle)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) (store.Store, error){
		"sqlite": func(t *testing.T) (store.Store, error) {
			t.Helper()
			return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "cofferdam.db"), sqlite.Options{})
		},
		"postgres": func(t *testing.T) (store.Store, error) {
			t.Helper()
			return postgres.Open(t.Context(), postgrestest.DSN(t), postgres.Options{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			test(t, setup(t, db))
		})
	}
}

func (b *testBundle) now() time.Time {
	return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).Add(time.Duration(b.ahead.Load()))
}

// begin makes a session, and returns it with its link's secret.
func (b *testBundle) begin(t *testing.T, tenant string) (connect.Session, string) {
	t.Helper()
	made, link, err := b.Create(t.Context(), tenant, connect.Spec{App: "northwind"})
	if err != nil {
		t.Fatal(err)
	}
	secret, ok := strings.CutPrefix(link, b.PublicURL()+"/connect/")
	if !ok || len(secret) != 43 || made.State != connect.Open {
		t.Fatalf("the link is %s, and the session %+v", link, made)
	}
	return made, secret
}

// open is a browser that opens a link.
func (b *testBundle) open(t *testing.T, secret string) connect.Shown {
	t.Helper()
	shown, err := b.OpenLink(t.Context(), secret, connect.Browser{})
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

// away sends a browser to the provider, and returns the state that it has there.
func (b *testBundle) away(t *testing.T, shown connect.Shown) (state string) {
	t.Helper()
	gone, err := b.Do(t.Context(), shown.ID, connect.Browser{Cookie: shown.Cookie}, shown.Token, connect.Step{Step: "consent"})
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(gone.GoTo)
	if err != nil || to.Query().Get("redirect_uri") != b.PublicURL()+"/oauth/callback/northwind" {
		t.Fatalf("the browser goes to %s, %v", gone.GoTo, err)
	}
	return to.Query().Get("state")
}

func wants(t *testing.T, err error, class fault.Class, code string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Class != class || code != "" && f.Code != code {
		t.Errorf("got %v, want a fault %s of the class %s", err, code, class)
	}
}

func TestALinkIsGoodInOneBrowser(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *testBundle) {
		t.Helper()
		_, secret := b.begin(t, acme)
		looked := b.open(t, secret) // A program that looks what is behind it.
		user := b.open(t, secret)
		if _, err := b.Show(t.Context(), looked.ID, connect.Browser{Cookie: looked.Cookie}); err == nil {
			t.Error("the browser whose place was taken is let in")
		}
		b.away(t, user)
		_, err := b.OpenLink(t.Context(), secret, connect.Browser{})
		wants(t, err, fault.Denied, connect.CodeBrowser)
		if again, err := b.OpenLink(t.Context(), secret, connect.Browser{Cookie: user.Cookie}); err != nil || again.ID != user.ID {
			t.Errorf("the browser that was: %v", err)
		}
		for _, odd := range []string{"", "x", secret + "=", strings.Repeat("A", 43), user.ID} {
			_, err := b.OpenLink(t.Context(), odd, connect.Browser{})
			wants(t, err, fault.InvalidInput, fault.CodeNotFound)
		}
	})
}

func TestACallbackIsOfTheBrowserThatWasSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *testBundle) {
		t.Helper()
		callback := func(cookie, state string) (string, error) {
			return b.Callback(t.Context(), connect.Browser{Cookie: cookie}, "northwind", url.Values{"state": {state}, "code": {"c"}})
		}
		_, secret := b.begin(t, acme)
		user := b.open(t, secret)
		_, theirs := b.begin(t, rival)
		stranger := b.open(t, theirs)
		for name, cookie := range map[string]string{"another tenant's browser": stranger.Cookie, "no browser": "", "what is no cookie": "x"} {
			state := b.away(t, user)
			if id, err := callback(cookie, state); err == nil || id != "" {
				t.Errorf("%s: got %q, want it refused", name, id)
			}
		}
		if b.kept.count() != 0 {
			t.Error("something was connected")
		}
		state := b.away(t, user)
		if id, err := callback(user.Cookie, state); err != nil || id != user.ID {
			t.Fatalf("got %q, %v", id, err)
		}
		if _, err := callback(user.Cookie, state); err == nil {
			t.Error("a state is good twice")
		}
		if got, err := b.Get(t.Context(), acme, user.ID); err != nil || got.State != connect.Done || b.kept.count() != 1 {
			t.Errorf("got %+v, %v, with %d connections", got, err, b.kept.count())
		}
		if got, err := b.Get(t.Context(), rival, stranger.ID); err != nil || got.State != connect.Consent {
			t.Errorf("the other tenant's session is %+v, %v", got, err)
		}
	})
}

func TestACallbackThatComesLateConnectsNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *testBundle) {
		t.Helper()
		_, secret := b.begin(t, acme)
		user := b.open(t, secret)
		state := b.away(t, user)
		if _, err := b.Cancel(t.Context(), acme, user.ID); err != nil {
			t.Fatal(err)
		}
		id, err := b.Callback(t.Context(), connect.Browser{Cookie: user.Cookie}, "northwind", url.Values{"state": {state}, "code": {"c"}})
		if err != nil || id != user.ID || b.kept.count() != 0 {
			t.Errorf("after it was cancelled: got %q, %v, with %d connections", id, err, b.kept.count())
		}
		_, secret = b.begin(t, acme)
		user = b.open(t, secret)
		state = b.away(t, user)
		b.ahead.Store(int64(31 * time.Minute))
		if _, err := b.Callback(t.Context(), connect.Browser{Cookie: user.Cookie}, "northwind", url.Values{"state": {state}, "code": {"c"}}); err == nil || b.kept.count() != 0 {
			t.Errorf("after it has expired: got %v, with %d connections", err, b.kept.count())
		}
		_, err = b.Do(t.Context(), user.ID, connect.Browser{Cookie: user.Cookie}, user.Token, connect.Step{Step: "consent"})
		wants(t, err, fault.Conflict, "connect_session_over")
		b.ahead.Store(int64(26 * time.Hour))
		if err := b.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := b.List(t.Context(), acme, "", 10); err != nil || len(left) != 0 {
			t.Errorf("a day later there are %v, %v", left, err)
		}
	})
}

func TestFormsAndPassesAreOfOneSession(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *testBundle) {
		t.Helper()
		_, one := b.begin(t, acme)
		_, two := b.begin(t, acme)
		first := b.open(t, one)
		second, err := b.OpenLink(t.Context(), two, connect.Browser{Cookie: first.Cookie}) // Two tabs.
		if err != nil || second.Cookie != first.Cookie || second.Token == first.Token {
			t.Fatalf("two sessions of one browser: %v", err)
		}
		browser := connect.Browser{Cookie: first.Cookie}
		for name, try := range map[string]struct {
			browser connect.Browser
			token   string
		}{
			"another session's token": {browser, second.Token}, "no token": {browser, ""},
			"no cookie": {connect.Browser{}, first.Token}, "another cookie": {connect.Browser{Cookie: strings.Repeat("A", 43)}, first.Token},
		} {
			for _, step := range []string{"consent", "cancel", "retry"} {
				if _, err := b.Do(t.Context(), first.ID, try.browser, try.token, connect.Step{Step: step}); fault.From(err).Code != fault.CodeNotFound {
					t.Errorf("%s, %s: got %v", name, step, err)
				}
			}
		}
		asked, err := b.Step(t.Context(), acme, first.ID, connect.Step{Step: "consent"})
		if err != nil {
			t.Fatal(err)
		}
		pass := strings.TrimPrefix(asked.Next.AuthorizationURL, b.PublicURL()+"/connect/go/")
		_, secret, _ := strings.Cut(pass, ".")
		for _, odd := range []string{"", first.ID, first.ID + ".", second.ID + "." + secret, first.ID + "." + strings.Repeat("A", 43)} {
			if _, err := b.Pass(t.Context(), odd, browser); fault.From(err).Code != fault.CodeNotFound {
				t.Errorf("%q: got %v", odd, err)
			}
		}
		if shown, err := b.Pass(t.Context(), pass, browser); err != nil || !strings.HasPrefix(shown.GoTo, b.url+"/authorize?") {
			t.Errorf("got %s, %v", shown.GoTo, err)
		}
		if _, err := b.Pass(t.Context(), pass, browser); fault.From(err).Code != fault.CodeNotFound {
			t.Errorf("a pass is good twice: %v", err)
		}
	})
}

func TestSessionsAreTheirTenants(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *testBundle) {
		t.Helper()
		mine, _ := b.begin(t, acme)
		for name, err := range map[string]error{
			"get":    second(b.Get(t.Context(), rival, mine.ID)),
			"step":   second(b.Step(t.Context(), rival, mine.ID, connect.Step{Step: "consent"})),
			"cancel": second(b.Cancel(t.Context(), rival, mine.ID)),
		} {
			if fault.From(err).Code != fault.CodeNotFound {
				t.Errorf("%s: got %v, want that there is none", name, err)
			}
		}
		if all, err := b.List(t.Context(), rival, "", 10); err != nil || len(all) != 0 {
			t.Errorf("the other lists %v, %v", all, err)
		}
		if got, err := b.Get(t.Context(), acme, mine.ID); err != nil || got.State != connect.Open {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func second(_ connect.Session, err error) error { return err }

func TestWhatIsEnteredIsNotPrinted(t *testing.T) {
	t.Parallel()
	values := connect.Values{Credential: connection.Credential{Token: "canary"}, Fields: json.RawMessage(`{"a":"canary"}`)}
	if got := values.String(); got != "[redacted]" {
		t.Errorf("got %s", got)
	}
}
