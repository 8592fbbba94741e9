package providertest_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
)

// app talks to the emulation of one provider without a descriptor.
type app struct {
	*providertest.Server
	http *http.Client
}

func serve(t *testing.T, name string) app {
	t.Helper()
	s := providertest.Serve(t, name)
	return app{s, &http.Client{Transport: s.Transport()}}
}

// post sends a form with the app's credentials in HTTP Basic, and reads the answer.
func (a app) post(t *testing.T, at string, form url.Values) (status int, document map[string]any, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.ClientID+":"+a.ClientSecret)))
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	if err := json.Unmarshal(body, &document); err != nil {
		document = map[string]any{"body": string(body)}
	}
	return resp.StatusCode, document, nil
}

const (
	quickbooks = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
	airtable   = "https://airtable.com/oauth2/v1/token"
)

// authorized returns the form that exchanges a code of QuickBooks'.
func authorized(t *testing.T, a app) url.Values {
	t.Helper()
	q := url.Values{"response_type": {"code"}, "client_id": {a.ClientID}, "redirect_uri": {a.RedirectURI}, "state": {"s"}, "scope": {"com.intuit.quickbooks.accounting"}}
	callback := a.Consent(t, "https://appcenter.intuit.com/connect/oauth2?"+q.Encode())
	if callback.Get("realmId") == "" || callback.Get("state") != "s" {
		t.Fatalf("the callback is %v", callback)
	}
	return url.Values{"grant_type": {"authorization_code"}, "code": {callback.Get("code")}, "redirect_uri": {a.RedirectURI}}
}

func refreshing(token any) url.Values {
	text, _ := token.(string)
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}}
}

func TestACodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	form := authorized(t, a)
	if status, document, err := a.post(t, quickbooks, form); status != 200 || document["access_token"] != a.Want().AccessToken {
		t.Fatalf("got %d %v %v", status, document, err)
	}
	if status, document, _ := a.post(t, quickbooks, form); status != 400 || document["error"] != "invalid_grant" {
		t.Errorf("got %d %v", status, document)
	}
	if diff := cmp.Diff([]string{"token: the code was used before"}, a.Complaints()); diff != "" {
		t.Error(diff)
	}
}

func TestReuseOfARefreshTokenIsRefused(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	_, first, _ := a.post(t, quickbooks, authorized(t, a))
	if status, second, _ := a.post(t, quickbooks, refreshing(first["refresh_token"])); status != 200 || second["refresh_token"] == first["refresh_token"] {
		t.Fatalf("got %d %v", status, second)
	}
	if status, document, _ := a.post(t, quickbooks, refreshing(first["refresh_token"])); status != 400 {
		t.Errorf("got %d %v", status, document)
	}
	if a.Revoked() {
		t.Error("a provider whose pages do not say so has revoked the rest")
	}
}

func TestReuseOfARefreshTokenRevokesTheFamily(t *testing.T) {
	t.Parallel()
	a := serve(t, "airtable")
	q := url.Values{
		"response_type": {"code"}, "client_id": {a.ClientID}, "redirect_uri": {a.RedirectURI}, "state": {"s"}, "scope": {strings.Join(a.Scopes, " ")},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636, appendix B.
	}
	code := a.Consent(t, "https://airtable.com/oauth2/v1/authorize?"+q.Encode()).Get("code")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.RedirectURI}, "code_verifier": {"wrong"}}
	if status, document, _ := a.post(t, airtable, form); status != 400 {
		t.Errorf("with another verifier: got %d %v", status, document)
	}
	form.Set("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
	_, first, _ := a.post(t, airtable, form)
	_, second, _ := a.post(t, airtable, refreshing(first["refresh_token"]))
	a.post(t, airtable, refreshing(first["refresh_token"]))
	if status, document, _ := a.post(t, airtable, refreshing(second["refresh_token"])); status != 400 || !a.Revoked() {
		t.Errorf("got %d %v, revoked %v", status, document, a.Revoked())
	}
}

func TestALostAnswerHasHadItsEffect(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	_, first, _ := a.post(t, quickbooks, authorized(t, a))
	a.LoseNext()
	if status, document, err := a.post(t, quickbooks, refreshing(first["refresh_token"])); err == nil {
		t.Fatalf("got %d %v", status, document)
	}
	if got := a.Want().RefreshToken; got == first["refresh_token"] {
		t.Error("the refresh token is as it was")
	}
	if status, _, _ := a.post(t, quickbooks, refreshing(first["refresh_token"])); status != 400 {
		t.Errorf("got %d", status)
	}
}

func TestAPrescribedAnswerHasNone(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	form := authorized(t, a)
	a.AnswerNext(503, http.Header{"Content-Type": {"text/html"}, "Retry-After": {"7"}}, "<h1>down</h1>")
	if status, document, _ := a.post(t, quickbooks, form); status != 503 || document["body"] != "<h1>down</h1>" {
		t.Errorf("got %d %v", status, document)
	}
	if status, document, _ := a.post(t, quickbooks, form); status != 200 {
		t.Errorf("then: got %d %v", status, document)
	}
}

func TestAnExpiredTokenIsRefusedByTheAPI(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	_, document, _ := a.post(t, quickbooks, authorized(t, a))
	get := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.API, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, _ := document["access_token"].(string)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := a.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := get(); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
	a.Expire()
	if got := get(); got != 401 {
		t.Errorf("got %d, want 401", got)
	}
}

func TestAHostThatThePagesDoNotNameIsOutOfReach(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	for _, at := range []string{"https://evil.example/", "https://appcenter.intuit.com:8443/connect/oauth2"} {
		if _, _, err := a.post(t, at, nil); err == nil || !strings.Contains(err.Error(), "the pages of quickbooks name no host") {
			t.Errorf("%s: got %v", at, err)
		}
	}
	if status, _, err := a.post(t, "https://appcenter.intuit.com/connect/oauth2", nil); status != 404 {
		t.Errorf("by another method: got %d, %v", status, err)
	}
}

func TestTheSecretIsAskedForInOnePlace(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	form := authorized(t, a)
	form.Set("client_secret", a.ClientSecret)
	if status, _, _ := a.post(t, quickbooks, form); status != 400 || !strings.Contains(strings.Join(a.Complaints(), ""), "in the header and in the body") {
		t.Errorf("got %d, %v", status, a.Complaints())
	}
}

func TestRequestsAreRemembered(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	_, document, _ := a.post(t, quickbooks, authorized(t, a))
	a.post(t, quickbooks, refreshing(document["refresh_token"]))
	var got []string
	for _, asked := range a.Asked() {
		got = append(got, asked.Endpoint+" "+asked.Method+" "+asked.URL+" "+asked.Values.Get("grant_type"))
	}
	want := []string{"authorize GET https://appcenter.intuit.com/connect/oauth2 ", "token POST " + quickbooks + " authorization_code", "refresh POST " + quickbooks + " refresh_token"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestARefusalIsAsThePagesHaveIt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		at     string
		status int
		key    string
		want   any
	}{
		"atlassian": {"https://auth.atlassian.com/oauth/token", 403, "error", "invalid_grant"},
		"slack":     {"https://slack.com/api/oauth.v2.access", 200, "ok", false},
		"github":    {"https://github.com/login/oauth/access_token", 200, "error", "bad_verification_code"},
		"zoho":      {"https://accounts.zoho.eu/oauth/v2/token", 200, "error", "invalid_code"},
		"twitch":    {"https://id.twitch.tv/oauth2/token", 400, "message", "Invalid authorization code"},
		"keycloak":  {"https://id.acme.example/realms/staff/protocol/openid-connect/token", 400, "error", "invalid_grant"},
	}
	for name, test := range tests {
		status, document, err := serve(t, name).post(t, test.at, url.Values{"grant_type": {"authorization_code"}, "code": {"none"}})
		if status != test.status || document[test.key] != test.want {
			t.Errorf("%s: got %d %v, %v", name, status, document, err)
		}
	}
}

func TestARequestWithoutAScopeIsRefused(t *testing.T) {
	t.Parallel()
	a := serve(t, "quickbooks")
	q := url.Values{"response_type": {"code"}, "client_id": {a.ClientID}, "redirect_uri": {a.RedirectURI}, "state": {"s"}}
	if got, want := a.Visit(t, "https://appcenter.intuit.com/connect/oauth2?"+q.Encode()).Get("error_description"), "there is no scope"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnotherKindOfApp(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"github", "github/app-with-expiring-tokens"}, providertest.Lives(t, "github")); diff != "" {
		t.Error(diff)
	}
	classic, expiring := serve(t, "github"), serve(t, "github/app-with-expiring-tokens")
	if classic.Rotates() || classic.Refreshes() || !expiring.Rotates() || !expiring.Refreshes() || expiring.Name != "github" {
		t.Errorf("rotates %t and %t, refreshes %t and %t", classic.Rotates(), expiring.Rotates(), classic.Refreshes(), expiring.Refreshes())
	}
	for _, name := range []string{"github/none", "none"} {
		if s, err := providertest.Start(name); err == nil {
			s.Close()
			t.Errorf("%s is emulated", name)
		}
	}
}
