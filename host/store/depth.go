package store

import (
	"context"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// depthOf counts what is queued and running, as columns: of each lane how many, since
// when its oldest is due, and how many run. Whose is a condition on e; counting ends at
// CountMost.
func depthOf(whose string) string {
	columns := ""
	for lane := range 3 {
		queued := `FROM executions e WHERE e.state = 0 AND ` + whose + ` AND e.lane = ` + strconv.Itoa(lane)
		columns += `(SELECT count(*) FROM (SELECT 1 ` + queued + ` LIMIT ` + strconv.Itoa(execution.CountMost) + `) x),
		 COALESCE((SELECT e.run_at ` + queued + ` ORDER BY e.run_at LIMIT 1), 0), `
	}
	return columns + `(SELECT count(*) FROM executions e WHERE e.state = 1 AND ` + whose + `)`
}

// TenantDepths implements execution.Depths.
func (s *SQL) TenantDepths(ctx context.Context, after string, limit int) ([]execution.Depth, error) {
	all, err := list(ctx, s, scanDepth,
		`SELECT t.id, '', t.name, t.state, t.weight, t.running, `+depthOf(`e.tenant = t.id`)+` FROM tenants t WHERE t.id > $1 AND (
		   EXISTS (SELECT 1 FROM executions e WHERE e.state = 0 AND e.tenant = t.id)
		   OR EXISTS (SELECT 1 FROM executions e WHERE e.state = 1 AND e.tenant = t.id)
		   OR EXISTS (SELECT 1 FROM executions e WHERE e.state = 2 AND e.tenant = t.id)) ORDER BY t.id LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	for i := range all {
		reasons, err := s.waiting(ctx, all[i].Tenant)
		if err != nil {
			return nil, err
		}
		for _, r := range reasons {
			all[i].Waiting[r.name] = r.n
		}
	}
	return all, nil
}

// InstallationDepths implements execution.Depths.
func (s *SQL) InstallationDepths(ctx context.Context, tenant, after string, limit int) ([]execution.Depth, error) {
	const whose = `e.tenant = $1 AND e.installation = i.id`
	all, err := list(ctx, s, scanDepth,
		`SELECT '', i.id, i.name, i.state, 0, i.running, `+depthOf(whose)+` FROM installations i WHERE i.tenant = $1 AND i.id > $2 AND (
		   i.state <> 'removed' OR EXISTS (SELECT 1 FROM executions e WHERE e.state = 0 AND `+whose+`)) ORDER BY i.id LIMIT $3`,
		tenant, after, limit)
	if err != nil || len(all) == 0 {
		return all, err
	}
	at := make(map[string]map[string]int, len(all))
	for _, d := range all {
		at[d.Installation] = d.Waiting
	}
	reasons, err := s.waiting(ctx, tenant)
	if err != nil {
		return nil, err
	}
	for _, r := range reasons {
		counted, err := list(ctx, s, scanCounted, hops(`e.state = 2 AND e.tenant = $1 AND e.reason = $2`, `e.installation`), tenant, r.name)
		if err != nil {
			return nil, err
		}
		for _, c := range counted {
			if waiting := at[c.name]; waiting != nil {
				waiting[r.name] = c.n
			}
		}
	}
	return all, nil
}

// waiting counts what waits of a tenant, by reason.
func (s *SQL) waiting(ctx context.Context, tenant string) ([]counted, error) {
	return list(ctx, s, scanCounted, hops(`e.state = 2 AND e.tenant = $1`, `e.reason`), tenant)
}

// hops is a query that goes from value to value of a column, on an index of what is
// asked for, and counts each up to CountMost: it costs the values and what it counts.
func hops(which, of string) string {
	first := `(SELECT ` + of + ` FROM executions e WHERE ` + which
	order := ` ORDER BY ` + of + ` LIMIT 1)`
	return `WITH RECURSIVE h (v) AS (
	   SELECT ` + first + order + ` UNION ALL SELECT ` + first + ` AND ` + of + ` > h.v` + order + ` FROM h WHERE h.v IS NOT NULL)
	 SELECT h.v, (SELECT count(*) FROM (SELECT 1 FROM executions e WHERE ` + which + ` AND ` + of + ` = h.v LIMIT ` +
		strconv.Itoa(execution.CountMost) + `) x) FROM h WHERE h.v IS NOT NULL`
}

// counted is how many there are of something.
type counted struct {
	name string
	n    int
}

func scanCounted(r scanner) (counted, error) {
	var c counted
	err := r.Scan(&c.name, &c.n)
	return c, err
}

func scanDepth(r scanner) (execution.Depth, error) {
	d := execution.Depth{Waiting: map[string]int{}}
	var due [3]int64
	q := &d.Queued
	err := r.Scan(&d.Tenant, &d.Installation, &d.Name, &d.State, &d.Weight, &d.Cap,
		&q.Interactive, &due[0], &q.Live, &due[1], &q.Backfill, &due[2], &d.Running)
	oldest := int64(0)
	for _, at := range due {
		if at > 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	d.OldestDueAt = column.Time(oldest)
	return d, err
}
