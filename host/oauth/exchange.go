package oauth

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Exchange gets the first tokens of a flow. A code is good for one try: an error that
// says Retryable means a new flow, not a second Exchange, except if nothing was sent
// (a refused address, a name that does not resolve).
func (c *Client) Exchange(ctx context.Context, r Registration, a Arrived) (Token, error) {
	if err := c.check(r); err != nil {
		return Token{}, err
	}
	code, err := a.code(r)
	if err != nil {
		return Token{}, err
	}
	params := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.Flow.RedirectURI}}
	if a.Flow.Verifier != "" {
		params.Set("code_verifier", a.Flow.Verifier)
	}
	return c.grant(ctx, r, ask{params: params, requested: a.Flow.Scopes, secrets: []string{code, a.Flow.Verifier}})
}

// Refresh gets a new access token for a refresh token. Scopes and the refresh token
// that the answer leaves out are as before.
//
// One caller at a time may send a refresh token: where tokens rotate, a second one is
// taken for a thief's, and all that came of the first consent is revoked. What an error
// leaves behind:
//
//   - Not Retryable: the server has judged. On CodeInvalidGrant, look first whether
//     somebody else has stored a newer token; only then has the consent ended.
//   - Retryable with the Status 429 or 503: the server has not looked at the token. Send
//     the same one again, after RetryAfter.
//   - Retryable otherwise (a time-out, a broken connection, another 5xx, which may be a
//     gateway's): the server may have rotated it, and the answer was lost. Send the same
//     token again, by the same caller, within the provider's grace period, and keep it
//     until a newer one has worked.
func (c *Client) Refresh(ctx context.Context, r Registration, refreshToken string) (Token, error) {
	if refreshToken == "" {
		return Token{}, newError(CodeInvalidGrant, "there is no refresh token")
	}
	w := r.Wire
	as := or(w.RefreshAs, "refresh_token")
	params := url.Values{"grant_type": {or(w.RefreshGrant, "refresh_token")}, as: {refreshToken}}
	r.Endpoints.Token = or(r.Endpoints.Refresh, r.Endpoints.Token)
	r.Wire.TokenAuth, r.Wire.Body, r.Wire.Method = or(w.RefreshAuth, w.TokenAuth), or(w.RefreshBody, w.Body), or(w.RefreshMethod, w.Method)
	r.Wire.TokenParameters = w.RefreshParameters
	if w.RefreshPlain {
		r.Wire.Answer.AccessToken, r.Wire.Answer.RefreshToken, r.Wire.Answer.ExpiresIn, r.Wire.Answer.Scope = "", "", "", ""
	}
	a := ask{params: params, secrets: []string{refreshToken}}
	if as == "refresh_token" {
		a.refresh = refreshToken
	}
	return c.grant(ctx, r, a)
}

// ClientCredentials gets a token for the client itself: RFC 6749, section 4.4.
func (c *Client) ClientCredentials(ctx context.Context, r Registration) (Token, error) {
	return c.grant(ctx, r, c.asking(r, url.Values{"grant_type": {"client_credentials"}}))
}

// Assertion is what a JWT says with which the client asks for a token (RFC 7523,
// section 2.1).
type Assertion struct {
	// Issuer defaults to the client id, and Subject to Issuer.
	Issuer, Subject string
	// Audience defaults to the token endpoint.
	Audience string
	// Claims are further ones, such as Google's "scope". They replace none of the
	// others.
	Claims map[string]any
	// Lifetime defaults to 5 minutes, and is at most that.
	Lifetime time.Duration
}

// JWTBearer gets a token for a JWT that the client signs with its private key.
func (c *Client) JWTBearer(ctx context.Context, r Registration, as Assertion) (Token, error) {
	a := c.asking(r, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}})
	if as.Claims["scope"] != nil {
		a.params.Del(r.Wire.scopeParameter()) // Google refuses it in both places.
	}
	a.assertion = &as
	return c.grant(ctx, r, a)
}

// Swap is one token for another (RFC 8693). It prints as "[redacted]".
type Swap struct {
	// SubjectToken is for whom the new one is.
	SubjectToken string
	// SubjectType defaults to urn:ietf:params:oauth:token-type:access_token.
	SubjectType string
	// ActorToken is for who acts, if that is another.
	ActorToken, ActorType string
	// RequestedType defaults to what the server likes.
	RequestedType string
	Audience      []string
}

// TokenExchange gets a token for another one.
func (c *Client) TokenExchange(ctx context.Context, r Registration, s Swap) (Token, error) {
	const access = "urn:ietf:params:oauth:token-type:access_token"
	if s.SubjectToken == "" {
		return Token{}, newError(codeRegistration, "there is no token to exchange")
	}
	a := c.asking(r, url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {s.SubjectToken},
		"subject_token_type": {or(s.SubjectType, access)},
	})
	a.secrets = []string{s.SubjectToken}
	if s.ActorToken != "" {
		a.params.Set("actor_token", s.ActorToken)
		a.params.Set("actor_token_type", or(s.ActorType, access))
		a.secrets = append(a.secrets, s.ActorToken)
	}
	if s.RequestedType != "" {
		a.params.Set("requested_token_type", s.RequestedType)
	}
	if len(s.Audience) > 0 {
		a.params["audience"] = s.Audience
	}
	return c.grant(ctx, r, a)
}

// asking is a request for the registration's scopes.
func (c *Client) asking(r Registration, params url.Values) ask {
	if len(r.Scopes) > 0 {
		params.Set(r.Wire.scopeParameter(), r.Wire.joined(r.Scopes))
	}
	return ask{params: params, requested: r.Scopes}
}

// ask is a request for tokens.
type ask struct {
	params url.Values
	// requested are the scopes that are given if the answer says nothing.
	requested []string
	// refresh is the refresh token that stays if the answer has none.
	refresh string
	// secrets are what no text of the server's may repeat.
	secrets []string
	// assertion is the JWT that the request is for, if it is.
	assertion *Assertion
}

// skewMost is how wrong a clock may be before signatures go by the server's: what they
// are dated back by.
const skewMost = datedBack

// grant asks the token endpoint. If the client signs, and the server's clock turns out
// to be another than ours, it asks once more, by the server's.
func (c *Client) grant(ctx context.Context, r Registration, a ask) (Token, error) {
	if err := c.check(r); err != nil {
		return Token{}, err
	}
	endpoint, err := c.endpoint(r, "token", r.Endpoints.Token)
	if err != nil {
		return Token{}, err
	}
	known, _ := c.skews.Get(endpoint.Host)
	token, got, err := c.granted(ctx, r, endpoint, a, known)
	signs := a.assertion != nil || r.Wire.TokenAuth == "private_key_jwt"
	if err == nil || got == nil || !signs || (got.skew-known).Abs() < skewMost || !a.unspent(err) {
		return token, err
	}
	token, _, err = c.granted(ctx, r, endpoint, a, got.skew)
	return token, err
}

// unspent says that a refusal can have been for the date alone, and that what was sent
// can be sent again: nobody uses up the code or refresh token of a client that could
// not say who it is; after a fault of the server's, who knows.
func (a ask) unspent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.Code == "invalid_client":
		return true
	case e.Code == CodeInvalidGrant:
		return a.assertion != nil
	default:
		return e.Code == codeServer && len(a.secrets) == 0
	}
}

func (c *Client) granted(ctx context.Context, r Registration, endpoint *url.URL, a ask, skew time.Duration) (Token, *answer, error) {
	params := url.Values{}
	for name, value := range r.Wire.TokenParameters {
		params.Set(name, value)
	}
	maps.Copy(params, a.params)
	if len(r.Resources) > 0 {
		params["resource"] = r.Resources
	}
	secrets := a.secrets
	if a.assertion != nil {
		signed, err := c.sign(r, a.assertion.claims(r), c.config.Now().Add(skew))
		if err != nil {
			return Token{}, nil, err
		}
		params.Set("assertion", signed)
		secrets = append(slices.Clip(secrets), signed, signed[strings.LastIndexByte(signed, '.')+1:])
	}
	got, err := c.send(ctx, r, request{endpoint: endpoint, params: params, secrets: secrets, skew: skew, asToken: true})
	if err != nil {
		return Token{}, got, err
	}
	token, err := got.token(r, a, c.config.Now())
	return token, got, err
}
