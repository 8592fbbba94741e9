// Package vault seals what is private: a key per tenant, wrapped by one key
// encryption key (KEK) that a [Keeper] holds, and every ciphertext bound to its
// tenant, table, record, field and record version, so that it opens nowhere else.
//
//	v := vault.New(store, keeper)
//	sealed, err := v.Seal(ctx, vault.Field{Tenant: t, Table: "connections", Record: id, Name: "credential", Version: 1}, secret)
//
// A tenant's key is wrapped by the KEK and stored; unwrapped, it is held in
// memory. Deleting the stored key makes all that the tenant sealed unreadable,
// once no process and no backup holds it any more.
package vault

import "context"

// Field is where a ciphertext belongs. It is authenticated, not stored.
type Field struct {
	Tenant, Table, Record, Name string
	Version                     int64
}

// Keeper holds the KEK and wraps tenants' keys with it.
type Keeper interface {
	// KeyID names the KEK, so that a wrong one is told from a corrupt record.
	KeyID() string
	Wrap(ctx context.Context, tenant string, key []byte) ([]byte, error)
	// Unwrap returns ErrSealed for what Wrap did not make for the same tenant.
	Unwrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error)
}

// Key is a tenant's wrapped keyset.
type Key struct {
	Tenant  string
	KeyID   string
	Wrapped []byte
}

// Store keeps wrapped keys.
type Store interface {
	// Key returns fault.NotFound if the tenant has none yet.
	Key(ctx context.Context, tenant string) (Key, error)
	// InsertKey keeps the first one: it returns the one that is stored.
	InsertKey(ctx context.Context, k Key) (Key, error)
	// AnyKey returns some tenant's key, to check the KEK at start; fault.NotFound
	// if there is none.
	AnyKey(ctx context.Context) (Key, error)
}
