package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func tokenRoutes() []route {
	return slices.Concat(operatorTokenRoutes(), tenantTokenRoutes(), signedRoutes())
}

func operatorTokenRoutes() []route {
	const own = "/v1/tokens"
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/token", Reach: viewed, Scope: token.Read, ID: "getOwnToken", Tag: "tokens",
			Summary: "Show the token that asks", Description: "Whose it is, and its roles.", bind: handle((*server).getOwnToken),
		},
		{
			Method: http.MethodGet, Path: own, Reach: operated, Scope: token.Admin, ID: "listOperatorTokens", Tag: "tokens",
			Summary: "List the operator's tokens", Description: "Without their secrets.", bind: handle((*server).listOperatorTokens),
		},
		{
			Method: http.MethodPost, Path: own, Reach: operated, Scope: token.Admin, ID: "createOperatorToken", Tag: "tokens",
			Summary: "Make an operator's token", Description: "It reaches every tenant. " + secretOnceText, Secret: true,
			Status: http.StatusCreated, Example: `{"name":"ci","scopes":["publish"]}`, bind: handle((*server).createOperatorToken),
		},
		{
			Method: http.MethodDelete, Path: own + "/{token}", Reach: operated, Scope: token.Admin, ID: "revokeOperatorToken", Tag: "tokens",
			Summary: "Revoke any token", Description: "It opens nothing from now on.",
			Status: http.StatusNoContent, bind: handle((*server).revokeOperatorToken),
		},
		{
			Method: http.MethodPost, Path: own + "/{token}/rotate", Reach: operated, Scope: token.Admin, ID: "rotateOperatorToken", Tag: "tokens",
			Summary: "Give an operator's token another secret", Description: rotated, Secret: true,
			Example: `{"overlap_seconds":3600}`, bind: handle((*server).rotateOperatorToken),
		},
	}
}

func tenantTokenRoutes() []route {
	const tenants = "/v1/tenants/{tenant}/tokens"
	return []route{
		{
			Method: http.MethodGet, Path: tenants, Reach: owned, Scope: token.Admin, ID: "listTokens", Tag: "tokens",
			Summary: "List a tenant's tokens", Description: "Without their secrets.", bind: handle((*server).listTokens),
		},
		{
			Method: http.MethodPost, Path: tenants, Reach: owned, Scope: token.Admin, Kept: true, ID: "createToken", Tag: "tokens",
			Summary: "Make a tenant's token", Description: "It reaches this tenant only. " + secretOnceText, Secret: true,
			Status: http.StatusCreated, Example: `{"name":"backend"}`, bind: handle((*server).createToken),
		},
		{
			Method: http.MethodDelete, Path: tenants + "/{token}", Reach: owned, Scope: token.Admin, ID: "revokeToken", Tag: "tokens",
			Summary: "Revoke a tenant's token", Description: "It opens nothing from now on.",
			Status: http.StatusNoContent, bind: handle((*server).revokeToken),
		},
		{
			Method: http.MethodPost, Path: tenants + "/{token}/rotate", Reach: owned, Scope: token.Admin, Kept: true, ID: "rotateToken", Tag: "tokens",
			Summary: "Give a tenant's token another secret", Description: rotated, Secret: true,
			Example: `{"overlap_seconds":3600}`, bind: handle((*server).rotateToken),
		},
	}
}

func signedRoutes() []route {
	const signed = "/v1/tenants/{tenant}/signed-tokens"
	return []route{
		{
			Method: http.MethodPost, Path: signed, Reach: owned, Scope: token.Admin, Kept: true, ID: "signToken", Tag: "tokens",
			Summary: "Make a token for a user of a tenant's", Description: "It lives an hour at most, and is not kept: it is for one user of the host app, who may hold it in a browser. It makes no further tokens. " +
				"All of a tenant's are revoked at once.", Secret: true,
			Status: http.StatusCreated, Example: `{"subject":"user-17","role":"tenant_viewer","life_seconds":900}`, bind: handle((*server).signToken),
		},
		{
			Method: http.MethodDelete, Path: signed, Reach: owned, Scope: token.Admin, Kept: true, ID: "revokeSignedTokens", Tag: "tokens",
			Summary: "Revoke a tenant's signed tokens", Description: "All that were made until now: the tenant gets another key. Other servers of the same database follow within 15 seconds.",
			Status: http.StatusNoContent, bind: handle((*server).revokeSigned),
		},
	}
}

const (
	secretOnceText = "Of a token only a hash is kept: the secret is shown this once." //nolint:gosec // A text.
	rotated        = "The token stays what it is, under its id. The secret that it had opens, too, for as long as the overlap says, and the one before that no longer. " + secretOnceText
)

// tokenView is a token with what follows from it.
type tokenView struct {
	token.Token
	Roles []token.Role `json:"roles" doc:"What it is to the API, by whose it is and its scopes."`
}

func tokenViewOf(t token.Token) tokenView { return tokenView{Token: t, Roles: t.Roles()} }

func viewsOf(ts []token.Token, err error) ([]tokenView, error) {
	views := []tokenView{}
	for _, t := range ts {
		views = append(views, tokenViewOf(t))
	}
	return views, err
}

// newToken is a token as it is shown once.
type newToken struct {
	token.Token
	Roles  []token.Role `json:"roles" doc:"What it is to the API, by whose it is and its scopes."`
	Secret string       `json:"secret" doc:"What goes after Bearer. It is not shown again."`
}

type tokenBody struct {
	Name      string     `json:"name" minLength:"1" maxLength:"100" doc:"What it is for." example:"backend"`
	Scopes    []string   `json:"scopes,omitempty" nullable:"false" enum:"admin,read,publish" doc:"What it may do. Defaults to admin."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it ends. Defaults to never."`
}

func (s *server) mint(ctx context.Context, tenant string, b tokenBody) (*answer[newToken], error) {
	spec := token.Spec{Name: b.Name, Tenant: tenant}
	for _, scope := range b.Scopes {
		spec.Scopes = append(spec.Scopes, token.Scope(scope))
	}
	if b.ExpiresAt != nil {
		spec.ExpiresAt = *b.ExpiresAt
	}
	t, secret, err := s.h.Tokens.Mint(ctx, spec)
	return answered(newToken{Token: t, Roles: t.Roles(), Secret: secret}, err)
}

func (s *server) listOperatorTokens(ctx context.Context, _ *struct{}) (*answer[page[tokenView]], error) {
	return listed(viewsOf(s.h.Tokens.List(ctx, "")))
}

func (s *server) createOperatorToken(ctx context.Context, in *struct{ Body tokenBody }) (*answer[newToken], error) {
	return s.mint(ctx, "", in.Body)
}

type oneOperatorToken struct {
	Token string `path:"token" doc:"The token's id, not its secret."`
}

func (s *server) revokeOperatorToken(ctx context.Context, in *oneOperatorToken) (*nothing, error) {
	return nil, s.h.Tokens.Revoke(ctx, "", in.Token)
}

func (s *server) listTokens(ctx context.Context, _ *param.InTenant) (*answer[page[tokenView]], error) {
	return listed(viewsOf(s.h.Tokens.List(ctx, tenantOf(ctx))))
}

type createTokenInput struct {
	param.InTenant
	Body tokenBody
}

func (s *server) createToken(ctx context.Context, in *createTokenInput) (*answer[newToken], error) {
	return s.mint(ctx, tenantOf(ctx), in.Body)
}

type oneToken struct {
	param.InTenant
	Token string `path:"token" doc:"The token's id, not its secret."`
}

func (s *server) revokeToken(ctx context.Context, in *oneToken) (*nothing, error) {
	return nil, s.h.Tokens.Revoke(ctx, tenantOf(ctx), in.Token)
}

func (*server) getOwnToken(ctx context.Context, _ *struct{}) (*answer[tokenView], error) {
	return answered(tokenViewOf(callerOf(ctx).token), nil)
}

type rotateBody struct {
	Overlap   int64      `json:"overlap_seconds,omitempty" minimum:"0" maximum:"604800" doc:"How long the secret that is replaced goes on to open, a week at most. Defaults to 0."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the token ends from now on. Defaults to what it was."`
}

type rotateOperatorTokenInput struct {
	Token string `path:"token" doc:"The token's id, not its secret."`
	Body  rotateBody
}

type rotateTokenInput struct {
	param.InTenant
	Token string `path:"token" doc:"The token's id, not its secret."`
	Body  rotateBody
}

func (s *server) rotate(ctx context.Context, tenant, id string, b rotateBody) (*answer[newToken], error) {
	r := token.Rotation{Tenant: tenant, ID: id, Overlap: time.Duration(b.Overlap) * time.Second}
	if b.ExpiresAt != nil {
		r.ExpiresAt = *b.ExpiresAt
	}
	t, secret, err := s.h.Tokens.Rotate(ctx, r)
	return answered(newToken{Token: t, Roles: t.Roles(), Secret: secret}, err)
}

func (s *server) rotateOperatorToken(ctx context.Context, in *rotateOperatorTokenInput) (*answer[newToken], error) {
	return s.rotate(ctx, "", in.Token, in.Body)
}

func (s *server) rotateToken(ctx context.Context, in *rotateTokenInput) (*answer[newToken], error) {
	return s.rotate(ctx, tenantOf(ctx), in.Token, in.Body)
}

type signBody struct {
	Subject  string `json:"subject" minLength:"1" maxLength:"200" doc:"The user whom it is for, as the host app names them." example:"user-17"`
	Role     string `json:"role,omitempty" enum:"tenant_admin,tenant_publisher,tenant_viewer" doc:"What it is. Defaults to tenant_viewer."`
	Audience string `json:"audience,omitempty" enum:"api" doc:"Who is to take it. Defaults to api, and there is no other."`
	Life     int64  `json:"life_seconds,omitempty" minimum:"1" maximum:"3600" doc:"How long it lives. Defaults to 900."`
}

type signTokenInput struct {
	param.InTenant
	Body signBody
}

func (s *server) signToken(ctx context.Context, in *signTokenInput) (*answer[newToken], error) {
	t, secret, err := s.h.Tokens.Sign(ctx, token.SignedSpec{
		Tenant: tenantOf(ctx), Role: token.Role(in.Body.Role), Subject: in.Body.Subject, Audience: in.Body.Audience,
		Life: time.Duration(in.Body.Life) * time.Second,
	})
	return answered(newToken{Token: t, Roles: t.Roles(), Secret: secret}, err)
}

func (s *server) revokeSigned(ctx context.Context, _ *param.InTenant) (*nothing, error) {
	return nil, s.h.Tokens.RevokeSigned(ctx, tenantOf(ctx))
}
