package execution

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

// Claimed is an execution that a worker has claimed, with what its run needs.
type Claimed struct {
	Tenant    string
	Execution string
	Claim     int64
	Attempt   int
	// Crashes is how many workers in a row have died while they ran it: those that had
	// only claimed it do not count.
	Crashes int
	Lane    event.Lane
	// QueuedAt is when it could have been claimed first, for measuring waits.
	QueuedAt time.Time
	// OrderKey is that of its event.Work, and Capped says that its installation has a cap
	// of its own: others of its tenant may be claimed once it has ended.
	OrderKey string
	Capped   bool
}

// Quota is how many executions of a tenant a worker wants to claim.
type Quota struct {
	Tenant string
	N      int
	// Running is the tenant's cluster-wide cap on executions in flight: no claim exceeds it.
	Running int
}

// Backlog is a tenant with executions that are due.
type Backlog struct {
	Tenant  string
	Running int
	Weight  int
}

// Claims is the queue's side of the store.
type Claims interface {
	// Backlogs lists the active tenants that have due executions, with their limits.
	Backlogs(ctx context.Context) ([]Backlog, error)
	// Claim claims up to the quota of each tenant for a worker, lanes first, oldest first.
	// What an installation is at its own cap with is passed over.
	Claim(ctx context.Context, worker string, quotas []Quota) ([]Claimed, error)
	// Promote queues waiting executions whose time has come, at most limit, and
	// returns the tenants that have new work and when the next one is due.
	Promote(ctx context.Context, limit int) (tenants []string, next time.Time, err error)
	// Heartbeat extends the worker's lease. The first one registers the worker. It
	// returns executions of this worker whose cancellation was asked for, and
	// ErrFenced if the lease had been lost: then the worker's claims are not its any more.
	Heartbeat(ctx context.Context, worker string, lease time.Duration) (cancelled []string, err error)
	// Reap queues the running executions of workers whose lease has run out (and
	// cancels those whose cancellation was asked for), and returns their tenants.
	Reap(ctx context.Context) ([]string, error)
	// Retire removes a worker that holds no claims.
	Retire(ctx context.Context, worker string) error
}

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
