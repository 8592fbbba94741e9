// Package oauth is the client's side of OAuth 2.0: how a connection gets tokens, and
// how it gives them back.
//
//	client, err := oauth.New(oauth.Config{Transport: guarded, Flows: flows, Now: now})
//	begun, err := client.Begin(ctx, registration, oauth.Starter{Tenant: tenant, Session: session}, "con_...")
//	// The browser goes to begun.URL, and comes back to the redirect URI.
//	arrived, err := client.Accept(ctx, oauth.Starter{Tenant: tenant, Session: session}, redirectURI, query)
//	token, err := client.Exchange(ctx, registration, arrived)
//
// A Registration is all that there is to know of a client at a server: endpoints, the
// client's secret, and in what the server's wire differs from the specifications. The
// Client keeps nothing of it, and nothing of tokens; flows that have begun are kept in
// Flows, and in memory what servers say of themselves: their metadata, their clock.
//
// # The authorization code, step by step
//
//  1. Begin makes a state and a verifier of 256 random bits each. Flows keep the flow
//     under the hash of its state, with who began it, the server's issuer, and the
//     redirect URI. The browser carries the state and the verifier's S256 challenge.
//  2. Accept takes the flow out: a second callback finds nothing. It must be the
//     starter's session and tenant, in time, at the redirect URI of the flow, and from
//     the issuer of the flow (RFC 9207). A parameter that comes twice is refused. Only
//     then is the server's own error believed.
//  3. Exchange sends the code with the verifier, to the token endpoint of the
//     registration that the flow began with, and to no other.
//
// # What is strict, and what is not
//
// Servers differ in how they write a lifetime, a token's type, scopes and errors; all
// that is read as it is meant. What is refused: an answer without an access token, one
// over 256 KiB, one that is HTML, a redirect, and an error whatever its status.
//
// # Sharp edges
//
//   - A token without a lifetime is of unknown life (ExpiresAt is zero), not eternal.
//   - No error has anything of a server's answer but its error code and description,
//     and those without the secrets that were sent.
//   - A request that failed may have worked: see Refresh.
package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// answerMost bounds an answer. The largest that are known, ID tokens with groups,
	// have some 20 KiB.
	answerMost = 256 << 10
	// timeout of a request. Servers take up to 10 s when they ask others.
	timeout = 20 * time.Second
	// flowLifetime is how long a user has for the consent, with a login and a second
	// factor.
	flowLifetime = 10 * time.Minute
	// metadataTTL is how long discovered endpoints are believed: servers keep the old
	// ones for days when they move.
	metadataTTL = time.Hour
	// metadataMost are the issuers whose metadata is kept: about 4 MiB.
	metadataMost = 256
	// skewsMost are the servers whose clock is kept: as many as there are in a house
	// with a clock that is wrong.
	skewsMost = 256
)

// Config configures a Client.
type Config struct {
	// Transport makes all requests. It must be set, to one that reaches no address
	// inside, for tenants name endpoints. If it has the method
	// Showing(tls.Certificate) http.RoundTripper, registrations may have certificates.
	Transport http.RoundTripper
	// Flows keep what Begin begins. Defaults to none: then there is no Begin.
	Flows Flows
	// Now is the clock. It must be set.
	Now func() time.Time
	// Rand is where states, verifiers and token ids come from. Defaults to crypto/rand.
	Rand io.Reader
	// Timeout of one request. Defaults to 20 s.
	Timeout time.Duration
	// FlowLifetime is for how long a callback is waited for. Defaults to 10 minutes.
	FlowLifetime time.Duration
	// MetadataTTL is for how long discovered metadata is kept. Defaults to an hour.
	MetadataTTL time.Duration
	// Loopback lets endpoints be at http://127.0.0.1, http://[::1] and
	// http://localhost, for development. Defaults to https only.
	Loopback bool
}

// Flows keeps flows from their begin to their callback. What it keeps is to be sealed:
// a Flow has the verifier.
type Flows interface {
	// PutFlow keeps a flow under its ID.
	PutFlow(ctx context.Context, f Flow) error
	// TakeFlow gives a flow and forgets it, at once: of two callers one gets it. It
	// returns false if there is none. A flow that has expired may be forgotten.
	TakeFlow(ctx context.Context, id string) (Flow, bool, error)
}

// Client speaks with authorization servers. It is safe for concurrent use.
type Client struct {
	config   Config
	metadata *lru.Cache[string, remembered]
	// skews are those of the servers whose clock is not ours, by host, for what is
	// signed for them.
	skews *lru.Cache[string, time.Duration]
}

// New returns a Client.
func New(c Config) (*Client, error) {
	if c.Transport == nil || c.Now == nil {
		return nil, errors.New("configure OAuth: Transport and Now must be set")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Timeout <= 0 {
		c.Timeout = timeout
	}
	if c.FlowLifetime <= 0 {
		c.FlowLifetime = flowLifetime
	}
	if c.MetadataTTL <= 0 {
		c.MetadataTTL = metadataTTL
	}
	metadata, err := lru.New[string, remembered](metadataMost)
	if err != nil {
		return nil, err
	}
	skews, err := lru.New[string, time.Duration](skewsMost)
	if err != nil {
		return nil, err
	}
	return &Client{config: c, metadata: metadata, skews: skews}, nil
}
