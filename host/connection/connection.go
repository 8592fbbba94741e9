// Package connection is tenants' accounts at third parties. A Credential is
// sealed before it reaches the store and opened only when a request is dialled.
package connection

import (
	"context"
	"encoding/json"
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
	// HMAC is a shared secret that signs: what package sign is asked for and, where there
	// is a Header, the body of each request, with SHA-256 and in hexadecimal digits.
	HMAC Type = "hmac"
	// PrivateKey signs tokens, and goes with no request: see package sign.
	PrivateKey Type = "private_key"
	// AWS signs each request with Signature Version 4, and URLs.
	AWS Type = "aws_sigv4"
	// Certificate is shown in the TLS handshake.
	Certificate Type = "client_certificate"
	// OAuth2 is a token that a user, or a machine, was given by an authorization server,
	// and that is kept fresh: see package authorization. It has no Credential.
	OAuth2 Type = "oauth2"
)

// Types are all of them.
func Types() []Type {
	return []Type{Bearer, Basic, APIKey, HMAC, PrivateKey, AWS, Certificate, OAuth2}
}

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
	// Header or Query is where an APIKey goes, and Header where an HMAC does.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	// Fields are what else there is to know of the account, as a JSON object; nil for
	// nothing. They are stored in the clear, and plugins that are granted the
	// connection read them.
	Fields json.RawMessage `json:"fields,omitempty"`
	// Version counts the connection's changes, from 1.
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
	// Key is an APIKey's, and an HMAC's.
	Key string `json:"key,omitempty"`
	// KeyEncoding is what an HMAC's Key is written in: "base64", "hex", or empty for
	// itself.
	KeyEncoding string `json:"key_encoding,omitempty"`
	// PrivateKey is a PrivateKey's and a Certificate's, in PEM.
	PrivateKey string `json:"private_key,omitempty"`
	// KeyID is the "kid" of a PrivateKey's and an HMAC's tokens; it may be empty.
	KeyID string `json:"key_id,omitempty"`
	// Certificate is a Certificate's chain, in PEM.
	Certificate string `json:"certificate,omitempty"`
	// The rest is for AWS. SessionToken is of a credential that was lent.
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
	SessionToken    string `json:"session_token,omitempty"`
	Region          string `json:"region,omitempty"`
	Service         string `json:"service,omitempty"`
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
	// a Conflict fault. A nil sealed leaves the credential as it is.
	UpdateConnection(ctx context.Context, c Connection, sealed []byte) error
	DeleteConnection(ctx context.Context, tenant, id string) error
}
