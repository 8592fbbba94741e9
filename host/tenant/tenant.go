// Package tenant is the customers of the host app: who everything else hangs off.
package tenant

import (
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
	// State is active or paused; a paused tenant's events are kept and not run.
	State     State     `json:"state"`
	CreatedAt time.Time `json:"created_at"`
}

// State says whether a tenant's executions run.
type State string

// The states of a tenant.
const (
	Active State = "active"
	Paused State = "paused"
)

// CodeChanged is the code of a change that another one came before.
const CodeChanged = "tenant_changed"

// Limits are what a tenant may use at once.
type Limits struct {
	// Running caps its executions in flight, in the cluster. Defaults to 16.
	Running int `json:"running"`
	// Weight is its share of the workers against other tenants'. Defaults to 1.
	Weight int `json:"weight"`
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
	// once, one would put back what the other has changed.
	UpdateTenant(ctx context.Context, t, was Tenant) error
}
