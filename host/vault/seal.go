package vault

import "context"

// Vault seals and opens tenants' private fields.
type Vault struct {
	store  Store
	keeper Keeper
}

// New returns a Vault over wrapped keys and the KEK that unwraps them.
func New(s Store, k Keeper) *Vault { return &Vault{store: s, keeper: k} }

// Check says whether the keeper's KEK opens the keys that are stored.
func (v *Vault) Check(ctx context.Context) error { panic("unbuilt") }

// Seal encrypts plaintext for a field.
func (v *Vault) Seal(ctx context.Context, f Field, plaintext []byte) ([]byte, error) {
	panic("unbuilt")
}

// Open decrypts what Seal made for the same field. All failures look alike.
func (v *Vault) Open(ctx context.Context, f Field, sealed []byte) ([]byte, error) { panic("unbuilt") }
