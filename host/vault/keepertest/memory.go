package keepertest

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// memory is a vault.Store for one goroutine.
type memory struct{ keys map[string]vault.Key }

// Key implements vault.Store.
func (m *memory) Key(_ context.Context, tenant string) (vault.Key, error) {
	if k, ok := m.keys[tenant]; ok {
		return k, nil
	}
	return vault.Key{}, fault.NotFound("key", tenant)
}

// InsertKey implements vault.Store.
func (m *memory) InsertKey(ctx context.Context, k vault.Key) (vault.Key, error) {
	if _, ok := m.keys[k.Tenant]; !ok {
		m.keys[k.Tenant] = k
	}
	return m.Key(ctx, k.Tenant)
}

// AnyKey implements vault.Store.
func (m *memory) AnyKey(context.Context) (vault.Key, error) {
	for _, k := range m.keys {
		return k, nil
	}
	return vault.Key{}, fault.NotFound("key", "any")
}
