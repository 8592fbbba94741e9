package connection_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
)

// tokens are those of all connections, and the Auditor of their use.
type tokens struct {
	access  authorization.Access
	err     error
	asked   int
	refused []string
	worked  []string
	revoked []string
	used    []vault.Opening
	lost    error
}

func (k *tokens) Token(context.Context, string, string) (authorization.Access, error) {
	k.asked++
	return k.access, k.err
}

func (k *tokens) Refused(_ context.Context, tenant, connection, id string) (bool, error) {
	k.refused = append(k.refused, tenant+" "+connection+" "+id)
	return k.err == nil, k.err
}

func (k *tokens) Worked(_ context.Context, tenant, connection, id string) error {
	k.worked = append(k.worked, tenant+" "+connection+" "+id)
	return k.err
}

func (k *tokens) Revoke(_ context.Context, tenant, connection string) error {
	k.revoked = append(k.revoked, tenant+" "+connection)
	return k.err
}

func (k *tokens) Opened(_ context.Context, o vault.Opening) error {
	k.used = append(k.used, o)
	return k.lost
}

type agreed struct {
	*bundle
	tokens  *tokens
	renewed []string
	conn    connection.Connection
	granted egress.Credentials
}

// agree has a connection of type oauth2 that is granted as "crm".
func agree(t *testing.T, k *tokens) *agreed {
	t.Helper()
	a := &agreed{bundle: &bundle{store: &store{rows: map[string]row{}}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, tokens: k}
	a.connections = connection.New(connection.Config{
		Store: a.store, Vault: vaulttest.New(t), Tokens: k, Auditor: k, Now: func() time.Time { return a.now },
		Renewed: func(_ context.Context, tenant, id string) error {
			a.renewed = append(a.renewed, tenant+" "+id)
			return nil
		},
	})
	a.conn = a.create(t, connection.Spec{Name: "hubspot", Type: connection.OAuth2, Hosts: []string{"API.hubapi.com"}})
	a.granted = a.connections.For(tenant, map[string]string{"crm": a.conn.ID})
	return a
}

func bearing() *tokens {
	return &tokens{access: authorization.Access{
		Token: "tok&en-1", ID: "hash-1", Use: provider.TokenUse{Header: "Authorization", Prefix: "Bearer "}, Hosts: []string{"*.hubapi.com"},
	}}
}

func TestATokenGoesAsItsAPITakesIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		use     provider.TokenUse
		header  http.Header
		query   string
		secrets []string
	}{
		"not said":          {provider.TokenUse{}, http.Header{"Authorization": {"Bearer tok&en-1"}}, "a=1", []string{"tok&en-1"}},
		"as a bearer":       {provider.TokenUse{Header: "Authorization", Prefix: "Bearer "}, http.Header{"Authorization": {"Bearer tok&en-1"}}, "a=1", []string{"tok&en-1"}},
		"in another header": {provider.TokenUse{Header: "X-Access-Token"}, http.Header{"X-Access-Token": {"tok&en-1"}}, "a=1", []string{"tok&en-1"}},
		"in the query":      {provider.TokenUse{Query: "access_token"}, http.Header{}, "a=1&access_token=tok%26en-1", []string{"tok&en-1", "tok%26en-1"}},
		"with other headers": {
			provider.TokenUse{Header: "Authorization", Prefix: "Zoho-oauthtoken ", Headers: map[string]string{"Xero-Tenant-Id": "t-1"}},
			http.Header{"Authorization": {"Zoho-oauthtoken tok&en-1"}, "Xero-Tenant-Id": {"t-1"}},
			"a=1",
			[]string{"tok&en-1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := bearing()
			k.access.Use = tt.use
			a := agree(t, k)
			r := request(t, "https://api.hubapi.com/crm?a=1")
			secrets, err := a.granted.Apply(t.Context(), "crm", r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.header, r.Header) + cmp.Diff(tt.query, r.URL.RawQuery) + cmp.Diff(tt.secrets, secrets); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAHeaderOfTheGuestsDoesNotStandInForAToken(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	r := request(t, "https://api.hubapi.com/")
	r.Header["authorization"], r.Header["X_other"] = []string{"Bearer mine"}, []string{"kept"}
	if _, err := a.granted.Apply(t.Context(), "crm", r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"Authorization": {"Bearer tok&en-1"}, "X_other": {"kept"}}, r.Header); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A warm token opens nothing, and its use is accounted for as an opening is, in the
// words with which a run's intent announces it.
func TestTheUseOfATokenIsAccountedFor(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	ctx := vault.Using(t.Context(), vault.Use{Who: "installation ins_1", Execution: "exe_1"})
	r := request(t, "https://api.hubapi.com/")
	for range 2 {
		if _, err := a.granted.Apply(ctx, "crm", r); err != nil {
			t.Fatal(err)
		}
	}
	want := connection.Opening(ctx, tenant, a.conn.ID, "api.hubapi.com")
	if diff := cmp.Diff([]vault.Opening{want, want}, a.tokens.used); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	a.tokens.lost = errors.New("the log is away")
	r = request(t, "https://api.hubapi.com/")
	if _, err := a.granted.Apply(ctx, "crm", r); !errors.Is(err, a.tokens.lost) || len(r.Header) > 0 {
		t.Errorf("got %v with %v, want no token that nobody accounts for", err, r.Header)
	}
}

func TestATokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	for _, url := range []string{"https://example.com/", "https://api.hubapi.com.example.com/", "https://api.hubapi.com:8443/"} {
		if _, err := a.granted.Apply(t.Context(), "crm", request(t, url)); !errors.Is(err, egress.ErrHostNotAllowed) || a.tokens.asked > 0 {
			t.Errorf("%s: got %v after %d looks at the token, want it refused before one", url, err, a.tokens.asked)
		}
	}
	a.tokens.access.Hosts = []string{"eu.hubapi.com"} // The account has moved.
	if _, err := a.granted.Apply(t.Context(), "crm", request(t, "https://api.hubapi.com/")); !errors.Is(err, egress.ErrHostNotAllowed) || len(a.tokens.used) > 0 {
		t.Errorf("got %v, want it refused where its provider does not name the host", err)
	}
}

func TestATokenFillsASlot(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	r := request(t, "https://api.hubapi.com/")
	got, err := a.granted.(egress.Placeable).Parts(t.Context(), "crm", r)
	if diff := cmp.Diff(map[string]string{"access_token": "tok&en-1"}, got); diff != "" || err != nil || len(r.Header) > 0 || len(a.tokens.used) != 1 {
		t.Errorf("got %v, %d uses, %v (-want +got):\n%s", err, len(a.tokens.used), r.Header, diff)
	}
}

func TestATokenSignsNothing(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	_, err := a.granted.(sign.Keys).Key(t.Context(), "crm")
	if !errors.Is(err, sign.ErrNoKey) || !strings.Contains(err.Error(), "type oauth2") || a.tokens.asked > 0 {
		t.Errorf("got %v, want to be told that it is none to sign with", err)
	}
}

func TestWhyThereIsNoTokenIsTold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		code hostfns.Code // Empty for what ends the call.
	}{
		"for good":              {fault.New(fault.Auth, "auth", "the user took it back"), hostfns.CodeAuth},
		"by its own mistake":    {fault.New(fault.InvalidInput, "oauth_invalid_scope", "the scope is gone"), hostfns.CodeAuth},
		"for now":               {fault.New(fault.Upstream, "upstream_unavailable", "503"), hostfns.CodeUpstreamUnavailable},
		"out of reach":          {fault.New(fault.Network, "network", "no answer"), hostfns.CodeNetwork},
		"for the rate":          {&fault.Error{Class: fault.RateLimited, Message: "too many", RetryAfter: time.Minute}, hostfns.CodeRateLimited},
		"by the host's failure": {fault.New(fault.Platform, "internal", "the database is away"), ""},
		"for reasons unknown":   {errors.New("what"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := bearing()
			a := agree(t, k)
			r := request(t, "https://api.hubapi.com/")
			if _, err := a.granted.Apply(t.Context(), "crm", r); err != nil {
				t.Fatal(err)
			}
			k.err = tt.err
			_, applied := a.granted.Apply(t.Context(), "crm", request(t, "https://api.hubapi.com/"))
			_, renewed := a.granted.(egress.Renewer).Renew(t.Context(), "crm", r)
			for _, err := range []error{applied, renewed} {
				e, ok := errors.AsType[*hostfns.Error](err)
				if ok != (tt.code != "") || ok && (e.Code != tt.code || !strings.HasPrefix(e.Message, `the connection "hubspot" has no token now: `)) || !ok && !errors.Is(err, tt.err) {
					t.Errorf("got %v, want %q", err, tt.code)
				}
				if ok && tt.code == hostfns.CodeRateLimited && e.RetryAfter != time.Minute {
					t.Errorf("it is to be asked again in %s, want a minute", e.RetryAfter)
				}
			}
		})
	}
}

func TestARefusedTokenIsNamed(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	renewer := a.granted.(egress.Renewer)
	plain := request(t, "https://api.hubapi.com/")
	if renewed, err := renewer.Renew(t.Context(), "crm", plain); renewed || err != nil || len(a.tokens.refused) > 0 {
		t.Errorf("without a token: got %v, %v", renewed, err)
	}
	r := request(t, "https://api.hubapi.com/")
	if _, err := a.granted.Apply(t.Context(), "crm", r); err != nil {
		t.Fatal(err)
	}
	renewer.Worked(t.Context(), "crm", plain)
	renewer.Worked(t.Context(), "crm", r)
	if want := []string{tenant + " " + a.conn.ID + " hash-1"}; !slices.Equal(a.tokens.worked, want) {
		t.Errorf("%v has worked, want %v", a.tokens.worked, want)
	}
	a.tokens.access.ID = "hash-2" // Another request may have renewed it by now.
	renewed, err := renewer.Renew(t.Context(), "crm", r)
	if want := []string{tenant + " " + a.conn.ID + " hash-1"}; !renewed || err != nil || !slices.Equal(a.tokens.refused, want) {
		t.Errorf("got %v, %v, and %v was refused, want %v", renewed, err, a.tokens.refused, want)
	}
}

func TestAnOAuth2HasNoCredential(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	_, err := a.connections.Create(t.Context(), tenant, connection.Spec{
		Name: "x", Type: connection.OAuth2, Hosts: []string{"api.hubapi.com"}, Credential: connection.Credential{Token: "hunter2"},
	})
	if f := fault.From(err); f == nil || f.Where != "/credential/token" || strings.Contains(f.Error(), "hunter2") {
		t.Errorf("got %v, want to be told that it has none", err)
	}
	_, err = a.connections.Replace(t.Context(), tenant, "hubspot", connection.Credential{Token: "hunter2"})
	if f := fault.From(err); f == nil || f.Code != "invalid_connection" || !strings.Contains(f.Hint, "Reconnect") || len(a.renewed) > 0 {
		t.Errorf("got %v, want to be told to reconnect", err)
	}
}

func TestAReconnectedConnectionGoesOn(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	a.now = a.now.Add(time.Hour)
	got, err := a.connections.Reconnected(t.Context(), tenant, "hubspot", connection.Place{Hosts: []string{"EU.hubapi.com"}, Fields: json.RawMessage(`{"portal":1}`)})
	if err != nil || got.Version != 2 || got.Hosts[0] != "eu.hubapi.com" || string(got.Fields) != `{"portal":1}` || !got.UpdatedAt.Equal(a.now) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = a.connections.Reconnected(t.Context(), tenant, a.conn.ID, connection.Place{}); err != nil || got.Version != 3 || got.Hosts[0] != "eu.hubapi.com" || got.Fields == nil {
		t.Errorf("got %+v, %v, want what is not said to stay", got, err)
	}
	if want := []string{tenant + " " + a.conn.ID, tenant + " " + a.conn.ID}; !slices.Equal(a.renewed, want) {
		t.Errorf("%v were renewed, want %v", a.renewed, want)
	}
	if got, err := a.connections.SetFields(t.Context(), tenant, "hubspot", json.RawMessage(`{}`)); err != nil || got.Version != 4 {
		t.Errorf("its fields cannot be set: %+v, %v", got, err)
	}
	for name, err := range map[string]error{
		"hosts that are none": second(a.connections.Reconnected(t.Context(), tenant, "hubspot", connection.Place{Hosts: []string{"x y"}})),
		"no hosts":            second(a.connections.Reconnected(t.Context(), tenant, "hubspot", connection.Place{Hosts: []string{}})),
		"fields that are none": second(a.connections.Reconnected(t.Context(), tenant, "hubspot", connection.Place{
			Fields: json.RawMessage(`[]`),
		})),
		"another tenant": second(a.connections.Reconnected(t.Context(), "ten_b", "hubspot", connection.Place{})),
		"another type":   second(a.connections.Reconnected(t.Context(), tenant, a.create(t, bearer()).ID, connection.Place{})),
	} {
		if err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func second(_ connection.Connection, err error) error { return err }

func TestADeletedConnectionsTokensAreRevoked(t *testing.T) {
	t.Parallel()
	a := agree(t, bearing())
	a.tokens.err = errors.New("the database is away")
	if err := a.connections.Delete(t.Context(), tenant, "hubspot"); !errors.Is(err, a.tokens.err) {
		t.Errorf("got %v, want it kept while its tokens cannot be revoked", err)
	}
	a.tokens.err = nil
	if err := a.connections.Delete(t.Context(), tenant, "hubspot"); err != nil {
		t.Fatal(err)
	}
	if want := tenant + " " + a.conn.ID; !slices.Equal(a.tokens.revoked, []string{want, want}) || len(a.store.rows) > 0 {
		t.Errorf("%v were revoked, and %d connections are left", a.tokens.revoked, len(a.store.rows))
	}
	if _, err := a.granted.Apply(t.Context(), "crm", request(t, "https://api.hubapi.com/")); !errors.Is(err, egress.ErrNoConnection) {
		t.Errorf("got %v, want no connection", err)
	}
}

func TestWithoutTokensAnOAuth2IsTheHostsFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.create(t, connection.Spec{Name: "hubspot", Type: connection.OAuth2, Hosts: []string{"api.hubapi.com"}})
	_, err := b.connections.For(tenant, map[string]string{"crm": c.ID}).Apply(t.Context(), "crm", request(t, "https://api.hubapi.com/"))
	if _, ok := errors.AsType[*hostfns.Error](err); ok || err == nil {
		t.Errorf("got %v, want an error that no guest is told", err)
	}
}

func TestAHeldTokenIsInTheFile(t *testing.T) {
	t.Parallel()
	spec := connection.Spec{Name: "crm", Type: connection.OAuth2, Hosts: []string{"api.hubapi.com"}, Credential: connection.Credential{Token: "t0ken"}}
	h, err := connection.Held(map[string]connection.Spec{"crm": spec}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "https://api.hubapi.com/")
	if _, err := h.Apply(t.Context(), "crm", r); err != nil || r.Header.Get("Authorization") != "Bearer t0ken" {
		t.Errorf("got %q, %v", r.Header.Get("Authorization"), err)
	}
	parts, err := h.(egress.Placeable).Parts(t.Context(), "crm", r)
	if diff := cmp.Diff(map[string]string{"access_token": "t0ken"}, parts); diff != "" || err != nil {
		t.Errorf("got %v (-want +got):\n%s", err, diff)
	}
	spec.Credential = connection.Credential{}
	if _, err := connection.Held(map[string]connection.Spec{"crm": spec}, time.Now); err == nil {
		t.Error("one without a token was taken")
	}
}
