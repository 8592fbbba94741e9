package oauth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func rfc9700() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 9700: the redirect URI, letter by letter":       redirectExact,
		"RFC 9700: a state counts once":                      stateOnce,
		"RFC 9700: a redirect URI for each server":           redirectForEach,
		"RFC 9700: no token in an address":                   noTokenInAddress,
		"RFC 9700: no code in errors and logs":               noCodeInLogs,
		"RFC 9700: a token for one audience":                 oneAudience,
		"RFC 9700: no scope that was not asked for":          noFurtherScope,
		"RFC 9700: neither passwords nor the implicit grant": noPasswords,
		"RFC 9700: a login that another began":               loginCSRF,
		"RFC 9700: a parameter that comes twice":             parameterTwice,
		"RFC 9700: a callback that is too large":             callbackTooLarge,
	}
}

func redirectExact(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.RedirectURI = "https://cofferdam.example/oauth/callback?tenant=A%2fb&x="
	begun := b.begin(t, r)
	if got := query(t, begun).Get("redirect_uri"); got != r.RedirectURI {
		t.Errorf("got %s, want %s", got, r.RedirectURI)
	}
	arrived, err := b.client.Accept(t.Context(), starter(), r.RedirectURI, url.Values{"code": {"c"}, "state": {begun.State}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Exchange(t.Context(), r, arrived); err != nil || b.requests.last(t).params.Get("redirect_uri") != r.RedirectURI {
		t.Errorf("got %s, %v", b.requests.last(t).params.Get("redirect_uri"), err)
	}
	for _, uri := range []string{"", "/callback", "http://cofferdam.example/", "https://cofferdam.example/#x", "https://u@cofferdam.example/", "javascript:x"} {
		r.RedirectURI = uri
		_, err := b.client.Begin(t.Context(), r, starter(), "")
		wantError(t, err, "registration_invalid")
	}
}

func stateOnce(t *testing.T) {
	b := setup(t, gives(""))
	begun := b.begin(t, b.registration())
	// Of many that come at once, one is let in.
	results := make(chan error)
	for range 16 {
		go func() {
			_, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {begun.State}})
			results <- err
		}()
	}
	in := 0
	for range 16 {
		if err := <-results; err == nil {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d were let in", in)
	}
	// An error ends it as a success does.
	begun = b.begin(t, b.registration())
	_, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"error": {"access_denied"}, "state": {begun.State}})
	wantError(t, err, "access_denied")
	_, err = b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {begun.State}})
	wantError(t, err, oauth.CodeState)
}

func redirectForEach(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.RedirectURI = "https://cofferdam.example/oauth/acme"
	begun := b.begin(t, r)
	arrived, err := b.client.Accept(t.Context(), starter(), "https://cofferdam.example/oauth/evil?code=c", url.Values{"code": {"c"}, "state": {begun.State}})
	e := wantError(t, err, "callback_invalid")
	if arrived.Values != nil || strings.Contains(e.Description, "code=c") {
		t.Errorf("got %s", e.Description)
	}
}

func noTokenInAddress(t *testing.T) {
	b := setup(t, gives(""))
	begun := b.begin(t, b.registration())
	if got := query(t, begun).Get("response_type"); got != "code" {
		t.Errorf("got the response type %q", got)
	}
	r := b.registration()
	r.Wire.AuthorizationParameters = map[string]string{"response_mode": "form_post"} // Apple's, which is in no address.
	if got := query(t, b.begin(t, r)).Get("response_mode"); got != "form_post" {
		t.Errorf("got the response mode %q", got)
	}
	for _, with := range []url.Values{{"access_token": {"at-secret"}, "code": {"c"}}, {"id_token": {"at-secret"}}} {
		_, err := b.callback(t, b.registration(), with)
		wantError(t, err, "callback_invalid")
	}
	// Neither a code nor a secret is in the address of the token request.
	if _, err := b.exchange(t, b.registration()); err != nil || b.requests.last(t).URL.RawQuery != "" {
		t.Errorf("got %s, %v", b.requests.last(t).URL, err)
	}
}

func noCodeInLogs(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Location", "/?code=the-c0de-itself")
		says(http.StatusBadRequest, `{"error":"the-c0de-itself","error_description":"you sent the-c0de-itself with s:cret%+/ ü&= or s%3Acret%25%2B%2F+%C3%BC%26%3D"}`)(w, r)
	}
	var errs []error
	for _, answer := range []http.HandlerFunc{echo, says(500, "the-c0de-itself"), says(200, `"the-c0de-itself"`), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }} {
		for _, method := range []string{"POST", "GET"} { // A GET has it in its address, which net/http puts into errors.
			b := setup(t, answer)
			r := b.registration()
			r.Wire.Method, r.Wire.TokenAuth = method, "client_secret_post"
			arrived := b.arrive(t, r)
			_, err := b.client.Exchange(t.Context(), r, arrived)
			if err == nil {
				t.Fatal("it worked")
			}
			errs = append(errs, err, fmt.Errorf("connect: %w", err), fault.From(err))
			for _, printed := range []any{arrived, arrived.Flow, r, r.Secret, oauth.Token{Access: "the-c0de-itself"}, oauth.Device{Code: "the-c0de-itself"}, oauth.Swap{SubjectToken: "the-c0de-itself"}, b.begin(t, r)} {
				errs = append(errs, fmt.Errorf("%v %+v %#v %s %d", printed, printed, printed, printed, printed))
			}
		}
	}
	for _, err := range errs {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("err", err))
		for _, secret := range []string{"the-c0de-itself", "s:cret", "s%3Acret"} {
			if strings.Contains(log.String()+err.Error(), secret) {
				t.Errorf("%s is in %s", secret, log.String())
			}
		}
	}
}

func oneAudience(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Wire.AuthorizationParameters = map[string]string{"audience": "api.acme.example", "prompt": "consent"}
	r.Wire.TokenParameters = map[string]string{"audience": "api.acme.example"}
	r.Wire.RefreshParameters = map[string]string{"expires_in": "60"}
	if q := query(t, b.begin(t, r)); q.Get("audience") != "api.acme.example" || q.Get("prompt") != "consent" {
		t.Errorf("got %v", q)
	}
	if _, err := b.exchange(t, r); err != nil || b.requests.last(t).params.Get("audience") != "api.acme.example" {
		t.Errorf("got %v", b.requests.last(t).params)
	}
	if _, err := b.client.Refresh(t.Context(), r, "rt"); err != nil || b.requests.last(t).params.Get("audience") != "" || b.requests.last(t).params.Get("expires_in") != "60" {
		t.Errorf("got %v", b.requests.last(t).params)
	}
}

func noFurtherScope(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	if got := query(t, b.begin(t, r))["scope"]; !cmp.Equal(got, []string{"read write"}) {
		t.Errorf("got %q", got)
	}
	r.Wire.ScopeParameter, r.Wire.ScopeSeparator = "user_scope", ","
	if q := query(t, b.begin(t, r)); q.Get("user_scope") != "read,write" || q.Has("scope") {
		t.Errorf("got %v", q)
	}
	r.Scopes = nil
	if q := query(t, b.begin(t, r)); q.Has("scope") || q.Has("user_scope") {
		t.Errorf("got %v", q)
	}
	if _, err := b.client.ClientCredentials(t.Context(), b.registration()); err != nil || b.requests.last(t).params.Get("scope") != "read write" {
		t.Errorf("got %v, %v", b.requests.last(t).params, err)
	}
}

func noPasswords(t *testing.T) {
	b := setup(t, gives(""))
	for _, params := range []map[string]string{{"response_type": "token"}, {"response_mode": "fragment"}, {"username": "u"}, {"state": "mine"}, {"redirect_uri": "https://evil.example"}} {
		r := b.registration()
		r.Wire.AuthorizationParameters = params
		_, err := b.client.Begin(t.Context(), r, starter(), "")
		wantError(t, err, "registration_invalid")
		r = b.registration()
		r.Wire.TokenParameters = params
		_, err = b.client.ClientCredentials(t.Context(), r)
		wantError(t, err, "registration_invalid")
		r = b.registration()
		for name, v := range params {
			r.Endpoints.Authorization += "?" + url.Values{name: {v}}.Encode()
		}
		_, err = b.client.Begin(t.Context(), r, starter(), "")
		wantError(t, err, "registration_invalid")
	}
	if b.requests.count() != 0 {
		t.Error("the server was asked")
	}
}

func loginCSRF(t *testing.T) {
	b := setup(t, gives(""))
	// The attacker begins a flow, agrees with his own account, and has the victim's
	// browser open the callback.
	attacker := oauth.Starter{Tenant: "ten_a", Session: "session-of-attacker"}
	begun, err := b.client.Begin(t.Context(), b.registration(), attacker, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"attackers"}, "state": {begun.State}})
	wantError(t, err, oauth.CodeState)
	for _, nobody := range []oauth.Starter{{}, {Tenant: "ten_a"}, {Session: "s"}} {
		_, err := b.client.Begin(t.Context(), b.registration(), nobody, "")
		wantError(t, err, "registration_invalid")
		_, err = b.client.Accept(t.Context(), nobody, redirectURI, url.Values{"code": {"c"}, "state": {b.begin(t, b.registration()).State}})
		wantError(t, err, oauth.CodeState)
	}
}

func parameterTwice(t *testing.T) {
	b := setup(t, gives(""))
	for _, with := range []url.Values{
		{"code": {"a", "b"}}, {"code": {"a"}, "error": {"x", "y"}}, {"code": {"a"}, "realmId": {"1", "2"}}, {"code": {"a"}, "state": {"x", "y"}},
	} {
		_, err := b.callback(t, b.registration(), with)
		wantError(t, err, "callback_invalid")
	}
}

func callbackTooLarge(t *testing.T) {
	b := setup(t, gives(""))
	many := url.Values{}
	for i := range 40 {
		many.Set(fmt.Sprint("p", i), "x")
	}
	for _, with := range []url.Values{many, {"code": {strings.Repeat("x", 16<<10)}}, {strings.Repeat("n", 16<<10): {"x"}}} {
		_, err := b.callback(t, b.registration(), with)
		wantError(t, err, "callback_invalid")
	}
	if got := b.flows.Looks(); got != 0 {
		t.Errorf("the store was asked %d times", got)
	}
	if _, err := b.callback(t, b.registration(), url.Values{"code": {strings.Repeat("x", 8<<10)}}); err != nil {
		t.Error(err)
	}
}
