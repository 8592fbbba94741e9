// Package job is the long work that people ask a host for, such as giving ten
// thousand dead letters another chance: it is done step by step, goes on after a
// crash where it was, and can be paused and cancelled.
//
//	          claim               last step
//	queued ----------> running ---------------> done
//	  ^                  | | |
//	  |  resume    pause | | | error
//	  +---- paused <-----+ | +----------------> failed -- resume --> queued
//	                       |
//	                cancel +------------------> cancelled
//
// A [Handler] does the steps of a kind of job. After each step its progress and its
// cursor are saved; where a process dies in the middle of one, another makes that
// step again from the cursor before it. Hence a step is made at least once, and what
// it does has to bear being done twice. A claim is of one process and fences: who
// has lost it saves nothing any more.
//
//	jobs := job.New(job.Config{Store: db, Now: now})
//	runner := job.NewRunner(job.RunnerConfig{Store: db, Handlers: map[string]job.Handler{"redrive": redrives}, ...})
//	go runner.Run(ctx)
//	j, err := jobs.Create(ctx, tenant, "redrive", spec)
//
// Pausing and cancelling let the step in hand end; what it has done is saved.
package job

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// ErrFenced means that the claim is not the job's latest any more, or that the job
// has ended: nothing was written.
var ErrFenced = errors.New("the job's claim was fenced off")

// State of a job; see the package comment.
type State string

// The states of a job.
const (
	Queued    State = "queued"
	Running   State = "running"
	Paused    State = "paused"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Ended says that a job will do nothing by itself any more.
func (s State) Ended() bool { return s == Done || s == Failed || s == Cancelled }

// Job is a piece of long work.
type Job struct {
	ID string `json:"id"`
	// Tenant is whose it is; empty for the operator's.
	Tenant string `json:"tenant,omitempty"`
	// Kind names the Handler, to which Spec, Progress and Cursor belong.
	Kind  string          `json:"kind"`
	Spec  json.RawMessage `json:"spec"`
	State State           `json:"state"`
	// Progress is for people, Cursor is where the next step begins.
	Progress   json.RawMessage `json:"progress,omitempty"`
	Cursor     string          `json:"cursor,omitempty"`
	Error      *fault.Error    `json:"error,omitempty"`
	CreatedAt  time.Time       `json:"created_at"`
	ChangedAt  time.Time       `json:"changed_at"`
	FinishedAt time.Time       `json:"finished_at,omitzero"`

	// Claim counts the claims, and Tries those since something was saved last.
	Claim int64 `json:"-"`
	Tries int   `json:"-"`
}

// Filter selects jobs. Zero fields select all.
type Filter struct {
	Kind string
	// Before is an id: only older jobs. Limit is at most 200.
	Before string
	Limit  int
}

// Claiming is what a process asks for.
type Claiming struct {
	// Owner is the process, for whoever looks.
	Owner string
	// Kinds are those that it has a Handler for.
	Kinds []string
	N     int
	Lease time.Duration
}

// Saved is what a step leaves behind.
type Saved struct {
	Progress json.RawMessage
	Cursor   string
	// To is Done or Failed, or empty for a job that goes on.
	To    State
	Error *fault.Error
	// Due is in how long it may be claimed, or claimed again.
	Due time.Duration
}

// Store keeps jobs. Another tenant's job is fault.NotFound.
type Store interface {
	// InsertJob adds a job that is Queued. A Conflict fault if its tenant has as many
	// as most that have not ended.
	InsertJob(ctx context.Context, j Job, most int) error
	Job(ctx context.Context, tenant, id string) (Job, error)
	// Jobs lists the newest first.
	Jobs(ctx context.Context, tenant string, f Filter) ([]Job, error)
	// SteerJob makes a job Paused, Cancelled, or Queued again after it was paused or
	// has failed. One that is so already stays. A Conflict fault if it cannot be.
	SteerJob(ctx context.Context, tenant, id string, to State) error
	// ClaimJobs claims jobs that are due, longest due first, and says when the next
	// will be; zero for never.
	ClaimJobs(ctx context.Context, c Claiming) (claimed []Job, next time.Time, err error)
	// RenewJob extends the lease of a claim, and returns the state that the job is
	// in. ErrFenced.
	RenewJob(ctx context.Context, j Job, lease time.Duration) (State, error)
	// SaveJob keeps what a step has left, even if the job was paused or cancelled
	// meanwhile, and returns the state that it is in after. ErrFenced.
	SaveJob(ctx context.Context, j Job, s Saved) (State, error)
}
