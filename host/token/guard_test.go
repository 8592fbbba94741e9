package token_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// wrong is a secret that looks like one: the n-th with a beginning.
func wrong(beginning string, n int) string {
	return "cfd_" + beginning + fmt.Sprintf("%0*d", 43-len(beginning), n)
}

// tries presents a secret and says how it was refused.
func (b *testBundle) tries(t *testing.T, secret, from string) string {
	t.Helper()
	_, err := b.Authenticate(t.Context(), token.Presented{Secret: secret, From: from})
	var f *fault.Error
	if !errors.As(err, &f) {
		return "let in"
	}
	return f.Code
}

func TestAnAddressThatGuessesIsHeldUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, known, err := b.Mint(t.Context(), token.Spec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	_, fresh, err := b.Mint(t.Context(), token.Spec{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.tries(t, known, "203.0.113.7"); got != "let in" {
		t.Fatal(got)
	}
	for n := range 20 {
		if got := b.tries(t, wrong(fmt.Sprintf("%06d", n), n), "203.0.113.7"); got != "unauthenticated" {
			t.Fatalf("guess %d: %s", n, got)
		}
	}
	for secret, want := range map[string]string{
		wrong("999999", 1): "too_many_attempts", fresh: "too_many_attempts", "nonsense": "too_many_attempts", known: "let in",
	} {
		if got := b.tries(t, secret, "203.0.113.7"); got != want {
			t.Errorf("%.8s: got %s, want %s", secret, got, want)
		}
	}
	if got := b.tries(t, fresh, "203.0.113.8"); got != "let in" {
		t.Errorf("from another address: %s", got)
	}
	b.now = b.now.Add(3 * time.Second)
	if got := b.tries(t, wrong("999999", 1), "203.0.113.7"); got != "unauthenticated" {
		t.Errorf("after a while: %s", got)
	}
	if got := b.tries(t, wrong("999999", 1), "203.0.113.7"); got != "too_many_attempts" {
		t.Errorf("and then: %s", got)
	}
}

func TestATokenThatIsGuessedFromEverywhereIsHeldUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 100 {
		if got := b.tries(t, wrong("abcdef", n), fmt.Sprintf("2001:db8:%x::1", n)); got != "unauthenticated" {
			t.Fatalf("guess %d: %s", n, got)
		}
	}
	if got := b.tries(t, wrong("abcdef", 1000), "2001:db8:ffff::1"); got != "too_many_attempts" {
		t.Errorf("got %s", got)
	}
	if got := b.tries(t, wrong("abcdeg", 1000), "2001:db8:ffff::1"); got != "unauthenticated" {
		t.Errorf("of another beginning: %s", got)
	}
}

func TestANetworkOfIPv6IsOneAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 20 {
		b.tries(t, wrong(fmt.Sprintf("%06d", n), n), fmt.Sprintf("2001:db8:0:1::%x", n))
	}
	for from, want := range map[string]string{
		"2001:db8:0:1:ffff::": "too_many_attempts", "2001:db8:0:2::": "unauthenticated", "": "unauthenticated", "unix": "unauthenticated",
	} {
		if got := b.tries(t, wrong("999999", 1), from); got != want {
			t.Errorf("from %q: got %s, want %s", from, got, want)
		}
	}
}

func TestWhoIsHeldUpIsToldNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, valid, err := b.Mint(t.Context(), token.Spec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		b.tries(t, wrong(fmt.Sprintf("%06d", n), n), "203.0.113.7")
	}
	var first *fault.Error
	for _, secret := range []string{valid, wrong("999999", 1), "x", "cfs_" + strings.Repeat("a", 60)} {
		_, err := b.Authenticate(t.Context(), token.Presented{Secret: secret, From: "203.0.113.7"})
		var got *fault.Error
		if !errors.As(err, &got) || got.RetryAfter <= 0 || got.Class != fault.RateLimited {
			t.Fatalf("%.8s: got %v, want to be told when", secret, err)
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("%.8s: differs from the others:\n%s", secret, diff)
		}
	}
}

// TestManyAddressesCostNoMemory comes from more addresses than are remembered.
func TestManyAddressesCostNoMemory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 40000 {
		b.tries(t, "nonsense", fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255))
	}
	if got := b.tries(t, "nonsense", "203.0.113.7"); got != "unauthenticated" {
		t.Errorf("got %s", got)
	}
}

// A database that is down is not the fault of who asks, and uses up no attempts.
func TestABrokenStoreUsesNoAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, valid, err := b.Mint(t.Context(), token.Spec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	b.store.fail = errors.New("down")
	for range 50 {
		b.tries(t, valid, "203.0.113.7")
	}
	b.store.fail = nil
	if got := b.tries(t, valid, "203.0.113.7"); got != "let in" {
		t.Errorf("got %s", got)
	}
}
