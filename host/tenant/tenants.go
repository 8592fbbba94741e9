package tenant

import (
	"context"
	"time"
)

// Config configures Tenants.
type Config struct {
	Store Store
	Now   func() time.Time
	// Release queues what waited because a tenant was paused.
	Release func(ctx context.Context, tenant string) error
}

// Tenants are the customers of a host.
type Tenants struct{ c Config }

// New returns Tenants.
func New(c Config) *Tenants { return &Tenants{c: c} }

// Create adds a tenant; zero limits become the defaults.
func (t *Tenants) Create(ctx context.Context, name, title string, l Limits) (Tenant, error) {
	panic("unbuilt")
}

// Get finds a tenant by id or name.
func (t *Tenants) Get(ctx context.Context, idOrName string) (Tenant, error) { panic("unbuilt") }

// List lists up to limit tenants after an id.
func (t *Tenants) List(ctx context.Context, after string, limit int) ([]Tenant, error) {
	panic("unbuilt")
}

// Limit changes a tenant's limits.
func (t *Tenants) Limit(ctx context.Context, idOrName string, l Limits) (Tenant, error) {
	panic("unbuilt")
}

// Pause keeps a tenant's events without running them, until Resume.
func (t *Tenants) Pause(ctx context.Context, idOrName string) (Tenant, error) { panic("unbuilt") }

// Resume runs what has gathered.
func (t *Tenants) Resume(ctx context.Context, idOrName string) (Tenant, error) { panic("unbuilt") }
