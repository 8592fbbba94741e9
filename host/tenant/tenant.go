// Package tenant is the customers of the host app: who everything else hangs off.
package tenant

import (
	"cmp"
	"context"
	"time"
)

// Tenant is a customer of the host app.
type Tenant struct {
	ID string `json:"id"`
	// Name is unique, [a-z0-9][a-z0-9-]{0,62}: what the host app calls it.
	Name   string `json:"name"`
	Title  string `json:"title,omitempty"`
	Limits Limits `json:"limits"`
	// Retention says how long it keeps what has finished.
	Retention Retention `json:"retention"`
	// State is active, paused or deleting; a paused tenant's events are kept and not
	// run, and one that is being deleted takes none.
	State State `json:"state"`
	// DeleteAt is when it is to be deleted, if that was asked for.
	DeleteAt  time.Time `json:"delete_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
}

// State says whether a tenant's executions run.
type State string

// The states of a tenant.
const (
	Active State = "active"
	Paused State = "paused"
	// Deleting is for good: what the tenant has is being taken away.
	Deleting State = "deleting"
)

const (
	// CodeChanged is the code of a change that another one came before.
	CodeChanged = "tenant_changed"
	// CodeDeleting is the code of what cannot be done to a tenant that is being deleted.
	CodeDeleting = "tenant_deleting"
	// CodeLeaving is the code of what cannot be done to a tenant that is to be deleted.
	CodeLeaving = "tenant_leaving"
	// CodePublisher is the code of a deletion that would take plugins from others.
	CodePublisher = "plugins_in_use"
)

// Limits are what a tenant may use at once.
type Limits struct {
	// Running caps its executions in flight, in the cluster. Defaults to 16.
	Running int `json:"running"`
	// Weight is its share of the workers against other tenants'. Defaults to 1.
	Weight int `json:"weight"`
	// Rate caps the webhooks a second that are taken for it, in the cluster. 0 is no cap.
	Rate int `json:"rate,omitempty" doc:"How many webhooks a second are taken for it, in the cluster; none is no cap."`
	// Burst is how many may come at once though the Rate is lower. 0 is ten seconds' worth.
	Burst int `json:"burst,omitempty" doc:"How many webhooks may come at once though the rate is lower; none is ten seconds' worth."`
	// Queued caps its executions that are due or parked: no webhook is taken beyond. 0 is
	// DefaultQueued.
	Queued int `json:"queued,omitempty" doc:"How many of its executions may be due or parked before webhooks are refused; none is 1,000,000."`
}

// DefaultQueued is more than a day of twelve webhooks a second.
const DefaultQueued = 1_000_000

// Retention is how long what has finished is kept: executions with their events,
// journals and all that hangs off them. What is first reached counts. A zero is
// the host's default.
type Retention struct {
	// Days is how long after its end an execution goes.
	Days int `json:"days,omitempty"`
	// Bytes is how much may be kept of what has finished; what finished first goes.
	Bytes int64 `json:"bytes,omitempty"`
}

// Age is Days as a time.
func (r Retention) Age() time.Duration { return time.Duration(r.Days) * 24 * time.Hour }

// Or takes what is zero from other.
func (r Retention) Or(other Retention) Retention {
	return Retention{Days: cmp.Or(r.Days, other.Days), Bytes: cmp.Or(r.Bytes, other.Bytes)}
}

// Store keeps tenants. A tenant that does not exist is fault.NotFound.
type Store interface {
	// InsertTenant returns a fault with Class Conflict if the name is taken.
	InsertTenant(ctx context.Context, t Tenant) error
	// Tenant finds by id or name.
	Tenant(ctx context.Context, idOrName string) (Tenant, error)
	// Tenants lists up to limit tenants after the id after, by id.
	Tenants(ctx context.Context, after string, limit int) ([]Tenant, error)
	// UpdateTenant makes t of what was read as was. It returns a Conflict fault
	// with CodeChanged if the tenant is no longer that: of two who change it at
	// once, one would put back what the other has changed. DeleteAt is not changed so.
	UpdateTenant(ctx context.Context, t, was Tenant) error
	Deletions
}
