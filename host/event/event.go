// Package event is what arrived and is stored: a webhook delivery, an API call,
// a schedule's tick, an emitted record.
package event

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// OrderKey, if it is not empty, is what KeyOf has made: the executions of a tenant that
	// have one key run one after another, in the order in which they were accepted. The
	// next begins when the one before is done, whatever has come of it; while that waits
	// for a retry, or for a person, it is not. What is redriven takes its old place among
	// those that wait. Executions of different keys, and those without one, run side by side.
	OrderKey string
}

// KeyOf makes an order key of what is to be in order within a scope, such as the customer
// of a delivery to an endpoint. It is a hash, so that a key says nothing and has one length.
func KeyOf(scope, value string) string {
	sum := sha256.Sum256([]byte(scope + "\x00" + value))
	return hex.EncodeToString(sum[:orderKeyBytes])
}

// orderKeyBytes is enough for no two keys to meet by chance.
const orderKeyBytes = 16

// IsOrderKey tells what KeyOf can have made.
func IsOrderKey(key string) bool {
	b, err := hex.DecodeString(key)
	return err == nil && len(b) == orderKeyBytes && key == strings.ToLower(key)
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
