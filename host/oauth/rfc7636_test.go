package oauth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func rfc7636() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 7636: the challenge of appendix B":        challengeOfAppendixB,
		"RFC 7636: never plain":                        neverPlain,
		"RFC 7636: a verifier of 43 to 128 characters": verifierLength,
		"RFC 7636: a verifier for each flow":           verifierForEach,
		"RFC 7636: a verifier bound to its state":      verifierBound,
		"RFC 7636: an absent verifier":                 verifierAbsent,
		"RFC 7636: a wrong verifier":                   verifierWrong,
		"RFC 7636: a server without PKCE":              withoutPKCE,
		"RFC 7636: a downgrade":                        downgrade,
	}
}

func challengeOfAppendixB(t *testing.T) {
	octets := []byte{
		116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
	}
	b := setup(t, gives(""), func(c *oauth.Config) { c.Rand = bytes.NewReader(append(make([]byte, 32), octets...)) })
	begun := b.begin(t, b.registration())
	if got, want := b.flows.Held()[0].Verifier, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"; got != want {
		t.Errorf("verifier: got %s, want %s", got, want)
	}
	if got, want := query(t, begun).Get("code_challenge"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; got != want {
		t.Errorf("challenge: got %s, want %s", got, want)
	}
}

func neverPlain(t *testing.T) {
	b := setup(t, gives(""))
	for _, pkce := range []string{"", "S256", "required"} {
		r := b.registration()
		r.Wire.PKCE = pkce
		if got := query(t, b.begin(t, r)).Get("code_challenge_method"); got != "S256" {
			t.Errorf("%q: got %q, want S256", pkce, got)
		}
	}
	r := b.registration()
	r.Wire.PKCE = "plain"
	_, err := b.client.Begin(t.Context(), r, starter(), "")
	wantError(t, err, "registration_invalid")
	r = b.registration()
	r.Endpoints.PKCEMethods = []string{"plain"}
	_, err = b.client.Begin(t.Context(), r, starter(), "")
	wantError(t, err, "registration_invalid")
	r = b.registration()
	r.Wire.AuthorizationParameters = map[string]string{"code_challenge_method": "plain"}
	_, err = b.client.Begin(t.Context(), r, starter(), "")
	wantError(t, err, "registration_invalid")
}

func verifierLength(t *testing.T) {
	b := setup(t, gives(""))
	arrived := b.arrive(t, b.registration())
	if v := arrived.Flow.Verifier; !regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`).MatchString(v) {
		t.Errorf("got %q", v)
	}
}

func verifierForEach(t *testing.T) {
	b := setup(t, gives(""))
	seen := map[string]bool{}
	for range 100 {
		arrived := b.arrive(t, b.registration())
		if seen[arrived.Flow.Verifier] || arrived.Flow.Verifier == arrived.Values.Get("state") {
			t.Fatal("a verifier was used before, or is the state, which the browser knows")
		}
		seen[arrived.Flow.Verifier] = true
	}
}

func verifierBound(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	first, second := b.begin(t, r), b.begin(t, r)
	for _, begun := range []oauth.Begun{second, first} {
		arrived, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {begun.State}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.client.Exchange(t.Context(), r, arrived); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(b.requests.last(t).params.Get("code_verifier")))
		if got, want := base64.RawURLEncoding.EncodeToString(sum[:]), query(t, begun).Get("code_challenge"); got != want {
			t.Errorf("the verifier is of another flow")
		}
	}
}

func verifierAbsent(t *testing.T) {
	b := setup(t, says(http.StatusBadRequest, `{"error":"invalid_grant","error_description":"code_verifier missing"}`))
	r := b.registration()
	r.Wire.PKCE = "none"
	_, err := b.exchange(t, r)
	if b.requests.last(t).params.Has("code_verifier") {
		t.Error("there is one")
	}
	wantError(t, err, oauth.CodeInvalidGrant)
}

func verifierWrong(t *testing.T) {
	b := setup(t, says(http.StatusBadRequest, `{"error":"invalid_grant"}`))
	r := b.registration()
	arrived := b.arrive(t, r)
	arrived.Flow.Verifier = strings.Repeat("w", 43)
	_, err := b.client.Exchange(t.Context(), r, arrived)
	wantError(t, err, oauth.CodeInvalidGrant)
	if got := b.requests.count(); got != 1 {
		t.Errorf("the code was sent %d times", got)
	}
}

func withoutPKCE(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Wire.PKCE = "none"
	begun := b.begin(t, r)
	if q := query(t, begun); q.Has("code_challenge") || q.Has("code_challenge_method") {
		t.Errorf("got %v", q)
	}
	if _, err := b.exchange(t, r); err != nil || b.requests.last(t).params.Has("code_verifier") {
		t.Errorf("got %v, or a verifier", err)
	}
	// A server whose metadata says nothing gets it all the same: it ignores what it does not know.
	if q := query(t, b.begin(t, b.registration())); q.Get("code_challenge") == "" {
		t.Error("it was not sent")
	}
}

func downgrade(t *testing.T) {
	b := setup(t, gives(""))
	for _, methods := range [][]string{{}, {"plain"}} {
		r := b.registration()
		r.Wire.PKCE = "required"
		r.Endpoints.PKCEMethods = methods
		_, err := b.client.Begin(t.Context(), r, starter(), "")
		wantError(t, err, "registration_invalid")
	}
	// Whoever takes the challenge out of the browser's address does not take the
	// verifier out of the exchange, on which a server has to insist.
	begun := b.begin(t, b.registration())
	arrived, err := b.client.Accept(t.Context(), starter(), redirectURI, url.Values{"code": {"c"}, "state": {begun.State}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Exchange(t.Context(), b.registration(), arrived); err != nil || b.requests.last(t).params.Get("code_verifier") == "" {
		t.Errorf("got %v, or no verifier", err)
	}
}
