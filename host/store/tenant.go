package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// tenantColumns is followed by a condition. Those that were deleted are not found, and the
// one under which the operator's own is sealed is nobody's to find.
const tenantColumns = `SELECT id, name, title, running, weight, state, created_at, keep_days, keep_bytes, delete_at, rate, burst, queued
 FROM tenants WHERE state NOT IN ('deleted', 'reserved') AND `

// InsertTenant implements tenant.Store.
func (s *SQL) InsertTenant(ctx context.Context, t tenant.Tenant) error {
	err := s.d.Write(audit.Made(ctx, t.ID), func(ctx context.Context, tx Conn) error {
		_, err := execOn(ctx, tx,
			`INSERT INTO tenants (id, name, title, running, weight, state, created_at, keep_days, keep_bytes, rate, burst, queued)
			 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			t.ID, t.Name, t.Title, t.Limits.Running, t.Limits.Weight, string(t.State), column.Micros(t.CreatedAt),
			t.Retention.Days, t.Retention.Bytes, t.Limits.Rate, t.Limits.Burst, t.Limits.Queued)
		return err
	})
	return s.refused(err, "insert a tenant", tenantTaken(t), nil)
}

// Tenant implements tenant.Store.
func (s *SQL) Tenant(ctx context.Context, idOrName string) (tenant.Tenant, error) {
	return find(ctx, s, fault.NotFound("tenant", idOrName), scanTenant, tenantColumns+`(id = $1 OR name = $1)`, idOrName)
}

// Tenants implements tenant.Store.
func (s *SQL) Tenants(ctx context.Context, after string, limit int) ([]tenant.Tenant, error) {
	return list(ctx, s, scanTenant, tenantColumns+`id > $1 ORDER BY id LIMIT $2`, after, limit)
}

// UpdateTenant implements tenant.Store.
func (s *SQL) UpdateTenant(ctx context.Context, t, was tenant.Tenant) error {
	l, before := t.Limits, was.Limits
	err := s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE tenants SET name = $2, title = $3, running = $4, weight = $5, state = $6, keep_days = $7, keep_bytes = $8,
			   rate = $17, burst = $18, queued = $19
			 WHERE id = $1 AND name = $9 AND title = $10 AND running = $11 AND weight = $12 AND state = $13
			   AND keep_days = $14 AND keep_bytes = $15 AND delete_at = $16 AND state <> 'reserved'
			   AND rate = $20 AND burst = $21 AND queued = $22`,
			t.ID, t.Name, t.Title, l.Running, l.Weight, string(t.State), t.Retention.Days, t.Retention.Bytes,
			was.Name, was.Title, before.Running, before.Weight, string(was.State), was.Retention.Days, was.Retention.Bytes,
			column.Micros(was.DeleteAt), l.Rate, l.Burst, l.Queued, before.Rate, before.Burst, before.Queued)
		if err != nil || n == 1 {
			return err
		}
		return tenantChanged(ctx, tx, t)
	})
	return s.refused(err, "update a tenant", tenantTaken(t), nil)
}

// tenantChanged says why an update changed nothing.
func tenantChanged(ctx context.Context, tx Conn, t tenant.Tenant) error {
	n, err := scanInt(tx.QueryRowContext(ctx, `SELECT count(*) FROM tenants WHERE id = $1 AND state <> 'reserved'`, t.ID))
	switch {
	case err != nil:
		return err
	case n == 0:
		return fault.NotFound("tenant", t.ID)
	default:
		return conflict(tenant.CodeChanged, "the tenant %q has been changed since it was read", t.ID).
			WithHint("read it again and repeat the change")
	}
}

func scanTenant(r scanner) (tenant.Tenant, error) {
	var t tenant.Tenant
	var created, ends int64
	err := r.Scan(&t.ID, &t.Name, &t.Title, &t.Limits.Running, &t.Limits.Weight, &t.State, &created, &t.Retention.Days, &t.Retention.Bytes, &ends,
		&t.Limits.Rate, &t.Limits.Burst, &t.Limits.Queued)
	t.CreatedAt, t.DeleteAt = column.Time(created), column.Time(ends)
	return t, err
}

func tenantTaken(t tenant.Tenant) *fault.Error {
	return conflict("tenant_exists", "there is a tenant named %q already", t.Name).At("/name")
}
