// Package schedule is what tenants have done at times: a poll or an action of an
// installation, by a cron expression in a time zone, at intervals, or once.
//
//	         pause                  resume
//	active ---------> paused ----------------> active
//	   |                 ^
//	   |                 +---- what it calls for is not there any more: see Reason
//	   | no instant is left
//	   v
//	 ended     (changed, it is active again)
//
// A tick is an event: its source is the schedule and its key the instant that was due.
// It is accepted in the transaction that says when the schedule is due next, fenced by
// the schedule's version. So of any number of processes one fires it, and a process that
// is killed has fired it or has not.
//
// The clock is the database's. Each process looks for what is due, by an index, and
// sleeps until the next is: schedules that are not due cost nothing.
//
// A tick of an installation that is paused is stored, and its execution waits, as those
// of all events do. What the ticks after it do, the Overlap says: by default they are
// skipped, so that one runs on resuming and not thousands. While the schedule itself is
// paused there are no ticks, and none is missed.
//
// # Daylight saving time
//
// A cron expression that names hours says what the clock on the wall shows. Each local
// minute that it names comes once: one that is left out in spring fires at the first
// instant after the gap (together with others that are left out there), and one that
// comes twice in autumn fires the first time. An expression of every hour, such as
// "*/15 * * * *", means instants: it goes on in the repeated hour, and nothing is made
// up for the one that is left out. Intervals know of no time zones at all.
package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
)

// State of a schedule; see the package comment.
type State string

// The states of a schedule.
const (
	Active State = "active"
	Paused State = "paused"
	Ended  State = "ended"
)

// Overlap says what a tick does while the execution of the one before is not done.
type Overlap string

// The policies. By Skip the tick is left out. By Queue it is held until the other is
// done: at most heldMost are, then the oldest are dropped. By CancelOld the other is
// cancelled; what it has already done stays done.
const (
	Skip      Overlap = "skip"
	Queue     Overlap = "queue"
	CancelOld Overlap = "cancel_old"
)

// Missed says what becomes of ticks that were due while no process ran.
type Missed string

// The policies. By CatchUpOne the latest tick fires. By CatchUpAll the latest heldMost
// fire, one after the other, each with its own instant. By CatchUpNone none does that is
// later than onTime.
const (
	CatchUpOne  Missed = "one"
	CatchUpAll  Missed = "all"
	CatchUpNone Missed = "none"
)

const (
	// heldMost is the most ticks that wait: a day of every 15 minutes, and no more than
	// a worker gets done before somebody has looked.
	heldMost = 100
	// onTime is how late a tick is that nobody calls missed: a restart of the server, or
	// of the database.
	onTime = time.Minute
)

// Schedule has something done at times.
type Schedule struct {
	ID           string `json:"id"`
	Tenant       string `json:"tenant"`
	Installation string `json:"installation"`
	// Name is unique among the tenant's schedules.
	Name string `json:"name"`
	// Of Poll and Action one is set.
	Poll   string `json:"poll,omitempty"`
	Action string `json:"action,omitempty"`
	// Input is the action's. A list has none.
	Input   json.RawMessage `json:"input,omitempty"`
	When    When            `json:"when"`
	Overlap Overlap         `json:"overlap"`
	Missed  Missed          `json:"missed"`
	// JitterS is the most seconds by which ticks come later than their instants, and
	// DelayS those by which they do: they follow from the ID, and are always the same.
	JitterS int64 `json:"jitter_s,omitempty"`
	DelayS  int64 `json:"delay_s,omitempty"`
	State   State `json:"state"`
	// Reason says why the host has paused or ended it.
	Reason string `json:"reason,omitempty"`
	// Next is the instant of the next tick, without the delay: zero where none is left.
	Next time.Time `json:"next,omitzero"`
	// Due is when the next tick is looked at: Next and the delay, or, of one that is
	// Held because the execution before it is not done, later.
	Due  time.Time `json:"due,omitzero"`
	Held bool      `json:"held,omitempty"`
	// LastAt is the instant of the last tick that fired, and LastExecution what it caused.
	LastAt        time.Time `json:"last_at,omitzero"`
	LastExecution string    `json:"last_execution,omitempty"`
	// Fired counts ticks that fired, and Skipped those that were left out because the
	// execution before was not done.
	Fired   int64 `json:"fired"`
	Skipped int64 `json:"skipped"`
	// Version counts changes, ticks too.
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// call is what a schedule calls for.
func (s Schedule) call() (event.Kind, string) {
	if s.Poll != "" {
		return event.Poll, s.Poll
	}
	return event.Action, s.Action
}

// delay is how much later than its instant a tick is due.
func (s Schedule) delay() time.Duration { return time.Duration(s.DelayS) * time.Second }

// at moves a schedule to its next instant, or to its end where that is zero.
func (s Schedule) at(next time.Time) Schedule {
	s.Next, s.Due, s.Held = next, next.Add(s.delay()), false
	if next.IsZero() {
		s.Due, s.State = time.Time{}, Ended
	}
	return s
}

// Filter selects schedules. Zero fields select all.
type Filter struct {
	Installation string
	// Before is an id: only older schedules.
	Before string
	Limit  int
}

// ErrFenced means that the schedule has changed since it was read: nothing was written.
var ErrFenced = errors.New("the schedule has changed")

// Due are schedules whose time has come.
type Due struct {
	Schedules []Ref
	// Now is the database's time, and Next when the first of the others is due, or zero.
	Now, Next time.Time
}

// Ref names a schedule.
type Ref struct{ Tenant, ID string }

// Tick is a tick that fires.
type Tick struct {
	Event event.Event
	Work  event.Work
	// Kind and Name are the execution's: what is called.
	Kind event.Kind
	Name string
}

// Store keeps schedules. Another tenant's schedule is fault.NotFound.
type Store interface {
	// InsertSchedule returns a Conflict fault if the name is taken, or if the tenant has
	// most already.
	InsertSchedule(ctx context.Context, s Schedule, most int) error
	// Schedule finds by id or name.
	Schedule(ctx context.Context, tenant, idOrName string) (Schedule, error)
	// Schedules lists the newest first, without their inputs.
	Schedules(ctx context.Context, tenant string, f Filter) ([]Schedule, error)
	// UpdateSchedule replaces the one whose version is s.Version-1, or returns ErrFenced.
	UpdateSchedule(ctx context.Context, s Schedule) error
	DeleteSchedule(ctx context.Context, tenant, id string) error
	// DueSchedules finds what is due, the longest first, of tenants that are not being
	// deleted. Nothing is written.
	DueSchedules(ctx context.Context, limit int) (Due, error)
	// FireSchedule is UpdateSchedule together with the event of a tick and the execution
	// that it causes, which becomes the LastExecution: all in one transaction. An event
	// whose key was accepted before is not stored again.
	FireSchedule(ctx context.Context, s Schedule, t Tick) (event.Accepted, error)
}
