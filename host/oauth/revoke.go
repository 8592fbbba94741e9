package oauth

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
)

// Revoke tells the server that a token is not used any more (RFC 7009). The refresh
// token is the one to revoke: the others end with it. Hint is "refresh_token",
// "access_token" or empty. A token that the server does not know is revoked already.
//
// An error that is Retryable leaves the token alive: try again later, and delete what
// is to be deleted here all the same.
func (c *Client) Revoke(ctx context.Context, r Registration, token, hint string) error {
	got, err := c.about(ctx, r, "revocation", r.Endpoints.Revocation, token, hint)
	if err != nil {
		return err
	}
	if is2xx(got.status) && got.said(r.Wire.Answer) == nil { // What else the body says means nothing.
		return nil
	}
	err = got.judged(r.Wire.Answer, c.config.Now())
	if e, ok := errors.AsType[*Error](err); ok && (e.Code == "invalid_token" || e.Code == CodeInvalidGrant) {
		return nil
	}
	return err
}

// Introspection is what a server says of a token (RFC 7662).
type Introspection struct {
	// Active says that the token is good now. If not, nothing else is said.
	Active   bool
	Scopes   []string
	ClientID string
	Subject  string
	// ExpiresAt is by this machine's clock, zero if the server does not say.
	ExpiresAt time.Time
}

// Introspect asks what a token is good for.
func (c *Client) Introspect(ctx context.Context, r Registration, token, hint string) (Introspection, error) {
	got, err := c.about(ctx, r, "introspection", r.Endpoints.Introspection, token, hint)
	if err != nil {
		return Introspection{}, err
	}
	if err := got.judged(r.Wire.Answer, c.config.Now()); err != nil {
		return Introspection{}, err
	}
	active, ok := at(got.doc, "/active").(bool)
	if !ok {
		return Introspection{}, got.invalid("answered without \"active\": true or false")
	}
	if !active {
		return Introspection{}, nil
	}
	return Introspection{
		Active: true, Scopes: strings.Fields(text(at(got.doc, "/scope"))), ClientID: text(at(got.doc, "/client_id")),
		Subject: text(at(got.doc, "/sub")), ExpiresAt: got.expiry("absolute", at(got.doc, "/exp")),
	}, nil
}

// about asks an endpoint about a token.
func (c *Client) about(ctx context.Context, r Registration, name, address, token, hint string) (*answer, error) {
	if err := c.check(r); err != nil {
		return nil, err
	}
	endpoint, err := c.endpoint(r, name, address)
	if err != nil {
		return nil, err
	}
	params := url.Values{"token": {token}}
	if hint != "" {
		params.Set("token_type_hint", hint)
	}
	return c.send(ctx, r, request{endpoint: endpoint, params: params, secrets: []string{token}})
}
