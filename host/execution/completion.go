package execution

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
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
	// Usage is what the run cost, whatever its outcome: it is added to the day's
	// total of the execution's tenant and installation (package usage).
	Usage runtime.Usage

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
