package store

import (
	"context"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// awaiting are executions that wait for a connection, as the index on them has it.
const awaiting = `state = 2 AND reason = 'reconnect'`

// Reconnect implements execution.Reconnecting. What began to wait under a program that
// did not say for which connection goes on with any of them.
func (s *SQL) Reconnect(ctx context.Context, tenant, connection string) (int, error) {
	n, err := s.exec(ctx, "queue what waits for a connection",
		`UPDATE executions SET state = 0, reason = '', worker = '', run_at = $3, changed_at = $3
		 WHERE tenant = $1 AND worker IN ($2, '') AND `+awaiting, tenant, connection, column.Micros(s.d.Clock()))
	return int(n), err
}

// Awaited implements execution.Reconnecting.
func (s *SQL) Awaited(ctx context.Context, tenant string) ([]execution.Awaited, error) {
	return list(ctx, s, scanAwaited,
		`SELECT tenant, worker, count(*), MIN(id), MIN(changed_at) FROM executions
		 WHERE `+awaiting+` AND worker <> '' AND (tenant = $1 OR $1 = '') GROUP BY tenant, worker ORDER BY tenant, worker`, tenant)
}

// NextAwaited implements execution.Reconnecting.
func (s *SQL) NextAwaited(ctx context.Context, tenant, connection string) (execution.Awaited, error) {
	return find(ctx, s, fault.NotFound("connection that is waited for after", connection), scanAwaitedOf,
		`SELECT tenant, worker FROM executions WHERE `+awaiting+` AND worker <> '' AND (tenant, worker) > ($1, $2)
		 ORDER BY tenant, worker LIMIT 1`, tenant, connection)
}

// Stranded implements execution.Reconnecting. It looks before it writes: mostly there is
// nothing.
func (s *SQL) Stranded(ctx context.Context) ([]string, error) {
	const which = `FROM executions e WHERE e.state = 2 AND e.reason = 'reconnect' AND e.run_at = $1 AND NOT EXISTS (
	   SELECT 1 FROM authorizations a WHERE a.tenant = e.tenant AND a.connection = e.worker AND a.state = 'broken')`
	found, err := list(ctx, s, scanAwaitedOf, `SELECT DISTINCT e.tenant, e.worker `+which, int64(column.Never))
	if err != nil {
		return nil, err
	}
	var tenants []string
	for _, a := range found {
		n, err := s.Reconnect(ctx, a.Tenant, a.Connection)
		if err != nil {
			return tenants, err
		}
		if n > 0 {
			tenants = append(tenants, a.Tenant)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(tenants))), nil
}

func scanAwaited(r scanner) (execution.Awaited, error) {
	var a execution.Awaited
	var since int64
	err := r.Scan(&a.Tenant, &a.Connection, &a.Waiting, &a.Oldest, &since)
	a.Since = column.Time(since)
	return a, err
}

func scanAwaitedOf(r scanner) (execution.Awaited, error) {
	var a execution.Awaited
	err := r.Scan(&a.Tenant, &a.Connection)
	return a, err
}
