package token

import (
	"context"
	"time"
)

// Config configures Tokens.
type Config struct {
	Store Store
	Now   func() time.Time
}

// Tokens open the API.
type Tokens struct{ c Config }

// New returns Tokens.
func New(c Config) *Tokens { return &Tokens{c: c} }

// Spec asks for a token.
type Spec struct {
	Name   string
	Tenant string
	// Scopes default to Admin.
	Scopes    []Scope
	ExpiresAt time.Time
}

// Mint makes a token and returns its secret, which is shown this once.
func (t *Tokens) Mint(ctx context.Context, s Spec) (Token, string, error) { panic("unbuilt") }

// Bootstrap makes the first operator token, if none was ever made; otherwise
// the secret is empty.
func (t *Tokens) Bootstrap(ctx context.Context) (secret string, err error) { panic("unbuilt") }

// Authenticate returns the token of a secret, or a fault with Class Auth. Every
// failure looks alike.
func (t *Tokens) Authenticate(ctx context.Context, secret string) (Token, error) { panic("unbuilt") }

// List lists a tenant's tokens, or the operator's for an empty tenant.
func (t *Tokens) List(ctx context.Context, tenant string) ([]Token, error) { panic("unbuilt") }

// Revoke ends a token; an empty tenant reaches all.
func (t *Tokens) Revoke(ctx context.Context, tenant, id string) error { panic("unbuilt") }
