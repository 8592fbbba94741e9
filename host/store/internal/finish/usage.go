package finish

import (
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// The statement that adds totals to their days is AddUsage, the rows, SumUsage,
// and the larger of u.memory_bytes and excluded.memory_bytes, for which each
// database has a function of its own. A row has the tenant, the day, the
// installation, and the Figures.
const (
	AddUsage = `INSERT INTO usage_days AS u (tenant, day, installation,
   executions, attempts, fuel, cpu_ns, wall_ns, host_calls, input_bytes, output_bytes, memory_bytes)
 `
	SumUsage = ` ON CONFLICT (tenant, day, installation) DO UPDATE SET
   executions = u.executions + excluded.executions, attempts = u.attempts + excluded.attempts, fuel = u.fuel + excluded.fuel,
   cpu_ns = u.cpu_ns + excluded.cpu_ns, wall_ns = u.wall_ns + excluded.wall_ns, host_calls = u.host_calls + excluded.host_calls,
   input_bytes = u.input_bytes + excluded.input_bytes, output_bytes = u.output_bytes + excluded.output_bytes, memory_bytes = `
)

// Figures are a total's columns, in the order of AddUsage.
func Figures(t usage.Total) [9]int64 {
	return [...]int64{
		t.Executions, t.Attempts, t.Fuel, int64(t.CPU), int64(t.Wall), t.HostCalls, t.InputBytes, t.OutputBytes, t.MemoryBytes,
	}
}

// Used is what a run adds to the total of the day that it ends on. ok is false if
// that is nothing: it did not come to the plugin, and ended nothing.
func Used(c execution.Completion, r Row, installation string, now time.Time) (t usage.Total, ok bool) {
	u := c.Usage
	t = usage.Total{
		Tenant: c.Tenant, Day: usage.DateOf(now), Installation: installation,
		Fuel: u.Fuel, CPU: u.CPU, Wall: u.Wall, HostCalls: int64(u.HostCalls),
		InputBytes: int64(u.InputBytes), OutputBytes: int64(u.OutputBytes), MemoryBytes: u.MemoryBytes,
	}
	if column.StateOf(r.State).Done() {
		t.Executions = 1
	}
	if c.Counted || u != (runtime.Usage{}) {
		t.Attempts = 1
	}
	return t, t.Executions+t.Attempts > 0
}
