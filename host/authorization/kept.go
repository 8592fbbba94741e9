package authorization

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// kept is what is sealed. It prints as "[redacted]".
type kept struct {
	Token     oauth.Token       `json:"token"`
	Grant     string            `json:"grant"`
	Variables map[string]string `json:"variables,omitempty"`
	Assertion *oauth.Assertion  `json:"assertion,omitempty"`
	// Previous is the refresh token that Token's replaced. It counts until Token has
	// worked once: a server that has forgotten what it answered may still take it.
	Previous string `json:"previous,omitempty"`
	// AgreedAt is when its user has agreed, and Fixed says that the end of refresh tokens
	// does not move when they are used.
	AgreedAt time.Time `json:"agreed_at,omitzero"`
	Fixed    bool      `json:"fixed,omitempty"`
	// Forced says that the API had refused the token before, which had not ended yet.
	Forced bool `json:"forced,omitempty"`
	// Unfinished says that the token is stored, so as not to be lost, and that what makes
	// it usable is still to be asked for.
	Unfinished bool `json:"unfinished,omitempty"`
}

func (kept) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (kept) LogValue() slog.Value { return slog.StringValue(redacted) }

// machine says that a new token is asked for where others refresh one.
func (k kept) machine() bool { return k.Grant == ClientCredentials || k.Grant == JWTBearer }

// sends is what a refresh sends, or empty if it cannot be refreshed.
func (k kept) sends(r Registered) string {
	if r.Provider.Refresh.Sends == "access_token" {
		return k.Token.Access
	}
	return k.Token.Refresh
}

// renewable says that it can be had anew without its user.
func (k kept) renewable(r Registered) bool { return k.machine() || k.sends(r) != "" }

// rotates says that a refresh token is good for one use.
func (k kept) rotates(r Registered) bool {
	return !k.machine() && r.Provider.Refresh.Sends != "access_token" && (r.Provider.Refresh.Rotates || k.Token.Rotated)
}

// with is k after a refresh.
func (k kept) with(r Registered, t oauth.Token, forced bool) kept {
	was := k.Token
	if t.Scopes == nil {
		t.Scopes, t.Missing = was.Scopes, was.Missing
	}
	if t.IDToken == "" {
		t.IDToken, t.Who = was.IDToken, was.Who
	}
	if !t.Rotated && t.RefreshExpiresAt.IsZero() {
		t.RefreshExpiresAt = was.RefreshExpiresAt
	}
	extra := maps.Clone(was.Extra)
	if extra == nil {
		extra = map[string]string{}
	}
	maps.Copy(extra, t.Extra)
	t.Extra = extra
	next := kept{
		Token: t, Grant: k.Grant, Assertion: k.Assertion, Forced: forced, Variables: maps.Clone(k.Variables), AgreedAt: k.agreedAt(), Fixed: k.Fixed,
	}
	if passed := t.ObtainedAt.Sub(was.ObtainedAt); passed > 0 && !was.RefreshExpiresAt.IsZero() && !t.RefreshExpiresAt.IsZero() {
		next.Fixed = t.RefreshExpiresAt.Sub(was.RefreshExpiresAt) < passed/2
	}
	if t.Rotated {
		next.Previous = was.Refresh
	}
	// What the answer brings may be another than before: the address of the API.
	for name, v := range r.Provider.Variables {
		if len(v.From) > len("token:") && v.From[:len("token:")] == "token:" && t.Extra[name] != "" {
			next.Variables[name] = t.Extra[name]
		}
	}
	return next
}

// idOf names an access token: a hash, of which nobody gets anything.
func idOf(access string) string {
	sum := sha256.Sum256([]byte(access))
	return hex.EncodeToString(sum[:16])
}

// hashOf is what an intent says of the token that is sent.
func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// spread is a number from 0 to 1 that is a token's own, so that those that came together
// do not go together.
func (k kept) spread() float64 {
	sum := sha256.Sum256([]byte("spread " + k.Token.Access))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

func fieldOf(r Row) vault.Field {
	return vault.Field{Tenant: r.Tenant, Table: "authorizations", Record: r.Connection, Name: "tokens", Version: r.Version}
}

// seal gives r what is sealed, and what is said of it.
func (a *Authorizations) seal(ctx context.Context, r *Row, k kept) error {
	plaintext, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encode the tokens of connection %s: %w", r.Connection, err)
	}
	defer clear(plaintext)
	if r.Sealed, err = a.c.Vault.Seal(ctx, fieldOf(*r), plaintext); err != nil {
		return fmt.Errorf("seal the tokens of connection %s: %w", r.Connection, err)
	}
	r.Grant, r.Scopes, r.Missing = k.Grant, k.Token.Scopes, k.Token.Missing
	r.ObtainedAt, r.ExpiresAt = k.Token.ObtainedAt, k.Token.ExpiresAt
	return nil
}

func (a *Authorizations) open(ctx context.Context, r Row, purpose string) (kept, error) {
	ctx = vault.Using(ctx, vault.Use{Who: "host", Purpose: purpose})
	plaintext, err := a.c.Vault.Open(ctx, fieldOf(r), r.Sealed)
	if err != nil {
		return kept{}, fmt.Errorf("open the tokens of connection %s: %w", r.Connection, err)
	}
	defer clear(plaintext)
	var k kept
	if json.Unmarshal(plaintext, &k) != nil {
		// Without the error, which may quote what it met.
		return kept{}, fmt.Errorf("decode the tokens of connection %s: they are none", r.Connection)
	}
	if k.Variables == nil { // None were encoded, and a refresh may bring some.
		k.Variables = map[string]string{}
	}
	return k, nil
}

// window is the time in which a token is refreshed.
type window struct {
	// due is when it is refreshed by itself, at the latest, soft from when on whoever asks
	// for it has it refreshed, and hard from when on it is not used any more. Zero is
	// never.
	due, soft, hard time.Time
}

const (
	// usualMargin is how long before its end a token is refreshed, if its provider has no
	// opinion: requests that carry it may take long.
	usualMargin = 5 * time.Minute
	// lastUse is how long before its end a token is used last: as long as a request may
	// be under way to where it is looked at, and clocks differ.
	lastUse = 10 * time.Second
	// idleAfter is how long after its last use a connection counts as one that nobody
	// uses: it is refreshed when somebody does, or when its refresh token would end.
	idleAfter = 7 * 24 * time.Hour
)

// window says when a token is refreshed. Everything is cut to the lifetime: a fifth of
// it is the margin at most, and another fifth before that is what refreshes are spread
// over.
func (k kept) window(r Registered, worked, now time.Time) window {
	rules, t := r.Provider.Refresh, k.Token
	var w window
	if !t.ExpiresAt.IsZero() {
		lifetime := max(t.ExpiresAt.Sub(t.ObtainedAt), 0)
		margin := min(positive(time.Duration(rules.MarginSeconds)*time.Second, usualMargin), lifetime/5)
		w.hard = t.ExpiresAt.Add(-min(lastUse, lifetime/20))
		if w.due = w.hard; k.renewable(r) {
			w.soft = t.ExpiresAt.Add(-margin)
			w.due = w.soft.Add(-time.Duration(k.spread() * float64(lifetime/5)))
		}
	}
	if !k.renewable(r) {
		return w
	}
	if !worked.IsZero() && now.Sub(worked) > idleAfter {
		w.due = time.Time{}
	}
	sooner := func(at time.Time) {
		if w.due.IsZero() || at.Before(w.due) {
			w.due = at
		}
	}
	if rules.IdleDays > 0 && !k.machine() {
		alive := time.Duration(rules.IdleDays) * day
		sooner(t.ObtainedAt.Add(alive*2/3 - time.Duration(k.spread()*float64(alive/10))))
	}
	ends := t.RefreshExpiresAt
	if ends.IsZero() && rules.LifeDays > 0 {
		ends = t.ObtainedAt.Add(time.Duration(rules.LifeDays) * day)
	}
	if life := ends.Sub(t.ObtainedAt); life > 0 && k.rotates(r) && !k.Fixed {
		sooner(t.ObtainedAt.Add(life*2/3 - time.Duration(k.spread()*float64(life/10))))
	}
	return w
}
