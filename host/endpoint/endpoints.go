package endpoint

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Config configures Endpoints.
type Config struct {
	Store Store
	Vault *vault.Vault
	// Webhook returns the installation's id and the scheme of a webhook of it, or
	// a fault if there is none.
	Webhook func(ctx context.Context, tenant, installation, webhook string) (id, scheme string, err error)
	// NewSecret makes a signing secret in the form that a scheme wants; CheckSecret
	// refuses one that it cannot use.
	NewSecret   func(scheme string) (string, error)
	CheckSecret func(scheme, secret string) error
	Now         func() time.Time
}

// Endpoints are where vendors deliver.
type Endpoints struct{ c Config }

// New returns Endpoints.
func New(c Config) *Endpoints { return &Endpoints{c: c} }

// Spec asks for an endpoint.
type Spec struct {
	Installation string `json:"installation"`
	Webhook      string `json:"webhook"`
	// Secret is the vendor's, or empty to have one made.
	Secret string `json:"secret,omitempty"`
}

// Create adds an endpoint, and returns its signing secret, which is shown this once.
func (s *Endpoints) Create(ctx context.Context, tenant string, spec Spec) (Endpoint, string, error) {
	panic("unbuilt")
}

// Get finds an endpoint by id.
func (s *Endpoints) Get(ctx context.Context, tenant, id string) (Endpoint, error) { panic("unbuilt") }

// List lists a tenant's endpoints.
func (s *Endpoints) List(ctx context.Context, tenant string) ([]Endpoint, error) { panic("unbuilt") }

// Rotate replaces the signing secret; an empty one has one made.
func (s *Endpoints) Rotate(ctx context.Context, tenant, id, secret string) (Endpoint, string, error) {
	panic("unbuilt")
}

// Disable stops or allows deliveries.
func (s *Endpoints) Disable(ctx context.Context, tenant, id string, disabled bool) (Endpoint, error) {
	panic("unbuilt")
}

// Delete forgets an endpoint; deliveries to it are 404 from then on.
func (s *Endpoints) Delete(ctx context.Context, tenant, id string) error { panic("unbuilt") }

// Open finds an endpoint for a delivery, with its signing secret. It is cached
// for a few seconds, for it stands before every delivery.
func (s *Endpoints) Open(ctx context.Context, id string) (Endpoint, string, error) {
	panic("unbuilt")
}
