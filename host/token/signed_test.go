package token_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/token"
)

func (b *testBundle) sign(t *testing.T, s token.SignedSpec) string {
	t.Helper()
	if s.Tenant == "" {
		s.Tenant = "ten_1"
	}
	if s.Subject == "" {
		s.Subject = "user-1"
	}
	_, secret, err := b.Sign(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestSignedSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	signed, secret, err := b.Sign(t.Context(), token.SignedSpec{Tenant: "ten_1", Role: token.TenantAdmin, Subject: "user-1", Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	want := token.Token{
		ID: signed.ID, Name: "user-1", Subject: "user-1", Tenant: "ten_1", Scopes: []token.Scope{token.Admin}, Kind: token.Signed,
		CreatedAt: b.now, ExpiresAt: b.now.Add(time.Hour),
	}
	for who, tokens := range map[string]*token.Tokens{"who made it": b.Tokens, "another process": b.process()} {
		got, err := tokens.Authenticate(t.Context(), token.Presented{Secret: secret})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", who, err, diff)
		}
	}
	if !strings.HasPrefix(secret, "cfs_") || len(b.store.rows) != 0 {
		t.Errorf("got %d rows, want nothing kept of it", len(b.store.rows))
	}
	b.now = b.now.Add(time.Hour)
	_, err = b.enter(t, secret)
	wantFault(t, err, "unauthenticated", "")
}

func TestSignedDefaultsToAViewerForAQuarterOfAnHour(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got, err := b.enter(t, b.sign(t, token.SignedSpec{}))
	if err != nil || !cmp.Equal(got.Roles(), []token.Role{token.TenantViewer}) || !got.ExpiresAt.Equal(b.now.Add(15*time.Minute)) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestSignedAsksTheStoreSeldom counts the look-ups of a thousand requests.
func TestSignedAsksTheStoreSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secret := b.sign(t, token.SignedSpec{})
	before := b.store.reads
	for range 1000 {
		if _, err := b.enter(t, secret); err != nil {
			t.Fatal(err)
		}
	}
	if b.store.reads != before {
		t.Errorf("%d look-ups, want none while the key is fresh", b.store.reads-before)
	}
	b.now = b.now.Add(15 * time.Second)
	if _, err := b.enter(t, secret); err != nil || b.store.reads != before+1 {
		t.Errorf("%d look-ups and %v, want one once it is not", b.store.reads-before, err)
	}
}

func TestSignedAreRevokedByAnotherKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, others := b.sign(t, token.SignedSpec{}), b.sign(t, token.SignedSpec{Tenant: "ten_2"})
	elsewhere := b.process()
	if _, err := elsewhere.Authenticate(t.Context(), token.Presented{Secret: old}); err != nil {
		t.Fatal(err)
	}
	if err := b.RevokeSigned(t.Context(), "ten_1"); err != nil {
		t.Fatal(err)
	}
	_, err := b.enter(t, old)
	wantFault(t, err, "unauthenticated", "")
	b.now = b.now.Add(15 * time.Second) // When the other process looks again.
	_, err = elsewhere.Authenticate(t.Context(), token.Presented{Secret: old})
	wantFault(t, err, "unauthenticated", "")
	for name, secret := range map[string]string{"another tenant's": others, "one made since": b.sign(t, token.SignedSpec{})} {
		if _, err := b.enter(t, secret); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.RevokeSigned(t.Context(), "ten_none"); err != nil {
		t.Errorf("a tenant that has none: %v", err)
	}
	// A tenant that is gone has no key.
	delete(b.store.keys, "ten_2")
	b.Forget("ten_2")
	_, err = b.enter(t, others)
	wantFault(t, err, "unauthenticated", "")
}

// TestSignedCannotBeChanged flips each bit of a token, and swaps parts of two.
func TestSignedCannotBeChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, theirs := b.sign(t, token.SignedSpec{}), b.sign(t, token.SignedSpec{Tenant: "ten_2", Role: token.TenantAdmin})
	n := 0
	for i := range mine {
		for bit := range 7 {
			changed := []byte(mine)
			changed[i] ^= 1 << bit
			if _, err := b.enter(t, string(changed)); err == nil {
				t.Errorf("it opens with bit %d of byte %d changed: %q", bit, i, changed)
			}
			b.now = b.now.Add(time.Nanosecond)
			n++
		}
	}
	if n < 1000 {
		t.Errorf("%d changes were tried", n)
	}
	mac, _, _ := strings.Cut(mine, ".")
	_, payload, _ := strings.Cut(theirs, ".")
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"key":1,"ten":"ten_1","role":"operator","aud":"api","iat":0,"exp":99999999999}`))
	for _, secret := range []string{
		mac + "." + payload, mac + "." + forged, "cfs_." + forged, mac + ".", mac, mine + ".", mine + "=", mine + "." + payload,
		"cfs_" + strings.Repeat("a", 5000), "cfs_.e30", "cfs_.bnVsbA",
	} {
		if got, err := setupLike(b).Authenticate(t.Context(), token.Presented{Secret: secret}); err == nil {
			t.Errorf("%.40q opens: %+v", secret, got)
		}
	}
}

// setupLike is another process, which has not seen any failure.
func setupLike(b *testBundle) *token.Tokens { return b.process() }

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tests := []struct {
		name        string
		give        token.SignedSpec
		code, where string
	}{
		{"no subject", token.SignedSpec{}, "subject_invalid", "/subject"},
		{"a long subject", token.SignedSpec{Subject: strings.Repeat("a", 201)}, "subject_invalid", "/subject"},
		{"a subject of two lines", token.SignedSpec{Subject: "a\nb"}, "subject_invalid", "/subject"},
		{"an operator's role", token.SignedSpec{Subject: "a", Role: token.Operator}, "role_invalid", "/role"},
		{"an unknown role", token.SignedSpec{Subject: "a", Role: "root"}, "role_invalid", "/role"},
		{"a life of more than an hour", token.SignedSpec{Subject: "a", Life: time.Hour + 1}, "life_invalid", "/life_seconds"},
		{"a negative life", token.SignedSpec{Subject: "a", Life: -time.Second}, "life_invalid", "/life_seconds"},
		{"another audience", token.SignedSpec{Subject: "a", Audience: "everybody"}, "audience_invalid", "/audience"},
	}
	for _, tt := range tests {
		tt.give.Tenant = "ten_1"
		_, secret, err := b.Sign(t.Context(), tt.give)
		if secret != "" {
			t.Errorf("%s: got a token", tt.name)
		}
		wantFault(t, err, tt.code, tt.where)
	}
	bare := token.New(token.Config{Store: b.store, Now: func() time.Time { return b.now }})
	_, _, err := bare.Sign(t.Context(), token.SignedSpec{Tenant: "ten_1", Subject: "a"})
	wantFault(t, err, "signing_unavailable", "")
}

func TestSignedPassesOnABrokenStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	secret := b.sign(t, token.SignedSpec{})
	b.store.fail, b.now = errors.New("database down"), b.now.Add(time.Minute)
	if _, err := b.enter(t, secret); !errors.Is(err, b.store.fail) {
		t.Errorf("got %v, want the store's error: it is nobody's fault who asks", err)
	}
}

func FuzzAuthenticate(f *testing.F) {
	for _, s := range []string{"", "cfd_", "cfs_", "cfs_a.b", "cfs_.e30", "cfs_AAAA.eyJ0ZW4iOiJ0ZW5fMSJ9", "a.b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		if got, err := setup(t).enter(t, secret); err == nil {
			t.Errorf("%q opens: %+v", secret, got)
		}
	})
}
