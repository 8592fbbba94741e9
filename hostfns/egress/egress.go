// Package egress gives a guest HTTP: to the hosts and methods that its manifest
// asks for and its tenant grants, at addresses that are checked when they are
// dialled, with credentials that the guest never sees.
package egress

import (
	"context"
	"errors"
	"net/http"
)

// Rule allows methods at a host. Rules are what is left after the manifest's
// wishes have been met with the tenant's grant.
type Rule struct {
	// Host is a host name or "*." and a host name, each with an optional port;
	// without one it means 443.
	Host string
	// Methods are upper-case.
	Methods []string
}

// ErrNoConnection says that a name has no connection behind it.
var ErrNoConnection = errors.New("no such connection")

// Credentials adds a connection's credential to a request. The host binds it
// to a tenant's installation.
type Credentials interface {
	// Apply adds the credential of the connection that the guest calls name to
	// r, if r goes to one of the connection's hosts, and returns the secrets
	// that it put there, so that they can be redacted from what comes back.
	// It returns ErrNoConnection, wrapped with what to do, if there is none, and
	// ErrHostNotAllowed if r goes elsewhere.
	Apply(ctx context.Context, name string, r *http.Request) (secrets []string, err error)
}

// ErrHostNotAllowed says that a credential may not go to the request's host.
var ErrHostNotAllowed = errors.New("the connection is not for this host")
