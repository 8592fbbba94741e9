// Package login lets people who operate in with tokens of an OpenID provider: ID
// tokens, or access tokens that are JWTs (RFC 9068), as bearer tokens of the API.
//
//	l, err := login.New(login.Config{
//		Issuer: "https://id.example.com", Audience: "cofferdam",
//		Grants: []login.Grant{{Claim: "groups", Value: "platform", Role: token.Operator}},
//	})
//	handler := api.Handler(h, api.Options{Login: l})
//
// A token is taken if the issuer has signed it with one of the keys that it publishes,
// by an asymmetric algorithm; if it is for the audience; and if it has not expired. What
// it opens are the roles that its claims are granted. Nothing is asked of the provider
// for each request: its keys are fetched once, and again when it signs with another
// one. Somebody who loses a role there has it here until the token expires.
//
// Without a provider that answers nobody new is let in, and all else goes on.
package login

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// Config configures a Login.
type Config struct {
	// Issuer is the provider's URL, as its tokens say it.
	Issuer string
	// Audience is whom tokens must be for: the client's id for ID tokens, and what the
	// provider calls this API for access tokens.
	Audience string
	// Grants are the roles that claims give.
	Grants []Grant
	// Client asks the provider. Defaults to one that gives up after 10 s.
	Client *http.Client
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Grant gives a role to those who have a value among a claim's.
type Grant struct {
	// Claim is its name, or the path to one, as realm_access.roles.
	Claim, Value string
	// Role is an operator's, not a tenant's.
	Role token.Role
}

// Login is a token.Verifier.
type Login struct {
	c Config

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	// tried is when the provider was asked last who it is, and did not answer.
	tried time.Time
}

// retry is how long nobody asks a provider that has not answered.
const retry = 5 * time.Second

// New returns a Login. It asks nobody yet.
func New(c Config) (*Login, error) {
	c.Grants = slices.Clone(c.Grants)
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // The default clock has to come from somewhere.
	}
	return &Login{c: c}, nil
}

func (c Config) check() error {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" {
		return errors.New("configure login: Issuer is not a URL, such as https://id.example.com")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fmt.Errorf("configure login: Issuer has the scheme %q: whoever is on the way could let himself in; it must be https", u.Scheme)
	}
	if c.Audience == "" {
		return errors.New("configure login: Audience is empty: tokens for anybody would open this API")
	}
	if len(c.Grants) == 0 {
		return errors.New("configure login: there are no Grants: nobody would have a role")
	}
	for i, g := range c.Grants {
		if scope, tenants := g.Role.Scope(); g.Claim == "" || g.Value == "" || scope == "" || tenants {
			return fmt.Errorf("configure login: Grants[%d] needs a claim, a value and a role: %s, %s or %s", i, token.Operator, token.OperatorViewer, token.Publisher)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Verify implements token.Verifier. Of what is wrong with a token nothing is said.
func (l *Login) Verify(ctx context.Context, raw string) (token.Token, error) {
	if strings.Count(raw, ".") != 2 {
		return token.Token{}, refused(errors.New("it is not a JWT"))
	}
	v, err := l.provider(ctx)
	if err != nil {
		return token.Token{}, err
	}
	// The keys may have to be fetched.
	id, err := v.Verify(oidc.ClientContext(ctx, l.c.Client), raw)
	if _, ok := errors.AsType[*url.Error](err); ok {
		return token.Token{}, unavailable(retry, err)
	}
	if err != nil {
		return token.Token{}, refused(err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return token.Token{}, refused(err)
	}
	t := token.Token{
		ID: "login:" + id.Subject, Name: nameOf(claims, id.Subject), Subject: id.Subject, Kind: token.Login,
		Scopes: []token.Scope{}, CreatedAt: id.IssuedAt.UTC(), ExpiresAt: id.Expiry.UTC(),
	}
	for _, g := range l.c.Grants {
		if scope, _ := g.Role.Scope(); has(claims, g) && !slices.Contains(t.Scopes, scope) {
			t.Scopes = append(t.Scopes, scope)
		}
	}
	return t, nil
}

// provider returns what verifies tokens. The first who comes asks the provider, and
// the others wait for them.
func (l *Login) provider(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.verifier != nil {
		return l.verifier, nil
	}
	now := l.c.Now()
	if wait := l.tried.Add(retry).Sub(now); !l.tried.IsZero() && wait > 0 {
		return nil, unavailable(wait, errors.New("it did not answer a moment ago"))
	}
	// Whoever asks may go away: the answer is for all.
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	p, err := oidc.NewProvider(oidc.ClientContext(asked, l.c.Client), l.c.Issuer)
	if err != nil {
		l.tried = now
		return nil, unavailable(retry, err)
	}
	l.verifier = p.VerifierContext(oidc.ClientContext(context.WithoutCancel(ctx), l.c.Client), &oidc.Config{ClientID: l.c.Audience, Now: l.c.Now})
	return l.verifier, nil
}

// nameOf is how a person is shown.
func nameOf(claims map[string]any, subject string) string {
	for _, claim := range []string{"email", "preferred_username"} {
		if name, ok := claims[claim].(string); ok && name != "" {
			return name
		}
	}
	return subject
}

// has says whether claims have what a grant asks for: the text itself, or a list with
// it. A claim's name may have dots in it, as URLs have.
func has(claims map[string]any, g Grant) bool {
	v, ok := claims[g.Claim]
	if !ok {
		v = any(claims)
		for step := range strings.SplitSeq(g.Claim, ".") {
			object, isObject := v.(map[string]any)
			if !isObject {
				return false
			}
			v = object[step]
		}
	}
	switch v := v.(type) {
	case string:
		return v == g.Value
	case []any:
		return slices.Contains(v, any(g.Value))
	default:
		return false
	}
}

func refused(cause error) *fault.Error {
	return fault.New(fault.Auth, "login_refused", "the login is not valid").Because(cause)
}

func unavailable(wait time.Duration, cause error) *fault.Error {
	f := fault.New(fault.Platform, fault.CodeLoginUnavailable, "the OpenID provider does not answer").
		WithHint("try again; a token that is kept opens the API without it").Because(cause)
	f.RetryAfter = wait
	return f
}
