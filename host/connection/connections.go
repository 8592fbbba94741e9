package connection

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// Config configures Connections.
type Config struct {
	Store Store
	Vault *vault.Vault
	// Tokens are those of connections of type OAuth2. Defaults to none.
	Tokens Tokens
	// Machines get the tokens of CreateMachine. Defaults to none.
	Machines Machines
	// Auditor is told of each use of a token, as the Vault's is of each opening. Defaults
	// to nobody.
	Auditor vault.Auditor
	// Renewed is told that a connection has a new credential, for which work may wait.
	// Defaults to nobody.
	Renewed func(ctx context.Context, tenant, connection string) error
	// Fitting refuses fields with which plugins that were granted the connection could
	// not work. Defaults to taking all.
	Fitting func(ctx context.Context, tenant, connection string, fields json.RawMessage) error
	Now     func() time.Time
}

// Connections are tenants' accounts at third parties.
type Connections struct{ c Config }

// New returns Connections.
func New(c Config) *Connections {
	if c.Renewed == nil {
		c.Renewed = func(context.Context, string, string) error { return nil }
	}
	if c.Fitting == nil {
		c.Fitting = func(context.Context, string, string, json.RawMessage) error { return nil }
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
		Hosts: lower(spec.Hosts), Header: spec.Header, Query: spec.Query, Fields: slices.Clone(spec.Fields),
		Version: 1, CreatedAt: now, UpdatedAt: now,
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
	if conn.Type == OAuth2 {
		return Connection{}, fault.New(fault.InvalidInput, "invalid_connection", "the connection %q is of type %s, whose tokens come from its provider", conn.Name, OAuth2).
			WithHint("Reconnect it: its user has to agree anew.")
	}
	if err := invalid(c.problems(conn.Type)); err != nil {
		return Connection{}, err
	}
	conn.Version++
	conn.UpdatedAt = s.c.Now()
	return s.changed(ctx, conn, c)
}

// SetFields replaces the fields of a connection, named by id or name; nil is none.
// Calls that begin from now on are told the new ones.
func (s *Connections) SetFields(ctx context.Context, tenant, id string, fields json.RawMessage) (Connection, error) {
	if err := invalid(fieldProblems(fields)); err != nil {
		return Connection{}, err
	}
	conn, err := s.Get(ctx, tenant, id)
	if err != nil {
		return Connection{}, err
	}
	if err := s.c.Fitting(ctx, tenant, conn.ID, fields); err != nil {
		return Connection{}, err
	}
	conn, sealed, err := s.c.Store.Sealed(ctx, tenant, conn.ID)
	if err != nil {
		return Connection{}, fmt.Errorf("find connection: %w", err)
	}
	secret, err := s.open(vault.Using(ctx, vault.Use{Purpose: "change of fields"}), conn, sealed)
	if err != nil {
		return Connection{}, err
	}
	conn.Version++
	conn.Fields, conn.UpdatedAt = slices.Clone(fields), s.c.Now()
	// The credential is bound to the version of what it belongs to.
	if sealed, err = s.seal(ctx, conn, secret); err != nil {
		return Connection{}, err
	}
	if err := s.c.Store.UpdateConnection(ctx, conn, sealed); err != nil {
		return Connection{}, fmt.Errorf("set the fields of connection %s: %w", conn.Name, err)
	}
	return conn, nil
}

// Delete forgets a connection, named by id or name, and its credential. What was agreed to
// with a provider is ended first, so that no token outlives its connection unnoticed.
func (s *Connections) Delete(ctx context.Context, tenant, id string) error {
	conn, err := s.Get(ctx, tenant, id)
	if err != nil {
		return err
	}
	if conn.Type == OAuth2 && s.c.Tokens != nil {
		if err := s.c.Tokens.Revoke(ctx, tenant, conn.ID); err != nil {
			return fmt.Errorf("revoke the tokens of connection %s: %w", conn.Name, err)
		}
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

// changed keeps a connection that has a new credential, and has what waits for it go on.
func (s *Connections) changed(ctx context.Context, conn Connection, c Credential) (Connection, error) {
	sealed, err := s.seal(ctx, conn, c)
	if err != nil {
		return Connection{}, err
	}
	if err := s.c.Store.UpdateConnection(ctx, conn, sealed); err != nil {
		return Connection{}, fmt.Errorf("replace the credential of connection %s: %w", conn.Name, err)
	}
	if err := s.c.Renewed(ctx, conn.Tenant, conn.ID); err != nil {
		return Connection{}, err
	}
	return conn, nil
}

func (s *Connections) seal(ctx context.Context, c Connection, secret Credential) ([]byte, error) {
	plaintext, err := json.Marshal(secret) //nolint:gosec // To be sealed, on the next line.
	if err != nil {
		return nil, fmt.Errorf("encode the credential of connection %s: %w", c.Name, err)
	}
	defer clear(plaintext)
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
	defer clear(plaintext)
	var secret Credential
	if json.Unmarshal(plaintext, &secret) != nil {
		// Without the error, which may quote what it met.
		return Credential{}, fmt.Errorf("decode the credential of connection %s: it is not a credential", c.ID)
	}
	return secret, nil
}

// lower gives hosts as they are compared.
func lower(hosts []string) []string {
	all := make([]string, len(hosts))
	for i, host := range hosts {
		all[i] = strings.ToLower(host)
	}
	return all
}

func fieldOf(c Connection) vault.Field {
	return vault.Field{Tenant: c.Tenant, Table: "connections", Record: c.ID, Name: "credential", Version: c.Version}
}
