package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// Buried implements redrive.Store.
func (s *SQL) Buried(ctx context.Context, tenant string, f redrive.Filter, after string, limit int) ([]execution.Execution, error) {
	w := buried(tenant, f)
	w.given("id > ?", after)
	query := w.String() + " ORDER BY id " + w.limit(limit)
	return s.executions(ctx, query, w.args...)
}

// BuriedGroups implements redrive.Store.
func (s *SQL) BuriedGroups(ctx context.Context, tenant string, f redrive.Filter) ([]execution.DeadLetters, error) {
	w := buried(tenant, f)
	return s.deadLetters(ctx, tenant,
		`SELECT g.fingerprint, g.installation, g.n, g.first_at, g.last_at, g.sample, e.error FROM (
		   SELECT fingerprint, installation, count(*) AS n, min(finished_at) AS first_at, max(finished_at) AS last_at, max(id) AS sample
		   FROM executions `+w.String()+` GROUP BY fingerprint, installation) g
		 JOIN executions e ON e.tenant = $1 AND e.id = g.sample ORDER BY g.n DESC, g.sample DESC`, w.args...)
}

// buried is the condition of a filter, but for class and code, which lie in JSON.
func buried(tenant string, f redrive.Filter) where {
	var w where
	w.and("tenant = ?", tenant)
	w.conds = append(w.conds, "state = 4") // As the partial indexes have it.
	w.given("installation = ?", f.Installation)
	w.given("fingerprint = ?", f.Fingerprint)
	w.given("kind = ?", string(f.Kind))
	w.given("name = ?", f.Name)
	if f.Tag.Name != "" {
		w.args = append(w.args, []byte(f.Tag.Name))
		w.and("id IN (SELECT execution FROM execution_tags WHERE tenant = $1 AND name = "+w.last()+" AND value = ?)", []byte(f.Tag.Value))
	}
	if !f.Since.IsZero() {
		w.and("finished_at >= ?", column.Micros(f.Since))
	}
	if !f.Until.IsZero() {
		w.and("finished_at < ?", column.Micros(f.Until))
	}
	return w
}
