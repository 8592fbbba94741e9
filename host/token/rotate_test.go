package token_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/token"
)

func TestRotateOverlaps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	was, first, err := b.Mint(t.Context(), token.Spec{Name: "a", Tenant: "ten_1"})
	if err != nil {
		t.Fatal(err)
	}
	is, second, err := b.Rotate(t.Context(), token.Rotation{Tenant: "ten_1", ID: was.ID, Overlap: time.Hour, ExpiresAt: b.now.Add(9 * time.Hour)})
	if err != nil || is.ID != was.ID || second == first {
		t.Fatalf("got %+v, %v, want the same token with another secret", is, err)
	}
	opens := func(secret string) bool {
		found, err := b.enter(t, secret)
		return err == nil && found.ID == was.ID
	}
	b.now = b.now.Add(time.Hour - 1)
	if !opens(first) || !opens(second) {
		t.Error("both secrets must open while they overlap")
	}
	b.now = b.now.Add(1)
	if opens(first) || !opens(second) {
		t.Error("only the new secret must open when the overlap has ended")
	}
	_, third, err := b.Rotate(t.Context(), token.Rotation{Tenant: "ten_1", ID: was.ID})
	if err != nil || opens(second) || !opens(third) {
		t.Errorf("without an overlap the old secret ends at once; got %v", err)
	}
	b.now = is.ExpiresAt
	if opens(third) {
		t.Error("it opens after its new expiry")
	}
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mint := func(s token.Spec) string {
		s.Name = "a"
		minted, _, err := b.Mint(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return minted.ID
	}
	own, gone, short := mint(token.Spec{Tenant: "ten_1"}), mint(token.Spec{Tenant: "ten_1"}), mint(token.Spec{Tenant: "ten_1", ExpiresAt: b.now.Add(1)})
	if err := b.Revoke(t.Context(), "ten_1", gone); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Minute)
	tests := []struct {
		name        string
		give        token.Rotation
		code, where string
	}{
		{"another tenant's", token.Rotation{Tenant: "ten_2", ID: own}, "not_found", ""},
		{"a tenant's as an operator's", token.Rotation{ID: own}, "not_found", ""},
		{"one that is revoked", token.Rotation{Tenant: "ten_1", ID: gone}, "token_ended", ""},
		{"one that has expired", token.Rotation{Tenant: "ten_1", ID: short}, "token_ended", ""},
		{"a long overlap", token.Rotation{Tenant: "ten_1", ID: own, Overlap: token.MaxOverlap + 1}, "overlap_invalid", "/overlap_seconds"},
		{"a negative overlap", token.Rotation{Tenant: "ten_1", ID: own, Overlap: -1}, "overlap_invalid", "/overlap_seconds"},
		{"an expiry that has passed", token.Rotation{Tenant: "ten_1", ID: own, ExpiresAt: b.now}, "expiry_invalid", "/expires_at"},
	}
	for _, tt := range tests {
		_, secret, err := b.Rotate(t.Context(), tt.give)
		if secret != "" {
			t.Errorf("%s: got a secret", tt.name)
		}
		wantFault(t, err, tt.code, tt.where)
	}
}

// TestUsesAreWrittenInBatches makes many requests and counts the writes.
func TestUsesAreWrittenInBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tick := make(chan time.Time)
	b.Tokens = token.New(token.Config{
		Store: b.store, Now: func() time.Time { return b.now }, After: func(time.Duration) <-chan time.Time { return tick },
	})
	var secrets []string
	for range 3 {
		_, secret, err := b.Mint(t.Context(), token.Spec{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
	}
	enter := func() {
		for range 100 {
			for _, secret := range secrets[:2] {
				if _, err := b.enter(t, secret); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	enter()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	tick <- b.now
	tick <- b.now // The one before has been written by now, and there is nothing else.
	b.store.mu.Lock()
	if b.store.uses != 1 {
		t.Errorf("%d writes for 200 requests, want 1", b.store.uses)
	}
	b.store.mu.Unlock()
	later := b.now.Add(time.Hour)
	b.now = later
	enter()
	cancel()
	<-done
	if got := b.store.rows[1].token.UsedAt; !got.Equal(later) || b.store.uses != 2 {
		t.Errorf("used at %v after %d writes, want %v and 2: what is due is written at the end", got, b.store.uses, later)
	}
	if got := b.store.rows[2].token.UsedAt; !got.IsZero() {
		t.Errorf("a token that nobody used was used at %v", got)
	}
}

func TestUsesThatCannotBeWrittenStopNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, secret, err := b.Mint(t.Context(), token.Spec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.enter(t, secret); err != nil {
		t.Fatal(err)
	}
	b.store.fail = errors.New("database down")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Run(ctx)
	// It has ended: the first use was taken, or the loop saw the end first.
	b.store.fail = nil
	if _, err := b.enter(t, secret); err != nil {
		t.Errorf("got %v, want it to open", err)
	}
}
