package sqlite

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/finish"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// addUsage adds a run to its day. There is one writer, so that no row is waited for.
const addUsage = finish.AddUsage + `VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)` +
	finish.SumUsage + `max(u.memory_bytes, excluded.memory_bytes)`

func (s *Store) addUsage(ctx context.Context, tx store.Conn, t usage.Total) error {
	if !s.counts.Load() {
		// The schema may be the one before ours, which does not count.
		var tables int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'usage_days'`).Scan(&tables)
		if err != nil || tables == 0 {
			return err
		}
		s.counts.Store(true)
	}
	args := []any{t.Tenant, string(t.Day), t.Installation}
	for _, n := range finish.Figures(t) {
		args = append(args, n)
	}
	_, err := tx.ExecContext(ctx, addUsage, args...)
	return err
}
