package execution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// ErrFenced means that the claim is not the execution's latest any more, or that
// it is not running: nothing was written.
var ErrFenced = errors.New("the claim was fenced off")

// StateConflictError means that state which the run read has changed since:
// nothing was written.
type StateConflictError struct {
	// Key is the first of those that have changed.
	Key string
}

// Error implements error.
func (e *StateConflictError) Error() string {
	return fmt.Sprintf("the state %q that was read has changed", e.Key)
}

// Completion is how a run ended. All of it commits in one transaction, or none.
type Completion struct {
	Tenant    string
	Execution string
	// Claim is the one that the run was made under.
	Claim int64
	// OrderKey is that of the claim.
	OrderKey string
	// Outcome is Succeeded, Waiting, Dead, Cancelled, or Queued to hand it back.
	Outcome State
	// Counted says that the run counts as an attempt.
	Counted bool
	// Execution's fields, each as in Execution.
	Reason      string
	Until       time.Time
	WaitsFor    string
	VersionID   string
	Output      []byte
	Error       []byte
	Fingerprint string
	// Attempt is the run's trace, as JSON of an Attempt; nil keeps none.
	Attempt []byte
	// Usage is what the run cost, whatever its outcome: it is added to the day's
	// total of the execution's tenant and installation (package usage).
	Usage runtime.Usage
	// Journal is added to the execution's journal, whatever the Outcome; nil adds
	// nothing. A World that is not nil takes the place of the one that is pinned.
	Journal *journal.Segment
	World   []byte

	// Checkpointed says that the execution waits, and what follows is applied all the
	// same: what it has done so far is over.
	Checkpointed bool

	// What follows is applied only if Outcome is Succeeded, or it is Checkpointed.

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

// Beginning is what is recorded before a run does anything.
type Beginning struct {
	// VersionID is pinned, and the start if it is the first run.
	VersionID string
	// World, unless nil, is pinned, and settles the Mode of a redrive.
	World []byte
	// Journal, unless nil, is added to the journal.
	Journal *journal.Segment
}

// Recorded is the journal of an execution as it is stored.
type Recorded struct {
	// World is what was pinned, nil if no run has begun.
	World []byte
	// Segments are in the order in which they were written.
	Segments []journal.Segment
}

// Runs is the worker's side of the store.
type Runs interface {
	// Begin records that a claimed execution runs. ErrFenced if the claim is stale.
	Begin(ctx context.Context, c Claimed, b Beginning) error
	// Journal returns what earlier runs of an execution have recorded.
	Journal(ctx context.Context, tenant, execution string) (Recorded, error)
	// Append makes a segment durable before it returns. ErrFenced if the claim is
	// stale: whoever claims after it reads it.
	Append(ctx context.Context, c Claimed, s journal.Segment) error
	// Complete ends a run. See Completion; ErrFenced, *StateConflictError.
	Complete(ctx context.Context, c Completion) error
	// State reads the committed state of an installation.
	State(tenant, installation string) state.Reader
	// Cursor returns a poll's checkpoint, nil if it has none.
	Cursor(ctx context.Context, tenant, installation, poll string) ([]byte, error)
}
