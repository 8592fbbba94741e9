package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// format is the first byte of what Seal makes, and of what it authenticates. A
// Tink ciphertext follows, of XAES-256-GCM (<https://c2sp.org/XAES-256-GCM>):
// AES-256-GCM's random nonces allow 2^32 messages a key, XAES's as many as there
// will ever be.
const format = 1

// headerSize is the format and Tink's prefix, which is a byte 1 and the id of the key
// (<https://developers.google.com/tink/wire-format>): so the key is known before
// anything is tried, and no other is tried.
const headerSize = 1 + 1 + 4

// ringMost bounds the keys in a keyset, which has to fit into what keepers wrap: AWS
// KMS takes 4096 bytes, and a key is about 110.
const ringMost = 16

// ring is a tenant's keyset in the clear.
type ring struct {
	handle     *keyset.Handle
	aead       tink.AEAD
	generation int64
	// sealing says how payloads are stored.
	sealing Sealing
	// header is how begins what is sealed under the primary key.
	header [headerSize]byte
	// ids are those of all its keys.
	ids map[uint32]bool
}

// newRing makes a keyset with one key.
func newRing() (*ring, error) {
	handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, err
	}
	return ringOf(handle, 1)
}

func ringOf(handle *keyset.Handle, generation int64) (*ring, error) {
	a, err := aead.New(handle)
	if err != nil {
		return nil, err
	}
	r := &ring{handle: handle, aead: a, generation: generation, ids: map[uint32]bool{}}
	info := handle.KeysetInfo()
	for _, k := range info.GetKeyInfo() {
		r.ids[k.GetKeyId()] = true
	}
	r.header = [headerSize]byte{format, 1}
	binary.BigEndian.PutUint32(r.header[2:], info.GetPrimaryKeyId())
	return r, nil
}

// KeyID is that of the key which something was sealed with, in hexadecimal, and empty for
// what was not. It says nothing about whether it opens.
func KeyID(sealed []byte) string {
	if !isSealed(sealed) {
		return ""
	}
	return fmt.Sprintf("%08x", binary.BigEndian.Uint32(sealed[2:]))
}

// knows says whether one of the keys can have made sealed.
func (r *ring) knows(sealed []byte) bool {
	return len(sealed) >= headerSize && sealed[0] == format && sealed[1] == 1 && r.ids[binary.BigEndian.Uint32(sealed[2:])]
}

// with returns the keyset with another key, which is the primary one.
func (r *ring) with() (*ring, error) {
	m := keyset.NewManagerFromHandle(r.handle)
	id, err := m.Add(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, err
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, err
	}
	return r.managed(m)
}

// alone returns the keyset with nothing but its primary key.
func (r *ring) alone() (*ring, error) {
	m := keyset.NewManagerFromHandle(r.handle)
	primary := binary.BigEndian.Uint32(r.header[2:])
	for id := range r.ids {
		if id == primary {
			continue
		}
		if err := m.Delete(id); err != nil {
			return nil, err
		}
	}
	return r.managed(m)
}

func (r *ring) managed(m *keyset.Manager) (*ring, error) {
	handle, err := m.Handle()
	if err != nil {
		return nil, err
	}
	next, err := ringOf(handle, r.generation+1)
	if err != nil {
		return nil, err
	}
	next.sealing = r.sealing
	return next, nil
}

// wrap has a keeper wrap the keyset.
func (r *ring) wrap(ctx context.Context, k Keeper, tenant string) ([]byte, error) {
	var wrapped bytes.Buffer
	w := &wrapper{keeper: k}
	if err := r.handle.WriteWithContext(ctx, keyset.NewBinaryWriter(&wrapped), w, []byte(tenant)); err != nil {
		return nil, fmt.Errorf("wrap the key of tenant %s: %w", tenant, cmp.Or(w.err, err))
	}
	return wrapped.Bytes(), nil
}

// unwrap has a keeper unwrap a stored keyset.
func unwrap(ctx context.Context, k Keeper, stored Key) (*ring, error) {
	w := &wrapper{keeper: k}
	handle, err := keyset.ReadWithContext(ctx, keyset.NewBinaryReader(bytes.NewReader(stored.Wrapped)), w, []byte(stored.Tenant))
	clear(w.opened)
	if err != nil {
		// A keeper that could not be asked is not a key that does not open; bytes
		// that are no keyset at all are.
		return nil, fmt.Errorf("unwrap the key of tenant %s: %w", stored.Tenant, cmp.Or(w.err, ErrSealed))
	}
	r, err := ringOf(handle, max(stored.Generation, 1))
	if err != nil {
		return nil, fmt.Errorf("use the key of tenant %s: %w", stored.Tenant, err)
	}
	r.sealing = stored.Sealing
	return r, nil
}

// wrapper lets Tink wrap keysets with a Keeper; the associated data is the
// tenant. It keeps the Keeper's error, of which Tink passes on only the text, and
// overwrites the keyset's bytes as soon as they are parsed or wrapped, as far as
// they are its own.
type wrapper struct {
	keeper Keeper
	err    error
	// opened is the keyset's bytes, which Tink has parsed and copied.
	opened []byte
}

// EncryptWithContext implements tink.AEADWithContext.
func (w *wrapper) EncryptWithContext(ctx context.Context, plaintext, tenant []byte) (wrapped []byte, err error) {
	defer clear(plaintext)
	wrapped, w.err = w.keeper.Wrap(ctx, string(tenant), plaintext)
	return wrapped, w.err
}

// DecryptWithContext implements tink.AEADWithContext.
func (w *wrapper) DecryptWithContext(ctx context.Context, wrapped, tenant []byte) (plaintext []byte, err error) {
	w.opened, w.err = w.keeper.Unwrap(ctx, string(tenant), wrapped)
	return w.opened, w.err
}
