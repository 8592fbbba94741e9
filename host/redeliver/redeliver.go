// Package redeliver sends stored events again: those of an endpoint or installation
// and a period that a filter selects, at a pace that what they cause can bear.
//
//	plan, err := redeliveries.Plan(ctx, tenant, spec)   // What would it do?
//	r, err := redeliveries.Start(ctx, tenant, spec)     // A job, which can be paused and cancelled.
//	all, err := redeliveries.Outcomes(ctx, tenant, r.ID, redeliver.OutcomeFilter{})
//
// A redelivery makes a new execution of the stored event, in the lane
// [event.Backfill], so that live work does not wait for it. It is another execution:
// it has its own journal and idempotency keys, and effects that the ones before it had
// are had again. Deduplication does not hinder it: the event was accepted, and is not
// accepted anew.
//
// An event's latest execution is the one that counts:
//
//	no execution, dead, cancelled   redelivered
//	succeeded                       skipped, unless it is forced
//	queued, running, waiting        skipped, always: it still does its work
//
// Hence at most one execution of an event is under way. Events are skipped, too, whose
// installation was removed, and those that cause nothing, such as most records. What
// arrives after the redelivery began is left alone.
//
// Exactly one execution is made of an event and a redelivery, whatever dies when: its id
// follows from both, and a step that is made again finds it.
package redeliver

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
)

// Kind is the kind of the jobs.
const Kind = "redeliver"

const (
	// paceUsual is a second's redeliveries where nothing is said.
	paceUsual = 50
	// paceMost is about what a database takes beside its live work.
	paceMost = 10_000
)

// Spec is what is asked for. Its fields narrow it together.
type Spec struct {
	// Endpoint and Installation are ids, and so is Event: one of the three must be said.
	Endpoint     string     `json:"endpoint,omitempty"`
	Installation string     `json:"installation,omitempty"`
	Event        string     `json:"event,omitempty"`
	Kind         event.Kind `json:"kind,omitempty"`
	// Since and Until bound when they arrived: from Since on, and before Until.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Filter is a CEL expression; see Check.
	Filter string `json:"filter,omitempty"`
	// Pace is how many in a second. Defaults to 50.
	Pace int `json:"pace"`
	// Force is for those that have succeeded, too.
	Force bool `json:"force,omitempty"`
}

func (s Spec) checked() (Spec, *condition, error) {
	if s.Pace == 0 {
		s.Pace = paceUsual
	}
	switch {
	case s.Endpoint == "" && s.Installation == "" && s.Event == "":
		return s, nil, fault.New(fault.InvalidInput, "selection_missing", "nothing says which events are meant").
			At("/endpoint").WithHint("name an endpoint, an installation or an event")
	case s.Pace < 1 || s.Pace > paceMost:
		return s, nil, fault.New(fault.InvalidInput, "pace_invalid", "the pace is %d, and may be 1 to %d in a second", s.Pace, paceMost).At("/pace")
	case !s.Until.IsZero() && !s.Since.Before(s.Until):
		return s, nil, fault.New(fault.InvalidInput, "period_empty", "the period ends before it begins").At("/until")
	}
	c, err := compile(s.Filter)
	return s, c, err
}

// Skipped counts events that were left as they are.
type Skipped struct {
	Succeeded  int `json:"succeeded"`
	Unfinished int `json:"unfinished"`
	// Gone are events that cause nothing any more.
	Gone int `json:"gone"`
}

// Undecided is an event of which a filter could not say whether it is meant.
type Undecided struct {
	Event  string `json:"event"`
	Reason string `json:"reason"`
}

// Tally counts what became of events, or would.
type Tally struct {
	// Looked is how many were looked at, and Matched how many of them the filter selects.
	Looked      int     `json:"looked"`
	Matched     int     `json:"matched"`
	Redelivered int     `json:"redelivered"`
	Skipped     Skipped `json:"skipped"`
	// Undecided were not selected, because the filter has failed; Example is the first.
	Undecided int        `json:"undecided"`
	Example   *Undecided `json:"example,omitempty"`
	// At is when the last of them arrived: all before it are done.
	At time.Time `json:"at,omitzero"`
}

// Plan is what a redelivery would do.
type Plan struct {
	Tally
	// Complete is false if there was no time to look at all.
	Complete bool `json:"complete"`
}

// Redelivery is a redelivery of events.
type Redelivery struct {
	ID         string       `json:"id"`
	State      job.State    `json:"state"`
	Spec       Spec         `json:"spec"`
	Progress   Tally        `json:"progress"`
	Error      *fault.Error `json:"error,omitempty"`
	CreatedAt  time.Time    `json:"created_at"`
	ChangedAt  time.Time    `json:"changed_at"`
	FinishedAt time.Time    `json:"finished_at,omitzero"`
}

func redeliveryOf(j job.Job) (Redelivery, error) {
	r := Redelivery{
		ID: j.ID, State: j.State, Error: j.Error,
		CreatedAt: j.CreatedAt, ChangedAt: j.ChangedAt, FinishedAt: j.FinishedAt,
	}
	if err := json.Unmarshal(j.Spec, &r.Spec); err != nil {
		return r, fmt.Errorf("read the spec of a redelivery: %w", err)
	}
	if len(j.Progress) > 0 {
		if err := json.Unmarshal(j.Progress, &r.Progress); err != nil {
			return r, fmt.Errorf("read the progress of a redelivery: %w", err)
		}
	}
	return r, nil
}
