package oauth_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func rfc9207() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 9207: the issuer that was expected":    issExpected,
		"RFC 9207: no issuer, when it was promised": issAbsent,
		"RFC 9207: a wrong issuer":                  issWrong,
		"RFC 9207: two issuers":                     issTwice,
		"RFC 9207: the issuer of an error":          issOfError,
		"RFC 9207: a mix-up of two servers":         mixUp,
	}
}

// callback comes back from a flow of r with further parameters.
func (b *testBundle) callback(t *testing.T, r oauth.Registration, with url.Values) (oauth.Arrived, error) {
	t.Helper()
	values := url.Values{"state": {b.begin(t, r).State}}
	maps.Copy(values, with)
	return b.client.Accept(t.Context(), starter(), redirectURI, values)
}

func issExpected(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	for _, promised := range []bool{true, false} {
		r.Endpoints.IssPromised = promised
		arrived, err := b.callback(t, r, url.Values{"code": {"c"}, "iss": {b.server.URL}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.client.Exchange(t.Context(), r, arrived); err != nil {
			t.Error(err)
		}
	}
	// Of a server that nobody knows the issuer of, its host is known.
	r.Endpoints.Issuer = ""
	if _, err := b.callback(t, r, url.Values{"code": {"c"}, "iss": {b.server.URL + "/v2"}}); err != nil {
		t.Error(err)
	}
	_, err := b.callback(t, r, url.Values{"code": {"c"}, "iss": {"https://evil.example"}})
	wantError(t, err, "issuer_mismatch")
}

func issAbsent(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Endpoints.IssPromised = true
	_, err := b.callback(t, r, url.Values{"code": {"c"}})
	wantError(t, err, "issuer_mismatch")
	r.Endpoints.IssPromised = false
	if _, err := b.callback(t, r, url.Values{"code": {"c"}}); err != nil {
		t.Error(err)
	}
}

func issWrong(t *testing.T) {
	b := setup(t, gives(""))
	for _, iss := range []string{"https://evil.example", b.server.URL + "/", strings.ToUpper(b.server.URL), "", b.server.URL + "#x", b.server.URL + " "} {
		_, err := b.callback(t, b.registration(), url.Values{"code": {"c"}, "iss": {iss}})
		wantError(t, err, "issuer_mismatch")
	}
}

func issTwice(t *testing.T) {
	b := setup(t, gives(""))
	_, err := b.callback(t, b.registration(), url.Values{"code": {"c"}, "iss": {b.server.URL, "https://evil.example"}})
	wantError(t, err, "callback_invalid")
}

func issOfError(t *testing.T) {
	b := setup(t, gives(""))
	r := b.registration()
	r.Endpoints.IssPromised = true
	_, err := b.callback(t, r, url.Values{"error": {"access_denied"}, "iss": {b.server.URL}})
	wantError(t, err, "access_denied")
	for _, with := range []url.Values{{"error": {"access_denied"}}, {"error": {"access_denied"}, "iss": {"https://evil.example"}}} {
		_, err := b.callback(t, r, with)
		wantError(t, err, "issuer_mismatch") // Whose error it is, nobody knows.
	}
}

func mixUp(t *testing.T) {
	honest, evil := setup(t, gives("")), setup(t, gives(""))
	// One client of both, and a user who is sent to the evil one, which sends the
	// browser on to the honest one: the honest code comes back in the evil one's flow.
	atEvil := evil.registration()
	callback := url.Values{"code": {"the-c0de-itself"}, "iss": {honest.server.URL}}
	_, err := evil.callback(t, atEvil, callback)
	wantError(t, err, "issuer_mismatch")
	// Without iss, what tells them apart is the flow: the code never goes to a server
	// that the flow did not begin with.
	arrived := honest.arrive(t, honest.registration())
	_, err = evil.client.Exchange(t.Context(), atEvil, arrived)
	wantError(t, err, "issuer_mismatch")
	for _, change := range []func(*oauth.Registration){
		func(r *oauth.Registration) { r.Endpoints.Token = evil.server.URL + "/token" },
		func(r *oauth.Registration) { r.Endpoints.Authorization = evil.server.URL + "/authorize" },
		func(r *oauth.Registration) { r.Endpoints.Issuer = evil.server.URL },
		func(r *oauth.Registration) { r.ClientID = "another" },
		func(r *oauth.Registration) { r.RedirectURI = redirectURI + "/" },
	} {
		r := honest.registration()
		change(&r)
		_, err := honest.client.Exchange(t.Context(), r, arrived)
		wantError(t, err, "issuer_mismatch")
	}
	if honest.requests.count()+evil.requests.count() != 0 {
		t.Error("a code was sent")
	}
}
