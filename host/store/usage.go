package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/usage"
)

// usageSums are the columns of a total. SUM of a BIGINT is no BIGINT on Postgres.
const usageSums = `CAST(COALESCE(SUM(u.executions), 0) AS BIGINT), CAST(COALESCE(SUM(u.attempts), 0) AS BIGINT),
 CAST(COALESCE(SUM(u.fuel), 0) AS BIGINT), CAST(COALESCE(SUM(u.cpu_ns), 0) AS BIGINT), CAST(COALESCE(SUM(u.wall_ns), 0) AS BIGINT),
 CAST(COALESCE(SUM(u.host_calls), 0) AS BIGINT), CAST(COALESCE(SUM(u.input_bytes), 0) AS BIGINT),
 CAST(COALESCE(SUM(u.output_bytes), 0) AS BIGINT), COALESCE(MAX(u.memory_bytes), 0) `

// UsageByDay implements usage.Store.
func (s *SQL) UsageByDay(ctx context.Context, tenant, installation string, r usage.Range) ([]usage.Total, error) {
	w := usageOf(tenant, installation, r)
	return list(ctx, s, scanTotal,
		`SELECT u.tenant, u.day, '', `+usageSums+`FROM usage_days u `+w.String()+` GROUP BY u.tenant, u.day ORDER BY u.day`, w.args...)
}

// UsageByInstallation implements usage.Store.
func (s *SQL) UsageByInstallation(ctx context.Context, tenant, installation string, r usage.Range) ([]usage.Total, error) {
	w := usageOf(tenant, installation, r)
	return list(ctx, s, scanTotal,
		`SELECT u.tenant, '', u.installation, `+usageSums+`FROM usage_days u `+w.String()+` GROUP BY u.tenant, u.installation ORDER BY u.installation`, w.args...)
}

// UsageByTenant implements usage.Store. The tenants come first, so that a page
// reads no more than their days of the range.
func (s *SQL) UsageByTenant(ctx context.Context, r usage.Range, after string, limit int) ([]usage.Total, error) {
	return list(ctx, s, scanTotal,
		`SELECT t.id, '', '', `+usageSums+`FROM (SELECT id FROM tenants WHERE id > $1 AND state <> 'reserved' ORDER BY id LIMIT $2) t
		 LEFT JOIN usage_days u ON u.tenant = t.id AND u.day >= $3 AND u.day <= $4 GROUP BY t.id ORDER BY t.id`,
		after, limit, string(r.From), string(r.To))
}

func usageOf(tenant, installation string, r usage.Range) where {
	var w where
	w.and("u.tenant = ?", tenant)
	w.and("u.day >= ?", string(r.From))
	w.and("u.day <= ?", string(r.To))
	w.given("u.installation = ?", installation)
	return w
}

func scanTotal(r scanner) (usage.Total, error) {
	var t usage.Total
	err := r.Scan(&t.Tenant, &t.Day, &t.Installation, &t.Executions, &t.Attempts, &t.Fuel, &t.CPU, &t.Wall,
		&t.HostCalls, &t.InputBytes, &t.OutputBytes, &t.MemoryBytes)
	return t, err
}
