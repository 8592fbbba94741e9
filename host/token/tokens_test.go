package token_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// row is a token as memory keeps it.
type row struct {
	token   token.Token
	is, was string
}

// memory is a Store of a few rows.
type memory struct {
	mu   sync.Mutex
	rows []row
	keys map[string]token.Key
	fail error
	// reads counts the look-ups of keys, and uses the writes of uses.
	reads, uses int
}

func (m *memory) InsertToken(_ context.Context, t token.Token, hash []byte) error {
	m.rows = append(m.rows, row{token: t, is: string(hash)})
	return m.fail
}

func (m *memory) TokenByHash(_ context.Context, hash []byte, at time.Time) (token.Token, error) {
	for _, r := range m.rows {
		if r.is == string(hash) || r.was == string(hash) && r.token.OverlapUntil.After(at) {
			return r.token, m.fail
		}
	}
	return token.Token{}, fmt.Errorf("select: %w", fault.NotFound("token", "by hash"))
}

func (m *memory) Tokens(_ context.Context, tenant string) ([]token.Token, error) {
	var found []token.Token
	for _, r := range m.rows {
		if r.token.Tenant == tenant {
			found = append(found, r.token)
		}
	}
	return found, m.fail
}

func (m *memory) RotateToken(_ context.Context, t token.Token, hash []byte) error {
	for i, r := range m.rows {
		if r.token.ID == t.ID {
			m.rows[i] = row{token: t, is: string(hash), was: r.is}
		}
	}
	return m.fail
}

func (m *memory) RevokeToken(_ context.Context, tenant, id string, at time.Time) error {
	for i, r := range m.rows {
		if r.token.ID == id && (tenant == "" || r.token.Tenant == tenant) {
			m.rows[i].token.RevokedAt = at
			return m.fail
		}
	}
	return fault.NotFound("token", id)
}

func (m *memory) UseTokens(_ context.Context, used map[string]time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uses++
	for i, r := range m.rows {
		if at, ok := used[r.token.ID]; ok {
			m.rows[i].token.UsedAt = at
		}
	}
	return m.fail
}

func (m *memory) CountTokens(context.Context) (int, error) {
	n := 0
	for _, r := range m.rows {
		if r.token.Tenant == "" {
			n++
		}
	}
	return n, m.fail
}

func (m *memory) TokenKey(_ context.Context, tenant string) (token.Key, error) {
	m.reads++
	k, ok := m.keys[tenant]
	if !ok {
		return k, fault.NotFound("key", tenant)
	}
	return k, m.fail
}

func (m *memory) InsertTokenKey(_ context.Context, k token.Key) (token.Key, error) {
	m.keys[k.Tenant] = k
	return k, m.fail
}

func (m *memory) ReplaceTokenKey(_ context.Context, k token.Key) (bool, error) {
	m.keys[k.Tenant] = k
	return true, m.fail
}

type testBundle struct {
	*token.Tokens
	store *memory
	now   time.Time
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{store: &memory{keys: map[string]token.Key{}}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.Tokens = b.process()
	return b
}

// process is another process of the same store.
func (b *testBundle) process() *token.Tokens {
	return token.New(token.Config{Store: b.store, Seal: b.seal, Open: b.seal, Now: func() time.Time { return b.now }})
}

// seal binds what it seals to where it belongs, and is its own inverse.
func (*testBundle) seal(_ context.Context, tenant string, version int64, in []byte) ([]byte, error) {
	pad := sha256.Sum256(fmt.Append(nil, tenant, version))
	out := make([]byte, len(in))
	subtle.XORBytes(out, in, pad[:])
	return out, nil
}

// enter authenticates a secret from nowhere in particular.
func (b *testBundle) enter(t *testing.T, secret string) (token.Token, error) {
	t.Helper()
	return b.Authenticate(t.Context(), token.Presented{Secret: secret})
}

// wantFault checks what an error says.
func wantFault(t *testing.T, err error, code, where string) {
	t.Helper()
	var got *fault.Error
	if !errors.As(err, &got) || got.Code != code || got.Where != where {
		t.Errorf("got %v, want %s at %q", err, code, where)
	}
}

func TestMint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got, secret, err := b.Mint(t.Context(), token.Spec{
		Name: "CI", Tenant: "ten_1", Scopes: []token.Scope{token.Read, token.Publish, token.Read}, ExpiresAt: b.now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := token.Token{
		ID: got.ID, Name: "CI", Tenant: "ten_1", Scopes: []token.Scope{token.Publish, token.Read},
		CreatedAt: b.now, ExpiresAt: b.now.Add(time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(got.ID, "tok_") {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(secret, "cfd_") || len(secret) != 47 {
		t.Errorf("got a secret of %d characters, want cfd_ and 43 more", len(secret))
	}
	sum := sha256.Sum256([]byte(secret))
	if stored := b.store.rows[0]; stored.is != string(sum[:]) || strings.Contains(fmt.Sprint(stored), secret) {
		t.Error("want the hash stored, and the secret not")
	}
	if found, err := b.enter(t, secret); err != nil || !cmp.Equal(found, got) {
		t.Errorf("got %+v, %v, want the token", found, err)
	}
	_, other, err := b.Mint(t.Context(), token.Spec{Name: "CI"})
	if err != nil || other == secret {
		t.Errorf("got the same secret twice, or %v", err)
	}
}

func TestMintRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tests := []struct {
		name        string
		spec        token.Spec
		code, where string
	}{
		{"no name", token.Spec{}, "name_invalid", "/name"},
		{"a long name", token.Spec{Name: strings.Repeat("a", 101)}, "name_invalid", "/name"},
		{"a name of two lines", token.Spec{Name: "a\nb"}, "name_invalid", "/name"},
		{"an unknown scope", token.Spec{Name: "a", Scopes: []token.Scope{token.Read, "root"}}, "scope_invalid", "/scopes/1"},
		{"an expiry in the past", token.Spec{Name: "a", ExpiresAt: b.now}, "expiry_invalid", "/expires_at"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, secret, err := b.Mint(t.Context(), tt.spec)
			var got *fault.Error
			if !errors.As(err, &got) || got.Code != tt.code || got.Where != tt.where || secret != "" {
				t.Errorf("got %v, want %s at %s", err, tt.code, tt.where)
			}
		})
	}
}

func TestAuthenticateRefusesAlike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mint := func(s token.Spec) (token.Token, string) {
		s.Name = "a"
		minted, secret, err := b.Mint(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return minted, secret
	}
	_, valid := mint(token.Spec{})
	_, expired := mint(token.Spec{ExpiresAt: b.now.Add(time.Minute)})
	gone, revoked := mint(token.Spec{Tenant: "ten_1"})
	if err := b.Revoke(t.Context(), "ten_1", gone.ID); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Minute)
	if _, err := b.enter(t, valid); err != nil {
		t.Fatalf("the valid one: %v", err)
	}
	var first *fault.Error
	for name, secret := range map[string]string{
		"empty": "", "garbage": "x", "cut": valid[:46], "longer": valid + "a", "without its prefix": "abc_" + valid[4:],
		"unknown": "cfd_" + strings.Repeat("a", 43), "expired": expired, "revoked": revoked,
		"signed by nobody": "cfs_" + strings.Repeat("a", 43) + ".e30", "a signature alone": "cfs_" + strings.Repeat("a", 43),
	} {
		_, err := b.enter(t, secret)
		var got *fault.Error
		if !errors.As(err, &got) || got.Class != fault.Auth {
			t.Errorf("%s: got %v, want a fault of class auth", name, err)
			continue
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("%s: differs from the others:\n%s", name, diff)
		}
	}
}

func TestAuthenticatePassesOnABrokenStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, secret, err := b.Mint(t.Context(), token.Spec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	b.store.fail = errors.New("database down")
	_, err = b.enter(t, secret)
	var refused *fault.Error
	if !errors.Is(err, b.store.fail) || errors.As(err, &refused) {
		t.Errorf("got %v, want the store's error and no refusal", err)
	}
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, _, err := b.Mint(t.Context(), token.Spec{Name: "a tenant's", Tenant: "ten_1"}); err != nil {
		t.Fatal(err)
	}
	secret, err := b.Bootstrap(t.Context())
	if err != nil || secret == "" {
		t.Fatalf("got %q, %v, want a secret", secret, err)
	}
	first, err := b.enter(t, secret)
	if err != nil || first.Tenant != "" || !slices.Contains(first.Scopes, token.Admin) || !first.ExpiresAt.IsZero() {
		t.Errorf("got %+v, %v, want an operator's token", first, err)
	}
	if err := b.Revoke(t.Context(), "", first.ID); err != nil {
		t.Fatal(err)
	}
	if again, err := b.Bootstrap(t.Context()); err != nil || again != "" {
		t.Errorf("got a second one, %v; want none, even after the first was revoked", err)
	}
}

func TestRevokeReachesItsTenantOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	minted, secret, err := b.Mint(t.Context(), token.Spec{Name: "a", Tenant: "ten_1"})
	if err != nil {
		t.Fatal(err)
	}
	var notFound *fault.Error
	if err := b.Revoke(t.Context(), "ten_2", minted.ID); !errors.As(err, &notFound) || notFound.Code != fault.CodeNotFound {
		t.Errorf("got %v, want not_found", err)
	}
	if _, err := b.enter(t, secret); err != nil {
		t.Errorf("got %v, want it valid still", err)
	}
	if listed, err := b.List(t.Context(), "ten_1"); err != nil || len(listed) != 1 || listed[0].ID != minted.ID {
		t.Errorf("got %v, %v, want it listed", listed, err)
	}
}
