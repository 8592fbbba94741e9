// Package event is what arrived and is stored: a webhook delivery, an API call,
// a schedule's tick, an emitted record.
package event

import (
	"context"
	"strings"
	"time"
)

// Kind says how an event came about.
type Kind string

// The kinds of events.
const (
	Webhook Kind = "webhook"
	// Action is an action that was called through the API.
	Action Kind = "action"
	// Poll is a poll that was called for.
	Poll Kind = "poll"
	// Test is a check of an installation.
	Test Kind = "test"
	// Record was emitted by an execution.
	Record Kind = "record"
	// Schedule is a schedule's tick. Its execution is of the kind that the schedule
	// calls for, a Poll or an Action.
	Schedule Kind = "schedule"
)

// Event is something that arrived. It never changes.
type Event struct {
	ID           string `json:"id"`
	Tenant       string `json:"tenant"`
	Installation string `json:"installation"`
	Kind         Kind   `json:"kind"`
	// Name is the webhook, action, poll, record or schedule.
	Name string `json:"name"`
	// Source and DedupeKey together are unique within the tenant, if DedupeKey is
	// not empty: an endpoint and its delivery id, an installation and a record's key,
	// a schedule and the instant that was due.
	Source    string `json:"source,omitempty"`
	DedupeKey string `json:"dedupe_key,omitempty"`
	// Request is a webhook's, without its body; nil for other kinds.
	Request *Request `json:"request,omitempty"`
	// Body is the raw bytes of a delivery, an action's input, a record's data.
	Body       []byte    `json:"-"`
	ReceivedAt time.Time `json:"received_at"`
}

// TickKey is the DedupeKey of a tick that was due at an instant. What was asked for by
// hand has an id, too, so that it is never the tick of that instant.
func TickKey(at time.Time, byHand string) string {
	key := at.UTC().Format(time.RFC3339Nano)
	if byHand != "" {
		key += " " + byHand
	}
	return key
}

// ScheduledAt is when a tick was due, or zero for events of another kind.
func (e Event) ScheduledAt() time.Time {
	if e.Kind != Schedule {
		return time.Time{}
	}
	instant, _, _ := strings.Cut(e.DedupeKey, " ")
	at, err := time.Parse(time.RFC3339Nano, instant)
	if err != nil {
		return time.Time{}
	}
	return at
}

// Request is how a delivery arrived. Headers that carry signatures or
// credentials are left out.
type Request struct {
	Method  string              `json:"method"`
	Path    string              `json:"path"`
	Query   string              `json:"query,omitempty"`
	Headers map[string][]string `json:"headers"`
}

// Filter selects events. Zero fields select all.
type Filter struct {
	Installation string
	Kind         Kind
	Name         string
	Endpoint     string
	// Before is an id: only older events. Limit is at most 200.
	Before string
	Limit  int
	// WithoutBodies leaves the bodies out.
	WithoutBodies bool
}

// Accepted is what became of an event.
type Accepted struct {
	Event string `json:"event"`
	// Execution is the one that it caused, or empty.
	Execution string `json:"execution,omitempty"`
	// Duplicate says that the same key was accepted before, as Event; nothing was stored.
	Duplicate bool `json:"duplicate"`
}

// Lane is the priority of an execution. Lanes share a tenant's turns: none
// starves.
type Lane int

// The lanes, the first served most.
const (
	Interactive Lane = 0
	Live        Lane = 1
	Backfill    Lane = 2
)

// Work is the execution that an event causes.
type Work struct {
	// Execution is its id.
	Execution string
	Lane      Lane
}

// Store keeps events. Another tenant's event is fault.NotFound.
type Store interface {
	// Accept inserts the event, its dedupe key and the execution that it causes
	// in one durable transaction, and returns after the commit. If the key was
	// accepted before, nothing is stored and Accepted says so. A nil Work stores
	// the event alone.
	Accept(ctx context.Context, e Event, w *Work) (Accepted, error)
	Event(ctx context.Context, tenant, id string) (Event, error)
	// Events lists the newest first.
	Events(ctx context.Context, tenant string, f Filter) ([]Event, error)
}
