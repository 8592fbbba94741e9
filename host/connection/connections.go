package connection

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// Config configures Connections.
type Config struct {
	Store Store
	Vault *vault.Vault
	Now   func() time.Time
}

// Connections are tenants' accounts at third parties.
type Connections struct{ c Config }

// New returns Connections.
func New(c Config) *Connections { return &Connections{c: c} }

// Spec asks for a connection.
type Spec struct {
	Name       string     `json:"name"`
	Type       Type       `json:"type"`
	Hosts      []string   `json:"hosts"`
	Header     string     `json:"header,omitempty"`
	Query      string     `json:"query,omitempty"`
	Credential Credential `json:"credential"`
}

// Create seals a credential and keeps the connection.
func (s *Connections) Create(ctx context.Context, tenant string, spec Spec) (Connection, error) {
	panic("unbuilt")
}

// Get finds a connection by id or name.
func (s *Connections) Get(ctx context.Context, tenant, idOrName string) (Connection, error) {
	panic("unbuilt")
}

// List lists a tenant's connections.
func (s *Connections) List(ctx context.Context, tenant string) ([]Connection, error) {
	panic("unbuilt")
}

// Replace seals another credential for a connection.
func (s *Connections) Replace(ctx context.Context, tenant, id string, c Credential) (Connection, error) {
	panic("unbuilt")
}

// Delete forgets a connection and its credential.
func (s *Connections) Delete(ctx context.Context, tenant, id string) error { panic("unbuilt") }

// For binds the credentials of a tenant to the names that an installation was granted.
func (s *Connections) For(tenant string, granted map[string]string) egress.Credentials {
	panic("unbuilt")
}
