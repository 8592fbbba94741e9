package store

import (
	"context"
	"errors"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// keyColumns begins a query of keysets. A seed that is not there is the keyset as it
// was wrapped first, which it is still. The last one is a vault.Sealing.
const keyColumns = `SELECT tenant, key_id, wrapped, version, generation, rotated_by, COALESCE(seed, wrapped),
 (SELECT CASE WHEN t.payloads_sealed THEN 0 ELSE 1 END FROM tenants t WHERE t.id = k.tenant) FROM tenant_keys k `

// Key implements vault.Store.
func (s *SQL) Key(ctx context.Context, tenant string) (vault.Key, error) {
	return find(ctx, s, fault.NotFound("key of tenant", tenant), scanKey, keyColumns+`WHERE tenant = $1`, tenant)
}

// InsertKey implements vault.Store. A tenant that is being deleted gets no key again.
func (s *SQL) InsertKey(ctx context.Context, k vault.Key) (vault.Key, error) {
	err := s.insert(ctx, "insert a tenant's key", nil, fault.NotFound("tenant", k.Tenant),
		`INSERT INTO tenant_keys (tenant, key_id, wrapped) SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE id = $1 AND state IN ('deleting', 'deleted'))
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

// KeyCounts implements vault.Keysets.
func (s *SQL) KeyCounts(ctx context.Context) ([]vault.KeyCount, error) {
	return list(ctx, s, func(r scanner) (vault.KeyCount, error) {
		var n vault.KeyCount
		err := r.Scan(&n.KeyID, &n.Tenants, &n.Sample)
		return n, err
	}, `SELECT key_id, count(*), min(tenant) FROM tenant_keys GROUP BY key_id ORDER BY key_id`)
}

// KeysUnder implements vault.Keysets.
func (s *SQL) KeysUnder(ctx context.Context, keyID, after string, limit int) ([]vault.Key, error) {
	return list(ctx, s, scanKey, keyColumns+`WHERE key_id = $1 AND tenant > $2 ORDER BY tenant LIMIT $3`, keyID, after, limit)
}

// ReplaceKeys implements vault.Keysets.
func (s *SQL) ReplaceKeys(ctx context.Context, ks []vault.Key) (int, error) {
	all := make([]Statement, len(ks))
	for i, k := range ks {
		all[i] = replaceKey(k)
	}
	return s.execAll(ctx, "replace tenants' keys", all)
}

// execAll runs statements in a transaction of their own, and returns how many rows all
// have changed.
func (s *SQL) execAll(ctx context.Context, doing string, all []Statement) (int, error) {
	changed := 0
	err := s.write(ctx, doing, func(ctx context.Context, tx Conn) error {
		var err error
		changed, err = s.d.ExecAll(ctx, tx, all)
		return err
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}

func replaceKey(k vault.Key) Statement {
	return Statement{
		`UPDATE tenant_keys SET seed = COALESCE(seed, wrapped), key_id = $3, wrapped = $4, version = $2, generation = $5, rotated_by = $6
		 WHERE tenant = $1 AND version = $2 - 1`,
		[]any{k.Tenant, k.Version, k.KeyID, k.Wrapped, k.Generation, k.RotatedBy},
	}
}

// CountStale implements vault.Records.
func (s *SQL) CountStale(ctx context.Context, tenant string, header []byte) (int, error) {
	total := 0
	for _, c := range sealedColumns() {
		n, err := find(ctx, s, nil, scanInt, `SELECT count(*) FROM `+c.Table+` WHERE `+c.stale(header), tenant, header)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// StaleRecords implements vault.Records.
func (s *SQL) StaleRecords(ctx context.Context, tenant string, p vault.Place, header []byte, after string, limit int) ([]vault.Sealed, error) {
	c, err := columnOf(p)
	if err != nil {
		return nil, err
	}
	query := `SELECT ` + c.keys() + `, ` + c.version + `, ` + c.column + ` FROM ` + c.Table + ` WHERE ` + c.stale(header)
	args := []any{tenant, header, limit}
	if after != "" {
		key, err := c.split(after)
		if err != nil {
			return nil, err
		}
		query += ` AND (` + c.keys() + `) > (` + places(4, len(key)) + `)`
		args = append(args, key...)
	}
	found, err := c.some(ctx, s.d.Reader(), tenant, query+` ORDER BY `+c.keys()+` LIMIT $3`, args...)
	return found, Fault(s.d, err, "list what is sealed")
}

// staleBytes is about the most that StaleRecords reads at once.
const staleBytes = 8 << 20

// some reads records until they are large enough together.
func (c sealedColumn) some(ctx context.Context, from Conn, tenant, query string, args ...any) (found []vault.Sealed, err error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for size := 0; size < staleBytes && rows.Next(); {
		v := vault.Sealed{Field: vault.Field{Tenant: tenant, Table: c.Table, Name: c.Name}}
		key := c.dest()
		if err := rows.Scan(append(key, &v.Version, &v.Bytes)...); err != nil {
			return nil, err
		}
		v.Record = c.join(key)
		size += len(v.Bytes)
		found = append(found, v)
	}
	return found, rows.Err()
}

// ResealRecords implements vault.Records.
func (s *SQL) ResealRecords(ctx context.Context, was []vault.Sealed, now [][]byte) (int, error) {
	all := make([]Statement, len(was))
	for i, v := range was {
		c, err := columnNamed(v.Table, v.Name)
		if err != nil {
			return 0, err
		}
		key, err := c.split(v.Record)
		if err != nil {
			return 0, err
		}
		all[i] = Statement{
			`UPDATE ` + c.Table + ` SET ` + c.column + ` = $4 WHERE ` + c.owner + ` = $1 AND ` + c.version + ` = $2 AND ` + c.column + ` = $3
			 AND (` + c.keys() + `) = (` + places(5, len(key)) + `)`,
			append([]any{v.Tenant, v.Version, v.Bytes, column.Bytes(now[i])}, key...),
		}
	}
	return s.execAll(ctx, "seal records anew", all)
}

// RetireKeys implements vault.Records. It counts before its transaction, which would
// keep all others waiting: nobody seals under the older keys any more.
func (s *SQL) RetireKeys(ctx context.Context, k vault.Key, header []byte) (bool, error) {
	n, err := s.CountStale(ctx, k.Tenant, header)
	if err != nil {
		return false, err
	}
	if n > 0 {
		return false, conflict(vault.CodeKeyInUse, "the tenant %q has %d records under a key before its latest", k.Tenant, n).
			WithHint("seal them anew first")
	}
	replaced := false
	err = s.write(ctx, "retire a tenant's keys", func(ctx context.Context, tx Conn) error {
		n, err := s.d.ExecAll(ctx, tx, []Statement{replaceKey(k)})
		replaced = n == 1
		if err != nil || !replaced {
			return err
		}
		_, err = execOn(ctx, tx, `UPDATE tenants SET payloads_sealed = TRUE WHERE id = $1 AND NOT payloads_sealed`, k.Tenant)
		return err
	})
	return replaced && err == nil, err
}

func scanKey(r scanner) (vault.Key, error) {
	var k vault.Key
	err := r.Scan(&k.Tenant, &k.KeyID, &k.Wrapped, &k.Version, &k.Generation, &k.RotatedBy, &k.Seed, &k.Sealing)
	return k, err
}
