// Package vaulttest gives tests a vault that needs no database.
package vaulttest

import (
	"context"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// New returns a vault whose keys are in memory, wrapped by a KEK that nobody keeps.
func New(tb testing.TB) *vault.Vault {
	tb.Helper()
	keeper, err := keyfile.Ephemeral()
	if err != nil {
		tb.Fatal(err)
	}
	return vault.New(&keys{}, keeper)
}

// keys keeps tenants' wrapped keys, by the contract of vault.Store.
type keys struct{ kept sync.Map }

// Key implements vault.Store.
func (s *keys) Key(_ context.Context, tenant string) (vault.Key, error) {
	if k, ok := s.kept.Load(tenant); ok {
		return k.(vault.Key), nil //nolint:forcetypeassert // Only InsertKey fills it.
	}
	return vault.Key{}, fault.NotFound("key of tenant", tenant)
}

// InsertKey implements vault.Store.
func (s *keys) InsertKey(_ context.Context, k vault.Key) (vault.Key, error) {
	first, _ := s.kept.LoadOrStore(k.Tenant, k)
	return first.(vault.Key), nil //nolint:forcetypeassert // As above.
}

// AnyKey implements vault.Store.
func (*keys) AnyKey(context.Context) (vault.Key, error) {
	return vault.Key{}, fault.NotFound("key", "of any tenant")
}
