// Package outbound sends what happens, records that connectors emit and notices, to
// destinations, as signed webhooks:
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
//
//	s := outbound.New(outbound.Config{Store: db, Destinations: destinations, Transport: guarded, ...})
//	go s.Run(ctx)
//
// What happens is put into the outbox by the transaction in which it happens. From there it
// is spread: each destination that wants it gets a Delivery of it, exactly one.
//
//	waiting --- taken (2xx) ------------------> delivered
//	  ^  |
//	  |  +----- not taken, the last try --------> failed
//	  +-------- not taken; its time in Schedule --+
//
// A delivery is claimed with a lease and sent by one process at a time; that of a process
// that died is sent again once the lease has ended. So a message arrives at least once,
// with the same webhook-id each time. Beyond that:
//
//   - Any status from 200 to 299 within Config.Timeout takes it. Redirects are not followed.
//   - 410 disables the destination at once; Config.DisableAfter of nothing but failures does
//     so, too. What waits goes on when it is enabled.
//   - 429, 502, 503 and 504 have everything to the destination wait for a moment, or as long
//     as Retry-After says, an hour at most. The try counts.
//   - An ordered destination gets one message after the other; the one that fails holds up
//     those behind it.
//   - At most Config.PerDestination are sent to one destination at a time, by all processes
//     together, and Config.PerTenant for one tenant by each. Tenants take turns, and of one
//     tenant that destination is first whose last turn is longest ago.
//
// What is kept of an answer are its status and the first KiB of its body, without what we
// sent that is secret.
package outbound

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

// ErrFenced means that a delivery was claimed by somebody else, or is done.
var ErrFenced = errors.New("the delivery's claim was fenced off")

// State of a delivery; see the package comment.
type State string

// The states.
const (
	Waiting   State = "waiting"
	Delivered State = "delivered"
	Failed    State = "failed"
)

// Source says what a message is made of.
type Source string

// The sources.
const (
	// FromRecord: an event.Record.
	FromRecord Source = "record"
	// FromNotice: a notice.Notice.
	FromNotice Source = "notice"
	// FromTest: nothing; somebody has asked for a test.
	FromTest Source = "test"
)

// TypeTest is the type of a test's message.
const TypeTest = "test"

// Delivery is a message on its way to a destination.
type Delivery struct {
	ID          string `json:"id"`
	Destination string `json:"destination"`
	// Owner is whose destination it is, and Tenant whose data.
	Owner  string `json:"-"`
	Tenant string `json:"tenant"`
	// Type is the message's, and Message its id: the webhook-id. It is that of the event or
	// the notice.
	Type    string `json:"type"`
	Message string `json:"message"`
	Source  Source `json:"-"`
	State   State  `json:"state"`
	Tries   int    `json:"tries"`
	// Due is when it is sent next.
	Due        time.Time `json:"due_at,omitzero"`
	CreatedAt  time.Time `json:"created_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// Attempts are the last of them, the oldest first.
	Attempts []Attempt `json:"attempts"`
	// Claim fences.
	Claim int64 `json:"-"`
}

// Attempt is one try.
type Attempt struct {
	At         time.Time `json:"at"`
	DurationMS int64     `json:"duration_ms"`
	// Status is that of the answer; 0 if there was none, and Error says why.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	// Answer is the beginning of the answer's body.
	Answer string `json:"answer,omitempty"`
}

// Ref is a destination that has something due.
type Ref struct {
	Owner, Destination string
	Ordered            bool
}

// Due is what is due.
type Due struct {
	// Now is the database's time, and Next when something is due next, zero for never.
	Now, Next time.Time
	// Refs are the destinations, first the one whose last turn is longest ago.
	Refs []Ref
}

// Settled is what has become of a try.
type Settled struct {
	Delivery
	// To is the state that it comes to; one that is Waiting is due In some time.
	To State
	In time.Duration
	// Throttle is how long nothing is to be sent to the destination.
	Throttle time.Duration
	// Gone disables the destination; a failure does if it has failed for DisableAfter.
	Gone         bool
	DisableAfter time.Duration
	// Disabled makes the notice that goes with that.
	Disabled func(reason string) notice.Notice
}

// Filter selects deliveries. Zero fields select all.
type Filter struct {
	State State
	Type  string
	// Before is an id: only older ones.
	Before string
	Limit  int
}

// Store keeps deliveries.
type Store interface {
	Queue
	Log
	Messages
}

// Queue is what a Sender works off.
type Queue interface {
	// OutboxWaits says whether there is something to spread.
	OutboxWaits(ctx context.Context) (bool, error)
	// Spread makes deliveries of what is in the outbox, of some of it at a time, and returns
	// how many it has made.
	Spread(ctx context.Context, limit int) (made int, err error)
	// DueDestinations finds active destinations that have something due.
	DueDestinations(ctx context.Context, limit int) (Due, error)
	// ClaimDeliveries claims what is due of a destination, as many as are not sent already,
	// of an ordered one its first.
	ClaimDeliveries(ctx context.Context, r Ref, most int, lease time.Duration) ([]Delivery, error)
	// SettleDelivery keeps the last of Attempts and what follows from it, and says whether
	// that has disabled the destination. ErrFenced.
	SettleDelivery(ctx context.Context, s Settled) (disabled bool, err error)
	// ReleaseDelivery gives a claim back, as if it had not been made, to be claimed again in
	// some time. ErrFenced.
	ReleaseDelivery(ctx context.Context, d Delivery, in time.Duration) error
	// InsertDelivery adds one that is claimed for a time.
	InsertDelivery(ctx context.Context, d Delivery, lease time.Duration) error
	// Backlog counts what waits to be sent, and what it waits for.
	Backlog(ctx context.Context) (Backlog, error)
}

// Backlog is what waits, of all tenants.
type Backlog struct {
	Waiting, Disabled int
}

// Log is what people look at.
type Log interface {
	// OutboundDeliveries lists those of a destination, the newest first.
	OutboundDeliveries(ctx context.Context, owner, destination string, f Filter) ([]Delivery, error)
	OutboundDelivery(ctx context.Context, owner, id string) (Delivery, error)
	// RetryDelivery has one that has failed, or waits, sent now, with all its tries before
	// it. A Conflict fault if it was delivered.
	RetryDelivery(ctx context.Context, owner, id string) error
	// ForgetDeliveries deletes some of a tenant's that are older than a time, and counts
	// them.
	ForgetDeliveries(ctx context.Context, tenant string, before time.Time, limit int) (int, error)
}

// Messages are what messages are made of.
type Messages interface {
	Event(ctx context.Context, tenant, id string) (event.Event, error)
	Notice(ctx context.Context, tenant, id string) (notice.Notice, error)
	// TakeTurn is retention.Store's.
	TakeTurn(ctx context.Context, t retention.Turn) (bool, error)
}
