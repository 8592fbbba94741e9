// Package endpoint is where vendors deliver webhooks for an installation.
package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Endpoint takes the deliveries of one webhook of one installation.
type Endpoint struct {
	// ID is also the secret-free last part of the URL: /hooks/{id}.
	ID           string `json:"id"`
	Tenant       string `json:"tenant"`
	Installation string `json:"installation"`
	// Webhook names the manifest's webhook that deliveries go to.
	Webhook string `json:"webhook"`
	// Scheme names how deliveries are signed.
	Scheme string `json:"scheme"`
	// Descriptor says how, where none of that name comes with the program.
	Descriptor json.RawMessage `json:"descriptor,omitempty" doc:"How deliveries are signed, where it is not a scheme that comes with the program."`
	// Parameters are what the scheme was told, but for what is secret.
	Parameters map[string]string `json:"parameters,omitempty" doc:"What the scheme was told, without what is secret."`
	// Limits bound its deliveries.
	Limits Limits `json:"limits,omitzero" doc:"What bounds its deliveries, beside the tenant's limits."`
	// Respond says what the answer to a delivery is, and Deadline for how long it is waited
	// for.
	Respond  Respond `json:"respond,omitempty" enum:"execution" doc:"What the answer is: none is that the delivery was stored; execution is what the plugin has said."`
	Deadline int     `json:"deadline_ms,omitempty" doc:"For how many milliseconds the execution is waited for, if it is the answer."`
	// OrderBy says what deliveries are in order by, "" for no order: see Order.
	OrderBy string `json:"order_by,omitempty" doc:"What deliveries are in order by: a JSON pointer into the body, or header:Name. Those of one value run one after another."`
	Version int64  `json:"version"`
	// Disabled endpoints answer 410 Gone.
	Disabled  bool      `json:"disabled"`
	CreatedAt time.Time `json:"created_at"`
}

// Respond says what the answer to a delivery is.
type Respond string

const (
	// Stored is that it was stored.
	Stored Respond = ""
	// Execution is what the plugin has said of it, or Stored at the deadline.
	Execution Respond = "execution"
)

const (
	// usualDeadline is what most vendors wait for who show what they are told, and maxDeadline
	// the longest that any does.
	usualDeadline = 10 * time.Second
	maxDeadline   = 30 * time.Second
)

// Wait is for how long the execution of a delivery is waited for: 0 is not at all.
func (e Endpoint) Wait() time.Duration {
	switch {
	case e.Respond != Execution:
		return 0
	case e.Deadline == 0:
		return usualDeadline
	default:
		return time.Duration(e.Deadline) * time.Millisecond
	}
}

// checkRespond says what is wrong with the answer.
func (e Endpoint) checkRespond() error {
	if e.Respond != Stored && e.Respond != Execution {
		return fault.New(fault.InvalidInput, "respond_invalid", "the answer is %.64q: it may be %q, or nothing", e.Respond, Execution).At("/respond")
	}
	if most := int(maxDeadline / time.Millisecond); e.Deadline < 0 || e.Deadline > most {
		return fault.New(fault.InvalidInput, "deadline_invalid", "the deadline is %d ms: it may be from 1 to %d, or 0 for %d", e.Deadline, most, int(usualDeadline/time.Millisecond)).
			At("/deadline_ms")
	}
	return nil
}

// Limits bound what is delivered to an endpoint. A zero is no limit of its own.
type Limits struct {
	// Rate is how many deliveries a second are taken, in the cluster.
	Rate int `json:"rate,omitempty" doc:"How many deliveries a second are taken, in the cluster; none is no cap."`
	// Burst is how many may come at once though the Rate is lower. 0 is ten seconds' worth.
	Burst int `json:"burst,omitempty" doc:"How many may come at once though the rate is lower; none is ten seconds' worth."`
	// Queued is how many executions of the endpoint's webhook may be due or parked.
	Queued int `json:"queued,omitempty" doc:"How many executions of its webhook may be due or parked before deliveries are refused; none is no cap."`
	// MaxBytes caps a body. 0 is the server's.
	MaxBytes int64 `json:"max_bytes,omitempty" doc:"How many bytes a delivery may have; none is the server's cap."`
}

const (
	// maxRate is more than a database commits a second, and maxQueued more than it should hold.
	maxRate   = 1_000_000
	maxQueued = 100_000_000
	// maxBytes is GitHub's cap, the largest of the vendors'
	// (https://docs.github.com/en/webhooks/webhook-events-and-payloads).
	maxBytes = 25 << 20
)

// check names what is out of bounds.
func (l Limits) check() error {
	e := fault.New(fault.InvalidInput, "limits_invalid", "a limit is out of bounds").At("/limits")
	for _, b := range []struct {
		name     string
		is, most int64
	}{{"rate", int64(l.Rate), maxRate}, {"burst", int64(l.Burst), maxRate}, {"queued", int64(l.Queued), maxQueued}, {"max_bytes", l.MaxBytes, maxBytes}} {
		if b.is < 0 || b.is > b.most {
			e.Problems = append(e.Problems, fault.Problem{Where: "/limits/" + b.name, Message: fmt.Sprintf("%d must be from 0, which is none, to %d", b.is, b.most)})
		}
	}
	if len(e.Problems) > 0 {
		return e
	}
	return nil
}

// Store keeps endpoints and their sealed signing secrets.
type Store interface {
	InsertEndpoint(ctx context.Context, e Endpoint, sealed []byte) error
	Endpoint(ctx context.Context, tenant, id string) (Endpoint, error)
	// Delivery finds an endpoint by id alone, which is how a delivery arrives,
	// with its sealed secret. It is the one look-up without a tenant: the
	// endpoint's own tenant is taken from what it returns.
	Delivery(ctx context.Context, id string) (Endpoint, []byte, error)
	Endpoints(ctx context.Context, tenant string) ([]Endpoint, error)
	// UpdateEndpoint replaces it where its version is e.Version-1. A nil sealed
	// leaves the secret.
	UpdateEndpoint(ctx context.Context, e Endpoint, sealed []byte) error
	DeleteEndpoint(ctx context.Context, tenant, id string) error
}
