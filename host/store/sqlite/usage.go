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

func addUsed(ctx context.Context, tx store.Conn, t usage.Total) error {
	args := []any{t.Tenant, string(t.Day), t.Installation}
	for _, n := range finish.Figures(t) {
		args = append(args, n)
	}
	_, err := tx.ExecContext(ctx, addUsage, args...)
	return err
}
