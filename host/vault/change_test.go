package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// KeyCounts implements vault.Keysets.
func (s *store) KeyCounts(context.Context) ([]vault.KeyCount, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]vault.KeyCount{}
	for tenant, k := range s.keys {
		n := counts[k.KeyID]
		counts[k.KeyID] = vault.KeyCount{KeyID: k.KeyID, Tenants: n.Tenants + 1, Sample: tenant}
	}
	var all []vault.KeyCount
	for _, n := range counts {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b vault.KeyCount) int { return strings.Compare(a.KeyID, b.KeyID) })
	return all, nil
}

// KeysUnder implements vault.Keysets.
func (s *store) KeysUnder(_ context.Context, keyID, after string, limit int) ([]vault.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []vault.Key
	for _, k := range s.keys {
		if k.KeyID == keyID && k.Tenant > after {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b vault.Key) int { return strings.Compare(a.Tenant, b.Tenant) })
	return all[:min(limit, len(all))], nil
}

// ReplaceKeys implements vault.Keysets.
func (s *store) ReplaceKeys(_ context.Context, ks []vault.Key) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, k := range ks {
		if s.keys[k.Tenant].Version == k.Version-1 {
			s.keys[k.Tenant] = k
			n++
		}
	}
	return n, nil
}

// swapped is a ciphertext and where it belongs.
type swapped struct {
	field  vault.Field
	sealed []byte
}

func TestTenThousandSwapsDoNotOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []swapped
	for i := range 100 {
		f := vault.Field{
			Tenant: fmt.Sprintf("ten_%d", i%5), Table: []string{"connections", "endpoints"}[i/5%2],
			Record: fmt.Sprintf("rec_%d", i/10%5), Name: []string{"credential", "secret"}[i/50], Version: int64(i % 3),
		}
		sealed, err := b.vault.Seal(t.Context(), f, []byte("plaintext"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, swapped{f, sealed})
		if i == 60 { // The same with two keys.
			if err := b.vault.Rotate(t.Context(), "ten_1", "job_1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	opened, refused := 0, 0
	for i, from := range all {
		for j, to := range all {
			got, err := b.vault.Open(t.Context(), to.field, from.sealed)
			switch {
			case i == j && err == nil && string(got) == "plaintext":
				opened++
			case i != j && got == nil && err == vault.ErrSealed: //nolint:errorlint // It is to be this one and no other.
				refused++
			default:
				t.Fatalf("%+v in the place of %+v: got %q, %v", from.field, to.field, got, err)
			}
		}
	}
	if opened != 100 || refused != 9900 {
		t.Errorf("%d opened and %d did not", opened, refused)
	}
	// A hundred more, of the whole way between two: halves of one with halves of another.
	for i := range 100 {
		a, z := all[i].sealed, all[(i+7)%100].sealed
		at := 1 + i%(len(a)-1)
		if got, err := b.vault.Open(t.Context(), all[i].field, append(bytes.Clone(a[:at]), z[at:]...)); got != nil || !errors.Is(err, vault.ErrSealed) {
			t.Errorf("spliced at %d: got %q, %v", at, got, err)
		}
	}
}

func TestRewrapGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sealed := map[string][]byte{}
	for i := range 1000 {
		f := field()
		f.Tenant = fmt.Sprintf("ten_%04d", i)
		var err error
		if sealed[f.Tenant], err = b.vault.Seal(t.Context(), f, []byte(f.Tenant)); err != nil {
			t.Fatal(err)
		}
	}
	next, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	both := func() *vault.Vault {
		return vault.Configured(vault.Config{Store: b.store, Keeper: next, Others: []vault.Keeper{b.keeper}})
	}
	ctx, stop := context.WithCancel(t.Context())
	first := &dying{Keeper: next, left: 450, die: stop}
	_, err = vault.Configured(vault.Config{Store: b.store, Keeper: first, Others: []vault.Keeper{b.keeper}}).
		Rewrap(ctx, false, func(vault.Rewrapped) {})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("it was stopped and says %v", err)
	}
	// Two processes do the rest at once.
	var wait sync.WaitGroup
	var mu sync.Mutex
	done, last := 0, 0
	for range 2 {
		wait.Go(func() {
			w, err := both().Rewrap(t.Context(), false, func(p vault.Rewrapped) {
				mu.Lock()
				defer mu.Unlock()
				last = max(last, p.Done+p.Skipped)
			})
			if err != nil || w.Unopened != nil {
				t.Errorf("%+v, %v", w, err)
			}
			mu.Lock()
			defer mu.Unlock()
			done += w.Done
		})
	}
	wait.Wait()
	if done != 600 || last == 0 {
		t.Errorf("%d were done by two, want the 600 that were left, and progress was %d", done, last)
	}
	alone := vault.New(b.store, next)
	if err := alone.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for tenant, bytes := range sealed {
		f := field()
		f.Tenant = tenant
		if got, err := alone.Open(t.Context(), f, bytes); err != nil || string(got) != tenant {
			t.Fatalf("%s: got %q, %v", tenant, got, err)
		}
	}
	if w, err := alone.Rewrap(t.Context(), true, nil); err != nil || w.Total != 0 {
		t.Errorf("again: got %+v, %v", w, err)
	}
}

// dying is a keeper whose process dies after some keys.
type dying struct {
	vault.Keeper
	mu   sync.Mutex
	left int
	die  func()
}

func (d *dying) Wrap(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left < 0 {
		d.die()
		return nil, context.Canceled
	}
	return d.Keeper.Wrap(ctx, tenant, key)
}

func TestRewrapNamesWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.vault.Seal(t.Context(), field(), nil); err != nil {
		t.Fatal(err)
	}
	cut := b.store.keys["ten_a"]
	cut.Tenant, cut.Wrapped = "ten_cut", cut.Wrapped[:len(cut.Wrapped)-1]
	b.store.keys["ten_cut"] = cut
	next, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	v := vault.Configured(vault.Config{Store: b.store, Keeper: next, Others: []vault.Keeper{b.keeper}})
	w, err := v.Rewrap(t.Context(), false, func(vault.Rewrapped) {})
	if err != nil || w.Done != 1 || len(w.Unopened) != 1 || w.Unopened[0] != "ten_cut" {
		t.Errorf("got %+v, %v", w, err)
	}
	if got := b.store.keys["ten_cut"]; !bytes.Equal(got.Wrapped, cut.Wrapped) {
		t.Error("what does not open was replaced")
	}
}

func TestCheckLooksAtEachKEK(t *testing.T) {
	t.Parallel()
	b, other := setup(t), setup(t)
	if _, err := b.vault.Seal(t.Context(), field(), nil); err != nil {
		t.Fatal(err)
	}
	f := field()
	f.Tenant = "ten_z"
	if _, err := vault.New(b.store, other.keeper).Seal(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.vault.Check(t.Context()); fault.From(err).Code != "wrong_key" {
		t.Errorf("one of two: got %v", err)
	}
	if err := vault.Configured(vault.Config{Store: b.store, Keeper: b.keeper, Others: []vault.Keeper{other.keeper}}).Check(t.Context()); err != nil {
		t.Errorf("both: %v", err)
	}
}

func TestKeysHaveALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.vault.Seal(t.Context(), field(), nil); err != nil {
		t.Fatal(err)
	}
	var err error
	n := 1
	for ; n < 100 && err == nil; n++ {
		err = b.vault.Rotate(t.Context(), "ten_a", fmt.Sprintf("job_%d", n))
	}
	if fault.From(err).Code != "too_many_keys" || n > 20 {
		t.Errorf("after %d: %v", n, err)
	}
	if size := len(b.store.keys["ten_a"].Wrapped); size > 4096 {
		t.Errorf("they have %d bytes", size)
	}
}

func TestAKeyOfAnotherProcessIsMetAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := vault.New(b.store, b.keeper)
	if _, err := other.Seal(t.Context(), field(), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.vault.Rotate(t.Context(), "ten_a", "job_1"); err != nil {
		t.Fatal(err)
	}
	sealed, err := b.vault.Seal(t.Context(), field(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Open(t.Context(), field(), sealed); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

// clocked is a vault on a clock.
func clocked(b bundle, c vault.Config) (v *vault.Vault, advance func(time.Duration)) {
	var mu sync.Mutex
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c.Store = b.store
	c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	return vault.Configured(c), func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
}

func TestAKeyThatWasDeletedIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, advance := clocked(b, vault.Config{Keeper: b.keeper})
	sealed, err := v.Seal(t.Context(), field(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	delete(b.store.keys, "ten_a") // By another process.
	advance(v.Fresh())
	if got, err := v.Open(t.Context(), field(), sealed); !errors.Is(err, vault.ErrSealed) || got != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAKeeperThatIsAwayIsNotAskedByAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.vault.Seal(t.Context(), field(), nil); err != nil {
		t.Fatal(err)
	}
	away := &awayKeeper{id: b.keeper.KeyID()}
	v, advance := clocked(b, vault.Config{Keeper: away})
	for range 50 {
		if _, err := v.Seal(t.Context(), field(), nil); fault.From(err).Code != fault.CodeKeeperUnavailable {
			t.Fatalf("got %v", err)
		}
	}
	advance(2 * time.Second)
	_, _ = v.Seal(t.Context(), field(), nil)
	if away.asked != 2 {
		t.Errorf("it was asked %d times, want 2", away.asked)
	}
}

type awayKeeper struct {
	id    string
	asked int
}

func (k *awayKeeper) KeyID() string { return k.id }
func (k *awayKeeper) Wrap(context.Context, string, []byte) ([]byte, error) {
	return nil, vault.Unavailable("x", errDown)
}

func (k *awayKeeper) Unwrap(context.Context, string, []byte) ([]byte, error) {
	k.asked++
	return nil, vault.Unavailable("x", errDown)
}

// ledger is an Auditor.
type ledger struct {
	openings []vault.Opening
	err      error
}

func (l *ledger) Opened(_ context.Context, o vault.Opening) error {
	l.openings = append(l.openings, o)
	return l.err
}

func TestOpeningsAreAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := &ledger{}
	v := vault.Configured(vault.Config{Store: b.store, Keeper: b.keeper, Auditor: l})
	sealed, err := v.Seal(t.Context(), field(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := vault.Using(t.Context(), vault.Use{Who: "installation ins_1", Execution: "exe_1"})
	ctx = vault.Using(ctx, vault.Use{Purpose: "request"})
	if _, err := v.Open(ctx, field(), sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(ctx, field(), sealed[1:]); !errors.Is(err, vault.ErrSealed) {
		t.Fatal(err)
	}
	if _, err := v.OpenPayload(ctx, field(), sealed); err != nil || len(l.openings) != 2 {
		t.Fatalf("got %d openings, %v, want that of no payload", len(l.openings), err)
	}
	for i, want := range []error{nil, vault.ErrSealed} {
		o := l.openings[i]
		if o.Tenant != "ten_a" || o.Table != "connections" || o.Name != "credential" || !slices.Equal(o.Records, []string{"con_1"}) || !errors.Is(o.Err, want) ||
			o.Use != (vault.Use{Who: "installation ins_1", Execution: "exe_1", Purpose: "request"}) {
			t.Errorf("got %+v", o)
		}
	}
	l.err = errDown
	if got, err := v.Open(ctx, field(), sealed); got != nil || !errors.Is(err, errDown) {
		t.Errorf("not audited: got %q, %v", got, err)
	}
}

func TestARotationStaysUnderItsKEK(t *testing.T) {
	t.Parallel()
	b := setup(t)
	next, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vault.New(b.store, next).Seal(t.Context(), field(), nil); err != nil {
		t.Fatal(err)
	}
	// A process that still has the one before as its first.
	before := vault.Configured(vault.Config{Store: b.store, Keeper: b.keeper, Others: []vault.Keeper{next}})
	if err := before.Rotate(t.Context(), "ten_a", "job_1"); err != nil {
		t.Fatal(err)
	}
	if got := b.store.keys["ten_a"]; got.KeyID != next.KeyID() || got.Generation != 2 {
		t.Errorf("got %s of generation %d, want it under %s still", got.KeyID, got.Generation, next.KeyID())
	}
	if err := vault.New(b.store, next).Check(t.Context()); err != nil {
		t.Error(err)
	}
}
