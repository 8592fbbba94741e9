package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// tenantColumns is followed by a condition, and tenantColumnsBefore is that of the schema
// before. Those that were deleted are not found, and the
// one under which the operator's own is sealed is nobody's to find.
const (
	tenantColumns       = tenantFields + `, rate, burst, queued` + thoseThere
	tenantColumnsBefore = tenantFields + `, 0, 0, 0` + thoseThere
	tenantFields        = `SELECT id, name, title, running, weight, state, created_at, keep_days, keep_bytes, delete_at`
	thoseThere          = ` FROM tenants WHERE state NOT IN ('deleted', 'reserved') AND `
)

// InsertTenant implements tenant.Store.
func (s *SQL) InsertTenant(ctx context.Context, t tenant.Tenant) error {
	err := s.d.Write(audit.Made(ctx, t.ID), func(ctx context.Context, tx Conn) error {
		_, err := execOn(ctx, tx,
			`INSERT INTO tenants (id, name, title, running, weight, state, created_at, keep_days, keep_bytes)
			 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			t.ID, t.Name, t.Title, t.Limits.Running, t.Limits.Weight, string(t.State), column.Micros(t.CreatedAt),
			t.Retention.Days, t.Retention.Bytes)
		if err != nil {
			return err
		}
		return limitIntake(ctx, tx, t, tenant.Limits{})
	})
	return s.refused(err, "insert a tenant", tenantTaken(t), nil)
}

// limitIntake changes what bounds a tenant's webhooks, if that is another than it was: the
// schema before has no place for it.
func limitIntake(ctx context.Context, tx Conn, t tenant.Tenant, was tenant.Limits) error {
	l := t.Limits
	if l.Rate == was.Rate && l.Burst == was.Burst && l.Queued == was.Queued {
		return nil
	}
	n, err := execOn(ctx, tx,
		`UPDATE tenants SET rate = $2, burst = $3, queued = $4 WHERE id = $1 AND rate = $5 AND burst = $6 AND queued = $7`,
		t.ID, l.Rate, l.Burst, l.Queued, was.Rate, was.Burst, was.Queued)
	if err == nil && n == 0 {
		return tenantChanged(ctx, tx, t)
	}
	return err
}

// Tenant implements tenant.Store.
func (s *SQL) Tenant(ctx context.Context, idOrName string) (tenant.Tenant, error) {
	none := fault.NotFound("tenant", idOrName)
	t, err := find(ctx, s, none, scanTenant, tenantColumns+`(id = $1 OR name = $1)`, idOrName)
	if isOutdated(err) {
		return find(ctx, s, none, scanTenant, tenantColumnsBefore+`(id = $1 OR name = $1)`, idOrName)
	}
	return t, err
}

// Tenants implements tenant.Store.
func (s *SQL) Tenants(ctx context.Context, after string, limit int) ([]tenant.Tenant, error) {
	all, err := list(ctx, s, scanTenant, tenantColumns+`id > $1 ORDER BY id LIMIT $2`, after, limit)
	if isOutdated(err) {
		return list(ctx, s, scanTenant, tenantColumnsBefore+`id > $1 ORDER BY id LIMIT $2`, after, limit)
	}
	return all, err
}

// UpdateTenant implements tenant.Store.
func (s *SQL) UpdateTenant(ctx context.Context, t, was tenant.Tenant) error {
	err := s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE tenants SET name = $2, title = $3, running = $4, weight = $5, state = $6, keep_days = $7, keep_bytes = $8
			 WHERE id = $1 AND name = $9 AND title = $10 AND running = $11 AND weight = $12 AND state = $13
			   AND keep_days = $14 AND keep_bytes = $15 AND delete_at = $16 AND state <> 'reserved'`,
			t.ID, t.Name, t.Title, t.Limits.Running, t.Limits.Weight, string(t.State), t.Retention.Days, t.Retention.Bytes,
			was.Name, was.Title, was.Limits.Running, was.Limits.Weight, string(was.State), was.Retention.Days, was.Retention.Bytes,
			column.Micros(was.DeleteAt))
		if err != nil {
			return err
		}
		if n == 0 {
			return tenantChanged(ctx, tx, t)
		}
		return limitIntake(ctx, tx, t, was.Limits)
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
