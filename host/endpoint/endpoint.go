// Package endpoint is where vendors deliver webhooks for an installation.
package endpoint

import (
	"context"
	"encoding/json"
	"time"
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
	// OrderBy says what deliveries are in order by, "" for no order: see Order.
	OrderBy string `json:"order_by,omitempty" doc:"What deliveries are in order by: a JSON pointer into the body, or header:Name. Those of one value run one after another."`
	Version int64  `json:"version"`
	// Disabled endpoints answer 410 Gone.
	Disabled  bool      `json:"disabled"`
	CreatedAt time.Time `json:"created_at"`
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
