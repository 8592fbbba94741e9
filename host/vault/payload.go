package vault

import (
	"context"
	"errors"
	"fmt"
)

// Sealing says how payloads of a tenant are stored: what is private and no credential,
// such as bodies, journals and state.
type Sealing int

const (
	// SealsAll has all of them sealed: nothing else opens.
	SealsAll Sealing = iota
	// SealsNew has some from before payloads were sealed, which open as they are; what
	// is written is sealed. A rotation that comes to its end makes it SealsAll.
	SealsNew
)

// ErrNewKey is an ErrSealed of what was sealed under a key that was not in memory.
var ErrNewKey = fmt.Errorf("%w: it is under a key that was not in memory", ErrSealed)

// Payloads seals and opens a tenant's payloads with the keys that were in memory when
// it was made. It asks nobody anything, so that it is of use where nothing may wait,
// as in a transaction; it is not to be kept for longer. The zero value leaves all as
// it is.
type Payloads struct{ ring *ring }

// Payloads returns what seals and opens a tenant's payloads. A tenant's first one
// makes its key.
func (v *Vault) Payloads(ctx context.Context, tenant string) (Payloads, error) {
	r, err := v.sealingRing(ctx, tenant)
	return Payloads{r}, err
}

// Refresh has the tenant's keys compared with those that are stored.
func (v *Vault) Refresh(ctx context.Context, tenant string) error {
	_, err := v.ring(ctx, tenant, asStored)
	return err
}

// Seal encrypts a payload for a field. Nothing stays nothing.
func (p Payloads) Seal(f Field, plaintext []byte) ([]byte, error) {
	if p.ring == nil || len(plaintext) == 0 {
		return plaintext, nil
	}
	return p.ring.seal(f, plaintext)
}

// Open decrypts what Seal made for the same field. All failures are ErrSealed, and
// ErrNewKey if other keys might open it.
func (p Payloads) Open(f Field, sealed []byte) ([]byte, error) {
	switch {
	case p.ring == nil || len(sealed) == 0:
		return sealed, nil
	case !isSealed(sealed) && p.ring.sealing != SealsAll:
		return sealed, nil
	case !p.ring.knows(sealed) && isSealed(sealed):
		return nil, ErrNewKey
	default:
		return p.ring.open(f, sealed)
	}
}

// OpenPayload decrypts what was sealed by Payloads, of which nobody keeps account.
// All failures that the sealed bytes are to blame for are ErrSealed.
func (v *Vault) OpenPayload(ctx context.Context, f Field, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return sealed, nil
	}
	r, err := v.ring(ctx, f.Tenant, asOpening)
	if isNotFound(err) && !isSealed(sealed) {
		// It may be from before payloads were sealed, and the tenant has no key yet.
		r, err = v.makeKey(ctx, f.Tenant)
	}
	if err == nil {
		var opened []byte
		if opened, err = (Payloads{r}).Open(f, sealed); err == nil {
			return opened, nil
		}
	}
	if errors.Is(err, ErrNewKey) {
		// Another process may have changed the keys since.
		if r, err = v.ring(ctx, f.Tenant, asStored); err == nil {
			return r.open(f, sealed)
		}
	}
	if isNotFound(err) {
		return nil, ErrSealed
	}
	return nil, err
}
