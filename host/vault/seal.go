package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// ErrSealed is every failure to open: of another field, another tenant, cut,
// changed, or never sealed here. They look alike, so that nobody learns from
// them what was nearly right.
var ErrSealed = errors.New("what is sealed does not open")

// format is the first byte of what Seal makes, and of what it authenticates. A
// Tink ciphertext follows, of XAES-256-GCM (<https://c2sp.org/XAES-256-GCM>):
// AES-256-GCM's random nonces allow 2^32 messages a key, XAES's as many as there
// will ever be.
const format = 1

// maxKeys bounds the tenants whose keys are held in the clear: 4096 of about
// 1 KiB each.
const maxKeys = 4096

// Vault seals and opens tenants' private fields. It is safe for concurrent use.
type Vault struct {
	store  Store
	keeper Keeper
	keys   *keys
}

// New returns a Vault over wrapped keys and the KEK that unwraps them.
func New(s Store, k Keeper) *Vault { return &Vault{store: s, keeper: k, keys: newKeys(maxKeys)} }

// Check says whether the keeper's KEK opens the keys that are stored. It is for
// the start, so that a wrong KEK is met before the first tenant meets it.
func (v *Vault) Check(ctx context.Context) error {
	stored, err := v.store.AnyKey(ctx)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find a key to check: %w", err)
	}
	_, err = v.unwrap(ctx, stored)
	return err
}

// Seal encrypts plaintext for a field. A tenant's first Seal makes its key.
func (v *Vault) Seal(ctx context.Context, f Field, plaintext []byte) ([]byte, error) {
	key, err := v.key(ctx, f.Tenant)
	if isNotFound(err) {
		key, err = v.makeKey(ctx, f.Tenant)
	}
	if err != nil {
		return nil, err
	}
	sealed, err := key.Encrypt(plaintext, f.bound())
	if err != nil {
		return nil, fmt.Errorf("seal %s.%s: %w", f.Table, f.Name, err)
	}
	return append([]byte{format}, sealed...), nil
}

// Open decrypts what Seal made for the same field. All failures that the sealed
// bytes are to blame for are ErrSealed; a key that is wrapped by another KEK is
// a fault of its own, and so is a store that cannot be read.
func (v *Vault) Open(ctx context.Context, f Field, sealed []byte) ([]byte, error) {
	key, err := v.key(ctx, f.Tenant)
	if isNotFound(err) {
		return nil, ErrSealed
	}
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 || sealed[0] != format {
		return nil, ErrSealed
	}
	plaintext, err := key.Decrypt(sealed[1:], f.bound())
	if err != nil {
		return nil, ErrSealed // Without err: Tink says what it tried.
	}
	return plaintext, nil
}

// Forget drops a tenant's key from this process's memory. It does not touch the
// one that is stored.
func (v *Vault) Forget(tenant string) { v.keys.drop(tenant) }

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

// key returns the tenant's key, or fault.NotFound if it has none.
func (v *Vault) key(ctx context.Context, tenant string) (tink.AEAD, error) {
	if tenant == "" {
		return nil, errors.New("find a tenant's key: the field names no tenant")
	}
	if k := v.keys.get(tenant); k != nil {
		return k, nil
	}
	stored, err := v.store.Key(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("find the key of tenant %s: %w", tenant, err)
	}
	return v.keep(ctx, tenant, stored)
}

// makeKey makes the tenant's key, or returns the one that another process was
// quicker to make.
func (v *Vault) makeKey(ctx context.Context, tenant string) (tink.AEAD, error) {
	handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a key for tenant %s: %w", tenant, err)
	}
	var wrapped bytes.Buffer
	w := &wrapper{keeper: v.keeper}
	if err := handle.WriteWithContext(ctx, keyset.NewBinaryWriter(&wrapped), w, []byte(tenant)); err != nil {
		return nil, fmt.Errorf("wrap the key of tenant %s: %w", tenant, cmp.Or(w.err, err))
	}
	stored, err := v.store.InsertKey(ctx, Key{Tenant: tenant, KeyID: v.keeper.KeyID(), Wrapped: wrapped.Bytes()})
	if err != nil {
		return nil, fmt.Errorf("store the key of tenant %s: %w", tenant, err)
	}
	return v.keep(ctx, tenant, stored)
}

// keep unwraps a stored key and remembers it.
func (v *Vault) keep(ctx context.Context, tenant string, stored Key) (tink.AEAD, error) {
	if stored.Tenant != tenant {
		return nil, fmt.Errorf("find the key of tenant %s: the store returned that of %q", tenant, stored.Tenant)
	}
	k, err := v.unwrap(ctx, stored)
	if err != nil {
		return nil, err
	}
	v.keys.put(tenant, k)
	return k, nil
}

func (v *Vault) unwrap(ctx context.Context, stored Key) (tink.AEAD, error) {
	if id := v.keeper.KeyID(); stored.KeyID != id {
		return nil, fault.New(fault.Platform, "wrong_key", "what is stored was sealed under the key %s, and this is the key %s", stored.KeyID, id).
			WithHint("Start with the key file whose id is %s: restore it from a backup. Nothing else opens what is stored.", stored.KeyID)
	}
	w := &wrapper{keeper: v.keeper}
	handle, err := keyset.ReadWithContext(ctx, keyset.NewBinaryReader(bytes.NewReader(stored.Wrapped)), w, []byte(stored.Tenant))
	if err != nil {
		// A keeper that could not be asked is not a key that does not open; bytes
		// that are no keyset at all are.
		return nil, fmt.Errorf("unwrap the key of tenant %s: %w", stored.Tenant, cmp.Or(w.err, ErrSealed))
	}
	k, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("use the key of tenant %s: %w", stored.Tenant, err)
	}
	return k, nil
}

// wrapper lets Tink wrap keysets with a Keeper; the associated data is the
// tenant. It keeps the Keeper's error, of which Tink passes on only the text.
type wrapper struct {
	keeper Keeper
	err    error
}

// EncryptWithContext implements tink.AEADWithContext.
func (w *wrapper) EncryptWithContext(ctx context.Context, plaintext, tenant []byte) (wrapped []byte, err error) {
	wrapped, w.err = w.keeper.Wrap(ctx, string(tenant), plaintext)
	return wrapped, w.err
}

// DecryptWithContext implements tink.AEADWithContext.
func (w *wrapper) DecryptWithContext(ctx context.Context, wrapped, tenant []byte) (plaintext []byte, err error) {
	plaintext, w.err = w.keeper.Unwrap(ctx, string(tenant), wrapped)
	return plaintext, w.err
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == fault.CodeNotFound
}
