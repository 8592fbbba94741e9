package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// store keeps wrapped keys in memory, and counts how often it is asked.
type store struct {
	mu    sync.Mutex
	keys  map[string]vault.Key
	reads int
	// race, if it is not nil, is what another process inserts just before.
	race *vault.Key
}

func (s *store) Key(_ context.Context, tenant string) (vault.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if k, ok := s.keys[tenant]; ok {
		return k, nil
	}
	return vault.Key{}, fmt.Errorf("select: %w", fault.NotFound("key", tenant))
}

func (s *store) InsertKey(_ context.Context, k vault.Key) (vault.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.race != nil {
		s.keys[k.Tenant] = *s.race
	}
	if first, ok := s.keys[k.Tenant]; ok {
		return first, nil
	}
	s.keys[k.Tenant] = k
	return k, nil
}

func (s *store) AnyKey(context.Context) (vault.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		return k, nil
	}
	return vault.Key{}, fault.NotFound("key", "any")
}

type bundle struct {
	store  *store
	keeper *keyfile.Key
	vault  *vault.Vault
}

func setup(t *testing.T) bundle {
	t.Helper()
	keeper, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	s := &store{keys: map[string]vault.Key{}}
	return bundle{s, keeper, vault.New(s, keeper)}
}

func field() vault.Field {
	return vault.Field{Tenant: "ten_a", Table: "connections", Record: "con_1", Name: "credential", Version: 3}
}

func TestOpenGivesWhatWasSealed(t *testing.T) {
	t.Parallel()
	for _, plaintext := range []string{"", "a", "hunter2", strings.Repeat("x", 1<<20)} {
		t.Run(fmt.Sprintf("%d bytes", len(plaintext)), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			sealed, err := b.vault.Seal(t.Context(), field(), []byte(plaintext))
			if err != nil {
				t.Fatal(err)
			}
			if plaintext != "" && bytes.Contains(sealed, []byte(plaintext)) && len(plaintext) > 4 {
				t.Error("the plaintext is in what was sealed")
			}
			// Another process: nothing cached.
			got, err := vault.New(b.store, b.keeper).Open(t.Context(), field(), sealed)
			if err != nil || string(got) != plaintext {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestSealIsDifferentEachTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, _ := b.vault.Seal(t.Context(), field(), []byte("x"))
	second, err := b.vault.Seal(t.Context(), field(), []byte("x"))
	if err != nil || bytes.Equal(first, second) {
		t.Errorf("equal: %t, err: %v", bytes.Equal(first, second), err)
	}
}

func TestOpenRefusesAnotherPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sealed, err := b.vault.Seal(t.Context(), field(), []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	other := field()
	other.Tenant = "ten_b"
	if _, err := b.vault.Seal(t.Context(), other, []byte("x")); err != nil { // So that ten_b has a key.
		t.Fatal(err)
	}
	tests := map[string]func(*vault.Field){
		"tenant":                func(f *vault.Field) { f.Tenant = "ten_b" },
		"tenant without a key":  func(f *vault.Field) { f.Tenant = "ten_c" },
		"table":                 func(f *vault.Field) { f.Table = "endpoints" },
		"record":                func(f *vault.Field) { f.Record = "con_2" },
		"name":                  func(f *vault.Field) { f.Name = "secret" },
		"older version":         func(f *vault.Field) { f.Version-- },
		"newer version":         func(f *vault.Field) { f.Version++ },
		"parts joined elsewise": func(f *vault.Field) { f.Table, f.Record = "connectionsc", "on_1" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := field()
			change(&f)
			got, err := b.vault.Open(t.Context(), f, sealed)
			if !errors.Is(err, vault.ErrSealed) || got != nil {
				t.Errorf("got %q, %v, want ErrSealed", got, err)
			}
		})
	}
}

func TestOpenRefusesChangedBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sealed, err := b.vault.Seal(t.Context(), field(), []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, changed []byte) {
		if _, err := b.vault.Open(t.Context(), field(), changed); err == nil || err.Error() != vault.ErrSealed.Error() {
			t.Errorf("%s: got %v, want ErrSealed and no more", what, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x40
		refuse(fmt.Sprintf("byte %d changed", i), changed)
		refuse(fmt.Sprintf("cut to %d bytes", i), sealed[:i])
	}
	refuse("a byte more", append(bytes.Clone(sealed), 0))
	refuse("plaintext", []byte("hunter2"))
}

func TestWrongKEKIsToldApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sealed, err := b.vault.Seal(t.Context(), field(), []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	v := vault.New(b.store, wrong)
	_, openErr := v.Open(t.Context(), field(), sealed)
	_, sealErr := v.Seal(t.Context(), field(), nil)
	for name, err := range map[string]error{"check": v.Check(t.Context()), "open": openErr, "seal": sealErr} {
		got := fault.From(err)
		if got == nil || got.Code != "wrong_key" || errors.Is(err, vault.ErrSealed) {
			t.Errorf("%s: got %v, want wrong_key", name, err)
			continue
		}
		for _, id := range []string{b.keeper.KeyID(), wrong.KeyID()} {
			if !strings.Contains(got.Message, id) {
				t.Errorf("%s: %q does not name %s", name, got.Message, id)
			}
		}
		if !strings.Contains(got.Hint, b.keeper.KeyID()) {
			t.Errorf("%s: hint %q does not name the key to restore", name, got.Hint)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	t.Run("passes without keys", func(t *testing.T) {
		t.Parallel()
		if err := setup(t).vault.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("passes with the right KEK", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if _, err := b.vault.Seal(t.Context(), field(), nil); err != nil {
			t.Fatal(err)
		}
		if err := vault.New(b.store, b.keeper).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for name, wrapped := range map[string][]byte{"empty": nil, "garbage": []byte("garbage")} {
		t.Run("refuses a wrapped key that is "+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.store.keys["ten_a"] = vault.Key{Tenant: "ten_a", KeyID: b.keeper.KeyID(), Wrapped: wrapped}
			if err := b.vault.Check(t.Context()); !errors.Is(err, vault.ErrSealed) {
				t.Errorf("got %v, want ErrSealed", err)
			}
		})
	}
}

func TestWrappedKeysCannotBeSwapped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sealed, err := b.vault.Seal(t.Context(), field(), []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	stolen := b.store.keys["ten_a"]
	stolen.Tenant = "ten_b"
	b.store.keys["ten_b"] = stolen
	f := field()
	f.Tenant = "ten_b"
	if _, err := b.vault.Open(t.Context(), f, sealed); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("got %v, want ErrSealed", err)
	}
	// A store that mixes tenants up is caught as well.
	b.store.keys["ten_c"] = b.store.keys["ten_a"]
	f.Tenant = "ten_c"
	if _, err := b.vault.Open(t.Context(), f, sealed); err == nil {
		t.Error("opened under another tenant's key")
	}
}

func TestFirstKeyWins(t *testing.T) {
	t.Parallel()
	winner, loser := setup(t), setup(t)
	loser.vault = vault.New(loser.store, winner.keeper)
	if _, err := winner.vault.Seal(t.Context(), field(), nil); err != nil {
		t.Fatal(err)
	}
	first := winner.store.keys["ten_a"]
	loser.store.race = &first
	sealed, err := loser.vault.Seal(t.Context(), field(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := winner.vault.Open(t.Context(), field(), sealed); err != nil {
		t.Errorf("sealed under a key that was not stored: %v", err)
	}
}

func TestKeysAreCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		if _, err := b.vault.Seal(t.Context(), field(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if b.store.reads != 1 {
		t.Errorf("the store was asked %d times, want once", b.store.reads)
	}
}

func TestSealNeedsATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.vault.Seal(t.Context(), vault.Field{Table: "x"}, nil); err == nil {
		t.Error("sealed for nobody")
	}
	if len(b.store.keys) != 0 {
		t.Error("made a key for nobody")
	}
}

var errDown = errors.New("the key service is down")

// downKeeper is a keeper that cannot be asked.
type downKeeper struct{ id string }

func (k downKeeper) KeyID() string { return k.id }
func (downKeeper) Wrap(context.Context, string, []byte) ([]byte, error) {
	return nil, errDown
}

func (downKeeper) Unwrap(context.Context, string, []byte) ([]byte, error) {
	return nil, errDown
}

func TestKeeperThatIsDownIsNoCorruptKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := vault.New(b.store, downKeeper{b.keeper.KeyID()})
	if _, err := v.Seal(t.Context(), field(), nil); !errors.Is(err, errDown) {
		t.Errorf("seal: got %v, want the keeper's error", err)
	}
	sealed, err := b.vault.Seal(t.Context(), field(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(t.Context(), field(), sealed); !errors.Is(err, errDown) || errors.Is(err, vault.ErrSealed) {
		t.Errorf("open: got %v, want the keeper's error alone", err)
	}
}

func TestVaultIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				f := field()
				f.Tenant = fmt.Sprintf("ten_%d", (i+j)%5)
				sealed, err := b.vault.Seal(t.Context(), f, []byte(f.Tenant))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := b.vault.Open(t.Context(), f, sealed); err != nil || string(got) != f.Tenant {
					t.Errorf("got %q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzOpen(f *testing.F) {
	keeper, err := keyfile.Ephemeral()
	if err != nil {
		f.Fatal(err)
	}
	v := vault.New(&store{keys: map[string]vault.Key{}}, keeper)
	sealed, err := v.Seal(f.Context(), field(), []byte("hunter2"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{1})
	f.Add(sealed[:len(sealed)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := v.Open(t.Context(), field(), b); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("got %v, want ErrSealed", err)
		}
	})
}
