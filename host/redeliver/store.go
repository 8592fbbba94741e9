package redeliver

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// Outcome is an execution that a redelivery has made of an event.
type Outcome struct {
	Event     string          `json:"event"`
	Execution string          `json:"execution"`
	State     execution.State `json:"state"`
}

// OutcomeFilter selects outcomes.
type OutcomeFilter struct {
	// State is empty for all.
	State execution.State
	// After is an execution's id: only those that are listed after it. Limit defaults to
	// 50, and is at most 200.
	After string
	Limit int
}

// Window is a piece of the events of a tenant, in the order of their ids.
type Window struct {
	// Found are those that a Spec selects, but for its filter.
	Found []Found
	// End is the last id that was looked at, and More whether any may follow.
	End  string
	More bool
}

// Found is an event that may be redelivered.
type Found struct {
	Event string
	// Bytes is the size of its body, as it is stored.
	Bytes int
	// Latest is the state of its latest execution; empty for none.
	Latest execution.State
}

// Order is what to redeliver in one transaction.
type Order struct {
	// Job is the redelivery's id.
	Job string
	// Each is an execution's id by its event's.
	Each  map[string]string
	Force bool
}

// Store finds events, and makes executions of them.
type Store interface {
	// Deliveries looks at the next events after an id, at most limit of them.
	Deliveries(ctx context.Context, tenant string, s Spec, after string, limit int) (Window, error)
	// EventsOf reads events by their ids, with or without their bodies. Some may be
	// gone.
	EventsOf(ctx context.Context, tenant string, ids []string, bodies bool) ([]event.Event, error)
	// Redeliver makes the executions of an order, as far as the events' latest
	// executions allow, and counts. An execution that the same order has made before
	// counts as made, and is left as it is.
	Redeliver(ctx context.Context, tenant string, o Order) (redelivered int, skipped Skipped, err error)
	// Redelivered lists what a job has made that was created then.
	Redelivered(ctx context.Context, tenant, job string, created time.Time, f OutcomeFilter) ([]Outcome, error)
	// Now is the time that events are accepted by, about.
	Now(ctx context.Context) (time.Time, error)
}
