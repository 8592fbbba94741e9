package oauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func rfc8414() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 8414: the issuer is the one that was asked for": issuerEqual,
		"RFC 8414: the path of an issuer":                    issuerPath,
		"RFC 8414: missing endpoints":                        endpointsMissing,
		"RFC 8414: http is refused":                          httpRefused,
		"RFC 8414: endpoints inside are not reached":         endpointsInside,
		"RFC 8414: metadata is kept for a while":             metadataKept,
		"RFC 8414: signed metadata is not read":              metadataSigned,
		"RFC 8414: PKCE methods are read":                    pkceMethods,
	}
}

// publishes answers with an issuer's metadata at one place, and 404 elsewhere.
func publishes(at string, over map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != at {
			http.NotFound(w, r)
			return
		}
		base := "https://" + r.Host
		m := map[string]any{
			"issuer": base, "authorization_endpoint": base + "/authorize", "token_endpoint": base + "/token",
			"revocation_endpoint": base + "/revoke", "response_types_supported": []string{"code"},
		}
		maps.Copy(m, over)
		_ = json.NewEncoder(w).Encode(m)
	}
}

const oauthPlace, openidPlace = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"

func issuerEqual(t *testing.T) {
	b := setup(t, publishes(oauthPlace, nil))
	m, err := b.client.Discover(t.Context(), b.server.URL)
	if err != nil || m.Endpoints.Token != b.server.URL+"/token" || m.Endpoints.Issuer != b.server.URL {
		t.Fatalf("got %+v, %v", m, err)
	}
	// A slash more is another issuer.
	_, err = b.client.Discover(t.Context(), b.server.URL+"/")
	wantError(t, err, "metadata_invalid")
	for _, issuer := range []any{"https://honest.example", "", nil, 1, strings.Repeat("x", 10000)} {
		b := setup(t, publishes(oauthPlace, map[string]any{"issuer": issuer}))
		_, err := b.client.Discover(t.Context(), b.server.URL)
		wantError(t, err, "metadata_invalid")
		if got := b.requests.count(); got != 1 {
			t.Errorf("%v: got %d requests: a document of somebody else's ends the search", issuer, got)
		}
	}
}

func issuerPath(t *testing.T) {
	for _, place := range []string{oauthPlace + "/tenants/north", "/tenants/north" + openidPlace, openidPlace + "/tenants/north"} {
		b := setup(t, func(w http.ResponseWriter, r *http.Request) {
			publishes(place, map[string]any{"issuer": "https://" + r.Host + "/tenants/north"})(w, r)
		})
		m, err := b.client.Discover(t.Context(), b.server.URL+"/tenants/north")
		if err != nil || m.Endpoints.Token != b.server.URL+"/token" {
			t.Errorf("%s: got %+v, %v", place, m, err)
		}
	}
}

func endpointsMissing(t *testing.T) {
	b := setup(t, publishes(oauthPlace, map[string]any{"token_endpoint": nil}))
	_, err := b.client.Discover(t.Context(), b.server.URL)
	if e := wantError(t, err, "metadata_invalid"); !strings.Contains(e.Description, "token_endpoint") {
		t.Errorf("got %s", e.Description)
	}
	b = setup(t, publishes(oauthPlace, map[string]any{"authorization_endpoint": nil, "revocation_endpoint": nil}))
	m, err := b.client.Discover(t.Context(), b.server.URL)
	if err != nil {
		t.Fatal(err) // Servers without users have none.
	}
	r := b.registration()
	r.Endpoints = oauth.Endpoints{}
	r = r.Discovered(m)
	_, err = b.client.Begin(t.Context(), r, starter(), "")
	wantError(t, err, "registration_invalid")
	wantError(t, b.client.Revoke(t.Context(), r, "rt-secret", ""), "registration_invalid")
	_, err = b.client.Introspect(t.Context(), r, "rt-secret", "")
	wantError(t, err, "registration_invalid")
	_, err = b.client.DeviceBegin(t.Context(), r)
	wantError(t, err, "registration_invalid")
	b = setup(t, http.NotFound)
	_, err = b.client.Discover(t.Context(), b.server.URL)
	wantError(t, err, "metadata_invalid")
}

func httpRefused(t *testing.T) {
	b := setup(t, publishes(oauthPlace, map[string]any{"token_endpoint": "http://honest.example/token"}))
	_, err := b.client.Discover(t.Context(), b.server.URL)
	wantError(t, err, "metadata_invalid")
	for _, issuer := range []string{
		"http://honest.example", "http://127.0.0.1", "ftp://honest.example", "honest.example", "https://", "https://honest.example?x=1",
		"https://honest.example#x", "https://user@honest.example", "",
	} {
		_, err := b.client.Discover(t.Context(), issuer)
		wantError(t, err, "metadata_invalid")
	}
	if got := b.requests.count(); got != 1 {
		t.Errorf("the server got %d requests", got)
	}
	// In development, and then on this machine only.
	b = setup(t, gives(""), func(c *oauth.Config) { c.Loopback = true })
	r := b.registration()
	r.Endpoints.Authorization = "http://127.0.0.1:9/authorize"
	if _, err := b.client.Begin(t.Context(), r, starter(), ""); err != nil {
		t.Error(err)
	}
	r.Endpoints.Authorization = "http://10.0.0.1/authorize"
	_, err = b.client.Begin(t.Context(), r, starter(), "")
	wantError(t, err, "registration_invalid")
}

func endpointsInside(t *testing.T) {
	b := setup(t, gives(""))
	roots := x509.NewCertPool()
	roots.AddCert(b.server.Certificate())
	// The server is on the loopback, which no tenant's endpoint may be.
	guarded := egress.NewTransport(egress.Config{RootCAs: roots})
	t.Cleanup(guarded.CloseIdleConnections)
	b.client = b.with(t, func(c *oauth.Config) { c.Transport = guarded })
	_, err := b.exchange(t, b.registration())
	e := wantError(t, err, "unreachable")
	_, err = b.client.Discover(t.Context(), b.server.URL)
	wantError(t, err, "unreachable")
	for _, inside := range []string{"https://169.254.169.254/token", "https://[::1]/token", "https://[::ffff:10.0.0.1]/token"} {
		r := b.registration()
		r.Endpoints.Token = inside
		_, err := b.client.ClientCredentials(t.Context(), r)
		wantError(t, err, "unreachable")
	}
	if b.requests.count() != 0 || strings.Contains(e.Fault().Message, "refused") {
		t.Errorf("the server got %d requests, and users see %q", b.requests.count(), e.Fault().Message)
	}
	// With the operator's leave it is.
	allowed := egress.NewTransport(egress.Config{RootCAs: roots, AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(allowed.CloseIdleConnections)
	b.client = b.with(t, func(c *oauth.Config) { c.Transport = allowed })
	if _, err := b.exchange(t, b.registration()); err != nil {
		t.Error(err)
	}
}

func metadataKept(t *testing.T) {
	broken := false
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if broken {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		publishes(openidPlace, nil)(w, r)
	})
	discover := func(want error) {
		t.Helper()
		if _, err := b.client.Discover(t.Context(), b.server.URL); (err == nil) != (want == nil) {
			t.Fatalf("got %v", err)
		}
	}
	discover(nil)
	asked := b.requests.count()
	b.clock.advance(time.Hour - time.Second)
	discover(nil)
	if got := b.requests.count(); got != asked {
		t.Errorf("it was asked for again after %d requests", got-asked)
	}
	b.clock.advance(time.Second)
	broken = true
	_, err := b.client.Discover(t.Context(), b.server.URL)
	wantError(t, err, "server_error")
	broken = false
	discover(nil) // An error is not kept.
	if got, want := b.requests.count(), asked+1+asked; got != want {
		t.Errorf("got %d requests, want %d", got, want)
	}
}

func metadataSigned(t *testing.T) {
	b := setup(t, publishes(oauthPlace, map[string]any{"signed_metadata": "e30.eyJ0b2tlbl9lbmRwb2ludCI6Imh0dHBzOi8vZXZpbC5leGFtcGxlIn0."}))
	m, err := b.client.Discover(t.Context(), b.server.URL)
	if err != nil || m.Endpoints.Token != b.server.URL+"/token" {
		t.Errorf("got %+v, %v", m.Endpoints, err)
	}
}

func pkceMethods(t *testing.T) {
	for give, want := range map[string][]string{`["S256","plain"]`: {"S256", "plain"}, `[]`: {}, `null`: nil, `"S256"`: nil} {
		b := setup(t, publishes(oauthPlace, map[string]any{
			"code_challenge_methods_supported": json.RawMessage(give), "authorization_response_iss_parameter_supported": true,
			"grant_types_supported": []string{"authorization_code"},
		}))
		m, err := b.client.Discover(t.Context(), b.server.URL)
		if diff := cmp.Diff(want, m.Endpoints.PKCEMethods); err != nil || diff != "" || !m.Endpoints.IssPromised {
			t.Errorf("%s: %v, -want +got:\n%s", give, err, diff)
		}
		r := oauth.Registration{Endpoints: oauth.Endpoints{Token: "https://own.example/token"}}.Discovered(m)
		if r.Endpoints.Token != "https://own.example/token" || r.Endpoints.Authorization != b.server.URL+"/authorize" || !r.Endpoints.IssPromised {
			t.Errorf("got %+v: what a descriptor says counts more", r.Endpoints)
		}
	}
}

// with is another client of the bundle.
func (b *testBundle) with(t *testing.T, options ...option) *oauth.Client {
	t.Helper()
	config := oauth.Config{Transport: b.server.Client().Transport, Flows: b.flows, Now: b.clock.Now}
	for _, o := range options {
		o(&config)
	}
	client, err := oauth.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestACertificateIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t, gives(""))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gives(fmt.Sprintf(`{"access_token":"%d"}`, len(r.TLS.PeerCertificates)))(w, r)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	guarded := egress.NewTransport(egress.Config{RootCAs: roots, AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(guarded.CloseIdleConnections)
	r := b.registration()
	r.Endpoints.Token = server.URL
	r.Secret = certified(t)
	r.Wire.TokenAuth = "tls_client_auth"
	token, err := b.with(t, func(c *oauth.Config) { c.Transport = guarded }).ClientCredentials(t.Context(), r)
	if err != nil || token.Access != "1" {
		t.Errorf("got %q certificates, %v", token.Access, err)
	}
	_, err = b.client.ClientCredentials(t.Context(), r)
	wantError(t, err, "registration_invalid") // net/http's own transport shows none.
	r.Secret.Certificate = ""
	_, err = b.client.ClientCredentials(t.Context(), r)
	wantError(t, err, "registration_invalid")
}
