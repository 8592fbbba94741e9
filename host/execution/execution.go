// Package execution is the work that one event causes in one installation.
//
//	                     claim                    success
//	event --> queued ------------> running ------------------> succeeded
//	            ^  ^                 | | |
//	 promote    |  |  lease lost     | | |  cancel
//	(time has   |  +-----------------+ | +-------------------> cancelled
//	  come)     |      may be retried, |
//	            |      or must wait    |  no retry could help
//	          waiting <----------------+---------------------> dead
//	            |                                               |
//	            +---- cancel --> cancelled      redrive ------> queued
//
// A claim fences: every write of a run carries the claim's number and does
// nothing if another claim has been made since. An attempt counts: what is
// capped. A run that lost its lease, or waits for something that is not its own
// fault, is a claim and not an attempt.
//
// Executions stay in dead until they are redriven. A dead execution is a dead
// letter; dead letters are grouped by the fingerprint of their error.
package execution

import (
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// State of an execution; see the package comment.
type State string

// The states of an execution.
const (
	Queued    State = "queued"
	Running   State = "running"
	Succeeded State = "succeeded"
	Waiting   State = "waiting"
	Dead      State = "dead"
	Cancelled State = "cancelled"
)

// Done says that an execution will not run again by itself.
func (s State) Done() bool { return s == Succeeded || s == Dead || s == Cancelled }

// Reasons why an execution waits.
const (
	// ReasonRetry: an attempt failed in a way that may pass.
	ReasonRetry = "retry"
	// ReasonPaused: the installation or the tenant is paused; resuming queues it.
	ReasonPaused = "paused"
	// ReasonConflict: the state that it read had changed.
	ReasonConflict = "state_conflict"
	// ReasonRateLimited: somebody outside has said when to come back.
	ReasonRateLimited = "rate_limited"
	// ReasonSleep: its guest sleeps.
	ReasonSleep = "sleep"
	// ReasonReconnect: one of its connections has to work again, for which a person may
	// have to do something; then it goes on by itself.
	ReasonReconnect = "reconnect"
	// ReasonConfirm: the plugin is asked later whether an effect has happened.
	ReasonConfirm = "confirm"
	// ReasonOrder: others with its order key were accepted before it, and are not done.
	ReasonOrder = "order"
	// ReasonUnknownKind: the worker that claimed it does not know its kind; a
	// newer one will.
	ReasonUnknownKind = "unknown_kind"
)

// Mode is how a redriven execution runs.
type Mode string

// The modes of a redrive.
const (
	// Resume replays what was recorded up to the last effect, and goes on from there.
	Resume Mode = "resume"
	// Restart begins from the start, with the same idempotency keys.
	Restart Mode = "restart"
	// Force begins from the start, whatever has been done already.
	Force Mode = "force"
)

// Execution is the work that one event causes.
type Execution struct {
	ID           string     `json:"id"`
	Tenant       string     `json:"tenant"`
	Installation string     `json:"installation"`
	Event        string     `json:"event"`
	Kind         event.Kind `json:"kind"`
	// Name is the webhook, action or poll.
	Name string `json:"name"`
	// VersionID is the plugin version, pinned when it first runs.
	VersionID string     `json:"version_id,omitempty"`
	State     State      `json:"state"`
	Lane      event.Lane `json:"lane"`
	// Reason and Until say what a waiting execution waits for.
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	// WaitsFor is the connection that a ReasonReconnect is about.
	WaitsFor string `json:"waits_for,omitempty"`
	// Mode is how it was redriven, until it has run.
	Mode   Mode   `json:"mode,omitempty"`
	Claim  int64  `json:"claim"`
	Worker string `json:"worker,omitempty"`
	// Attempt is the number of counted tries that have begun.
	Attempt int `json:"attempt"`
	// CancelRequested asks the run in flight to end.
	CancelRequested bool `json:"cancel_requested,omitempty"`
	// Output is the guest's, if it succeeded: JSON, or a JSON string of base64
	// for a level-0 plugin whose output is not JSON.
	Output      json.RawMessage `json:"output,omitempty"`
	Error       *fault.Error    `json:"error,omitempty"`
	Fingerprint string          `json:"fingerprint,omitempty"`
	Tags        []emit.Tag      `json:"tags,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	StartedAt   time.Time       `json:"started_at,omitzero"`
	FinishedAt  time.Time       `json:"finished_at,omitzero"`
	// ChangedAt is when anything of it changed last.
	ChangedAt time.Time `json:"changed_at,omitzero"`
}

// Attempt is one run of an execution, counted or not, as the trace shows it.
type Attempt struct {
	Claim int64 `json:"claim"`
	// Number is the counted try that the run belongs to.
	Number     int           `json:"number"`
	Worker     string        `json:"worker"`
	VersionID  string        `json:"version_id,omitempty"`
	StartedAt  time.Time     `json:"started_at"`
	FinishedAt time.Time     `json:"finished_at"`
	Outcome    State         `json:"outcome"`
	Error      *fault.Error  `json:"error,omitempty"`
	Usage      runtime.Usage `json:"usage"`
	// ReplayedFuel is the part of the usage's fuel that was burnt to come to where
	// the run before had been. It is not billed.
	ReplayedFuel int64           `json:"replayed_fuel,omitempty"`
	Steps        []hostfns.Step  `json:"steps"`
	Logs         []guestlog.Line `json:"logs"`
	// LostLines is how many lines the guest began that were not taken in time.
	LostLines int `json:"lost_lines,omitempty"`
	// State lists the writes that were committed, for the trace.
	State []StateWrite `json:"state,omitempty"`
}

// StateWrite is a committed change of state, as the trace shows it.
type StateWrite struct {
	Key string `json:"key"`
	// Op is set, delete or add.
	Op    string          `json:"op"`
	Value json.RawMessage `json:"value,omitempty"`
}

// Trace is all that is known of an execution.
type Trace struct {
	Execution Execution   `json:"execution"`
	Event     event.Event `json:"event"`
	Attempts  []Attempt   `json:"attempts"`
	// Emitted are the ids of the events that its records became.
	Emitted []string `json:"emitted"`
	// Redelivery is nil for the execution that the event was accepted with.
	Redelivery *Redelivered `json:"redelivery,omitempty"`
}

// Redelivered says that an execution was made of an event that had been accepted before.
type Redelivered struct {
	// Job is the redelivery's id.
	Job string `json:"job"`
	// Follows is the execution that was the event's latest until then.
	Follows string `json:"follows"`
}
