package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func tokenRoutes() []route {
	const own, tenants = "/v1/tokens", "/v1/tenants/{tenant}/tokens"
	const kept = "Of a token only a hash is kept: the secret is shown this once."
	return []route{
		{
			Method: http.MethodGet, Path: own, Reach: operated, Scope: token.Admin, ID: "listOperatorTokens", Tag: "tokens",
			Summary: "List the operator's tokens", Description: "Without their secrets.", bind: handle((*server).listOperatorTokens),
		},
		{
			Method: http.MethodPost, Path: own, Reach: operated, Scope: token.Admin, ID: "createOperatorToken", Tag: "tokens",
			Summary: "Make an operator's token", Description: "It reaches every tenant. " + kept, Secret: true,
			Status: http.StatusCreated, Example: `{"name":"ci","scopes":["publish"]}`, bind: handle((*server).createOperatorToken),
		},
		{
			Method: http.MethodDelete, Path: own + "/{token}", Reach: operated, Scope: token.Admin, ID: "revokeOperatorToken", Tag: "tokens",
			Summary: "Revoke any token", Description: "It opens nothing from now on.",
			Status: http.StatusNoContent, bind: handle((*server).revokeOperatorToken),
		},
		{
			Method: http.MethodGet, Path: tenants, Reach: owned, Scope: token.Admin, ID: "listTokens", Tag: "tokens",
			Summary: "List a tenant's tokens", Description: "Without their secrets.", bind: handle((*server).listTokens),
		},
		{
			Method: http.MethodPost, Path: tenants, Reach: owned, Scope: token.Admin, ID: "createToken", Tag: "tokens",
			Summary: "Make a tenant's token", Description: "It reaches this tenant only. " + kept, Secret: true,
			Status: http.StatusCreated, Example: `{"name":"backend"}`, bind: handle((*server).createToken),
		},
		{
			Method: http.MethodDelete, Path: tenants + "/{token}", Reach: owned, Scope: token.Admin, ID: "revokeToken", Tag: "tokens",
			Summary: "Revoke a tenant's token", Description: "It opens nothing from now on.",
			Status: http.StatusNoContent, bind: handle((*server).revokeToken),
		},
	}
}

// newToken is a token as it is shown once.
type newToken struct {
	token.Token
	Secret string `json:"secret" doc:"What goes after Bearer. It is not shown again."`
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
	return answered(newToken{Token: t, Secret: secret}, err)
}

func (s *server) listOperatorTokens(ctx context.Context, _ *struct{}) (*answer[page[token.Token]], error) {
	return listed(s.h.Tokens.List(ctx, ""))
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

func (s *server) listTokens(ctx context.Context, _ *param.InTenant) (*answer[page[token.Token]], error) {
	return listed(s.h.Tokens.List(ctx, tenantOf(ctx)))
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
