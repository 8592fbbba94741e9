package oauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
)

// A connection gets its first tokens: a flow is begun, the user's browser goes to the
// server and comes back, and the code is exchanged.
func Example() {
	server := roundTrip(func(r *http.Request) (*http.Response, error) {
		answer := `{"access_token":"abc","token_type":"bearer","expires_in":"3600","refresh_token":"def","instance_url":"https://eu.acme.example"}`
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
	})
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	client, err := oauth.New(oauth.Config{Transport: server, Flows: &oauthtest.Flows{}, Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	registration := oauth.Registration{
		Provider: "acme", ClientID: "cofferdam", Secret: oauth.Secret{ClientSecret: "s3cret"},
		RedirectURI: "https://cofferdam.example/oauth/callback", Scopes: []string{"orders.read"},
		Endpoints: oauth.Endpoints{Authorization: "https://acme.example/authorize", Token: "https://acme.example/token"},
	}
	who := oauth.Starter{Tenant: "ten_01", Session: "hash of the browser's cookie"}
	ctx := context.Background()
	begun, err := client.Begin(ctx, registration, who, "con_01")
	if err != nil {
		fmt.Println(err)
		return
	}
	// The browser goes to begun.URL, and comes back.
	callback := url.Values{"code": {"xyz"}, "state": {begun.State}}
	arrived, err := client.Accept(ctx, who, registration.RedirectURI, callback)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := client.Exchange(ctx, registration, arrived)
	fmt.Println(arrived.Flow.Note, token.Type, token.ExpiresAt.Format(time.TimeOnly), token.Extra["instance_url"], err)
	fmt.Println(token)
	_, err = client.Accept(ctx, who, registration.RedirectURI, callback)
	fmt.Println(err)
	// Output:
	// con_01 Bearer 13:00:00 https://eu.acme.example <nil>
	// [redacted]
	// oauth: state_invalid: the callback belongs to nothing that was begun here and is still open
}
