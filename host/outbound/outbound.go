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
	"errors"
	"time"
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
