package connection

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// Config configures Connections.
type Config struct {
	Store Store
	Vault *vault.Vault
	// Renewed is told that a tenant has a new credential, for which work may wait.
	// Defaults to nobody.
	Renewed func(ctx context.Context, tenant string) error
	Now     func() time.Time
}

// Connections are tenants' accounts at third parties.
type Connections struct{ c Config }

// New returns Connections.
func New(c Config) *Connections {
	if c.Renewed == nil {
		c.Renewed = func(context.Context, string) error { return nil }
	}
	return &Connections{c: c}
}

// Create seals a credential and keeps the connection. A spec that is wrong is an
// InvalidInput fault that names all that is wrong with it.
func (s *Connections) Create(ctx context.Context, tenant string, spec Spec) (Connection, error) {
	if err := spec.check(); err != nil {
		return Connection{}, err
	}
	now := s.c.Now()
	c := Connection{
		ID: ident.New(ident.Connection, now), Tenant: tenant, Name: spec.Name, Type: spec.Type,
		Hosts: slices.Clone(spec.Hosts), Header: spec.Header, Query: spec.Query,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	for i, host := range c.Hosts {
		c.Hosts[i] = strings.ToLower(host)
	}
	sealed, err := s.seal(ctx, c, spec.Credential)
	if err != nil {
		return Connection{}, err
	}
	if err := s.c.Store.InsertConnection(ctx, c, sealed); err != nil {
		return Connection{}, fmt.Errorf("store connection %s: %w", c.Name, err)
	}
	return c, nil
}

// Get finds a connection by id or name.
func (s *Connections) Get(ctx context.Context, tenant, idOrName string) (Connection, error) {
	c, err := s.c.Store.Connection(ctx, tenant, idOrName)
	if err != nil {
		return Connection{}, fmt.Errorf("find connection: %w", err)
	}
	return c, nil
}

// List lists a tenant's connections.
func (s *Connections) List(ctx context.Context, tenant string) ([]Connection, error) {
	all, err := s.c.Store.Connections(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return all, nil
}

// Replace seals another credential for a connection, named by id or name. The
// next request that is made with the connection uses it.
func (s *Connections) Replace(ctx context.Context, tenant, id string, c Credential) (Connection, error) {
	conn, err := s.Get(ctx, tenant, id)
	if err != nil {
		return Connection{}, err
	}
	if err := invalid(c.problems(conn.Type)); err != nil {
		return Connection{}, err
	}
	conn.Version++
	conn.UpdatedAt = s.c.Now()
	sealed, err := s.seal(ctx, conn, c)
	if err != nil {
		return Connection{}, err
	}
	if err := s.c.Store.UpdateConnection(ctx, conn, sealed); err != nil {
		return Connection{}, fmt.Errorf("replace the credential of connection %s: %w", conn.Name, err)
	}
	if err := s.c.Renewed(ctx, tenant); err != nil {
		return Connection{}, err
	}
	return conn, nil
}

// Delete forgets a connection, named by id or name, and its credential.
func (s *Connections) Delete(ctx context.Context, tenant, id string) error {
	conn, err := s.Get(ctx, tenant, id)
	if err != nil {
		return err
	}
	if err := s.c.Store.DeleteConnection(ctx, tenant, conn.ID); err != nil {
		return fmt.Errorf("delete connection %s: %w", conn.Name, err)
	}
	return nil
}

// For binds the credentials of a tenant to the names that an installation was
// granted: granted maps the plugin's names to ids. The credentials are looked up
// for each request, so that what was replaced or deleted is not used again.
func (s *Connections) For(tenant string, granted map[string]string) egress.Credentials {
	return &grantee{connections: s, tenant: tenant, granted: maps.Clone(granted)}
}

func (s *Connections) seal(ctx context.Context, c Connection, secret Credential) ([]byte, error) {
	plaintext, err := json.Marshal(secret) //nolint:gosec // To be sealed, on the next line.
	if err != nil {
		return nil, fmt.Errorf("encode the credential of connection %s: %w", c.Name, err)
	}
	sealed, err := s.c.Vault.Seal(ctx, fieldOf(c), plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal the credential of connection %s: %w", c.Name, err)
	}
	return sealed, nil
}

func (s *Connections) open(ctx context.Context, c Connection, sealed []byte) (Credential, error) {
	plaintext, err := s.c.Vault.Open(ctx, fieldOf(c), sealed)
	if err != nil {
		return Credential{}, fmt.Errorf("open the credential of connection %s: %w", c.ID, err)
	}
	var secret Credential
	if json.Unmarshal(plaintext, &secret) != nil {
		// Without the error, which may quote what it met.
		return Credential{}, fmt.Errorf("decode the credential of connection %s: it is not a credential", c.ID)
	}
	return secret, nil
}

func fieldOf(c Connection) vault.Field {
	return vault.Field{Tenant: c.Tenant, Table: "connections", Record: c.ID, Name: "credential", Version: c.Version}
}
