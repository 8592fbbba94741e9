package execution

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
)

// flightsMost bounds a list of what is in flight, and flightsEvery is how often a Drain
// looks.
const (
	flightsMost  = 100
	flightsEvery = 200 * time.Millisecond
)

// Flight is an execution that runs now.
type Flight struct {
	Tenant       string     `json:"tenant"`
	Installation string     `json:"installation"`
	Execution    string     `json:"execution"`
	Kind         event.Kind `json:"kind"`
	Name         string     `json:"name"`
	// Since is when it was claimed.
	Since time.Time `json:"since"`
}

// Flights selects what is in flight. Fields that are empty select all.
type Flights struct {
	Tenant       string
	Installation string
	// Plugin is an id.
	Plugin string
	// At leaves out what was claimed after it and has not begun to run.
	At time.Time
}

// Pausing is the part of a Store that pausing needs, beside Release.
type Pausing interface {
	// ReleasePlugin queues what waits for ReasonPaused in installations of a plugin, by
	// its id, and returns the tenants that have new work.
	ReleasePlugin(ctx context.Context, plugin string) (tenants []string, err error)
	// InFlight lists what runs, the longest first. It costs what runs in the cluster.
	InFlight(ctx context.Context, f Flights, limit int) ([]Flight, error)
}

// ReleasePlugin has what waited run because a plugin was paused.
func (x *Executions) ReleasePlugin(ctx context.Context, plugin string) error {
	tenants, err := x.c.Store.ReleasePlugin(ctx, plugin)
	if err != nil {
		return fmt.Errorf("release executions: %w", err)
	}
	for _, tenant := range tenants {
		x.queued(ctx, tenant)
	}
	return nil
}

// Drained waits until nothing of what is selected is in flight, or until ctx ends, and
// returns what still runs, up to 100 of it, the longest first. Of what is paused nothing
// begins any more: what is claimed from now on is parked, and is not waited for.
func (x *Executions) Drained(ctx context.Context, f Flights) ([]Flight, error) {
	var err error
	if f.At, err = x.c.Clock(ctx); err != nil {
		return nil, fmt.Errorf("read the database's clock: %w", err)
	}
	for {
		left, err := x.c.Store.InFlight(context.WithoutCancel(ctx), f, flightsMost)
		if err != nil {
			return nil, fmt.Errorf("look what is in flight: %w", err)
		}
		if len(left) == 0 {
			return left, nil
		}
		select {
		case <-ctx.Done():
			return left, nil
		case <-x.c.After(flightsEvery):
		}
	}
}
