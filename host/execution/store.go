package execution

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// ErrFenced means that the claim is not the execution's latest any more, or that
// it is not running: nothing was written.
var ErrFenced = errors.New("the claim was fenced off")

// ErrStateConflict means that state which the run read has changed since:
// nothing was written.
var ErrStateConflict = errors.New("state that was read has changed")

// Completion is how a run ended. All of it commits in one transaction, or none.
type Completion struct {
	Tenant    string
	Execution string
	// Claim is the one that the run was made under.
	Claim int64
	// Outcome is Succeeded, Waiting, Dead, Cancelled, or Queued to hand it back.
	Outcome State
	// Counted says that the run counts as an attempt.
	Counted bool
	// Execution's fields, each as in Execution.
	Reason      string
	Until       time.Time
	VersionID   string
	Output      []byte
	Error       []byte
	Fingerprint string
	// Attempt is the run's trace, as JSON of an Attempt; nil keeps none.
	Attempt []byte

	// What follows is applied only if Outcome is Succeeded.

	State   state.Changes
	Records []event.Event
	Tags    []emit.Tag
	// Checkpoint is the cursor of the poll, nil for none.
	Checkpoint *Checkpoint
}

// Checkpoint is how far a poll has come.
type Checkpoint struct {
	Installation string
	Poll         string
	Cursor       []byte
}

// Claimed is an execution that a worker has claimed, with what its run needs.
type Claimed struct {
	Tenant    string
	Execution string
	Claim     int64
	Attempt   int
	Lane      event.Lane
	// QueuedAt is when it could have been claimed first, for measuring waits.
	QueuedAt time.Time
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

// Runs is the worker's side of the store.
type Runs interface {
	// Begin records that a claimed execution runs: it pins the version, and the
	// start if it is the first run. ErrFenced if the claim is stale.
	Begin(ctx context.Context, c Claimed, versionID string) error
	// Complete ends a run. See Completion; ErrFenced, ErrStateConflict.
	Complete(ctx context.Context, c Completion) error
	// State reads the committed state of an installation.
	State(tenant, installation string) state.Reader
	// Cursor returns a poll's checkpoint, nil if it has none.
	Cursor(ctx context.Context, tenant, installation, poll string) ([]byte, error)
}

// Store keeps executions. Another tenant's execution is fault.NotFound.
type Store interface {
	Execution(ctx context.Context, tenant, id string) (Execution, error)
	// Trace returns the execution with its event and attempts.
	Trace(ctx context.Context, tenant, id string) (Trace, error)
	// Executions lists the newest first.
	Executions(ctx context.Context, tenant string, f Filter) ([]Execution, error)
	// Changed lists executions of a tenant that changed at or after a time, oldest
	// change first, for a live tail.
	Changed(ctx context.Context, tenant string, since time.Time, limit int) ([]Execution, error)
	// Cancel cancels a queued or waiting execution at once, and asks a running
	// one to end. It returns the state that it is in after.
	Cancel(ctx context.Context, tenant, id string) (State, error)
	// Redrive queues a dead or cancelled execution again, with its attempts counted
	// from zero and no version pinned. A Conflict fault otherwise.
	Redrive(ctx context.Context, tenant, id string) error
	// Release queues what waits for ReasonPaused in an installation, or, with an
	// empty installation, in the tenant.
	Release(ctx context.Context, tenant, installation string) (int, error)
	DeadLetters(ctx context.Context, tenant string) ([]DeadLetters, error)
}

// Pins says what still needs a plugin version.
type Pins interface {
	// Pinned counts installations that are not removed and executions that may
	// still run on a version.
	Pinned(ctx context.Context, versionID string) (installations, executions int, err error)
}
