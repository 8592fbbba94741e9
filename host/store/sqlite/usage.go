package sqlite

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// addUsage adds a run to its day. There is one writer, so that no row is waited for.
const addUsage = `INSERT INTO usage_days AS u (tenant, day, installation, executions, attempts, fuel, cpu_ns, wall_ns,
   host_calls, input_bytes, output_bytes, memory_bytes)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
 ON CONFLICT (tenant, day, installation) DO UPDATE SET
   executions = u.executions + excluded.executions, attempts = u.attempts + excluded.attempts, fuel = u.fuel + excluded.fuel,
   cpu_ns = u.cpu_ns + excluded.cpu_ns, wall_ns = u.wall_ns + excluded.wall_ns, host_calls = u.host_calls + excluded.host_calls,
   input_bytes = u.input_bytes + excluded.input_bytes, output_bytes = u.output_bytes + excluded.output_bytes, memory_bytes = max(u.memory_bytes, excluded.memory_bytes)`

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
	_, err := tx.ExecContext(ctx, addUsage, t.Tenant, string(t.Day), t.Installation, t.Executions, t.Attempts, t.Fuel,
		int64(t.CPU), int64(t.Wall), t.HostCalls, t.InputBytes, t.OutputBytes, t.MemoryBytes)
	return err
}
