package execution

import (
	"context"
	"fmt"
	"time"
)

// CountMost is where counting ends: a Depth that says so many of something has so many
// at least.
const CountMost = 10_000

// Depth is how much work a tenant, or one of its installations, has that is not done.
type Depth struct {
	// Tenant or Installation is whose it is, by id, and Name what people call it.
	Tenant       string `json:"tenant,omitempty" doc:"The tenant's id, in a list of tenants."`
	Installation string `json:"installation,omitempty" doc:"The installation's id, in a list of installations."`
	Name         string `json:"name"`
	State        string `json:"state" doc:"That of the tenant or installation: what is paused gathers work."`
	// Weight is a tenant's share of the workers.
	Weight int   `json:"weight,omitempty" doc:"The tenant's share of the workers."`
	Cap    int   `json:"cap" doc:"How many may run at once, in the cluster; 0 for an installation that has only its tenant's cap."`
	Queued Lanes `json:"queued" doc:"What could run now, by lane; 10000 of one is that or more."`
	// Running is exact.
	Running int            `json:"running"`
	Waiting map[string]int `json:"waiting" doc:"What waits, by its reason; 10000 of one is that or more."`
	// OldestDueAt is since when the oldest of the queued could have run, zero for none.
	OldestDueAt time.Time `json:"oldest_due_at,omitzero" doc:"Since when the oldest of the queued could have run; left out if nothing is queued."`
}

// Lanes counts by lane.
type Lanes struct {
	Interactive int `json:"interactive"`
	Live        int `json:"live"`
	Backfill    int `json:"backfill"`
}

// Depths looks at the queue. What it costs does not grow with the backlogs: a Depth
// counts CountMost of each lane and reason and no more, on indexes alone.
type Depths interface {
	// TenantDepths lists up to limit tenants after an id that have anything queued,
	// running or waiting, by id. It costs three look-ups for each tenant that it passes,
	// and the counting for those that it returns.
	TenantDepths(ctx context.Context, after string, limit int) ([]Depth, error)
	// InstallationDepths lists up to limit installations of a tenant after an id, by id:
	// those that are not removed, and those that have something queued. It costs the
	// counting for each, and for each reason one hop for each installation that waits.
	InstallationDepths(ctx context.Context, tenant, after string, limit int) ([]Depth, error)
}

// TenantDepths lists up to limit tenants after an id that have work, by id.
func (x *Executions) TenantDepths(ctx context.Context, after string, limit int) ([]Depth, error) {
	all, err := x.c.Store.TenantDepths(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("look at the queue: %w", err)
	}
	return all, nil
}

// InstallationDepths lists up to limit installations of a tenant after an id, by id.
func (x *Executions) InstallationDepths(ctx context.Context, tenant, after string, limit int) ([]Depth, error) {
	all, err := x.c.Store.InstallationDepths(ctx, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("look at a tenant's queue: %w", err)
	}
	return all, nil
}
