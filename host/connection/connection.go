// Package connection is tenants' accounts at third parties. A Credential is
// sealed before it reaches the store and opened only when a request is dialled.
package connection

import (
	"context"
	"time"
)

// Type says how a credential is presented.
type Type string

// The types of credentials.
const (
	// Bearer is "Authorization: Bearer <token>" (RFC 6750).
	Bearer Type = "bearer"
	// Basic is "Authorization: Basic <base64>" (RFC 7617).
	Basic Type = "basic"
	// APIKey is a header or query parameter of the vendor's.
	APIKey Type = "api_key"
)

// Connection is a tenant's account at a third party, without its credential.
type Connection struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	// Name is unique among the tenant's connections.
	Name string `json:"name"`
	Type Type   `json:"type"`
	// Hosts are the only ones that the credential is sent to, each with an
	// optional port, never empty.
	Hosts []string `json:"hosts"`
	// Header or Query is where an APIKey goes.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	// Version counts the credential's changes, from 1.
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Credential is the secret part. It is never stored in the clear, and prints and
// logs as [redacted]; only encoding/json writes it out, for it is also the form
// in which a Spec is sent.
type Credential struct {
	// Token is a Bearer's.
	Token string `json:"token,omitempty"`
	// Username and Password are a Basic's.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Key is an APIKey's.
	Key string `json:"key,omitempty"`
}

// Store keeps connections and their sealed credentials. Another tenant's
// connection is fault.NotFound.
type Store interface {
	// InsertConnection returns a Conflict fault if the name is taken.
	InsertConnection(ctx context.Context, c Connection, sealed []byte) error
	// Connection finds by id or name.
	Connection(ctx context.Context, tenant, idOrName string) (Connection, error)
	// Sealed returns the connection by id with its sealed credential.
	Sealed(ctx context.Context, tenant, id string) (Connection, []byte, error)
	Connections(ctx context.Context, tenant string) ([]Connection, error)
	// UpdateConnection replaces it where its version is c.Version-1, or returns
	// a Conflict fault.
	UpdateConnection(ctx context.Context, c Connection, sealed []byte) error
	DeleteConnection(ctx context.Context, tenant, id string) error
}
