package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// queuedOf counts what is queued, as columns: of each lane how many, and since when its
// oldest is due. Whose is a condition on e; counting ends at CountMost.
func queuedOf(whose string) string {
	var columns []string
	for lane := range 3 {
		queued := `FROM executions e WHERE e.state = 0 AND ` + whose + ` AND e.lane = ` + strconv.Itoa(lane)
		columns = append(columns,
			`(SELECT count(*) FROM (SELECT 1 `+queued+` LIMIT `+strconv.Itoa(execution.CountMost)+`) x)`,
			`COALESCE((SELECT e.run_at `+queued+` ORDER BY e.run_at LIMIT 1), 0)`)
	}
	return strings.Join(columns, ", ")
}

// flying counts what runs, by tenant and installation: the index has as many entries as
// the cluster has slots. Where it were asked for each, a planner may take a longer one.
func (s *SQL) flying(ctx context.Context) (map[[2]string]int, error) {
	rows, err := list(ctx, s, scanFlying, `SELECT tenant, installation, count(*) FROM executions WHERE state = 1 GROUP BY tenant, installation`)
	all := make(map[[2]string]int, len(rows))
	for _, r := range rows {
		all[[2]string{r.Tenant, r.Installation}] = r.Running
		all[[2]string{r.Tenant}] += r.Running
	}
	return all, err
}

func scanFlying(r scanner) (execution.Depth, error) {
	var d execution.Depth
	err := r.Scan(&d.Tenant, &d.Installation, &d.Running)
	return d, err
}

// TenantDepths implements execution.Depths.
func (s *SQL) TenantDepths(ctx context.Context, after string, limit int) ([]execution.Depth, error) {
	all, err := list(ctx, s, scanDepth,
		`SELECT t.id, '', t.name, t.state, t.weight, t.running, `+queuedOf(`e.tenant = t.id`)+` FROM tenants t WHERE t.id > $1 AND (
		   EXISTS (SELECT 1 FROM executions e WHERE e.state = 0 AND e.tenant = t.id)
		   OR t.id IN (SELECT e.tenant FROM executions e WHERE e.state = 1)
		   OR EXISTS (SELECT 1 FROM executions e WHERE e.state = 2 AND e.tenant = t.id)) ORDER BY t.id LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	flying, err := s.flying(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Running = flying[[2]string{all[i].Tenant}]
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
		`SELECT '', i.id, i.name, i.state, 0, i.running, `+queuedOf(whose)+` FROM installations i WHERE i.tenant = $1 AND i.id > $2 AND (
		   i.state <> 'removed' OR EXISTS (SELECT 1 FROM executions e WHERE e.state = 0 AND `+whose+`)) ORDER BY i.id LIMIT $3`,
		tenant, after, limit)
	if err != nil || len(all) == 0 {
		return all, err
	}
	flying, err := s.flying(ctx)
	if err != nil {
		return nil, err
	}
	at := make(map[string]map[string]int, len(all))
	for i, d := range all {
		all[i].Running, at[d.Installation] = flying[[2]string{tenant, d.Installation}], d.Waiting
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
		&q.Interactive, &due[0], &q.Live, &due[1], &q.Backfill, &due[2])
	oldest := int64(0)
	for _, at := range due {
		if at > 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	d.OldestDueAt = column.Time(oldest)
	return d, err
}
