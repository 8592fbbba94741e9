package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
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
	Scopes []Scope
	// ExpiresAt is in the future, or zero for a token that does not expire.
	ExpiresAt time.Time
}

const (
	// prefix lets secret scanners, and people, see what a string is.
	prefix = "cfd_"
	// secretBytes of chance cannot be guessed, so that a plain hash of them can be
	// stored: there is nothing that a slow one would slow down.
	secretBytes = 32
	maxName     = 100
	// bootstrapName is the name of the first token.
	bootstrapName = "bootstrap"
)

// Mint makes a token and returns its secret, which is shown this once.
func (t *Tokens) Mint(ctx context.Context, s Spec) (Token, string, error) {
	now := t.c.Now()
	scopes, err := s.check(now)
	if err != nil {
		return Token{}, "", err
	}
	random := make([]byte, secretBytes)
	if _, err := rand.Read(random); err != nil {
		return Token{}, "", fmt.Errorf("read randomness: %w", err)
	}
	secret := prefix + base64.RawURLEncoding.EncodeToString(random)
	minted := Token{
		ID: ident.New(ident.Token, now), Name: s.Name, Tenant: s.Tenant,
		Scopes: scopes, CreatedAt: now, ExpiresAt: s.ExpiresAt,
	}
	if err := t.c.Store.InsertToken(ctx, minted, hash(secret)); err != nil {
		return Token{}, "", fmt.Errorf("insert token: %w", err)
	}
	return minted, secret, nil
}

// Bootstrap makes the first operator token, if none was ever made; otherwise
// the secret is empty.
func (t *Tokens) Bootstrap(ctx context.Context) (secret string, err error) {
	n, err := t.c.Store.CountTokens(ctx)
	if err != nil {
		return "", fmt.Errorf("count tokens: %w", err)
	}
	if n > 0 {
		return "", nil
	}
	_, secret, err = t.Mint(ctx, Spec{Name: bootstrapName})
	return secret, err
}

// Authenticate returns the token of a secret, or a fault with Class Auth. Every
// failure looks alike. Secrets are looked up by their hash, so that the time
// that it takes says nothing about them.
func (t *Tokens) Authenticate(ctx context.Context, secret string) (Token, error) {
	if !strings.HasPrefix(secret, prefix) || len(secret) != len(prefix)+base64.RawURLEncoding.EncodedLen(secretBytes) {
		return Token{}, refused()
	}
	found, err := t.c.Store.TokenByHash(ctx, hash(secret))
	if isNotFound(err) {
		return Token{}, refused()
	}
	if err != nil {
		return Token{}, fmt.Errorf("find token: %w", err)
	}
	expired := !found.ExpiresAt.IsZero() && !t.c.Now().Before(found.ExpiresAt)
	if expired || !found.RevokedAt.IsZero() {
		return Token{}, refused()
	}
	return found, nil
}

// List lists a tenant's tokens, or the operator's for an empty tenant.
func (t *Tokens) List(ctx context.Context, tenant string) ([]Token, error) {
	found, err := t.c.Store.Tokens(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return found, nil
}

// Revoke ends a token; an empty tenant reaches all.
func (t *Tokens) Revoke(ctx context.Context, tenant, id string) error {
	if err := t.c.Store.RevokeToken(ctx, tenant, id, t.c.Now()); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

// Allows says whether a token may do what needs a scope: Admin includes all, and
// each of the others Read.
func (t Token) Allows(s Scope) bool {
	return s == Read && len(t.Scopes) > 0 || slices.Contains(t.Scopes, s) || slices.Contains(t.Scopes, Admin)
}

// check refuses what cannot be minted, and gives the scopes without repetition.
func (s Spec) check(now time.Time) ([]Scope, error) {
	if s.Name == "" || len(s.Name) > maxName || !utf8.ValidString(s.Name) || strings.ContainsFunc(s.Name, unicode.IsControl) {
		return nil, fault.New(fault.InvalidInput, "name_invalid", "the name must be one line of text of 1 to %d bytes", maxName).At("/name")
	}
	scopes := slices.Clone(s.Scopes)
	if len(scopes) == 0 {
		scopes = []Scope{Admin}
	}
	known := []Scope{Admin, Read, Publish}
	for i, scope := range scopes {
		if !slices.Contains(known, scope) {
			return nil, fault.New(fault.InvalidInput, "scope_invalid", "a scope must be %s, %s or %s", Admin, Read, Publish).At(fmt.Sprintf("/scopes/%d", i))
		}
	}
	if !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) {
		return nil, fault.New(fault.InvalidInput, "expiry_invalid", "the token would have expired already: it is %s", now.UTC().Format(time.RFC3339)).At("/expires_at")
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func refused() *fault.Error {
	return fault.New(fault.Auth, "unauthenticated", "the token is missing, unknown, expired or revoked").
		WithHint("Send \"Authorization: Bearer cfd_...\" with a token that is valid.")
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == fault.CodeNotFound
}
