package fositetest_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
	jose "github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
)

const (
	redirectURI = "https://cofferdam.example/oauth/callback?x=%2F"
	clientID    = "client:1"
	// clientSecret has what every encoding treats in its own way.
	clientSecret = "s:cret%+/ ü&="
)

func starter() oauth.Starter { return oauth.Starter{Tenant: "ten_a", Session: "session-a"} }

// testBundle is a client, and a server of fosite's whose user decides as a test says.
type testBundle struct {
	client *oauth.Client
	flows  *oauthtest.Flows
	server *httptest.Server
	fosite *fosite.Config
	store  *storage.MemoryStore
	// registered is the client as the server knows it.
	registered *fosite.DefaultOpenIDConnectClient
	// ahead is by how much the client's clock is ahead of the server's.
	ahead time.Duration

	mu sync.Mutex
	// refuse is what the user says, or nil for yes.
	refuse *fosite.RFC6749Error
	// keep are the scopes that the user leaves in, or nil for all.
	keep []string
	// audience is that of the last token.
	audience []string
	// tokens is how often the token endpoint was asked.
	tokens int
}

func setup(t *testing.T, options ...func(*fosite.Config)) *testBundle {
	t.Helper()
	b := &testBundle{flows: &oauthtest.Flows{}, store: storage.NewMemoryStore()}
	b.fosite = &fosite.Config{
		GlobalSecret: make([]byte, 32), HashCost: 4, RefreshTokenScopes: []string{}, EnforcePKCE: true,
		AccessTokenLifespan: time.Hour, GrantTypeJWTBearerMaxDuration: 5 * time.Minute,
	}
	for _, o := range options {
		o(b.fosite)
	}
	provider := compose.Compose(b.fosite, b.store, &compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(b.fosite)},
		compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.RFC7523AssertionGrantFactory, compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory, compose.OAuth2PKCEFactory)
	b.server = httptest.NewTLSServer(b.routes(provider))
	t.Cleanup(b.server.Close)
	b.fosite.TokenURL = b.server.URL + "/token"
	hashed, err := b.fosite.GetSecretsHasher(t.Context()).Hash(t.Context(), []byte(clientSecret))
	if err != nil {
		t.Fatal(err)
	}
	b.registered = &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{
			ID: clientID, Secret: hashed, RedirectURIs: []string{redirectURI}, ResponseTypes: []string{"code"},
			GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
			Scopes:     []string{"read", "write"}, Audience: []string{"https://api.acme.example"},
		},
		TokenEndpointAuthMethod: "client_secret_basic",
	}
	b.store.Clients[clientID] = b.registered
	b.client, err = oauth.New(oauth.Config{
		Transport: b.server.Client().Transport, Flows: b.flows,
		Now: func() time.Time { return time.Now().Add(b.ahead) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *testBundle) routes(provider fosite.OAuth2Provider) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": b.server.URL, "authorization_endpoint": b.server.URL + "/authorize", "token_endpoint": b.server.URL + "/token",
			"revocation_endpoint": b.server.URL + "/revoke", "introspection_endpoint": b.server.URL + "/introspect", "code_challenge_methods_supported": []string{"S256"},
		})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		asked, err := provider.NewAuthorizeRequest(r.Context(), r)
		if err == nil && b.refuse != nil {
			err = b.refuse
		}
		if err != nil {
			provider.WriteAuthorizeError(r.Context(), w, asked, err)
			return
		}
		for _, scope := range asked.GetRequestedScopes() {
			if b.keep == nil || fosite.Arguments(b.keep).Has(scope) {
				asked.GrantScope(scope)
			}
		}
		for _, audience := range asked.GetRequestedAudience() {
			asked.GrantAudience(audience)
		}
		response, err := provider.NewAuthorizeResponse(r.Context(), asked, &fosite.DefaultSession{Subject: "user"})
		if err != nil {
			provider.WriteAuthorizeError(r.Context(), w, asked, err)
			return
		}
		provider.WriteAuthorizeResponse(r.Context(), w, asked, response)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.tokens++
		asked, err := provider.NewAccessRequest(r.Context(), r, &fosite.DefaultSession{})
		if err != nil {
			provider.WriteAccessError(r.Context(), w, asked, err)
			return
		}
		if asked.GetGrantTypes().ExactOne("client_credentials") {
			for _, scope := range asked.GetRequestedScopes() {
				asked.GrantScope(scope)
			}
		}
		response, err := provider.NewAccessResponse(r.Context(), asked)
		b.audience = asked.GetGrantedAudience()
		if err != nil {
			provider.WriteAccessError(r.Context(), w, asked, err)
			return
		}
		provider.WriteAccessResponse(r.Context(), w, asked, response)
	})
	mux.HandleFunc("/revoke", func(w http.ResponseWriter, r *http.Request) {
		provider.WriteRevocationResponse(r.Context(), w, provider.NewRevocationRequest(r.Context(), r))
	})
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		response, err := provider.NewIntrospectionRequest(r.Context(), r, &fosite.DefaultSession{})
		if err != nil {
			provider.WriteIntrospectionError(r.Context(), w, err)
			return
		}
		provider.WriteIntrospectionResponse(r.Context(), w, response)
	})
	return mux
}

// registration finds the endpoints by the server's metadata.
func (b *testBundle) registration(t *testing.T) oauth.Registration {
	t.Helper()
	m, err := b.client.Discover(t.Context(), b.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return oauth.Registration{
		Provider: "fosite", ClientID: clientID, Secret: oauth.Secret{ClientSecret: clientSecret}, RedirectURI: redirectURI, Scopes: []string{"read", "write"},
	}.Discovered(m)
}

// signs makes the client one that signs, with a key that the server knows by its id.
func (b *testBundle) signs(t *testing.T, s oauth.Secret, algorithm string, keys ...jose.JSONWebKey) oauth.Registration {
	t.Helper()
	r := b.registration(t)
	r.Secret, r.Wire.TokenAuth, r.Wire.Algorithm = s, "private_key_jwt", algorithm
	b.registered.TokenEndpointAuthMethod, b.registered.TokenEndpointAuthSigningAlgorithm = "private_key_jwt", algorithm
	b.registered.JSONWebKeys = &jose.JSONWebKeySet{Keys: keys}
	return r
}

func (b *testBundle) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens
}

// visit plays the browser: it opens an address, and gives what comes back to the
// redirect URI.
func (b *testBundle) visit(t *testing.T, address string) url.Values {
	t.Helper()
	browser := http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer browser.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	to, err := response.Location()
	if err != nil {
		return nil // The server keeps the user: its redirect URI is not to be trusted.
	}
	callback := to.Query()
	callback.Del("x") // The redirect URI's own.
	return callback
}

func (b *testBundle) begin(t *testing.T, r oauth.Registration) oauth.Begun {
	t.Helper()
	begun, err := b.client.Begin(t.Context(), r, starter(), "con_1")
	if err != nil {
		t.Fatal(err)
	}
	return begun
}

func (b *testBundle) accept(t *testing.T, callback url.Values) (oauth.Arrived, error) {
	t.Helper()
	return b.client.Accept(t.Context(), starter(), redirectURI, callback)
}

// connect does all of a flow.
func (b *testBundle) connect(t *testing.T, r oauth.Registration) oauth.Token {
	t.Helper()
	arrived, err := b.accept(t, b.visit(t, b.begin(t, r).URL))
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.client.Exchange(t.Context(), r, arrived)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// with is an address with another parameter; an empty value takes it out.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Set(name, value); value == "" {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func wantError(t *testing.T, err error, code string) {
	t.Helper()
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}
