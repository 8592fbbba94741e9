// Package vault seals what is private: a keyset per tenant, wrapped by one key
// encryption key (KEK) that a [Keeper] holds, and every ciphertext bound to its
// tenant, table, record, field and record version, so that it opens nowhere else.
//
//	v := vault.New(store, keeper)
//	sealed, err := v.Seal(ctx, vault.Field{Tenant: t, Table: "connections", Record: id, Name: "credential", Version: 1}, secret)
//	secret, err := v.Open(vault.Using(ctx, vault.Use{Who: "token tok_1", Purpose: "request"}), field, sealed)
//
// A tenant's keyset is wrapped by the KEK and stored; unwrapped, it is held in
// memory, so that a keeper that is slow, down or denies is noticed only by tenants
// who were not there lately. Deleting the stored keyset makes all that the tenant
// sealed unreadable, once no process and no backup holds it any more.
//
// Both kinds of keys change while everything goes on:
//
//   - The KEK: give the new one as Config.Keeper and the old one among
//     Config.Others, and call Rewrap. Only keysets are wrapped anew.
//   - A tenant's key: Rotate adds one and makes it primary, Reseal brings records
//     under it, and Retire destroys the old ones once no record needs them; from
//     then on what they sealed opens no more, wherever it is put back from. The
//     package rotation does the three as one job.
//
// What is held in memory is compared with what is stored every Config.Fresh at
// most: hence nobody seals under a key that was replaced longer ago than that, and
// a Retire has to wait for that long.
package vault

import "context"

// Field is where a ciphertext belongs. It is authenticated, not stored.
type Field struct {
	Tenant, Table, Record, Name string
	Version                     int64
}

// Keeper holds a KEK and wraps tenants' keysets with it. What it does is bounded in
// time, whatever ctx says: a keeper elsewhere has timeouts of its own. An error that
// is not ErrSealed says that the keeper could not be asked, or would not answer; see
// Unavailable and Refused.
type Keeper interface {
	// KeyID names the KEK, so that a wrong one is told from a corrupt record. It is
	// stored and shown.
	KeyID() string
	Wrap(ctx context.Context, tenant string, key []byte) ([]byte, error)
	// Unwrap returns ErrSealed for what Wrap did not make for the same tenant.
	Unwrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error)
}

// Rewrapper is a Keeper whose KEK has versions of its own: it brings what was
// wrapped under an older one to the latest without showing it to us.
type Rewrapper interface {
	Rewrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error)
}

// Key is a tenant's wrapped keyset.
type Key struct {
	Tenant  string
	KeyID   string
	Wrapped []byte
	// Version counts the changes of what is stored, and Generation those of them that
	// changed the keys in it, not only their wrapping; both from 1.
	Version    int64
	Generation int64
	// RotatedBy names the rotation that changed the keys last.
	RotatedBy string
	// Seed is the Wrapped of the first version. It stays when the keyset is wrapped
	// anew, for those who derive what has to stay.
	Seed []byte
	// Sealing says how the tenant's payloads are stored.
	Sealing Sealing
}

// Store keeps wrapped keysets.
type Store interface {
	// Key returns fault.NotFound if the tenant has none yet.
	Key(ctx context.Context, tenant string) (Key, error)
	// InsertKey keeps the first one: it returns the one that is stored.
	InsertKey(ctx context.Context, k Key) (Key, error)
	// AnyKey returns some tenant's key, to check the KEK at start; fault.NotFound
	// if there is none.
	AnyKey(ctx context.Context) (Key, error)
}

// Keysets is what a Store can do besides, so that keysets can be changed.
type Keysets interface {
	// KeyCounts counts the keysets by the KEK that wraps them, in order of its id.
	KeyCounts(ctx context.Context) ([]KeyCount, error)
	// KeysUnder lists keysets that a KEK wraps, in order of the tenant, after one.
	KeysUnder(ctx context.Context, keyID, after string, limit int) ([]Key, error)
	// ReplaceKeys replaces each keyset of which the stored version is one less, in one
	// transaction, and returns how many those were: the others were changed meanwhile.
	ReplaceKeys(ctx context.Context, ks []Key) (int, error)
}

// KeyCount is how many keysets a KEK wraps.
type KeyCount struct {
	KeyID   string `json:"key_id"`
	Tenants int    `json:"tenants"`
	// Sample is one of the tenants.
	Sample string `json:"-"`
}
