package trial

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// authorize goes through a whole authorization, and revokes it at its end.
func (t *trial) authorize(ctx context.Context) {
	values := maps.Clone(t.c.Variables)
	if values == nil {
		values = map[string]string{}
	}
	r, err := t.resolve(ctx, values)
	if err != nil {
		t.differs("authorization", "%v", err)
		return
	}
	token, err := t.grant(ctx, r.Registration, values)
	if err != nil {
		t.differs("authorization", "%v", err)
		return
	}
	v, err := app.Look(ctx, t.client, t.resolve, app.Visit{Token: token, Variables: values})
	for err == nil && len(v.Choices) > 0 {
		if v, err = v.Choose(0); err == nil {
			v, err = app.Look(ctx, t.client, t.resolve, v)
		}
	}
	if err != nil {
		t.differs("lookups", "%v", err)
		return
	}
	t.answer(v.Token)
	t.ok("lookups", "%d were made; known are %s", len(t.c.Provider.Lookups), names(v.Variables))
	if waiting := t.r.Provider.Waiting; len(waiting) > 0 {
		t.differs("variables that come", "nothing has brought %s: compare where they are from with the callback and the token response", strings.Join(waiting, ", "))
	}
	t.refresh(ctx, &v)
	t.revoke(ctx, v.Token)
}

// grant gets the first token.
func (t *trial) grant(ctx context.Context, r oauth.Registration, values map[string]string) (oauth.Token, error) {
	if t.c.App.Grant == "client_credentials" {
		return t.client.ClientCredentials(ctx, r)
	}
	if t.c.App.Grant != "authorization_code" {
		return oauth.Token{}, fmt.Errorf("the grant %s is not tried here", t.c.App.Grant)
	}
	starter := oauth.Starter{Tenant: "trial", Session: "trial"}
	begun, err := t.client.Begin(ctx, r, starter, "")
	if err != nil {
		return oauth.Token{}, err
	}
	callback, err := t.c.Agree(ctx, begun.URL)
	if err != nil {
		return oauth.Token{}, err
	}
	arrived, err := t.client.Accept(ctx, starter, t.c.RedirectURI, callback)
	if err != nil {
		return oauth.Token{}, fmt.Errorf("read the callback: %w", err)
	}
	if _, there := callback["iss"]; there && !t.c.Provider.Callback.IssParameter {
		t.differs("callback iss", "the callback has iss, and the descriptor does not say so: set callback.authorization_response_iss_parameter_supported")
	}
	maps.Copy(values, app.Learned(t.c.Provider, arrived.Values, oauth.Token{}))
	now, err := t.resolve(ctx, values)
	if err != nil {
		return oauth.Token{}, err
	}
	t.ok("callback", "the code has come")
	return t.client.Exchange(ctx, now.Registration, arrived)
}

const (
	// No access token is known to live for less, or for more, that has a lifetime at all.
	lifeLeast, lifeMost = 30 * time.Second, 400 * 24 * time.Hour
)

// answer compares the fields of a token response with the mapping.
func (t *trial) answer(token oauth.Token) {
	p := t.c.Provider
	t.ok("access token", "at %s", p.Response.AccessToken)
	lifetime := token.ExpiresAt.Sub(token.ObtainedAt).Round(time.Second)
	switch unknown := token.ExpiresAt.IsZero(); {
	case unknown && (p.Refresh.NeverExpires || p.Response.ExpiresUnit == "none"):
		t.ok("lifetime", "there is none, as the descriptor says")
	case unknown:
		t.differs("lifetime", "there is none at %s: write where it is, or expires_unit none", p.Response.ExpiresIn)
	case lifetime < lifeLeast || lifetime > lifeMost:
		t.differs("lifetime", "at %s it is %s in %s, which no token has: compare expires_unit", p.Response.ExpiresIn, lifetime, p.Response.ExpiresUnit)
	default:
		t.ok("lifetime", "%s", lifetime)
	}
	odd := false
	for _, s := range token.Scopes {
		odd = odd || strings.ContainsAny(s, " ,;")
	}
	switch {
	case odd:
		t.differs("scopes", "they are read as %q: compare scopes.response_separator", token.Scopes)
	case len(token.Missing) > 0:
		t.differs("scopes", "given are %q, and %q were asked for besides: the user took them out, or they are separated or named otherwise", token.Scopes, token.Missing)
	default:
		t.ok("scopes", "%q", token.Scopes)
	}
	switch refreshes := token.Refresh != ""; {
	case refreshes:
		t.ok("refresh token", "at %s", p.Response.RefreshToken)
	case token.ExpiresAt.IsZero() || p.Refresh.Sends == "access_token" || t.c.App.Grant == "client_credentials":
		t.ok("refresh token", "there is none, and none is needed")
	default:
		t.skip("refresh token", "there is none at %s, and the token ends: is there a scope (scopes.offline) or a parameter that brings one?", p.Response.RefreshToken)
	}
}

// refresh refreshes once, if that can be.
func (t *trial) refresh(ctx context.Context, v *app.Visit) {
	sent := v.Token.Refresh
	if t.c.Provider.Refresh.Sends == "access_token" {
		sent = v.Token.Access
	}
	if sent == "" {
		t.skip("refresh", "there is nothing to refresh with")
		return
	}
	now, err := t.client.Refresh(ctx, t.r.Registration, sent)
	if err != nil {
		t.differs("refresh", "%v", err)
		return
	}
	t.ok("refresh", "it brings a token")
	v.Token = now
	t.check(now.Rotated == t.c.Provider.Refresh.Rotates || !now.Rotated && t.c.Provider.Refresh.GraceSeconds > 0, "rotation", fmt.Sprintf("rotates: %v", now.Rotated),
		fmt.Sprintf("rotates: %v, and the descriptor says %v", now.Rotated, t.c.Provider.Refresh.Rotates))
}

// revoke ends what was agreed to.
func (t *trial) revoke(ctx context.Context, token oauth.Token) {
	if t.r.Endpoints.Revocation == "" || slices.Contains(t.c.Leave, "revocation_endpoint") {
		t.skip("revocation", "there is no revocation_endpoint: take the grant back at the provider")
		return
	}
	if err := t.client.Revoke(ctx, t.r.Registration, either(token.Refresh, token.Access), ""); err != nil {
		t.differs("revocation", "%v", err)
		return
	}
	t.ok("revocation", "the trial's grant is taken back")
}
