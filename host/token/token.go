// Package token is who may use the API. A token is shown once and kept as a
// hash; a tenant's token reaches that tenant only.
package token

import (
	"context"
	"time"
)

// Scope says what a token may do.
type Scope string

// The scopes.
const (
	// Admin may do everything within the token's reach.
	Admin Scope = "admin"
	// Read may only look.
	Read Scope = "read"
	// Publish may upload plugins, and look.
	Publish Scope = "publish"
)

// Token opens the API for an operator or for a tenant.
type Token struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Tenant is the only one that the token reaches; empty for an operator's.
	Tenant    string    `json:"tenant,omitempty"`
	Scopes    []Scope   `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Store keeps tokens by the SHA-256 of their secret.
type Store interface {
	InsertToken(ctx context.Context, t Token, hash []byte) error
	// TokenByHash returns fault.NotFound if there is none.
	TokenByHash(ctx context.Context, hash []byte) (Token, error)
	// Tokens lists a tenant's tokens, or the operator's for an empty tenant.
	Tokens(ctx context.Context, tenant string) ([]Token, error)
	// RevokeToken revokes a token by id; an empty tenant reaches all.
	RevokeToken(ctx context.Context, tenant, id string, at time.Time) error
	// CountTokens counts operator tokens that were ever made.
	CountTokens(ctx context.Context) (int, error)
}
