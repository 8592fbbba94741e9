package token

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

const (
	// signedPrefix lets secret scanners, and people, see what a string is.
	signedPrefix = "cfs_"
	// MaxLife is the longest that a signed token lives, and defaultLife what it does
	// unless somebody says.
	MaxLife     = time.Hour
	defaultLife = 15 * time.Minute
	// AudienceAPI is whom a signed token is for: the only audience that the API is.
	AudienceAPI = "api"
	maxSubject  = 200
	// maxSigned is more than any signed token has.
	maxSigned = 2048
	// signedContext keeps what is signed here from being taken for what might be
	// signed elsewhere with the same key.
	signedContext = "cofferdam signed token 1\x00"
	// keysMost bounds the tenants whose keys are held.
	keysMost = 4096
)

// SignedSpec asks for a signed token.
type SignedSpec struct {
	Tenant string
	// Role is a tenant's. Defaults to TenantViewer.
	Role Role
	// Subject is the host app's user whom it is for, as the host app names them.
	Subject string
	// Audience is who is to take it. Defaults to AudienceAPI.
	Audience string
	// Life is at most MaxLife. Defaults to 15 minutes.
	Life time.Duration
}

// claims are what a signed token says. There is no algorithm among them: there is one.
type claims struct {
	ID       string `json:"jti"`
	Key      int64  `json:"key"`
	Tenant   string `json:"ten"`
	Role     Role   `json:"role"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// signing are the tenants' keys as this process holds them.
type signing struct {
	mu   sync.Mutex
	held map[string]heldKey
}

// heldKey is a key as it was at a time.
type heldKey struct {
	version int64
	secret  []byte
	at      time.Time
}

// Sign makes a token that is not kept: the tenant's key vouches for what it says. A
// tenant's first one makes its key.
func (t *Tokens) Sign(ctx context.Context, s SignedSpec) (Token, string, error) {
	scope, err := s.check()
	if err != nil {
		return Token{}, "", err
	}
	now := t.c.Now()
	key, err := t.signingKey(ctx, s.Tenant, now)
	if isNotFound(err) {
		key, err = t.makeKey(ctx, s.Tenant)
	}
	if err != nil {
		return Token{}, "", err
	}
	c := claims{
		ID: ident.New(ident.Token, now), Key: key.version, Tenant: s.Tenant, Role: s.Role, Subject: s.Subject, Audience: s.Audience,
		Issued: now.Unix(), Expires: now.Add(s.Life).Unix(),
	}
	text, err := json.Marshal(c)
	if err != nil {
		return Token{}, "", fmt.Errorf("encode claims: %w", err)
	}
	payload := base64.RawURLEncoding.EncodeToString(text)
	// The signature is first, so that no two tokens begin alike.
	return c.token(scope), signedPrefix + base64.RawURLEncoding.EncodeToString(key.sign(payload)) + "." + payload, nil
}

// RevokeSigned ends all signed tokens of a tenant: those made from now on are signed
// by another key. Other processes may go on with the old one for Config.Fresh.
func (t *Tokens) RevokeSigned(ctx context.Context, tenant string) error {
	for range 4 { // Others may do the same.
		was, err := t.c.Store.TokenKey(ctx, tenant)
		if isNotFound(err) {
			return nil // None was ever made.
		}
		if err != nil {
			return fmt.Errorf("find the key that signs: %w", err)
		}
		next, err := t.newKey(ctx, tenant, was.Version+1)
		if err != nil {
			return err
		}
		done, err := t.c.Store.ReplaceTokenKey(ctx, next)
		if err != nil {
			return fmt.Errorf("replace the key that signs: %w", err)
		}
		t.Forget(tenant)
		if done {
			return nil
		}
	}
	return fault.New(fault.Conflict, "token_key_changed", "the tenant's key was changed by others at the same time").WithHint("try it again")
}

// Forget drops the key of a tenant that was changed or deleted.
func (t *Tokens) Forget(tenant string) {
	t.signing.mu.Lock()
	defer t.signing.mu.Unlock()
	delete(t.signing.held, tenant)
}

// verify returns the token that a secret is. Without a key that is held it asks the
// store, once per Config.Fresh and tenant.
func (t *Tokens) verify(ctx context.Context, secret string, now time.Time) (Token, error) {
	mac, payload, ok := strings.Cut(strings.TrimPrefix(secret, signedPrefix), ".")
	if !ok || len(secret) > maxSigned {
		return Token{}, refused()
	}
	given, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	if err != nil {
		return Token{}, refused().Because(err)
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(payload)
	if err != nil {
		return Token{}, refused().Because(err)
	}
	// Nothing of what it says is believed but whose key to take.
	var c claims
	if err := json.Unmarshal(text, &c); err != nil || !strings.HasPrefix(c.Tenant, ident.Tenant) {
		return Token{}, refused()
	}
	key, err := t.signingKey(ctx, c.Tenant, now)
	if isNotFound(err) {
		return Token{}, refused()
	}
	if err != nil {
		return Token{}, err
	}
	if !hmac.Equal(given, key.sign(payload)) || c.Key != key.version {
		return Token{}, refused()
	}
	scope, err := tenantScope(c.Role)
	if err != nil || c.Audience != AudienceAPI || now.Unix() >= c.Expires || c.Expires-c.Issued > int64(MaxLife.Seconds()) {
		return Token{}, refused()
	}
	return c.token(scope), nil
}

func (c claims) token(s Scope) Token {
	return Token{
		ID: c.ID, Name: c.Subject, Tenant: c.Tenant, Scopes: []Scope{s}, Subject: c.Subject, Kind: Signed,
		CreatedAt: time.Unix(c.Issued, 0).UTC(), ExpiresAt: time.Unix(c.Expires, 0).UTC(),
	}
}

// signingKey returns a tenant's key, or fault.NotFound.
func (t *Tokens) signingKey(ctx context.Context, tenant string, now time.Time) (heldKey, error) {
	t.signing.mu.Lock()
	had, ok := t.signing.held[tenant]
	t.signing.mu.Unlock()
	if ok && now.Sub(had.at) < t.c.Fresh {
		return had, nil
	}
	stored, err := t.c.Store.TokenKey(ctx, tenant)
	if err != nil {
		t.Forget(tenant)
		return heldKey{}, fmt.Errorf("find the key that signs: %w", err)
	}
	if ok && had.version == stored.Version {
		had.at = now
	} else if had, err = t.open(ctx, stored, now); err != nil {
		return heldKey{}, err
	}
	t.hold(tenant, had)
	return had, nil
}

func (t *Tokens) hold(tenant string, k heldKey) {
	t.signing.mu.Lock()
	defer t.signing.mu.Unlock()
	if len(t.signing.held) >= keysMost {
		clear(t.signing.held)
	}
	t.signing.held[tenant] = k
}

// makeKey makes a tenant's first key.
func (t *Tokens) makeKey(ctx context.Context, tenant string) (heldKey, error) {
	k, err := t.newKey(ctx, tenant, 1)
	if err != nil {
		return heldKey{}, err
	}
	stored, err := t.c.Store.InsertTokenKey(ctx, k)
	if err != nil {
		return heldKey{}, fmt.Errorf("insert the key that signs: %w", err)
	}
	made, err := t.open(ctx, stored, t.c.Now())
	if err == nil {
		t.hold(tenant, made)
	}
	return made, err
}

func (t *Tokens) newKey(ctx context.Context, tenant string, version int64) (Key, error) {
	if t.c.Seal == nil {
		return Key{}, fault.New(fault.Denied, "signing_unavailable", "this host signs no tokens: nothing keeps its keys private")
	}
	secret := make([]byte, sha256.Size)
	if _, err := rand.Read(secret); err != nil {
		return Key{}, fmt.Errorf("read randomness: %w", err)
	}
	defer clear(secret)
	sealed, err := t.c.Seal(ctx, tenant, version, secret)
	if err != nil {
		return Key{}, fmt.Errorf("seal the key that signs: %w", err)
	}
	return Key{Tenant: tenant, Version: version, Sealed: sealed}, nil
}

func (t *Tokens) open(ctx context.Context, k Key, now time.Time) (heldKey, error) {
	if t.c.Open == nil {
		return heldKey{}, refused()
	}
	secret, err := t.c.Open(ctx, k.Tenant, k.Version, k.Sealed)
	if err != nil {
		return heldKey{}, fmt.Errorf("open the key that signs: %w", err)
	}
	return heldKey{version: k.Version, secret: secret, at: now}, nil
}

// sign returns the HMAC-SHA256 of what a token says. Only who checks it makes it, so
// that a key to check with that everybody may know would gain nothing, and cost more.
func (k heldKey) sign(payload string) []byte {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(signedContext + payload))
	return mac.Sum(nil)
}

// check fills in what is left out and refuses what cannot be signed.
func (s *SignedSpec) check() (Scope, error) {
	if s.Role == "" {
		s.Role = TenantViewer
	}
	if s.Audience == "" {
		s.Audience = AudienceAPI
	}
	if s.Life == 0 {
		s.Life = defaultLife
	}
	switch {
	case s.Subject == "" || len(s.Subject) > maxSubject || !isLine(s.Subject):
		return "", fault.New(fault.InvalidInput, "subject_invalid", "the subject must be one line of text of 1 to %d bytes", maxSubject).At("/subject")
	case s.Audience != AudienceAPI:
		return "", fault.New(fault.InvalidInput, "audience_invalid", "the audience must be %q: there is no other", AudienceAPI).At("/audience")
	case s.Life < time.Second || s.Life > MaxLife:
		return "", fault.New(fault.InvalidInput, "life_invalid", "it must live from 1 to %d seconds, an hour", int(MaxLife.Seconds())).At("/life_seconds")
	}
	return tenantScope(s.Role)
}
