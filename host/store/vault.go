package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

const keyColumns = `SELECT tenant, key_id, wrapped FROM tenant_keys `

// Key implements vault.Store.
func (s *SQL) Key(ctx context.Context, tenant string) (vault.Key, error) {
	return find(ctx, s, fault.NotFound("key of tenant", tenant), scanKey, keyColumns+`WHERE tenant = $1`, tenant)
}

// InsertKey implements vault.Store. A tenant that is being deleted gets no key again.
func (s *SQL) InsertKey(ctx context.Context, k vault.Key) (vault.Key, error) {
	err := s.insert(ctx, "insert a tenant's key", nil, fault.NotFound("tenant", k.Tenant),
		`INSERT INTO tenant_keys (tenant, key_id, wrapped) SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE id = $1 AND state = 'deleting')
		 ON CONFLICT (tenant) DO NOTHING`,
		k.Tenant, k.KeyID, k.Wrapped)
	if err != nil {
		return vault.Key{}, err
	}
	return s.Key(ctx, k.Tenant)
}

// AnyKey implements vault.Store.
func (s *SQL) AnyKey(ctx context.Context) (vault.Key, error) {
	return find(ctx, s, fault.NotFound("key", "of any tenant"), scanKey, keyColumns+`ORDER BY tenant LIMIT 1`)
}

func scanKey(r scanner) (vault.Key, error) {
	var k vault.Key
	err := r.Scan(&k.Tenant, &k.KeyID, &k.Wrapped)
	return k, err
}
