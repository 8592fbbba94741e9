package app

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// captured is what a variable of the token response is called in Token.Extra, where the
// response's own fields are too.
const captured = "variable:"

// Join is the registration of an app with a provider whose variables have these values: all
// that the descriptor says, where package oauth has it. What an issuer's metadata has, it
// leaves out: see oauth.Registration.Discovered.
func Join(p provider.Provider, values map[string]string, a App, secret oauth.Secret, redirectURI string) (oauth.Registration, provider.Resolved, error) {
	values, err := valuesOf(p, a, values)
	if err != nil {
		return oauth.Registration{}, provider.Resolved{}, err
	}
	at, err := p.Resolve(values)
	if err != nil {
		return oauth.Registration{}, provider.Resolved{}, under("/variables", err)
	}
	r := oauth.Registration{
		Provider: at.Name, ClientID: a.ClientID, Secret: secret, RedirectURI: redirectURI, Scopes: scopesOf(at, a),
		Endpoints: oauth.Endpoints{
			Issuer: at.Issuer, Authorization: at.AuthorizationEndpoint, Token: at.TokenEndpoint, Refresh: at.RefreshEndpoint,
			Revocation: at.RevocationEndpoint, Introspection: at.IntrospectionEndpoint, DeviceAuthorization: at.DeviceAuthorizationEndpoint,
			TokenComes: p.TokenComes(), IssPromised: at.Callback.IssParameter,
		},
		Wire: wireOf(at, a, secret),
	}
	return r, at, nil
}

// valuesOf are the values of a provider's variables: those that are the app's are what the
// app says, and nobody else.
func valuesOf(p provider.Provider, a App, given map[string]string) (map[string]string, error) {
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		own, there := a.Variables[name]
		if !there && p.Variables[name].Of == "app" {
			own, there = p.Variables[name].Default, true
		}
		if there && own != given[name] {
			return nil, fault.New(fault.InvalidInput, "variable_of_app", "%.64s is %.128q, and the app says what it is", name, given[name]).At("/variables/" + name)
		}
		values[name] = given[name]
	}
	maps.Copy(values, a.Variables)
	return values, nil
}

// scopesOf are what is asked for: the app's, and the one that brings a refresh token.
func scopesOf(at provider.Resolved, a App) []string {
	scopes := slices.Clone(a.Scopes)
	if len(scopes) == 0 {
		scopes = slices.Clone(at.Scopes.Default)
	}
	user := a.Grant == "authorization_code" || a.Grant == "device_code" || a.Grant == ""
	if o := at.Scopes.Offline; o != "" && user && !slices.Contains(scopes, o) {
		scopes = append(scopes, o)
	}
	return scopes
}

func wireOf(at provider.Resolved, a App, secret oauth.Secret) oauth.Wire {
	w := oauth.Wire{
		PKCE: at.PKCE, TokenAuth: at.TokenAuth, RefreshAuth: at.Refresh.TokenAuth,
		Body: at.TokenBody, RefreshBody: at.Refresh.Body, Method: at.TokenMethod, RefreshMethod: at.Refresh.Method,
		ScopeParameter: at.Scopes.Parameter, ScopeSeparator: at.Scopes.Separator,
		OfflineScope: at.Scopes.Offline, RefreshGrant: at.Refresh.GrantType, RefreshAs: at.Refresh.Sends, RefreshPlain: at.Refresh.PlainResponse,
		CodeParameter: at.Callback.CodeParameter, CallbackHMAC: at.Callback.HMACParameter,
		AuthorizationParameters: at.Parameters.Authorization, TokenParameters: at.Parameters.Token, RefreshParameters: at.Parameters.Refresh,
		Rename: at.Rename, Headers: at.TokenHeaders,
		Answer: answerOf(at.Response, at.Scopes.ResponseSeparator),
	}
	if a.Grant == "jwt_bearer" && secret.ClientSecret == "" && strings.HasPrefix(w.TokenAuth, "client_secret") {
		w.TokenAuth = "none" // The assertion is all the proof: https://www.rfc-editor.org/rfc/rfc7523#section-2.1.
	}
	w.Answer.Capture = map[string]string{}
	for name, v := range at.Variables {
		if place, ok := strings.CutPrefix(v.From, "token:"); ok {
			w.Answer.Capture[captured+name] = place
		}
	}
	return w
}

func answerOf(m provider.Mapping, separator string) oauth.Answer {
	return oauth.Answer{
		AccessToken: m.AccessToken, RefreshToken: m.RefreshToken, ExpiresIn: m.ExpiresIn, RefreshExpiresIn: m.RefreshExpiresIn,
		Scope: m.Scope, Error: m.Error, ErrorDescription: m.ErrorDescription, Unit: m.ExpiresUnit, ScopeSeparator: separator,
		ErrorWhen: m.ErrorWhen, Codes: m.ErrorCodes,
	}
}

// Learned are the variables that a callback and a token have brought, either of which may
// be nil or zero.
func Learned(p provider.Provider, callback url.Values, t oauth.Token) map[string]string {
	learned := p.Captured(callback, nil)
	for name, v := range p.Variables {
		if value := t.Extra[captured+name]; value != "" && strings.HasPrefix(v.From, "token:") {
			learned[name] = value
		}
	}
	return learned
}

// Registration implements authorization.Source. It opens the app's secret, and asks the
// issuer for endpoints that only that knows.
func (s *Apps) Registration(ctx context.Context, tenant, idOrName string, variables map[string]string) (authorization.Registered, error) {
	a, err := s.Get(ctx, tenant, idOrName)
	if err != nil {
		return authorization.Registered{}, err
	}
	a, secret, err := s.open(vault.Using(ctx, vault.Use{Purpose: "OAuth"}), a)
	if err != nil {
		return authorization.Registered{}, err
	}
	p, err := s.providerOf(a)
	if err != nil {
		return authorization.Registered{}, err
	}
	r, at, err := Join(p, variables, a, secret, s.redirectURI(a))
	if err != nil {
		return authorization.Registered{}, err
	}
	if r, err = Discover(ctx, s.c.Client, r, a.Grant); err != nil {
		return authorization.Registered{}, err
	}
	return authorization.Registered{Registration: r, App: a.ID, Provider: at}, nil
}

// Discover asks the issuer of r for endpoints that the grant needs and r lacks.
func Discover(ctx context.Context, c *oauth.Client, r oauth.Registration, grant string) (oauth.Registration, error) {
	e := r.Endpoints
	lacks := e.Token == "" && !e.TokenComes || grant == "authorization_code" && e.Authorization == "" || grant == "device_code" && e.DeviceAuthorization == ""
	if e.Issuer == "" || !lacks {
		return r, nil
	}
	m, err := c.Discover(ctx, e.Issuer)
	if err != nil {
		return oauth.Registration{}, err
	}
	return r.Discovered(m), nil
}

// Described finds an app, and its provider as it was when the app was made.
func (s *Apps) Described(ctx context.Context, tenant, idOrName string) (App, provider.Provider, error) {
	a, err := s.Get(ctx, tenant, idOrName)
	if err != nil {
		return App{}, provider.Provider{}, err
	}
	p, err := s.providerOf(a)
	return a, p, err
}

// providerOf is the provider of an app: the copy that it keeps, or one that comes with the
// program.
func (s *Apps) providerOf(a App) (provider.Provider, error) {
	if a.Descriptor == nil {
		return s.c.Providers.Provider(a.Provider)
	}
	p, err := provider.Parse("the descriptor of app "+a.ID, a.Descriptor)
	if err != nil {
		return provider.Provider{}, fmt.Errorf("read the descriptor of app %s: %w", a.ID, err)
	}
	return p, nil
}
