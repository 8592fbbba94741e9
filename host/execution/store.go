package execution

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

// Filter selects executions of a tenant. Zero fields select all.
type Filter struct {
	Installation string
	State        State
	Kind         event.Kind
	Name         string
	Event        string
	Fingerprint  string
	Tag          emit.Tag
	// Before is an id: only older executions. Limit is at most 200.
	Before string
	Limit  int
}

// DeadLetters is a group of dead executions with one fingerprint.
type DeadLetters struct {
	Fingerprint  string    `json:"fingerprint"`
	Installation string    `json:"installation"`
	Class        string    `json:"class"`
	Code         string    `json:"code"`
	Message      string    `json:"message"`
	Count        int       `json:"count"`
	First        time.Time `json:"first"`
	Last         time.Time `json:"last"`
	// Sample is the newest execution of the group.
	Sample string `json:"sample"`
}

// Reader finds executions. Another tenant's execution is fault.NotFound.
type Reader interface {
	Execution(ctx context.Context, tenant, id string) (Execution, error)
	// Trace returns the execution with its event and attempts.
	Trace(ctx context.Context, tenant, id string) (Trace, error)
	// Executions lists the newest first.
	Executions(ctx context.Context, tenant string, f Filter) ([]Execution, error)
	// Changed lists executions of a tenant that changed at or after a time, oldest
	// change first, for a live tail.
	Changed(ctx context.Context, tenant string, since time.Time, limit int) ([]Execution, error)
	DeadLetters(ctx context.Context, tenant string) ([]DeadLetters, error)
	// Journal returns what the execution's runs have recorded.
	Journal(ctx context.Context, tenant, id string) (Recorded, error)
}

// Store keeps executions.
type Store interface {
	Reader
	// Cancel cancels a queued or waiting execution at once, and asks a running
	// one to end. It returns the state that it is in after.
	Cancel(ctx context.Context, tenant, id string) (State, error)
	// Redrive queues a dead or cancelled execution again. A Conflict fault otherwise.
	Redrive(ctx context.Context, tenant, id string, r Redriving) error
	// Release queues what waits for a reason, such as ReasonPaused, in an
	// installation or, with an empty one, in the tenant.
	Release(ctx context.Context, tenant, installation, reason string) (int, error)
	Reconnecting
	Depths
	Pausing
}

// Pins says what still needs a plugin version.
type Pins interface {
	// Pinned counts installations that are not removed and executions that may
	// still run on a version.
	Pinned(ctx context.Context, versionID string) (installations, executions int, err error)
}
