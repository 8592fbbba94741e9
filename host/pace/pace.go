// Package pace is whether, and how fast, requests go with tenants' connections: each has
// a rate that all processes of a database share, a breaker that opens where what goes
// with it fails, and can be paused.
//
// What is true stands in the database, one row to a connection; what follows from it is
// decided in each process, by its [Pacer].
//
// # The rate
//
// A token is taken for each request, right before it is sent. Processes lease them in
// small batches, each with the time from which on it may be used, so that of all
// processes together no more requests than rate * t + burst leave in any time t. A token
// that was not used in time is lost, and of the burst as much is held back as late ones
// make up. Where no token is to be had soon, the run ends, and its execution has a turn:
// turns are as far from each other as tokens are, so that those who wait do not all come
// back at once.
//
// # The breaker
//
//	closed --(of the last requests too many fail)--> open --(after a delay)--> half open
//	half open --(one request in all processes: it succeeds)--> closed
//	half open --(it fails)--> open, for twice as long
//
// Failures are no answer, none in time, and answers of 5xx. Each process counts its own.
//
// What a process cannot read of the database it does without: requests go on.
package pace

import (
	"context"
	"time"
)

// Pace is how requests go with a connection.
type Pace struct {
	Tenant     string `json:"tenant"`
	Connection string `json:"connection"`
	// Rate is the connection's own, zero for none: it takes the place of what plugins'
	// manifests say.
	Rate Rate `json:"rate,omitzero"`
	// PausedAt is when it was paused, zero if it is not.
	PausedAt time.Time `json:"paused_at,omitzero"`
	Breaker  Breaker   `json:"breaker"`
	// Next is when a token is there again at the earliest, and Turns when the last turn is
	// that was given.
	Next  time.Time `json:"-"`
	Turns time.Time `json:"-"`
	// At is the database's time when it was read.
	At time.Time `json:"-"`
}

// BreakerState is how a breaker stands.
type BreakerState string

// The states of a breaker.
const (
	Closed   BreakerState = "closed"
	Open     BreakerState = "open"
	HalfOpen BreakerState = "half_open"
)

// Breaker is a connection's.
type Breaker struct {
	State BreakerState `json:"state"`
	// Since is when it opened, RetryAt when it is tried next, and Opens how often in a row
	// it was opened; zero for one that is closed.
	Since   time.Time `json:"since,omitzero"`
	RetryAt time.Time `json:"retry_at,omitzero"`
	Opens   int       `json:"opens,omitempty"`
	// Why says what had failed.
	Why string `json:"why,omitempty"`
}

// Ask is for tokens.
type Ask struct {
	Tenant, Connection string
	// N tokens at most, which come one each Interval, and of which Burst may be there at
	// once.
	N        int
	Interval time.Duration
	Burst    int
	// Ahead is from how far in the future they may be.
	Ahead time.Duration
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
	// TakeTokens takes what there is. A connection that does not exist is fault.NotFound.
	TakeTokens(ctx context.Context, a Ask) (Taken, error)
	// GiveTurn gives the next turn after those that were given: an interval after the last.
	GiveTurn(ctx context.Context, tenant, connection string, interval time.Duration) (time.Time, error)
	// HoldOff has no token be there for so long.
	HoldOff(ctx context.Context, tenant, connection string, d time.Duration) error
	Breakers
	// SetRate, and SetPaused, change what a person says; a zero Rate is none.
	SetRate(ctx context.Context, tenant, connection string, r Rate) error
	SetPaused(ctx context.Context, tenant, connection string, paused bool) error
	// PaceWaits counts the executions that wait for a connection, by reason, and
	// ReleasePaced queues them: of all of these reasons if it is empty.
	PaceWaits(ctx context.Context, tenant, connection string) (map[string]int, error)
	ReleasePaced(ctx context.Context, tenant, connection, reason string) (int, error)
	Flights
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

// Flight is what a process has in flight with a connection that is paused.
type Flight struct {
	Key
	// Worker is the process's, as leases know it.
	Worker   string
	Requests int
	// Executions are whose they are, some of them.
	Executions []string
}

// Drain is what is still in flight with a connection that is paused.
type Drain struct {
	// Done says that nothing is, as far as leases tell.
	Done bool `json:"done"`
	// Requests are in flight, and Executions are whose they are, some of them.
	Requests   int      `json:"requests"`
	Executions []string `json:"executions"`
	// Silent is how many workers that live have not said yet what they have in flight.
	Silent int `json:"silent"`
}

// Flights are what processes say of connections that are paused.
type Flights interface {
	// Paused lists the connections that are paused since a time, or longer ago if
	// somebody has something in flight with them.
	Paused(ctx context.Context, since time.Duration) ([]Key, error)
	// ReportFlight keeps what a process says.
	ReportFlight(ctx context.Context, f Flight) error
	// Drained sums up what processes whose worker lives have said since the pause.
	Drained(ctx context.Context, tenant, connection string) (Drain, error)
}
