package oauth_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func rfc6749() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 6749: a callback without a state":                                   stateAbsent,
		"RFC 6749: a callback with a wrong state":                                stateWrong,
		"RFC 6749: a state that was used":                                        stateUsed,
		"RFC 6749: a state that has expired":                                     stateExpired,
		"RFC 6749: a state of another session":                                   stateOfAnother(oauth.Starter{Tenant: "ten_a", Session: "session-b"}),
		"RFC 6749: a state of another tenant":                                    stateOfAnother(oauth.Starter{Tenant: "ten_b", Session: "session-a"}),
		"RFC 6749: a code that was used":                                         codeUsed,
		"RFC 6749: the seven errors of a callback":                               callbackErrors,
		"RFC 6749: an error in an answer of 200":                                 errorOf200,
		"RFC 6749: an answer without an access token":                            accessTokenMissing,
		"RFC 6749: a token type in any case, or none":                            tokenTypes,
		"RFC 6749: a lifetime as text, fraction, negative, zero, absent or huge": lifetimes,
		"RFC 6749: scopes narrowed by the user":                                  scopesNarrowed,
		"RFC 6749: scopes that the answer leaves out":                            scopesAbsent,
		"RFC 6749: a refresh without a new refresh token keeps the old one":      refreshKeeps,
		"RFC 6749: a refresh with a new refresh token replaces the old one":      refreshReplaces,
		"RFC 6749: client_secret_basic with : % + / and UTF-8":                   secretBasic,
		"RFC 6749: client_secret_post":                                           secretPost,
		"RFC 6749: further fields of an answer are kept":                         furtherFields,
		"RFC 6749: an error that is a page":                                      errorPage,
		"RFC 6749: an answer of a megabyte and more":                             answerTooLarge,
		"RFC 6749: a redirect of a token request":                                tokenRedirect,
	}
}

func stateAbsent(t *testing.T) {
	b := setup(t, gives(""))
	b.begin(t, b.registration())
	_, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}})
	wantError(t, err, oauth.CodeState)
	if got := len(b.flows.Held()); got != 1 {
		t.Errorf("the flow is gone: somebody else's callback ended it")
	}
}

func stateWrong(t *testing.T) {
	b := setup(t, gives(""))
	begun := b.begin(t, b.registration())
	other := []byte(begun.State)
	other[5] ^= 1
	for _, state := range []string{string(other), "x", begun.State + "A", strings.ToUpper(begun.State), begun.State + "\x00", " " + begun.State} {
		_, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {state}})
		wantError(t, err, oauth.CodeState)
	}
}

func stateUsed(t *testing.T) {
	b := setup(t, gives(""))
	begun := b.begin(t, b.registration())
	callback := url.Values{"code": {"c"}, "state": {begun.State}}
	if _, err := b.client.Accept(t.Context(), starter(), redirectURI, callback); err != nil {
		t.Fatal(err)
	}
	_, err := b.client.Accept(t.Context(), starter(), redirectURI, callback)
	wantError(t, err, oauth.CodeState)
}

func stateExpired(t *testing.T) {
	for wait, want := range map[time.Duration]bool{10*time.Minute - time.Second: true, 10 * time.Minute: false, time.Hour: false} {
		b := setup(t, gives(""))
		begun := b.begin(t, b.registration())
		b.clock.advance(wait)
		_, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {begun.State}})
		if want && err != nil {
			t.Errorf("after %s: %v", wait, err)
		}
		if !want {
			wantError(t, err, oauth.CodeState)
		}
	}
}

func stateOfAnother(who oauth.Starter) func(*testing.T) {
	return func(t *testing.T) {
		b := setup(t, gives(""))
		begun := b.begin(t, b.registration())
		callback := url.Values{"code": {"c"}, "state": {begun.State}}
		arrived, err := b.client.Accept(t.Context(), who, redirectURI, callback)
		wantError(t, err, oauth.CodeState)
		if diff := cmp.Diff(oauth.Flow{}, arrived.Flow); diff != "" {
			t.Errorf("it was told whose it is: %s", diff)
		}
		// It was shown to somebody else: it ends.
		_, err = b.client.Accept(t.Context(), starter(), redirectURI, callback)
		wantError(t, err, oauth.CodeState)
	}
}

func codeUsed(t *testing.T) {
	asked := 0
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			gives("")(w, r)
			return
		}
		says(http.StatusBadRequest, `{"error":"invalid_grant","error_description":"code the-c0de-itself was used"}`)(w, r)
	})
	r := b.registration()
	arrived := b.arrive(t, r)
	if _, err := b.client.Exchange(t.Context(), r, arrived); err != nil {
		t.Fatal(err)
	}
	_, err := b.client.Exchange(t.Context(), r, arrived)
	if e := wantError(t, err, oauth.CodeInvalidGrant); e.Retryable || e.Description != "code [redacted] was used" || asked != 2 {
		t.Errorf("got %+v after %d requests", e, asked)
	}
}

func callbackErrors(t *testing.T) {
	for _, code := range []string{
		"invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope", "server_error", "temporarily_unavailable",
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := setup(t, gives(""))
			begun := b.begin(t, b.registration())
			arrived, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{
				"state": {begun.State}, "error": {code}, "error_description": {"No\r\n such <b>thing</b>\u202e!"}, "code": {"c"},
			})
			e := wantError(t, err, code)
			if got, want := e.Description, "No such <b>thing</b> !"; got != want || e.Retryable {
				t.Errorf("got %q, retryable %t, want %q", got, e.Retryable, want)
			}
			if arrived.Flow.Note != "con_1" || b.requests.count() != 0 {
				t.Errorf("got the flow %q after %d requests: the page has to know which it was", arrived.Flow.Note, b.requests.count())
			}
		})
	}
}

func errorOf200(t *testing.T) {
	slack := oauth.Answer{ErrorWhen: map[string]any{"/ok": false}}
	for body, tt := range map[string]struct {
		code string
		wire oauth.Answer
	}{
		`{"error":"invalid_grant","access_token":"at-secret"}`:             {code: "invalid_grant"},
		`{"ok":false,"error":"invalid_code"}`:                              {"invalid_code", slack},
		`{"ok":false}`:                                                     {"refused", slack},
		`{"error":{"code":401,"message":"no","status":"UNAUTHENTICATED"}}`: {code: "unauthenticated"},
		`{"errors":[{"errorType":"expired"}]}`:                             {"expired", oauth.Answer{Error: "/errors/0/errorType"}},
		`error=bad_verification_code&error_description=no`:                 {code: "bad_verification_code"},
		`error=bad_refresh_token`:                                          {"invalid_grant", oauth.Answer{Codes: map[string]string{"bad_refresh_token": "invalid_grant"}}},
	} {
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		r := b.registration()
		r.Wire.Answer = tt.wire
		_, err := b.exchange(t, r)
		wantError(t, err, tt.code)
	}
}

func accessTokenMissing(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"access_token":""}`, `{"access_token":null}`, `{"access_token":1}`, `{"access_token":["at-secret"]}`,
		`{"access_token":"at-secret\n"}`, `{"access_token":"ät"}`, `{"refresh_token":"rt-secret"}`, `[]`, `null`, ``, `"at-secret"`,
		`{"access_token":"at-secret"`, `{"access_token":"at-secret"}{}`, `token_type=bearer`, `at-secret`, `access_token=at-secret&access_token=b`,
		`{"access_token":"` + strings.Repeat("a", 17<<10) + `"}`,
	} {
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, body)
		})
		_, err := b.exchange(t, b.registration())
		if e := wantError(t, err, "answer_invalid"); e.Retryable {
			t.Errorf("%.40s: it is to be tried again", body)
		}
	}
}

func tokenTypes(t *testing.T) {
	for over, want := range map[string]string{
		`{}`: "Bearer", `{"token_type":"bearer"}`: "Bearer", `{"token_type":"BEARER"}`: "Bearer", `{"token_type":null}`: "Bearer",
		`{"token_type":"user"}`: "user", `{"token_type":"N_A"}`: "N_A",
	} {
		b := setup(t, gives(over))
		token, err := b.exchange(t, b.registration())
		if err != nil || token.Type != want {
			t.Errorf("%s: got %q, %v, want %q", over, token.Type, err, want)
		}
	}
	for _, over := range []string{`{"token_type":"mac"}`, `{"token_type":"DPoP"}`} {
		b := setup(t, gives(over))
		_, err := b.exchange(t, b.registration())
		wantError(t, err, "answer_invalid")
	}
}

func lifetimes(t *testing.T) {
	const unknown = time.Duration(0)
	jwt := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1772370000}`)) + ".c2ln" // 2026-03-01T13:00:00Z
	for over, want := range map[string]time.Duration{
		`{"expires_in":3600}`:                              time.Hour,
		`{"expires_in":"3600"}`:                            time.Hour,
		`{"expires_in":" 60 "}`:                            time.Minute,
		`{"expires_in":3599.5}`:                            time.Hour - 500*time.Millisecond,
		`{"expires_in":3.6e3}`:                             time.Hour,
		`{"expires_in":-1}`:                                unknown,
		`{"expires_in":0}`:                                 unknown,
		`{"expires_in":null}`:                              unknown,
		`{"expires_in":"never"}`:                           unknown,
		`{"expires_in":"NaN"}`:                             unknown,
		`{"expires_in":true}`:                              unknown,
		`{"expires_in":{"s":1}}`:                           unknown,
		`{"expires_in":1e300}`:                             10 * 365 * 24 * time.Hour,
		`{"expires_in":"Inf"}`:                             10 * 365 * 24 * time.Hour,
		`{"expires_in":315360001}`:                         10 * 365 * 24 * time.Hour,
		`{"expires_in":null,"access_token":"` + jwt + `"}`: time.Hour,
		`{"expires_in":60,"access_token":"` + jwt + `"}`:   time.Minute,
	} {
		b := setup(t, gives(over))
		token, err := b.exchange(t, b.registration())
		if err != nil {
			t.Errorf("%s: %v", over, err)
			continue
		}
		expires := time.Time{}
		if want != unknown {
			expires = b.clock.Now().Add(want)
		}
		if !token.ExpiresAt.Equal(expires) {
			t.Errorf("%s: got %s, want %s", over, token.ExpiresAt, expires)
		}
	}
}

func scopesNarrowed(t *testing.T) {
	for over, want := range map[string][2][]string{
		`{"scope":"read"}`:           {{"read"}, {"write"}},
		`{"scope":""}`:               {{}, {"read", "write"}},
		`{"scope":"write,read"}`:     {{"write", "read"}, nil},
		`{"scope":["read","extra"]}`: {{"read", "extra"}, {"write"}},
		`{"scope":"read  write"}`:    {{"read", "write"}, nil},
	} {
		b := setup(t, gives(over))
		token, err := b.exchange(t, b.registration())
		if diff := cmp.Diff(want, [2][]string{token.Scopes, token.Missing}); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", over, err, diff)
		}
	}
}

func scopesAbsent(t *testing.T) {
	b := setup(t, gives(""))
	token, err := b.exchange(t, b.registration())
	if diff := cmp.Diff([]string{"read", "write"}, token.Scopes); err != nil || diff != "" || token.Missing != nil {
		t.Errorf("they are those that were asked for: %v, %s", err, diff)
	}
	token, err = b.client.Refresh(t.Context(), b.registration(), "rt-0")
	if err != nil || token.Scopes != nil {
		t.Errorf("after a refresh they are as before: got %v, %v", token.Scopes, err)
	}
}

func refreshKeeps(t *testing.T) {
	for _, over := range []string{`{"refresh_token":null}`, `{"refresh_token":""}`, `{"refresh_token":"rt-0"}`} {
		b := setup(t, gives(over))
		token, err := b.client.Refresh(t.Context(), b.registration(), "rt-0")
		if err != nil || token.Refresh != "rt-0" || token.Rotated {
			t.Errorf("%s: got %q, rotated %t, %v", over, token.Refresh, token.Rotated, err)
		}
		sent := b.requests.last(t).params
		want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"rt-0"}}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("sent: -want +got:\n%s", diff)
		}
	}
}

func refreshReplaces(t *testing.T) {
	b := setup(t, gives(`{"refresh_token":"rt-1"}`))
	token, err := b.client.Refresh(t.Context(), b.registration(), "rt-0")
	if err != nil || token.Refresh != "rt-1" || !token.Rotated || token.Access != "at-1" {
		t.Errorf("got %q, rotated %t, %v", token.Refresh, token.Rotated, err)
	}
}

func secretBasic(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	for how, want := range map[string]string{
		// https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1: encoded as forms are, so that the colon is one.
		"":                        "client%3A1:s%3Acret%25%2B%2F+%C3%BC%26%3D",
		"client_secret_basic":     "client%3A1:s%3Acret%25%2B%2F+%C3%BC%26%3D",
		"client_secret_basic_raw": "client:1:" + clientSecret,
	} {
		r.Wire.TokenAuth = how
		if _, err := b.exchange(t, r); err != nil {
			t.Fatal(err)
		}
		sent := b.requests.last(t)
		kind, pair, _ := strings.Cut(sent.Header.Get("Authorization"), " ")
		decoded, err := base64.StdEncoding.DecodeString(pair)
		if err != nil || kind != "Basic" || string(decoded) != want {
			t.Errorf("%q: got %s %s, want %s", how, kind, decoded, want)
		}
		if sent.params.Has("client_id") || sent.params.Has("client_secret") {
			t.Errorf("%q: the body has them too, which section 2.3 forbids", how)
		}
	}
}

func secretPost(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Wire.TokenAuth = "client_secret_post"
	arrived := b.arrive(t, r)
	if _, err := b.client.Exchange(t.Context(), r, arrived); err != nil {
		t.Fatal(err)
	}
	sent := b.requests.last(t)
	want := url.Values{
		"grant_type": {"authorization_code"}, "code": {"the-c0de-itself"}, "redirect_uri": {redirectURI},
		"client_id": {"client:1"}, "client_secret": {clientSecret}, "code_verifier": {arrived.Flow.Verifier},
	}
	if diff := cmp.Diff(want, sent.params); diff != "" || sent.Header.Get("Authorization") != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := sent.Header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
		t.Errorf("got the content type %s", got)
	}
}

func furtherFields(t *testing.T) {
	b := setup(t, gives(`{"instance_url":"https://eu.acme.example","account":12345678901234567890,"admin":true,"team":{"id":"T1"},"hubs":[{"id":7}],"id_token":"e30.e30.c2ln"}`))
	r := b.registration()
	r.Wire.Answer.Capture = map[string]string{"team_id": "/team/id", "hub": "/hubs/0/id", "none": "/team/name"}
	token, err := b.exchange(t, r)
	want := map[string]string{
		"instance_url": "https://eu.acme.example", "account": "12345678901234567890", "admin": "true", "team_id": "T1", "hub": "7",
	}
	if diff := cmp.Diff(want, token.Extra); err != nil || diff != "" || token.IDToken != "e30.e30.c2ln" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func errorPage(t *testing.T) {
	for status, want := range map[int]string{200: "answer_invalid", 400: "answer_invalid", 403: "answer_invalid", 404: "answer_invalid", 401: "invalid_client", 502: "server_error"} {
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>at-secret rt-secret</html>")
		})
		_, err := b.exchange(t, b.registration())
		if e := wantError(t, err, want); e.Status != status || e.Retryable != (status == 502) || want == "answer_invalid" && !strings.Contains(e.Description, "page for people") {
			t.Errorf("%d: got %+v", status, e)
		}
	}
}

func answerTooLarge(t *testing.T) {
	for size, want := range map[int]bool{250 << 10: true, 256 << 10: false, 2 << 20: false} {
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"access_token":"at-1","pad":"`+strings.Repeat("x", size)+`"}`)
		})
		token, err := b.exchange(t, b.registration())
		if want && (err != nil || token.Access != "at-1") {
			t.Errorf("%d: %v", size, err)
		}
		if !want {
			if e := wantError(t, err, "answer_invalid"); !strings.Contains(e.Description, "262144") {
				t.Errorf("%d: got %s, want the limit in it", size, e.Description)
			}
		}
	}
}

func tokenRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		b := setup(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/token" {
				gives("")(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere?code=the-c0de-itself", status)
		})
		_, err := b.exchange(t, b.registration())
		wantError(t, err, "answer_invalid")
		if got := b.requests.count(); got != 1 {
			t.Errorf("%d: the server got %d requests: the secret went elsewhere", status, got)
		}
	}
}
