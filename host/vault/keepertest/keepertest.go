// Package keepertest says what a vault.Keeper has to do, as a suite that all keepers
// run, and another for those that are elsewhere:
//
//	func TestKeeper(t *testing.T) {
//		keepertest.Run(t, keepertest.Keepers{New: ..., Other: ...})
//	}
package keepertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Keepers make what the suite needs.
type Keepers struct {
	// New returns a keeper of always the same KEK, as each process has one.
	New func(t *testing.T) vault.Keeper
	// Other returns one of another KEK.
	Other func(t *testing.T) vault.Keeper
	// Secrets are what no keeper may print: the KEK, if it has it, and credentials.
	Secrets []string
}

const tenant = "ten_a"

// Run runs the suite.
func Run(t *testing.T, k Keepers) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Keepers){
		"another process unwraps what was wrapped":     roundTrip,
		"wrapping is different each time":              different,
		"what is wrapped for another tenant is sealed": tenants,
		"what another KEK wraps is sealed":             otherKEK,
		"what was changed is sealed":                   changed,
		"the id names the KEK":                         id,
		"a keeper prints no secret":                    prints,
		"a context that has ended ends it":             cancelled,
		"it is safe for concurrent use":                concurrent,
		"what is wrapped is wrapped anew":              rewrap,
		"a vault works with it":                        sealing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

func wrap(t *testing.T, k vault.Keeper, key []byte) []byte {
	t.Helper()
	wrapped, err := k.Wrap(t.Context(), tenant, bytes.Clone(key))
	if err != nil {
		t.Fatalf("wrap: %v", err)
	}
	return wrapped
}

func roundTrip(t *testing.T, k Keepers) {
	for _, size := range []int{1, 32, 110, 2000} {
		key := bytes.Repeat([]byte("key "), size)[:size]
		wrapped := wrap(t, k.New(t), key)
		if size >= 32 && bytes.Contains(wrapped, key) {
			t.Errorf("%d bytes are in what wraps them", size)
		}
		got, err := k.New(t).Unwrap(t.Context(), tenant, wrapped)
		if err != nil || !bytes.Equal(got, key) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

func different(t *testing.T, k Keepers) {
	keeper := k.New(t)
	if bytes.Equal(wrap(t, keeper, []byte("key")), wrap(t, keeper, []byte("key"))) {
		t.Error("the same key is wrapped to the same bytes")
	}
}

func wantSealed(t *testing.T, what string, got []byte, err error) {
	t.Helper()
	if !errors.Is(err, vault.ErrSealed) || got != nil {
		t.Errorf("%s: got %d bytes and %v, want ErrSealed", what, len(got), err)
	}
}

func tenants(t *testing.T, k Keepers) {
	keeper := k.New(t)
	wrapped := wrap(t, keeper, []byte("key"))
	for _, other := range []string{"ten_b", "", "ten_a ", "ten_", "ten_aa"} {
		got, err := keeper.Unwrap(t.Context(), other, wrapped)
		wantSealed(t, fmt.Sprintf("tenant %q", other), got, err)
	}
}

func otherKEK(t *testing.T, k Keepers) {
	got, err := k.New(t).Unwrap(t.Context(), tenant, wrap(t, k.Other(t), []byte("key")))
	wantSealed(t, "another KEK's", got, err)
}

func changed(t *testing.T, k Keepers) {
	keeper := k.New(t)
	wrapped := wrap(t, keeper, []byte("a key of some length"))
	refuse := func(what string, b []byte) {
		t.Helper()
		got, err := keeper.Unwrap(t.Context(), tenant, b)
		wantSealed(t, what, got, err)
	}
	refuse("nothing", nil)
	refuse("empty", []byte{})
	refuse("text", []byte("a key of some length"))
	refuse("a byte more", append(bytes.Clone(wrapped), 'A'))
	for i := range wrapped {
		b := bytes.Clone(wrapped)
		b[i] ^= 1
		refuse(fmt.Sprintf("byte %d changed", i), b)
		refuse(fmt.Sprintf("cut to %d bytes", i), wrapped[:i])
	}
}

func id(t *testing.T, k Keepers) {
	a, b, other := k.New(t).KeyID(), k.New(t).KeyID(), k.Other(t).KeyID()
	if a == "" || a != b {
		t.Errorf("one KEK is %q and %q", a, b)
	}
	if a == other {
		t.Errorf("two KEKs are %q", a)
	}
}

func prints(t *testing.T, k Keepers) {
	keeper := k.New(t)
	for _, format := range []string{"%v", "%s", "%q"} {
		got := fmt.Sprintf(format, keeper)
		for _, secret := range k.Secrets {
			if strings.Contains(got, secret) {
				t.Errorf("%s prints a secret", format)
			}
		}
		if !strings.Contains(got, keeper.KeyID()) {
			t.Errorf("%s prints %s, want the id", format, got)
		}
	}
}

func cancelled(t *testing.T, k Keepers) {
	keeper := k.New(t)
	wrapped := wrap(t, keeper, []byte("key"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, do := range map[string]func() ([]byte, error){
		"wrap":   func() ([]byte, error) { return keeper.Wrap(ctx, tenant, []byte("key")) },
		"unwrap": func() ([]byte, error) { return keeper.Unwrap(ctx, tenant, wrapped) },
	} {
		// A keeper that asks nobody may well be done by then.
		if _, err := do(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want that it was cancelled", what, err)
		}
	}
}

func concurrent(t *testing.T, k Keepers) {
	keeper := k.New(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			name, key := fmt.Sprintf("ten_%d", i), []byte(fmt.Sprintf("key %d", i))
			for range 5 {
				wrapped, err := keeper.Wrap(t.Context(), name, bytes.Clone(key))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := keeper.Unwrap(t.Context(), name, wrapped); err != nil || !bytes.Equal(got, key) {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	wait.Wait()
}

func rewrap(t *testing.T, k Keepers) {
	versioned, ok := k.New(t).(vault.Rewrapper)
	if !ok {
		t.Skip("Its KEK has no versions.")
	}
	wrapped := wrap(t, k.New(t), []byte("key"))
	anew, err := versioned.Rewrap(t.Context(), tenant, wrapped)
	if err != nil || bytes.Equal(anew, wrapped) {
		t.Fatalf("the same: %t, %v", bytes.Equal(anew, wrapped), err)
	}
	if got, err := k.New(t).Unwrap(t.Context(), tenant, anew); err != nil || string(got) != "key" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, b := range [][]byte{nil, []byte("text"), wrapped[:len(wrapped)-4]} {
		got, err := versioned.Rewrap(t.Context(), tenant, b)
		wantSealed(t, "rewrap", got, err)
	}
}

func sealing(t *testing.T, k Keepers) {
	s := &memory{keys: map[string]vault.Key{}}
	f := vault.Field{Tenant: tenant, Table: "t", Record: "r", Name: "n", Version: 1}
	sealed, err := vault.New(s, k.New(t)).Seal(t.Context(), f, []byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	v := vault.New(s, k.New(t))
	if err := v.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if got, err := v.Open(t.Context(), f, sealed); err != nil || string(got) != "plaintext" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := vault.New(s, k.Other(t)).Check(t.Context()); err == nil {
		t.Error("another KEK passes the check")
	}
	cut := s.keys[tenant]
	cut.Wrapped = cut.Wrapped[:len(cut.Wrapped)/2]
	s.keys[tenant] = cut
	if err := vault.New(s, k.New(t)).Check(t.Context()); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("a keyset that was cut: got %v, want ErrSealed", err)
	}
}
