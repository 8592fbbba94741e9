package shadow

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

// Filter selects executions of a tenant that have ended.
type Filter struct {
	VersionID string
	// Since and Until bound when they ended: from Since on, and before Until.
	Since, Until time.Time
	// Before is where to go on: those after it in the order of Ended. Defaults to the
	// beginning.
	Before Mark
}

// Mark is a place in the list of what has ended.
type Mark struct {
	FinishedAt time.Time
	ID         string
}

// Ended is an execution that has ended.
type Ended struct {
	Mark

	Installation string
}

// Recorded is what a recording is made of.
type Recorded struct {
	// Trace is without what was emitted.
	Trace   execution.Trace
	Journal execution.Recorded
}

// Store finds what has run.
type Store interface {
	// Holders lists the ids of the tenants that have, or had, an installation of a
	// plugin: those after one, in their order.
	Holders(ctx context.Context, plugin, after string, limit int) ([]string, error)
	// Ended lists executions, those first that ended last.
	Ended(ctx context.Context, tenant string, f Filter, limit int) ([]Ended, error)
	// CountEnded counts them.
	CountEnded(ctx context.Context, tenant string, f Filter) (int, error)
	// Recorded reads executions at once, by their ids. Those that are not there, or too
	// large to be read with the others, are left out.
	Recorded(ctx context.Context, tenant string, ids []string) (map[string]Recorded, error)
}
