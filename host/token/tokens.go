package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
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
	// Seal and Open keep the keys that sign private, bound to the tenant and the
	// version. Without them there are no signed tokens. Default to none.
	Seal, Open func(ctx context.Context, tenant string, version int64, b []byte) ([]byte, error)
	// Fresh is how long a key is held before it is compared with the one that is
	// stored: how long other processes go on taking signed tokens that were revoked.
	// Defaults to 15 s.
	Fresh time.Duration
	// Logger is told when the last uses cannot be written down. Defaults to none.
	Logger *slog.Logger
	Now    func() time.Time
	// After is what is waited on. Defaults to time.After.
	After func(d time.Duration) <-chan time.Time
}

// Tokens open the API.
type Tokens struct {
	c       Config
	used    uses
	signing signing
	guard   *guard
}

// New returns Tokens.
func New(c Config) *Tokens {
	if c.Fresh == 0 {
		c.Fresh = 15 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.After == nil {
		c.After = time.After //nolint:forbidigo // The default has to come from somewhere.
	}
	return &Tokens{
		c: c, used: uses{noted: map[string]time.Time{}, due: map[string]time.Time{}},
		signing: signing{held: map[string]heldKey{}}, guard: newGuard(),
	}
}

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
	secret, err := newSecret()
	if err != nil {
		return Token{}, "", err
	}
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

// Presented is what somebody shows to be let in.
type Presented struct {
	Secret string
	// From is the address that it comes from; empty if it is not to be limited by one.
	From string
	// Login knows the tokens of an OpenID provider. Defaults to nobody, who knows none.
	Login Verifier
}

// Verifier knows the tokens of somebody else's.
type Verifier interface {
	// Verify returns what a token is here, or a fault with Class Auth.
	Verify(ctx context.Context, raw string) (Token, error)
}

// Authenticate returns the token of a secret, or a fault with Class Auth. Every
// failure looks alike. Secrets are looked up by their hash, and signatures compared in
// constant time, so that the time that it takes says nothing about them.
func (t *Tokens) Authenticate(ctx context.Context, p Presented) (Token, error) {
	now, sum := t.c.Now(), sha256.Sum256([]byte(p.Secret))
	if wait := t.guard.wait(p, sum, now); wait > 0 {
		return Token{}, held(wait)
	}
	found, err := t.find(ctx, p, sum[:], now)
	if isRefused(err) {
		t.guard.failed(p, sum, now)
		return Token{}, refused()
	}
	if err != nil {
		return Token{}, err
	}
	t.guard.right(sum)
	return found, nil
}

// ended says whether the token opens nothing any more.
func (t Token) ended(now time.Time) bool {
	return !t.RevokedAt.IsZero() || !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
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

// find returns the token of a secret. A fault with Class Auth says that there is none
// that opens.
func (t *Tokens) find(ctx context.Context, p Presented, sum []byte, now time.Time) (Token, error) {
	switch {
	case strings.HasPrefix(p.Secret, signedPrefix):
		return t.verify(ctx, p.Secret, now)
	case !strings.HasPrefix(p.Secret, prefix) && p.Login != nil:
		return p.Login.Verify(ctx, p.Secret)
	case !strings.HasPrefix(p.Secret, prefix) || len(p.Secret) != len(prefix)+base64.RawURLEncoding.EncodedLen(secretBytes):
		return Token{}, refused()
	}
	found, err := t.c.Store.TokenByHash(ctx, sum, now)
	if isNotFound(err) {
		return Token{}, refused()
	}
	if err != nil {
		return Token{}, fmt.Errorf("find token: %w", err)
	}
	if found.ended(now) {
		return Token{}, refused()
	}
	t.used.note(found, now)
	return found, nil
}

// check refuses what cannot be minted, and gives the scopes without repetition.
func (s *Spec) check(now time.Time) ([]Scope, error) {
	if s.Name == "" || len(s.Name) > maxName || !isLine(s.Name) {
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
	if err := checkExpiry(s.ExpiresAt, now); err != nil {
		return nil, err
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

func checkExpiry(at, now time.Time) error {
	if at.IsZero() || at.After(now) {
		return nil
	}
	return fault.New(fault.InvalidInput, "expiry_invalid", "the token would have expired already: it is %s", now.UTC().Format(time.RFC3339)).At("/expires_at")
}

// isLine says whether a text is one line of UTF-8.
func isLine(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

func newSecret() (string, error) {
	random := make([]byte, secretBytes)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return prefix + base64.RawURLEncoding.EncodeToString(random), nil
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func refused() *fault.Error {
	return fault.New(fault.Auth, "unauthenticated", "the token is missing, unknown, expired or revoked").
		WithHint("Send \"Authorization: Bearer <token>\" with one that is valid: an operator makes them with \"cofferdam token create\", and \"cofferdam login\" gets one where there is a login.")
}

// isRefused says that whoever presented it is to blame, not a database or a provider
// that does not answer.
func isRefused(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Class == fault.Auth
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == fault.CodeNotFound
}
