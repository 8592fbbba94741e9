package pace

import (
	"context"
	"time"
)

// Ask is for tokens.
type Ask struct {
	Tenant, Connection string
	// N tokens at most, which come one each Interval, and of which Burst may be there at
	// once.
	N        int
	Interval time.Duration
	Burst    int
	// Lead is from how far in the future they are, if they could be there now, and Ahead
	// from how far they may be.
	Lead, Ahead time.Duration
}

// Taken are tokens: N of them, the first at First and one each interval after that.
type Taken struct {
	N     int
	First time.Time
	// Pace is the row after that.
	Pace Pace
}

// Store keeps paces. Times are the database's.
type Store interface {
	// Pace reads a connection's; one of which nothing is kept is as it was made, and
	// another tenant's is no different.
	Pace(ctx context.Context, tenant, connection string) (Pace, error)
	// Paces lists those of a tenant of which something is kept.
	Paces(ctx context.Context, tenant string) ([]Pace, error)
	Tokens
	Breakers
	Settings
	Waits
	Flights
}

// Tokens keeps who may send when. A connection that does not exist is fault.NotFound.
type Tokens interface {
	// TakeTokens takes what there is.
	TakeTokens(ctx context.Context, a Ask) (Taken, error)
	// GiveTurn gives the next turn after those that were given: an interval after the last.
	GiveTurn(ctx context.Context, tenant, connection string, interval time.Duration) (time.Time, error)
	// HoldOff has no token be there for so long.
	HoldOff(ctx context.Context, tenant, connection string, d time.Duration) error
}

// Settings are what people say. A connection that does not exist is fault.NotFound.
type Settings interface {
	// SetRate sets the connection's own; a zero Rate is none.
	SetRate(ctx context.Context, tenant, connection string, r Rate) error
	SetPaused(ctx context.Context, tenant, connection string, paused bool) error
}

// Waits are the executions that wait for a connection.
type Waits interface {
	// PaceWaits counts them by reason.
	PaceWaits(ctx context.Context, tenant, connection string) (map[string]int, error)
	// ReleasePaced queues them: of all of these reasons if it is empty.
	ReleasePaced(ctx context.Context, tenant, connection, reason string) (int, error)
}

// Breakers keeps breakers. What changes nothing, because another was first, is false.
type Breakers interface {
	// OpenBreaker opens one that is closed, for so long.
	OpenBreaker(ctx context.Context, tenant, connection string, d time.Duration, why string) (bool, error)
	// Probe gives the one request of an open breaker whose time has come to a prober, who
	// has it for so long.
	Probe(ctx context.Context, tenant, connection, prober string, d time.Duration) (bool, error)
	// CloseBreaker closes what the prober has probed, ReopenBreaker opens it again, and
	// LeaveProbe leaves it to another. An empty prober closes it whoever has it.
	CloseBreaker(ctx context.Context, tenant, connection, prober string) (bool, error)
	ReopenBreaker(ctx context.Context, tenant, connection, prober string, d time.Duration, why string) (bool, error)
	LeaveProbe(ctx context.Context, tenant, connection, prober string) error
}

// Key names a connection.
type Key struct{ Tenant, Connection string }
