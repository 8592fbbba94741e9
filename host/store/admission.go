package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// Queued implements admission.Queue. Each part is counted on an index, and no further than
// it is asked for; what waits for a time, or for a person to decide, is not counted.
func (s *SQL) Queued(ctx context.Context, tenant, installation, webhook string, most int) (int, error) {
	of, args := ``, []any{tenant, most}
	if installation != "" {
		of, args = ` AND installation = $3 AND kind = 'webhook' AND name = $4`, append(args, installation, webhook)
	}
	n, err := find(ctx, s, nil, scanInt,
		`SELECT (SELECT count(*) FROM (SELECT 1 FROM executions WHERE tenant = $1 AND state = 0`+of+` LIMIT $2) q)
		      + (SELECT count(*) FROM (SELECT 1 FROM executions WHERE tenant = $1 AND state = 2
		           AND reason IN ('paused', 'order', 'reconnect', 'connection_paused', 'circuit_open')`+of+` LIMIT $2) p)`, args...)
	return min(n, most), err
}

// Workers implements admission.Queue.
func (s *SQL) Workers(ctx context.Context) (int, error) {
	return find(ctx, s, nil, scanInt, `SELECT count(*) FROM workers WHERE lease_until >= $1 AND NOT reaped`, column.Micros(s.d.Clock()))
}
