// Package token is who may use the API, and as what. There are three kinds:
//
//   - Kept tokens, cfd_..., of an operator or of a tenant: a random secret that is
//     shown once and kept as a hash. They may expire, are rotated with an overlap, and
//     are revoked one by one.
//   - Signed tokens, cfs_..., which a host app makes for a tenant's users: they say
//     themselves whose they are, end within the hour, and are not kept. They are
//     revoked all at once, by a new key of the tenant's.
//   - Logins, of people who operate: tokens of an OpenID provider; see [Verifier].
//
// What a token may do is its roles, which follow from whose it is and its scopes; see
// [Token.Roles]. Which roles open what is the API's matter.
//
// Who presents wrong tokens again and again is refused for a while: by the address, and
// by the token's beginning, for those who come from many addresses. A token that was
// right lately is never held up.
package token

import (
	"context"
	"time"
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
	// UsedAt is when it was used last, to about a minute.
	UsedAt time.Time `json:"used_at,omitzero"`
	// RotatedAt is when it got the secret that it has, if that is not its first, and
	// OverlapUntil how long the one before opens, too.
	RotatedAt    time.Time `json:"rotated_at,omitzero"`
	OverlapUntil time.Time `json:"overlap_until,omitzero"`
	// Subject is the user whom a signed token or a login is for.
	Subject string `json:"subject,omitempty"`
	Kind    Kind   `json:"-"`
}

// Kind says what a token is made of.
type Kind int

// The kinds.
const (
	Kept Kind = iota
	Signed
	Login
)

// Store keeps tokens by the SHA-256 of their secret, and the keys that sign.
type Store interface {
	InsertToken(ctx context.Context, t Token, hash []byte) error
	// TokenByHash finds a token by its secret, or by the one before if that opens at
	// the time. It returns fault.NotFound if there is none.
	TokenByHash(ctx context.Context, hash []byte, at time.Time) (Token, error)
	// Tokens lists a tenant's tokens, or the operator's for an empty tenant.
	Tokens(ctx context.Context, tenant string) ([]Token, error)
	// RotateToken gives a token of t's tenant that is not revoked another hash, and the
	// times of t.
	RotateToken(ctx context.Context, t Token, hash []byte) error
	// RevokeToken revokes a token by id; an empty tenant reaches all.
	RevokeToken(ctx context.Context, tenant, id string, at time.Time) error
	// UseTokens notes when tokens were used, by their ids.
	UseTokens(ctx context.Context, used map[string]time.Time) error
	// CountTokens counts operator tokens that were ever made.
	CountTokens(ctx context.Context) (int, error)
	Keys
}

// Key signs a tenant's tokens.
type Key struct {
	Tenant string
	// Version counts the tenant's keys, from 1.
	Version int64
	Sealed  []byte
}

// Keys keeps one key of each tenant.
type Keys interface {
	// TokenKey returns fault.NotFound if the tenant has none.
	TokenKey(ctx context.Context, tenant string) (Key, error)
	// InsertTokenKey keeps the first one: it returns the one that is stored. A tenant
	// that is being deleted gets none.
	InsertTokenKey(ctx context.Context, k Key) (Key, error)
	// ReplaceTokenKey replaces the key of the version before, and says whether it was it.
	ReplaceTokenKey(ctx context.Context, k Key) (bool, error)
}
