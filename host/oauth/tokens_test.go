package oauth_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

const others = "RFC 8693, 8707, 7009, 7662: "

func tokensOf() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		others + "a resource in the authorization request": resourceAuthorization,
		others + "a resource in the token request":         resourceToken,
		others + "several resources":                       resourceSeveral,
		others + "a revocation":                            revocation,
		others + "a revocation that meets a 503":           revocationLater,
		others + "a revocation of what is revoked":         revocationTwice,
		others + "introspection of an active token":        introspectionActive,
		others + "introspection of an inactive token":      introspectionInactive,
		others + "a token exchange":                        tokenExchange,
	}
}

func resourceAuthorization(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Resources = []string{"https://api.acme.example/v1"}
	if got := query(t, b.begin(t, r)).Get("resource"); got != "https://api.acme.example/v1" {
		t.Errorf("got %q", got)
	}
}

func resourceToken(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Resources = []string{"https://api.acme.example/v1"}
	if _, err := b.exchange(t, r); err != nil || b.requests.last(t).params.Get("resource") != r.Resources[0] {
		t.Errorf("got %v, %v", b.requests.last(t).params, err)
	}
	if _, err := b.client.Refresh(t.Context(), r, "rt"); err != nil || b.requests.last(t).params.Get("resource") != r.Resources[0] {
		t.Errorf("got %v, %v", b.requests.last(t).params, err)
	}
}

func resourceSeveral(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Resources = []string{"https://a.example", "https://b.example"}
	if diff := cmp.Diff(r.Resources, query(t, b.begin(t, r))["resource"]); diff != "" {
		t.Error(diff)
	}
	if _, err := b.exchange(t, r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Resources, b.requests.last(t).params["resource"]); diff != "" {
		t.Error(diff)
	}
}

func revocation(t *testing.T) {
	// Servers answer 200 with nothing, with JSON, or with a page.
	for _, body := range []string{"", "{}", "<html>", `{"ok":true}`} {
		b := setup(t, says(http.StatusOK, body))
		if err := b.client.Revoke(t.Context(), b.registration(), "rt-secret", "refresh_token"); err != nil {
			t.Errorf("%q: %v", body, err)
		}
		sent := b.requests.last(t)
		if diff := cmp.Diff(url.Values{"token": {"rt-secret"}, "token_type_hint": {"refresh_token"}}, sent.params); diff != "" || sent.Header.Get("Authorization") == "" || sent.URL.Path != "/revoke" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func revocationLater(t *testing.T) {
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	err := b.client.Revoke(t.Context(), b.registration(), "rt-secret", "")
	if e := wantError(t, err, "server_error"); !e.Retryable || e.RetryAfter != 2*time.Minute || e.Status != 503 {
		t.Errorf("got %+v", e)
	}
}

func revocationTwice(t *testing.T) {
	b := setup(t, says(http.StatusBadRequest, `{"error":"invalid_token"}`)) // RFC 7009 wants a 200.
	if err := b.client.Revoke(t.Context(), b.registration(), "rt-secret", ""); err != nil {
		t.Error(err)
	}
	for answer, code := range map[string]string{
		`{"error":"unsupported_token_type"}`: "unsupported_token_type", `{"error":"invalid_client"}`: "invalid_client", `rt-secret`: "answer_invalid",
	} {
		b := setup(t, says(http.StatusBadRequest, answer))
		wantError(t, b.client.Revoke(t.Context(), b.registration(), "rt-secret", ""), code)
	}
	b = setup(t, says(http.StatusOK, `{"ok":false,"error":"token_revoked_not"}`))
	wantError(t, b.client.Revoke(t.Context(), b.registration(), "rt-secret", ""), "token_revoked_not")
}

func introspectionActive(t *testing.T) {
	b := setup(t, says(http.StatusOK, `{"active":true,"scope":"read write","client_id":"client:1","sub":"user","exp":1772370000}`))
	got, err := b.client.Introspect(t.Context(), b.registration(), "at-secret", "access_token")
	want := oauth.Introspection{Active: true, Scopes: []string{"read", "write"}, ClientID: "client:1", Subject: "user", ExpiresAt: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func introspectionInactive(t *testing.T) {
	b := setup(t, says(http.StatusOK, `{"active":false,"scope":"read"}`))
	got, err := b.client.Introspect(t.Context(), b.registration(), "at-secret", "")
	if diff := cmp.Diff(oauth.Introspection{}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for _, body := range []string{`{}`, `{"active":"false"}`, `{"active":1}`, ``, `<html>`, `[true]`} {
		b := setup(t, says(http.StatusOK, body))
		_, err := b.client.Introspect(t.Context(), b.registration(), "at-secret", "")
		wantError(t, err, "answer_invalid")
	}
}

func tokenExchange(t *testing.T) {
	b := setup(t, gives(`{"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"N_A","refresh_token":null}`))
	const kind = "urn:ietf:params:oauth:token-type:"
	token, err := b.client.TokenExchange(t.Context(), b.registration(), oauth.Swap{
		SubjectToken: "at-secret", ActorToken: "actor", ActorType: kind + "jwt", RequestedType: kind + "access_token", Audience: []string{"a", "b"},
	})
	if err != nil || token.IssuedType != kind+"access_token" || token.Type != "N_A" || token.Access != "at-1" {
		t.Errorf("got %s, %s, %v", token.IssuedType, token.Type, err)
	}
	want := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"at-secret"}, "subject_token_type": {kind + "access_token"},
		"actor_token": {"actor"}, "actor_token_type": {kind + "jwt"}, "requested_token_type": {kind + "access_token"}, "audience": {"a", "b"}, "scope": {"read write"},
	}
	if diff := cmp.Diff(want, b.requests.last(t).params); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	_, err = b.client.TokenExchange(t.Context(), b.registration(), oauth.Swap{})
	wantError(t, err, "registration_invalid")
}

func rfc6819() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 6819: states are not to be guessed":   statesGuessed,
		"RFC 6819: a code of another flow":         codeInjected,
		"RFC 6819: a host that looks like another": hostPhished,
		"RFC 6819: a counterfeit server":           serverCounterfeit,
		"RFC 6819: a flood of callbacks":           callbackFlood,
	}
}

func statesGuessed(t *testing.T) {
	b := setup(t, gives(""))
	begun := b.begin(t, b.registration())
	if got := len(begun.State); got != 43 {
		t.Errorf("got %d characters, which are not 256 bits", got)
	}
	held := b.flows.Held()[0]
	if sum := sha256.Sum256([]byte(begun.State)); held.ID != hex.EncodeToString(sum[:]) {
		t.Errorf("the store has %s, which is not the hash", held.ID)
	}
	// Who has read the store has no state.
	_, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {held.ID}})
	wantError(t, err, oauth.CodeState)
}

func codeInjected(t *testing.T) {
	// A server that does as RFC 7636 says: the verifier has to be the code's.
	var challenge string
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || oauth2.S256ChallengeFromVerifier(r.Form.Get("code_verifier")) != challenge {
			says(http.StatusBadRequest, `{"error":"invalid_grant"}`)(w, r)
			return
		}
		gives("")(w, r)
	})
	victim := b.begin(t, b.registration())
	challenge = query(t, victim).Get("code_challenge")
	// The attacker brings the victim's code back in a flow of his own.
	attacker := b.begin(t, b.registration())
	arrived, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"victims-code"}, "state": {attacker.State}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.Exchange(t.Context(), b.registration(), arrived)
	wantError(t, err, oauth.CodeInvalidGrant)
	// The victim himself is served.
	arrived, err = b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"victims-code"}, "state": {victim.State}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Exchange(t.Context(), b.registration(), arrived); err != nil {
		t.Error(err)
	}
}

func hostPhished(t *testing.T) {
	b := setup(t, gives(""))
	for _, address := range []string{
		"https://accounts.google.com@evil.example/o", "https://accounts.google.com%2eevil.example/o", `https://accounts.google.com\.evil.example/o`,
		"https://аccounts.google.com/o", "https://evil.example/o#accounts.google.com", "http://accounts.google.com/o", "//evil.example/o", "javascript:alert(1)", "",
	} {
		r := b.registration()
		r.Endpoints.Authorization = address
		_, err := b.client.Begin(t.Context(), r, starter(), "")
		wantError(t, err, "registration_invalid")
		r = b.registration()
		r.Endpoints.Token = address
		_, err = b.client.Refresh(t.Context(), r, "rt-secret")
		wantError(t, err, "registration_invalid")
	}
}

func serverCounterfeit(t *testing.T) {
	b := setup(t, gives(""))
	asked := false
	counterfeit := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	counterfeit.Config.ErrorLog = quiet()
	counterfeit.TLS = &tls.Config{Certificates: []tls.Certificate{counterfeitCertificate(t)}, MinVersion: tls.VersionTLS12}
	counterfeit.StartTLS()
	t.Cleanup(counterfeit.Close)
	r := b.registration()
	r.Endpoints.Token = counterfeit.URL
	_, err := b.client.Refresh(t.Context(), r, "rt-secret")
	wantError(t, err, "unreachable")
	if asked {
		t.Error("it got the secret")
	}
}

func counterfeitCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	s := certified(t)
	pair, err := tls.X509KeyPair([]byte(s.Certificate), []byte(s.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func callbackFlood(t *testing.T) {
	b := setup(t, gives(""))
	begun := b.begin(t, b.registration())
	for range 1000 {
		_, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {"guess"}})
		wantError(t, err, oauth.CodeState)
	}
	if got := b.flows.Looks(); got != 0 {
		t.Errorf("the store was asked %d times for what is no state", got)
	}
	if _, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {begun.State}}); err != nil {
		t.Error(err)
	}
}
