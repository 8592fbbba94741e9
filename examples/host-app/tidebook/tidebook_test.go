package tidebook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/examples/host-app/tidebook"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// The verifier and challenge of RFC 7636, appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	back      = "http://127.0.0.1:1/back"
	ada       = "ada@lantern.example"
)

// vendor is a Tidebook with a clock of the test's.
type vendor struct {
	*httptest.Server

	t   *testing.T
	now time.Time
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	v.Server = httptest.NewServer(tidebook.New(tidebook.Config{
		URL: "http://127.0.0.1:1", App: "Harbor Desk", ClientID: "desk", ClientSecret: "it is: a secret", RedirectURI: back, Now: func() time.Time { return v.now },
	}))
	t.Cleanup(v.Close)
	v.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return v
}

func (v *vendor) do(method, path string, form url.Values, header ...string) (int, http.Header, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := v.Client().Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(body)
}

// asked is the authorization request of an app, changed by pairs of names and values.
func asked(pairs ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {back}, "state": {"s"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "/oauth/authorize?" + q.Encode()
}

var requestID = regexp.MustCompile(`name="request" value="([^"]+)"`)

// decide answers the consent page, and returns what the app's address was called with.
func (v *vendor) decide(decision string) url.Values {
	v.t.Helper()
	status, _, page := v.do("GET", asked(), nil)
	found := requestID.FindStringSubmatch(page)
	if status != http.StatusOK || found == nil {
		v.t.Fatalf("the consent page: got %d %s", status, page)
	}
	_, header, _ := v.do("POST", "/oauth/authorize", url.Values{"request": {found[1]}, "account": {ada}, "decision": {decision}})
	to, err := url.Parse(header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), back+"?") {
		v.t.Fatalf("sent to %q, %v", to, err)
	}
	return to.Query()
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
}

func (v *vendor) token(form url.Values) (int, tokens) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.URL+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("desk", url.QueryEscape("it is: a secret"))
	answer, err := v.Client().Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	var got tokens
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, got
}

func (v *vendor) exchange(code string) (int, tokens) {
	v.t.Helper()
	return v.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back}, "code_verifier": {verifier}})
}

func (v *vendor) refresh(token string) (int, tokens) {
	v.t.Helper()
	return v.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// works says whether the API takes a token.
func (v *vendor) works(token string) bool {
	v.t.Helper()
	status, _, _ := v.do("GET", "/api/me", nil, "Authorization", "Bearer "+token)
	return status == http.StatusOK
}

func TestTheDescriptorIsOne(t *testing.T) {
	t.Parallel()
	p, err := provider.Parse("tidebook", tidebook.New(tidebook.Config{URL: "http://127.0.0.1:9000"}).Descriptor())
	if err != nil || p.TokenEndpoint != "http://127.0.0.1:9000/oauth/token" {
		t.Errorf("got %q, %v", p.TokenEndpoint, err)
	}
}

func TestTokensOfAConsentWorkForTheirLife(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	status, first := v.exchange(v.decide("allow").Get("code"))
	if status != http.StatusOK || !v.works(first.Access) {
		t.Fatalf("got %d, %+v", status, first)
	}
	v.now = v.now.Add(5*time.Minute + time.Second)
	if v.works(first.Access) {
		t.Error("the access token outlives itself")
	}
	status, second := v.refresh(first.Refresh)
	if status != http.StatusOK || !v.works(second.Access) || second.Refresh == first.Refresh {
		t.Errorf("refreshed: got %d, %+v", status, second)
	}
}

func TestWhoeverUsesAnEndedRefreshTokenEndsAll(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	_, first := v.exchange(v.decide("allow").Get("code"))
	_, second := v.refresh(first.Refresh)
	if status, got := v.refresh(first.Refresh); status != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Errorf("used again: got %d, %+v", status, got)
	}
	if status, _ := v.refresh(second.Refresh); status != http.StatusBadRequest || v.works(second.Access) {
		t.Errorf("the tokens since: got %d, and they work: %t", status, v.works(second.Access))
	}
}

func TestCodesAreGoodOnceAndForAMinuteAndWithTheirVerifier(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	code := v.decide("allow").Get("code")
	_, first := v.exchange(code)
	if status, _ := v.exchange(code); status != http.StatusBadRequest || v.works(first.Access) {
		t.Errorf("a code that comes twice: got %d, and what it brought works: %t", status, v.works(first.Access))
	}
	code = v.decide("allow").Get("code")
	if status, _ := v.token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {back}, "code_verifier": {"another"}}); status != http.StatusBadRequest {
		t.Errorf("another verifier: got %d", status)
	}
	v.now = v.now.Add(time.Minute + time.Second)
	if status, _ := v.exchange(code); status != http.StatusBadRequest {
		t.Errorf("an old code: got %d", status)
	}
}

func TestRefusalsGoBackToTheApp(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	if got := v.decide("refuse"); got.Get("error") != "access_denied" || got.Get("state") != "s" || got.Has("code") {
		t.Errorf("a user who refuses: got %v", got)
	}
	for name, request := range map[string]string{
		"no PKCE": asked("code_challenge", ""), "plain PKCE": asked("code_challenge_method", "plain"), "implicit": asked("response_type", "token"),
	} {
		if status, header, _ := v.do("GET", request, nil); status != http.StatusSeeOther || !strings.Contains(header.Get("Location"), "error=") {
			t.Errorf("%s: got %d to %q", name, status, header.Get("Location"))
		}
	}
}

func TestNobodyIsSentToAnAddressThatIsNotRegistered(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	for name, request := range map[string]string{"another address": asked("redirect_uri", back+"/x"), "another app": asked("client_id", "other")} {
		if status, header, _ := v.do("GET", request, nil); status != http.StatusBadRequest || header.Get("Location") != "" {
			t.Errorf("%s: got %d to %q", name, status, header.Get("Location"))
		}
	}
}

func TestAccessThatIsTakenAwayIsGone(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	_, first := v.exchange(v.decide("allow").Get("code"))
	if _, _, page := v.do("GET", "/admin", nil); !strings.Contains(page, "has had access since") {
		t.Errorf("the page does not show the app: %s", page)
	}
	if status, _, _ := v.do("POST", "/admin/revoke", url.Values{"account": {ada}}, "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("a form of another site's: got %d", status)
	}
	v.do("POST", "/admin/revoke", url.Values{"account": {ada}})
	if status, got := v.refresh(first.Refresh); v.works(first.Access) || status != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Errorf("after it was taken away: got %d, %+v", status, got)
	}
	_, second := v.exchange(v.decide("allow").Get("code"))
	v.do("POST", "/oauth/revoke", url.Values{"token": {second.Refresh}}, "Authorization", "Basic ZGVzazppdCtpcyUzQSthK3NlY3JldA==")
	if v.works(second.Access) {
		t.Error("what the app gave back works")
	}
}

func TestAContactThatComesAgainIsAddedOnce(t *testing.T) {
	t.Parallel()
	v := newVendor(t)
	_, first := v.exchange(v.decide("allow").Get("code"))
	add := func(body, key string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.URL+"/api/contacts", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+first.Access)
		r.Header.Set("Idempotency-Key", key)
		answer, err := v.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	mia := `{"name":"Mia Holm","email":"mia@holm.example"}`
	if a, b, c, d := add(mia, "1"), add(mia, "1"), add(mia, "2"), add(`{"name":"Mia"}`, "3"); a != 201 || b != 200 || c != 201 || d != 422 {
		t.Errorf("got %d, %d, %d, %d", a, b, c, d)
	}
	if _, _, page := v.do("GET", "/admin", nil); strings.Count(page, "mia@holm.example") != 2 {
		t.Errorf("the address book: %s", page)
	}
}
