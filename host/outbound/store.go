package outbound

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

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
