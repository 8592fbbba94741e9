package connection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// Tokens are those of connections of type OAuth2: see authorization.Authorizations.
type Tokens interface {
	// Token gives the one that can be used now. Its error is a fault: of class Auth if
	// there is none any more before somebody reconnects, of another class if it may pass.
	Token(ctx context.Context, tenant, connection string) (authorization.Access, error)
	// Refused says that the API has refused the token with an id, and whether there is
	// another one by now.
	Refused(ctx context.Context, tenant, connection, id string) (renewed bool, err error)
	// Worked says that the API has taken the token with an id.
	Worked(ctx context.Context, tenant, connection, id string) error
	// Revoke ends what was agreed to, and waits for no provider. That there is nothing to
	// end is no error.
	Revoke(ctx context.Context, tenant, connection string) error
}

// accessPart is what a placeholder calls the token of an OAuth2.
const accessPart = "access_token"

// access is the token of a connection for a request that it may go with. That it is used
// is the Auditor's to know, however often it was opened: one that is warm is not.
func (g *grantee) access(ctx context.Context, conn Connection, r *http.Request) (authorization.Access, error) {
	c := g.connections.c
	if c.Tokens == nil {
		return authorization.Access{}, fmt.Errorf("find the token of connection %s: this host keeps none", conn.ID)
	}
	ctx = forRequest(ctx, r.URL.Host)
	access, err := c.Tokens.Token(ctx, g.tenant, conn.ID)
	if err != nil {
		return access, told(conn, err)
	}
	// What the user has agreed to may have moved since the connection was made.
	if at := (Connection{Hosts: access.Hosts}); len(access.Hosts) > 0 && !at.allows(r) {
		return authorization.Access{}, fmt.Errorf("%w: its token is for %s", egress.ErrHostNotAllowed, strings.Join(access.Hosts, ", "))
	}
	if c.Auditor != nil {
		if err := c.Auditor.Opened(ctx, Opening(ctx, g.tenant, conn.ID, r.URL.Host)); err != nil {
			return authorization.Access{}, err
		}
	}
	remember(r, used{connection: conn, id: access.ID})
	return access, nil
}

type usedKey struct{}

// remember has a request say which token went with it.
func remember(r *http.Request, u used) {
	*r = *r.WithContext(context.WithValue(r.Context(), usedKey{}, u))
}

// used is which token went with a request.
type used struct {
	connection Connection
	id         string
}

// Renew implements egress.Renewer.
func (g *grantee) Renew(ctx context.Context, _ string, r *http.Request) (bool, error) {
	u, ok := r.Context().Value(usedKey{}).(used)
	if !ok {
		return false, nil
	}
	renewed, err := g.connections.c.Tokens.Refused(forRequest(ctx, r.URL.Host), g.tenant, u.connection.ID, u.id)
	if err != nil {
		return false, told(u.connection, err)
	}
	return renewed, nil
}

// Worked implements egress.Renewer. That it is not noted harms nobody: the next request
// says so again.
func (g *grantee) Worked(ctx context.Context, _ string, r *http.Request) {
	if u, ok := r.Context().Value(usedKey{}).(used); ok {
		_ = g.connections.c.Tokens.Worked(ctx, g.tenant, u.connection.ID, u.id)
	}
}

// applyAccess adds a token to a request as the API takes it, and returns what must not
// come back to the guest.
func applyAccess(a authorization.Access, r *http.Request) []string {
	for name, value := range a.Use.Headers {
		setHeader(r.Header, name, value)
	}
	if a.Use.Query != "" {
		return []string{a.Token, setQuery(r, a.Use.Query, a.Token)}
	}
	name, prefix := a.Use.Header, a.Use.Prefix
	if name == "" {
		name, prefix = "Authorization", "Bearer "
	}
	setHeader(r.Header, name, prefix+a.Token)
	return []string{a.Token}
}

// told is why there is no token, as a guest is told it. What is the fault of this program
// ends the guest's call.
func told(conn Connection, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Class == fault.Platform {
		return fmt.Errorf("get the token of connection %s: %w", conn.ID, err)
	}
	code := hostfns.CodeAuth
	switch f.Class {
	case fault.RateLimited:
		code = hostfns.CodeRateLimited
	case fault.Upstream:
		code = hostfns.CodeUpstreamUnavailable
	case fault.Network:
		code = hostfns.CodeNetwork
	default:
	}
	e := hostfns.Errorf(code, "the connection %q has no token now: %s", conn.Name, f.Message)
	e.RetryAfter = f.RetryAfter
	return e
}

// Reconnected says that the user of a connection of type OAuth2, named by id or name, has
// agreed anew: from now on it has these hosts and fields, and what waits for it goes on.
// Nil hosts or fields stay as they are.
func (s *Connections) Reconnected(ctx context.Context, tenant, id string, at Place) (Connection, error) {
	if err := invalid(fieldProblems(at.Fields)); err != nil {
		return Connection{}, err
	}
	conn, err := s.Get(ctx, tenant, id)
	if err != nil {
		return Connection{}, err
	}
	if conn.Type != OAuth2 {
		return Connection{}, fault.New(fault.Conflict, "connection_type", "the connection %q is of type %s, which nobody reconnects", conn.Name, conn.Type).
			WithHint("Replace its credential.")
	}
	if at.Hosts != nil {
		if err := invalid((Spec{Hosts: at.Hosts}).hostProblems()); err != nil {
			return Connection{}, err
		}
		conn.Hosts = lower(at.Hosts)
	}
	if at.Fields != nil {
		if err := s.c.Fitting(ctx, tenant, conn.ID, at.Fields); err != nil {
			return Connection{}, err
		}
		conn.Fields = slices.Clone(at.Fields)
	}
	conn.Version++
	conn.UpdatedAt = s.c.Now()
	return s.changed(ctx, conn, Credential{})
}

// Place is where the account of an OAuth2 is, and what else there is to know of it.
type Place struct {
	Hosts  []string
	Fields []byte
}
