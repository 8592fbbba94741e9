package oauth

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Registration is a client at an authorization server: all that the protocol needs,
// with nothing left to fill in.
type Registration struct {
	// Provider is the server's name in errors.
	Provider string
	ClientID string
	Secret   Secret
	// RedirectURI is where the server sends browsers back: the same text, letter by
	// letter, in both requests.
	RedirectURI string
	// Scopes that are asked for; none but these.
	Scopes []string
	// Resources are what tokens are for (RFC 8707).
	Resources []string
	Endpoints Endpoints
	Wire      Wire
}

// Endpoints are where a server is asked. What is empty, the server does not have.
type Endpoints struct {
	// Issuer is who the server says it is, or empty if that is not known.
	Issuer        string
	Authorization string
	Token         string
	// Refresh defaults to Token.
	Refresh             string
	Revocation          string
	Introspection       string
	DeviceAuthorization string
	// TokenComes says that a callback names the token endpoint, so that Token is empty
	// before it. Whoever fills it in has to see that it is the server's.
	TokenComes bool
	// IssPromised says that each callback has iss (RFC 9207).
	IssPromised bool
	// PKCEMethods are those that the server says it has; nil if it says nothing.
	PKCEMethods []string
}

// Wire is in what a server differs from the specifications. The zero Wire is as they
// say.
type Wire struct {
	// PKCE is "S256" (sent, and a server without it ignores it), "required" (the same,
	// and metadata without it is refused) or "none". Defaults to S256.
	PKCE string
	// TokenAuth is client_secret_basic, client_secret_basic_raw (without the encoding
	// of RFC 6749 section 2.3.1), client_secret_post, private_key_jwt,
	// tls_client_auth or none. Defaults to client_secret_basic.
	TokenAuth string
	// RefreshAuth is the same for refreshes. Defaults to TokenAuth.
	RefreshAuth string
	// Algorithm of what the client signs: RS256, RS384, RS512, PS256, PS384, PS512,
	// ES256, ES384 or EdDSA. Defaults to what the key is for: RS256, ES256, ES384,
	// EdDSA.
	Algorithm string
	// AssertionAudience is the "aud" of what the client signs for itself. Defaults to
	// the endpoint.
	AssertionAudience string
	// Body of token requests is form, json or query; RefreshBody the same for
	// refreshes. They default to form, and to Body.
	Body, RefreshBody string
	// Method is POST or GET. Defaults to POST; RefreshMethod to Method.
	Method, RefreshMethod string
	// ScopeParameter and ScopeSeparator default to "scope" and a space.
	ScopeParameter, ScopeSeparator string
	// OfflineScope is what a refresh token is asked for with. A server that gives one need
	// not list it among the scopes.
	OfflineScope string
	// RefreshGrant is the grant_type of a refresh, and RefreshAs the parameter that
	// carries its token. Both default to refresh_token.
	RefreshGrant, RefreshAs string
	// RefreshPlain says that the answer to a refresh has token, refresh token, lifetime and
	// scope by the names of RFC 6749, whatever Answer says.
	RefreshPlain bool
	// CodeParameter of the callback has the code. Defaults to code.
	CodeParameter string
	// CallbackHMAC is the callback's parameter with an HMAC-SHA256, in hexadecimal, by
	// the client secret over the other parameters. Defaults to none.
	CallbackHMAC string
	// AuthorizationParameters, TokenParameters and RefreshParameters are sent with what
	// the specifications have.
	AuthorizationParameters, TokenParameters, RefreshParameters map[string]string
	// Rename has the server's own names for parameters, such as client_key for
	// client_id.
	Rename map[string]string
	// Headers of requests to the server's endpoints.
	Headers map[string]string
	Answer  Answer
}

// Answer is where a server's answers have what. Places are JSON pointers (RFC 6901).
type Answer struct {
	// AccessToken, and what follows, default to the names of RFC 6749.
	AccessToken, RefreshToken, ExpiresIn, RefreshExpiresIn, Scope, Error, ErrorDescription string
	// Unit of ExpiresIn is s, ms, absolute (a time: seconds since 1970, or as RFC 3339
	// has it) or none (there is no such field). Defaults to s.
	Unit string
	// ScopeSeparator defaults to Wire's, and to spaces and commas if that has none.
	ScopeSeparator string
	// ErrorWhen are places and values that make any answer an error, such as
	// {"/ok": false}.
	ErrorWhen map[string]any
	// Codes has the meaning of errors that the server has its own names for, such as
	// {"bad_refresh_token": "invalid_grant"}.
	Codes map[string]string
	// Capture gives further places a name in Token.Extra.
	Capture map[string]string
}

// Discovered is r with the endpoints of m where r has none.
func (r Registration) Discovered(m Metadata) Registration {
	own, found := &r.Endpoints, m.Endpoints
	for _, e := range []struct {
		own   *string
		found string
	}{
		{&own.Issuer, found.Issuer},
		{&own.Authorization, found.Authorization},
		{&own.Token, found.Token},
		{&own.Revocation, found.Revocation},
		{&own.Introspection, found.Introspection},
		{&own.DeviceAuthorization, found.DeviceAuthorization},
	} {
		if *e.own == "" {
			*e.own = e.found
		}
	}
	own.IssPromised = own.IssPromised || found.IssPromised
	if own.PKCEMethods == nil {
		own.PKCEMethods = slices.Clone(found.PKCEMethods)
	}
	return r
}

// reserved are the parameters that only this package sets: with another value, one of
// them would take a flow's protection away. How the callback comes, a server may say:
// by a form of the browser's, as Apple does, but not where scripts read it.
func reserved(name, value string) bool {
	if name == "response_mode" {
		return value != "form_post" && value != "query"
	}
	return slices.Contains([]string{
		"response_type", "client_id", "client_secret", "redirect_uri", "state", "code", "code_challenge", "code_challenge_method",
		"code_verifier", "client_assertion", "client_assertion_type", "username", "password",
	}, name)
}

// check says what of r cannot be used, before anybody is asked.
func (c *Client) check(r Registration) error {
	say := func(format string, args ...any) error {
		return newError(codeRegistration, "the registration with %.64q %s", r.Provider, fmt.Sprintf(format, args...))
	}
	if r.ClientID == "" {
		return say("has no client id")
	}
	w := r.Wire
	for _, choice := range []struct {
		name, value string
		of          []string
	}{
		{"pkce", w.PKCE, []string{"S256", "required", "none"}},
		{"token_endpoint_auth_method", w.TokenAuth, authMethods()},
		{"token_endpoint_auth_method of refreshes", w.RefreshAuth, authMethods()},
		{"token_request_body", w.Body, []string{"form", "json", "query"}},
		{"token_request_body of refreshes", w.RefreshBody, []string{"form", "json", "query"}},
		{"token_request_method", w.Method, []string{"POST", "GET"}},
		{"token_request_method of refreshes", w.RefreshMethod, []string{"POST", "GET"}},
		{"expires_unit", w.Answer.Unit, []string{"s", "ms", "absolute", "none"}},
	} {
		if choice.value != "" && !slices.Contains(choice.of, choice.value) {
			return say("has the %s %.64q: it must be one of %s", choice.name, choice.value, strings.Join(choice.of, ", "))
		}
	}
	for _, params := range []map[string]string{w.AuthorizationParameters, w.TokenParameters, w.RefreshParameters} {
		for name, value := range params {
			if reserved(name, value) {
				return say("sends the parameter %.64q, which is not its to set", name)
			}
		}
	}
	return nil
}

func authMethods() []string {
	return []string{"client_secret_basic", "client_secret_basic_raw", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"}
}

// endpoint reads an endpoint's address: over TLS, with nothing in it that makes one
// host look like another.
func (c *Client) endpoint(r Registration, name, text string) (*url.URL, error) {
	if text == "" {
		return nil, newError(codeRegistration, "%.64q has no %s endpoint: name it, or an issuer whose metadata does", r.Provider, name)
	}
	u, err := c.address(text)
	if err != nil {
		return nil, newError(codeRegistration, "the %s endpoint of %.64q, %.200q, %s", name, r.Provider, text, err)
	}
	for param, values := range u.Query() {
		if reserved(param, values[0]) {
			return nil, newError(codeRegistration, "the %s endpoint of %.64q has the parameter %.64q, which is not its to set", name, r.Provider, param)
		}
	}
	return u, nil
}

// address reads the address of an endpoint or issuer.
func (c *Client) address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, addressError("is not a URL like https://id.example.com/token")
	case u.User != nil:
		return nil, addressError("has a user name, which makes its host look like another")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, addressError("has a fragment, which is never sent")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\%"<>^|{}`, r) }):
		return nil, addressError("has a host that is not written in ASCII: write it as xn--")
	case u.Scheme == "https", u.Scheme == "http" && c.config.Loopback && isLoopback(u.Hostname()):
		return u, nil
	default:
		return nil, addressError("does not begin with https://")
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// addressError says what an address is not: the end of a sentence.
type addressError string

func (e addressError) Error() string { return string(e) }
