package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// ErrSealed is every failure to open: of another field, another tenant, cut,
// changed, under a key that was retired, or never sealed here. They look alike, so
// that nobody learns from them what was nearly right.
var ErrSealed = errors.New("what is sealed does not open")

// maxKeys bounds the tenants whose keys are held in the clear: 4096 of about
// 1 KiB each.
const maxKeys = 4096

// Config configures a Vault.
type Config struct {
	Store Store
	// Keeper holds the KEK that wraps what is wrapped from now on.
	Keeper Keeper
	// Others open what was wrapped under other KEKs, while they are replaced. Defaults
	// to none: what is wrapped under one that is not here does not open.
	Others []Keeper
	// Auditor is told of each opening. Defaults to lines of Logger's.
	Auditor Auditor
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// Fresh is how long a keyset in memory is used before it is compared with the one
	// that is stored. Defaults to 30 s.
	Fresh time.Duration
	// Now defaults to time.Now.
	Now func() time.Time
}

// Vault seals and opens tenants' private fields. It is safe for concurrent use.
type Vault struct {
	c     Config
	keys  *keys
	turns turnstile
	// health remembers keepers that were away a moment ago.
	health health
}

// New returns a Vault over wrapped keys and the KEK that unwraps them.
func New(s Store, k Keeper) *Vault { return Configured(Config{Store: s, Keeper: k}) }

// Configured returns a Vault. It asks nobody anything yet.
func Configured(c Config) *Vault {
	c.Others = slices.Clone(c.Others)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Auditor == nil {
		c.Auditor = logged{c.Logger}
	}
	if c.Fresh <= 0 {
		c.Fresh = 30 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // The default clock has to come from somewhere.
	}
	return &Vault{
		c: c, keys: newKeys(maxKeys), turns: turnstile{busy: map[string]chan struct{}{}},
		health: health{away: map[string]outage{}},
	}
}

// Fresh is how long after a change of a tenant's keys the ones before are still in
// use somewhere.
func (v *Vault) Fresh() time.Duration { return v.c.Fresh }

// Check says whether the keepers' KEKs open the keys that are stored: one of each KEK
// that any is wrapped under. It is for the start, so that a KEK which is wrong or
// missing is met before the first tenant meets it.
func (v *Vault) Check(ctx context.Context) error {
	samples, err := v.samples(ctx)
	if err != nil {
		return fmt.Errorf("find a key to check: %w", err)
	}
	for _, stored := range samples {
		if _, err := v.unwrap(ctx, stored); err != nil {
			return err
		}
	}
	return nil
}

// Seal encrypts plaintext for a field. A tenant's first Seal makes its key.
func (v *Vault) Seal(ctx context.Context, f Field, plaintext []byte) ([]byte, error) {
	r, err := v.sealingRing(ctx, f.Tenant)
	if err != nil {
		return nil, err
	}
	return r.seal(f, plaintext)
}

func (r *ring) seal(f Field, plaintext []byte) ([]byte, error) {
	sealed, err := r.aead.Encrypt(plaintext, f.bound())
	if err != nil {
		return nil, fmt.Errorf("seal %s.%s: %w", f.Table, f.Name, err)
	}
	return append([]byte{format}, sealed...), nil
}

// Open decrypts what Seal made for the same field, and tells the Auditor: if that
// cannot be told, nothing is opened. All failures that the sealed bytes are to blame
// for are ErrSealed; a key that is wrapped by another KEK is a fault of its own, and
// so is a store or keeper that cannot be asked. The plaintext is the caller's, who
// overwrites it with clear once it is not needed.
func (v *Vault) Open(ctx context.Context, f Field, sealed []byte) ([]byte, error) {
	plaintext, err := v.credential(ctx, f, sealed)
	told := v.c.Auditor.Opened(ctx, Opening{
		Tenant: f.Tenant, Table: f.Table, Name: f.Name, Records: []string{f.Record}, Use: UseOf(ctx), Err: err,
	})
	if err != nil {
		return nil, err
	}
	if told != nil {
		clear(plaintext)
		return nil, fmt.Errorf("audit the opening of %s.%s: %w", f.Table, f.Name, told)
	}
	return plaintext, nil
}

func (r *ring) open(f Field, sealed []byte) ([]byte, error) {
	if !r.knows(sealed) {
		return nil, ErrSealed
	}
	plaintext, err := r.aead.Decrypt(sealed[1:], f.bound())
	if err != nil {
		return nil, ErrSealed // Without err: Tink says what it tried.
	}
	return plaintext, nil
}

// isSealed says whether it looks like what Seal makes.
func isSealed(b []byte) bool { return len(b) > headerSize && b[0] == format && b[1] == 1 }

// Header returns how everything begins that is sealed under the tenant's primary key.
func (v *Vault) Header(ctx context.Context, tenant string) ([]byte, error) {
	r, err := v.ring(ctx, tenant, asStored)
	if err != nil {
		return nil, err
	}
	return r.header[:], nil
}

// Forget drops a tenant's key from this process's memory. It does not touch the
// one that is stored.
func (v *Vault) Forget(tenant string) { v.keys.drop(tenant) }

// sealingRing returns the keyset to seal with, which it makes if there is none.
func (v *Vault) sealingRing(ctx context.Context, tenant string) (*ring, error) {
	r, err := v.ring(ctx, tenant, asSealing)
	if isNotFound(err) {
		return v.makeKey(ctx, tenant)
	}
	return r, err
}

// credential decrypts what Seal made. What is stored as it is, is none.
func (v *Vault) credential(ctx context.Context, f Field, sealed []byte) ([]byte, error) {
	r, err := v.ring(ctx, f.Tenant, asOpening)
	if err == nil && !r.knows(sealed) && isSealed(sealed) {
		// Another process may have changed the keys since.
		r, err = v.ring(ctx, f.Tenant, asStored)
	}
	if isNotFound(err) {
		return nil, ErrSealed
	}
	if err != nil {
		return nil, err
	}
	return r.open(f, sealed)
}

// samples returns a key of each KEK, or any if the store cannot tell them apart.
func (v *Vault) samples(ctx context.Context) ([]Key, error) {
	all, ok := v.c.Store.(Keysets)
	if !ok {
		some, err := v.c.Store.AnyKey(ctx)
		if isNotFound(err) {
			return nil, nil
		}
		return []Key{some}, err
	}
	counts, err := all.KeyCounts(ctx)
	if err != nil {
		return nil, err
	}
	var samples []Key
	for _, n := range counts {
		some, err := v.c.Store.Key(ctx, n.Sample)
		if isNotFound(err) {
			continue // The tenant was deleted since.
		}
		if err != nil {
			return nil, err
		}
		samples = append(samples, some)
	}
	return samples, nil
}

// bound is what ties a ciphertext to its field. Every part is preceded by its
// length, so that no two fields give the same bytes.
func (f Field) bound() []byte {
	b := []byte{format}
	for _, part := range []string{f.Tenant, f.Table, f.Record, f.Name} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return binary.BigEndian.AppendUint64(b, uint64(f.Version)) // The bits, not the number.
}

// purpose is what a keyset is wanted for.
type purpose int

const (
	// asOpening takes the one in memory rather than none, if others cannot be asked.
	asOpening purpose = iota
	// asSealing takes one only that is known to be fresh.
	asSealing
	// asStored takes the one that is stored now.
	asStored
)

// ring returns the tenant's keyset, or fault.NotFound if it has none.
func (v *Vault) ring(ctx context.Context, tenant string, as purpose) (*ring, error) {
	if tenant == "" {
		return nil, errors.New("find a tenant's key: the field names no tenant")
	}
	asked := v.c.Now()
	had, due := v.keys.get(tenant, asked, v.c.Fresh)
	if had != nil && !due && as != asStored {
		return had, nil
	}
	r, err := v.load(ctx, tenant, asked, as)
	if err == nil || isNotFound(err) {
		return r, err
	}
	v.keys.unchecked(tenant)
	if had != nil && as == asOpening {
		return had, nil // What is to blame is away. What was opened before still opens.
	}
	return nil, err
}

// load reads the stored keyset and unwraps it, unless it is the one that is held, or
// another has done so since it was asked for.
func (v *Vault) load(ctx context.Context, tenant string, asked time.Time, as purpose) (*ring, error) {
	leave, err := v.turns.enter(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("wait for the key of tenant %s: %w", tenant, err)
	}
	defer leave()
	had, checked := v.keys.peek(tenant)
	if had != nil && as != asStored && !checked.Before(asked) {
		return had, nil
	}
	now := v.c.Now()
	stored, err := v.c.Store.Key(ctx, tenant)
	if isNotFound(err) {
		v.keys.drop(tenant)
	}
	if err != nil {
		return nil, fmt.Errorf("find the key of tenant %s: %w", tenant, err)
	}
	if had != nil && had.generation == max(stored.Generation, 1) && had.sealing == stored.Sealing && stored.Tenant == tenant {
		v.keys.put(tenant, had, now) // At most its wrapping has changed.
		return had, nil
	}
	return v.keep(ctx, tenant, stored, now)
}

// makeKey makes the tenant's key, or returns the one that another process was
// quicker to make.
func (v *Vault) makeKey(ctx context.Context, tenant string) (*ring, error) {
	r, err := newRing()
	if err != nil {
		return nil, fmt.Errorf("make a key for tenant %s: %w", tenant, err)
	}
	wrapped, err := v.wrap(ctx, v.c.Keeper, tenant, r)
	if err != nil {
		return nil, err
	}
	now := v.c.Now()
	stored, err := v.c.Store.InsertKey(ctx, Key{
		Tenant: tenant, KeyID: v.c.Keeper.KeyID(), Wrapped: wrapped, Version: 1, Generation: 1, Seed: wrapped,
	})
	if err != nil {
		return nil, fmt.Errorf("store the key of tenant %s: %w", tenant, err)
	}
	return v.keep(ctx, tenant, stored, now)
}

// keep unwraps a stored keyset and remembers it.
func (v *Vault) keep(ctx context.Context, tenant string, stored Key, now time.Time) (*ring, error) {
	if stored.Tenant != tenant {
		return nil, fmt.Errorf("find the key of tenant %s: the store returned that of %q", tenant, stored.Tenant)
	}
	r, err := v.unwrap(ctx, stored)
	if err != nil {
		return nil, err
	}
	v.keys.put(tenant, r, now)
	return r, nil
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == fault.CodeNotFound
}
