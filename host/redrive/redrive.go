// Package redrive gives many dead executions another chance: those that a filter
// selects, one after the other, at a rate that what they call can bear.
//
//	plan, err := redrives.Plan(ctx, tenant, spec)   // What would it do?
//	r, err := redrives.Start(ctx, tenant, spec)     // A job, which can be paused and cancelled.
//
// Each is redriven as one alone would be (see execution.Executions.Redrive). Those
// that are not dead any more when it is their turn are skipped: they have succeeded,
// or somebody else has redriven them. Those that may not run in the mode are refused,
// with the reason. What dies after the redrive began is left alone, so that it ends.
//
// Of a process that dies in the middle of a step, at most one step's redrives are
// done and not counted: none of them is done twice.
package redrive

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

// Kind is the kind of the jobs.
const Kind = "redrive"

const (
	// rateUsual is a second's redrives where nothing is said: a pace that the API of
	// most vendors bears beside the tenant's live work.
	rateUsual = 10
	// rateMost is what a job could do anyway: each is a transaction of its own.
	rateMost = 1000
)

// Filter selects dead executions of a tenant. Zero fields select all.
type Filter struct {
	// Installation is an id.
	Installation string      `json:"installation,omitempty"`
	Fingerprint  string      `json:"fingerprint,omitempty"`
	Class        fault.Class `json:"class,omitempty"`
	Code         string      `json:"code,omitempty"`
	Kind         event.Kind  `json:"kind,omitempty"`
	// Name is the webhook, action or poll.
	Name string   `json:"name,omitempty"`
	Tag  emit.Tag `json:"tag,omitzero"`
	// Since and Until bound when they died: from Since on, and before Until.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// matches looks at what a Store does not.
func (f Filter) matches(class fault.Class, code string) bool {
	return (f.Class == "" || f.Class == class) && (f.Code == "" || f.Code == code)
}

// Spec is what is asked for.
type Spec struct {
	Filter Filter `json:"filter"`
	// All has to be said where the filter selects everything.
	All bool `json:"all,omitempty"`
	// Mode defaults to resume.
	Mode execution.Mode `json:"mode"`
	// Rate is how many in a second. Defaults to 10.
	Rate int `json:"rate"`
}

func (s Spec) checked() (Spec, error) {
	if s.Mode == "" {
		s.Mode = execution.Resume
	}
	if s.Rate == 0 {
		s.Rate = rateUsual
	}
	switch {
	case s.Mode != execution.Resume && s.Mode != execution.Restart && s.Mode != execution.Force:
		return s, fault.New(fault.InvalidInput, "mode_unknown", "there is no such mode").At("/mode").WithHint("it is resume, restart or force")
	case s.Rate < 1 || s.Rate > rateMost:
		return s, fault.New(fault.InvalidInput, "rate_invalid", "the rate is %d, and may be 1 to %d in a second", s.Rate, rateMost).At("/rate")
	case s.Filter == Filter{} && !s.All:
		return s, fault.New(fault.InvalidInput, "filter_missing", "nothing says which dead executions are meant").
			At("/filter").WithHint("give a filter, such as a fingerprint, or say all")
	case !s.Filter.Until.IsZero() && !s.Filter.Since.Before(s.Filter.Until):
		return s, fault.New(fault.InvalidInput, "period_empty", "the period ends before it begins").At("/filter/until")
	default:
		return s, nil
	}
}

// Refusal is an execution that may not run in the mode.
type Refusal struct {
	Execution string `json:"execution"`
	Code      string `json:"code"`
}

// Progress is how far a redrive has come.
type Progress struct {
	// Matched is how many it began with.
	Matched  int `json:"matched"`
	Redriven int `json:"redriven"`
	// Skipped were not dead any more.
	Skipped int `json:"skipped"`
	Refused int `json:"refused"`
	// Refusals are the first 20.
	Refusals []Refusal `json:"refusals"`
}

// Plan is what a redrive would do.
type Plan struct {
	Matched int `json:"matched"`
	// Groups are the matched by what went wrong, the largest first.
	Groups []execution.DeadLetters `json:"groups"`
	// Checked is how many of them, the oldest first, were looked at for whether they
	// may run in the mode; Refused is how many of these may not.
	Checked  int       `json:"checked"`
	Refused  int       `json:"refused"`
	Refusals []Refusal `json:"refusals"`
}

// Redrive is a redrive of many.
type Redrive struct {
	ID         string       `json:"id"`
	State      job.State    `json:"state"`
	Spec       Spec         `json:"spec"`
	Progress   Progress     `json:"progress"`
	Error      *fault.Error `json:"error,omitempty"`
	CreatedAt  time.Time    `json:"created_at"`
	ChangedAt  time.Time    `json:"changed_at"`
	FinishedAt time.Time    `json:"finished_at,omitzero"`
}

func redriveOf(j job.Job) (Redrive, error) {
	r := Redrive{
		ID: j.ID, State: j.State, Error: j.Error,
		CreatedAt: j.CreatedAt, ChangedAt: j.ChangedAt, FinishedAt: j.FinishedAt,
	}
	order, progress, err := decode(j)
	r.Spec, r.Progress = order.Spec, progress
	return r, err
}

// order is the spec of a job.
type order struct {
	Spec
	// Matched is how many there were at the beginning.
	Matched int `json:"matched"`
}

func decode(j job.Job) (order, Progress, error) {
	var o order
	if err := json.Unmarshal(j.Spec, &o); err != nil {
		return o, Progress{}, fmt.Errorf("read the spec of a redrive: %w", err)
	}
	p := Progress{Matched: o.Matched, Refusals: []Refusal{}}
	if len(j.Progress) > 0 {
		if err := json.Unmarshal(j.Progress, &p); err != nil {
			return o, p, fmt.Errorf("read the progress of a redrive: %w", err)
		}
	}
	return o, p, nil
}

// Store finds the dead. It leaves Class and Code of a Filter to whoever asks.
type Store interface {
	// Buried lists dead executions with ids after one, the oldest first.
	Buried(ctx context.Context, tenant string, f Filter, after string, limit int) ([]execution.Execution, error)
	// BuriedGroups groups them by what went wrong, the largest group first.
	BuriedGroups(ctx context.Context, tenant string, f Filter) ([]execution.DeadLetters, error)
	// Now is the time that deaths are stamped with, in microseconds.
	Now(ctx context.Context) (time.Time, error)
}
