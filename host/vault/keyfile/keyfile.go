// Package keyfile keeps the key encryption key in a file that only its owner can
// read. Whoever has the file and the database has every credential; whoever
// loses it has lost them all, so keep a copy of it, and not beside the
// database's backups.
//
//	key, err := keyfile.Open("data/key.json")
//	if errors.Is(err, fs.ErrNotExist) && firstStart {
//		key, err = keyfile.Create("data/key.json")
//	}
//	h, err := host.New(ctx, host.Config{Store: db, Keeper: key})
//
// Nothing here ever replaces a file.
package keyfile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/cofferdam-run/cofferdam/host/vault"
)

// keySize is XAES-256-GCM's, in bytes.
const keySize = 32

// Key is a key encryption key: a vault.Keeper. It prints as its id.
type Key struct {
	id   string
	aead tink.AEAD
}

var _ vault.Keeper = (*Key)(nil)

// FromKey returns the Key of 32 random bytes, for those who keep them elsewhere.
func FromKey(key [keySize]byte) (*Key, error) {
	if key == [keySize]byte{} {
		return nil, errors.New("use a key: all its bytes are zero, so it was never filled")
	}
	// The 96-bit salt makes the 192-bit nonce whole; a KEK is used alone, so its
	// ciphertexts need no prefix to tell it by.
	parameters, err := xaesgcm.NewParameters(xaesgcm.VariantNoPrefix, 12)
	if err != nil {
		return nil, fmt.Errorf("use a key: %w", err)
	}
	k, err := xaesgcm.NewKey(secretdata.NewBytesFromData(key[:], insecuresecretdataaccess.Token{}), 0, parameters)
	if err != nil {
		return nil, fmt.Errorf("use a key: %w", err)
	}
	manager := keyset.NewManager()
	number, err := manager.AddKey(k)
	if err != nil {
		return nil, fmt.Errorf("use a key: %w", err)
	}
	if err := manager.SetPrimary(number); err != nil {
		return nil, fmt.Errorf("use a key: %w", err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("use a key: %w", err)
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("use a key: %w", err)
	}
	return &Key{id: idOf(key), aead: a}, nil
}

// Ephemeral returns a Key that nobody else will ever have: what is sealed under
// it is lost with the process. It is for tests and demonstrations.
func Ephemeral() (*Key, error) { return FromKey(random()) }

func random() (key [keySize]byte) {
	rand.Read(key[:]) // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	return key
}

// idOf is a hash, so that an id can be shown and stored beside what the key
// wraps: 64 bits tell keys apart, and a random key cannot be guessed from them.
func idOf(key [keySize]byte) string {
	sum := sha256.Sum256(append([]byte("cofferdam key encryption key id\x00"), key[:]...))
	return "kek_" + hex.EncodeToString(sum[:8])
}

// KeyID implements vault.Keeper.
func (k *Key) KeyID() string { return k.id }

// String returns the id.
func (k *Key) String() string { return k.id }

// GoString returns the id.
func (k *Key) GoString() string { return k.id }

// Wrap implements vault.Keeper.
func (k *Key) Wrap(_ context.Context, tenant string, key []byte) ([]byte, error) {
	wrapped, err := k.aead.Encrypt(key, k.bound(tenant))
	if err != nil {
		return nil, fmt.Errorf("wrap a key of tenant %s with %s: %w", tenant, k.id, err)
	}
	return wrapped, nil
}

// Unwrap implements vault.Keeper.
func (k *Key) Unwrap(_ context.Context, tenant string, wrapped []byte) ([]byte, error) {
	key, err := k.aead.Decrypt(wrapped, k.bound(tenant))
	if err != nil {
		return nil, vault.ErrSealed // Without err: Tink says what it tried.
	}
	return key, nil
}

// bound ties a wrapped key to its tenant and to this KEK: GCM alone does not
// commit to the key that it was made with.
func (k *Key) bound(tenant string) []byte {
	b := []byte("cofferdam tenant key 1")
	for _, part := range []string{k.id, tenant} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
