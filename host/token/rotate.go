package token

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Rotation asks for another secret of a token.
type Rotation struct {
	// Tenant is whose token it is; empty for an operator's.
	Tenant string
	ID     string
	// Overlap is how long the secret that is replaced goes on to open, at most
	// MaxOverlap; the one before it ends at once. Defaults to not at all.
	Overlap time.Duration
	// ExpiresAt is when the token ends from now on. Defaults to what it was.
	ExpiresAt time.Time
}

// MaxOverlap is the longest that two secrets of a token open: a week, for a secret
// that has to be taken to many places by hand.
const MaxOverlap = 7 * 24 * time.Hour

// Rotate gives a token another secret, which is shown this once.
func (t *Tokens) Rotate(ctx context.Context, r Rotation) (Token, string, error) {
	now := t.c.Now()
	if r.Overlap < 0 || r.Overlap > MaxOverlap {
		return Token{}, "", fault.New(fault.InvalidInput, "overlap_invalid", "the overlap must be from 0 to %d seconds, a week", int(MaxOverlap.Seconds())).At("/overlap_seconds")
	}
	if err := checkExpiry(r.ExpiresAt, now); err != nil {
		return Token{}, "", err
	}
	was, err := t.one(ctx, r.Tenant, r.ID)
	if err != nil {
		return Token{}, "", err
	}
	if was.ended(now) {
		return Token{}, "", fault.New(fault.Conflict, "token_ended", "the token has expired or was revoked").WithHint("make another one")
	}
	secret, err := newSecret()
	if err != nil {
		return Token{}, "", err
	}
	was.RotatedAt, was.OverlapUntil = now, now.Add(r.Overlap)
	if !r.ExpiresAt.IsZero() {
		was.ExpiresAt = r.ExpiresAt
	}
	if err := t.c.Store.RotateToken(ctx, was, hash(secret)); err != nil {
		return Token{}, "", fmt.Errorf("rotate token: %w", err)
	}
	return was, secret, nil
}

// one returns a token by its id. A tenant has a few.
func (t *Tokens) one(ctx context.Context, tenant, id string) (Token, error) {
	all, err := t.List(ctx, tenant)
	if err != nil {
		return Token{}, err
	}
	if i := slices.IndexFunc(all, func(k Token) bool { return k.ID == id }); i >= 0 {
		return all[i], nil
	}
	return Token{}, fault.NotFound("token", id)
}
