// Package usage is what runs have cost, by tenant, installation and UTC day.
//
//	r, err := ledger.Range("2026-11-01", "2026-11-30")
//	days, err := ledger.Days(ctx, tenant, "", r)
//
// A run is added in the transaction that ends it, under the fence of its claim
// (execution.Completion): one that is fenced off adds nothing, and none is added
// twice. It counts on the day that it ended, by the database's clock. What is
// added is what the run cost, whether it succeeded or not: a run that failed,
// was handed back or conflicted has cost as much. A run whose process died
// before it could say what it had cost is not in the sums.
//
// A row is one installation's day: coarse enough that a year of one is 366 rows,
// and fine enough that two installations never wait for each other's row.
package usage

import (
	"context"
	"time"
)

// Date is a UTC day, written 2026-11-20, so that dates compare as texts.
type Date string

// DateOf returns the UTC day of a time.
func DateOf(t time.Time) Date { return Date(t.UTC().Format(time.DateOnly)) }

// Total is what the runs of a tenant have cost, or, where they are set, those of
// one day or one installation of it.
type Total struct {
	Tenant       string `json:"tenant"`
	Day          Date   `json:"day,omitempty"`
	Installation string `json:"installation,omitempty"`
	// Executions counts those that a run brought to their end: one that is
	// redriven may end again.
	Executions int64 `json:"executions"`
	// Attempts counts the runs, those that were not counted against the
	// execution's tries too. A run that ended before it came to the plugin, because
	// the installation was paused, is none.
	Attempts int64 `json:"attempts"`
	// The sums of runtime.Usage's fields.
	Fuel        int64         `json:"fuel"`
	CPU         time.Duration `json:"cpu_ns"`
	Wall        time.Duration `json:"wall_ns"`
	HostCalls   int64         `json:"host_calls"`
	InputBytes  int64         `json:"input_bytes"`
	OutputBytes int64         `json:"output_bytes"`
	// MemoryBytes is the most that one run had.
	MemoryBytes int64 `json:"memory_bytes"`
}

// Plus returns t with another total's figures added. It stays the same tenant's,
// day's and installation's.
func (t Total) Plus(o Total) Total {
	t.Executions += o.Executions
	t.Attempts += o.Attempts
	t.Fuel += o.Fuel
	t.CPU += o.CPU
	t.Wall += o.Wall
	t.HostCalls += o.HostCalls
	t.InputBytes += o.InputBytes
	t.OutputBytes += o.OutputBytes
	t.MemoryBytes = max(t.MemoryBytes, o.MemoryBytes)
	return t
}

// Range is some days, both ends included.
type Range struct{ From, To Date }

// Store sums up what was added. An empty installation selects all of the tenant's.
type Store interface {
	// UsageByDay returns a total for each day that has one, the earliest first.
	UsageByDay(ctx context.Context, tenant, installation string, r Range) ([]Total, error)
	// UsageByInstallation returns a total for each installation that has one, by id.
	UsageByInstallation(ctx context.Context, tenant, installation string, r Range) ([]Total, error)
	// UsageByTenant returns the total of each of up to limit tenants after an id,
	// by id; those that ran nothing have zeros.
	UsageByTenant(ctx context.Context, r Range, after string, limit int) ([]Total, error)
}
