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

import "time"

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
