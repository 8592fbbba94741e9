// Package destination is where messages leave for: a URL, of a tenant's or of the
// operator's, that is sent records and notices as signed webhooks.
//
//	d, secret, err := destinations.Create(ctx, tenant, destination.Spec{URL: "https://app.example.com/hooks", Kinds: []string{"record.*"}})
//
// The operator's get what happens at all tenants; a tenant's what happens at that one. What
// is told apart by Kinds:
//
//	record.order          records that connectors emit with the name order
//	execution.dead        notices, of whose kinds package notice has the list
//	record.*, execution.* all of a noun
//	*                     everything
//
// A destination is made for what happens after: what was there before is not sent.
//
//	active --- asked, gone (410), failing (five days of nothing but failures) ---> disabled
//	  ^                                                                               |
//	  +---------------------------------- enabled -----------------------------------+
//
// What is to be sent to a disabled one waits until it is enabled, for as long as its tenant
// keeps things. Sending is package outbound's.
package destination

import (
	"context"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
)

// Operator is the tenant under which the operator's destinations are kept and sealed.
const Operator = app.Operator

// State says whether anything is sent.
type State string

// The states.
const (
	Active   State = "active"
	Disabled State = "disabled"
)

// Reason says why a destination is disabled.
type Reason string

// The reasons.
const (
	// Asked: somebody has disabled it.
	Asked Reason = "asked"
	// Gone: it has answered 410.
	Gone Reason = "gone"
	// Failing: for days everything that was sent has failed.
	Failing Reason = "failing"
)

// Destination is where messages leave for, without what they are signed with.
type Destination struct {
	ID string `json:"id"`
	// Tenant is whose it is; empty, in what is shown, for the operator's.
	Tenant string `json:"tenant,omitempty"`
	// Name is unique among the tenant's.
	Name string `json:"name"`
	URL  string `json:"url"`
	// Kinds are what is sent there.
	Kinds []string `json:"kinds"`
	// Ordered has one message sent after the other: none before that before it was taken,
	// or given up.
	Ordered bool   `json:"ordered"`
	State   State  `json:"state"`
	Reason  Reason `json:"reason,omitempty"`
	// Since is when it came to this state.
	Since time.Time `json:"since"`
	// FailingSince is since when everything has failed; zero if the last thing has not.
	FailingSince time.Time `json:"failing_since,omitzero"`
	// FailedAt is when something failed last, since FailingSince.
	FailedAt time.Time `json:"-"`
	// ThrottledUntil is until when it has asked to be left alone.
	ThrottledUntil time.Time `json:"throttled_until,omitzero"`
	Version        int64     `json:"version"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// Wants says whether messages of a type are sent there.
func (d Destination) Wants(kind string) bool {
	for _, k := range d.Kinds {
		noun, all := strings.CutSuffix(k, "*")
		if k == kind || all && strings.HasPrefix(kind, noun) {
			return true
		}
	}
	return false
}

// Seen is d as people see it.
func (d Destination) Seen() Destination {
	if d.Tenant == Operator {
		d.Tenant = ""
	}
	return d
}

// Store keeps destinations and their sealed secrets. Another tenant's is fault.NotFound.
type Store interface {
	// InsertDestination adds one, or is a Conflict fault if its tenant has as many as most.
	InsertDestination(ctx context.Context, d Destination, sealed []byte, most int) error
	// Destination finds one by id or name, with its sealed secrets.
	Destination(ctx context.Context, tenant, idOrName string) (Destination, []byte, error)
	// Destinations lists the newest first, before an id.
	Destinations(ctx context.Context, tenant, before string, limit int) ([]Destination, error)
	// UpdateDestination replaces it where its version is d.Version-1. How sending goes is
	// left as it is, unless the state changes: then it begins anew.
	UpdateDestination(ctx context.Context, d Destination, sealed []byte) error
	// DeleteDestination forgets one with its deliveries.
	DeleteDestination(ctx context.Context, tenant, id string) error
}
