package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const connectionColumns = `SELECT tenant, id, name, type, hosts, header, query, version, created_at, updated_at, sealed, fields FROM connections `

// InsertConnection implements connection.Store.
func (s *SQL) InsertConnection(ctx context.Context, c connection.Connection, sealed []byte) error {
	hosts, err := column.JSON(c.Hosts)
	if err != nil {
		return err
	}
	return s.insert(ctx, "insert a connection", connectionTaken(c), fault.NotFound("tenant", c.Tenant),
		`INSERT INTO connections (tenant, id, name, type, hosts, header, query, version, created_at, updated_at, sealed, fields)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		c.Tenant, c.ID, c.Name, string(c.Type), hosts, c.Header, c.Query, c.Version,
		column.Micros(c.CreatedAt), column.Micros(c.UpdatedAt), column.Bytes(sealed), column.Bytes(c.Fields))
}

// Connection implements connection.Store.
func (s *SQL) Connection(ctx context.Context, tenant, idOrName string) (connection.Connection, error) {
	c, err := find(ctx, s, fault.NotFound("connection", idOrName), scanConnection, connectionColumns+`WHERE tenant = $1 AND (id = $2 OR name = $2)`, tenant, idOrName)
	return c.Connection, err
}

// Sealed implements connection.Store.
func (s *SQL) Sealed(ctx context.Context, tenant, id string) (connection.Connection, []byte, error) {
	c, err := find(ctx, s, fault.NotFound("connection", id), scanConnection, connectionColumns+`WHERE tenant = $1 AND id = $2`, tenant, id)
	return c.Connection, c.sealed, err
}

// Connections implements connection.Store.
func (s *SQL) Connections(ctx context.Context, tenant string) ([]connection.Connection, error) {
	found, err := list(ctx, s, scanConnection, connectionColumns+`WHERE tenant = $1 ORDER BY id`, tenant)
	cs := make([]connection.Connection, len(found))
	for i, c := range found {
		cs[i] = c.Connection
	}
	return cs, err
}

// UpdateConnection implements connection.Store. A nil sealed leaves the credential.
func (s *SQL) UpdateConnection(ctx context.Context, c connection.Connection, sealed []byte) error {
	hosts, err := column.JSON(c.Hosts)
	if err != nil {
		return err
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE connections SET name = $4, type = $5, hosts = $6, header = $7, query = $8, version = $3, updated_at = $9,
			 sealed = COALESCE($10, sealed), fields = $11 WHERE tenant = $1 AND id = $2 AND version = $3 - 1`,
			c.Tenant, c.ID, c.Version, c.Name, string(c.Type), hosts, c.Header, c.Query, column.Micros(c.UpdatedAt), column.Bytes(sealed),
			column.Bytes(c.Fields))
		if err != nil || n == 1 {
			return err
		}
		return stale(ctx, tx, "connection", c.ID, `SELECT version FROM connections WHERE tenant = $1 AND id = $2`, c.Tenant, c.ID)
	})
	return s.refused(err, "update a connection", connectionTaken(c), nil)
}

// DeleteConnection implements connection.Store.
func (s *SQL) DeleteConnection(ctx context.Context, tenant, id string) error {
	n, err := s.exec(ctx, "delete a connection", `DELETE FROM connections WHERE tenant = $1 AND id = $2`, tenant, id)
	if err == nil && n == 0 {
		return fault.NotFound("connection", id)
	}
	return err
}

// stale says why a versioned update changed nothing, given how to read the version.
func stale(ctx context.Context, tx Conn, kind, id, query string, args ...any) error {
	var version int64
	err := tx.QueryRowContext(ctx, query, args...).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.NotFound(kind, id)
	}
	if err != nil {
		return err
	}
	return conflict("version_changed", "the %s %q has been changed since it was read: its version is %d now", kind, id, version).
		WithHint("read it again and repeat the change")
}

// sealedConnection is a row of connections.
type sealedConnection struct {
	connection.Connection
	sealed []byte
}

func scanConnection(r scanner) (sealedConnection, error) {
	var c sealedConnection
	var hosts, fields []byte
	var created, updated int64
	err := r.Scan(&c.Tenant, &c.ID, &c.Name, &c.Type, &hosts, &c.Header, &c.Query, &c.Version, &created, &updated, &c.sealed, &fields)
	if err != nil {
		return c, err
	}
	c.CreatedAt, c.UpdatedAt, c.Fields = column.Time(created), column.Time(updated), column.Bytes(fields)
	err = column.FromJSON(hosts, &c.Hosts)
	return c, err
}

func connectionTaken(c connection.Connection) *fault.Error {
	return conflict("name_taken", "the tenant has a connection named %q already", c.Name).At("/name")
}
