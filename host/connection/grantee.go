package connection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
)

// grantee is an installation as its connections see it.
type grantee struct {
	connections *Connections
	tenant      string
	granted     map[string]string
}

// Apply implements egress.Credentials.
func (g *grantee) Apply(ctx context.Context, name string, r *http.Request) (secrets []string, err error) {
	conn, sealed, err := g.forRequest(ctx, name, r)
	if err != nil {
		return nil, err
	}
	if conn.Type == OAuth2 {
		access, err := g.access(ctx, conn, r)
		if err != nil {
			return nil, err
		}
		return applyAccess(access, r), nil
	}
	secret, err := g.connections.open(forRequest(ctx, r.URL.Host), conn, sealed)
	if err != nil {
		return nil, err
	}
	return secret.apply(conn, r, g.connections.c.Now)
}

// Parts implements egress.Placeable.
func (g *grantee) Parts(ctx context.Context, name string, r *http.Request) (map[string]string, error) {
	conn, sealed, err := g.forRequest(ctx, name, r)
	if err != nil {
		return nil, err
	}
	if conn.Type == OAuth2 {
		access, err := g.access(ctx, conn, r)
		if err != nil {
			return nil, err
		}
		return map[string]string{accessPart: access.Token}, nil
	}
	secret, err := g.connections.open(forRequest(ctx, r.URL.Host), conn, sealed)
	if err != nil {
		return nil, err
	}
	return secret.placeable(conn)
}

// Opening is what opening a connection's credential for a request to a host is to the
// vault's Auditor.
func Opening(ctx context.Context, tenant, id, host string) vault.Opening {
	f := fieldOf(Connection{Tenant: tenant, ID: id})
	return vault.Opening{Tenant: f.Tenant, Table: f.Table, Name: f.Name, Records: []string{f.Record}, Use: vault.UseOf(forRequest(ctx, host))}
}

func forRequest(ctx context.Context, host string) context.Context {
	return vault.Using(ctx, vault.Use{Purpose: "request to " + host})
}

// Key implements sign.Keys.
func (g *grantee) Key(ctx context.Context, name string) (sign.Key, error) {
	conn, sealed, err := g.find(ctx, name, sign.ErrNoConnection)
	if err != nil {
		return sign.Key{}, err
	}
	if conn.Type == OAuth2 {
		return Credential{}.key(conn) // Nothing is opened to say so.
	}
	secret, err := g.connections.open(vault.Using(ctx, vault.Use{Purpose: "signature"}), conn, sealed)
	if err != nil {
		return sign.Key{}, err
	}
	return secret.key(conn)
}

// Account implements egress.Accounts: a connection is an account, whatever credential
// it has by now.
func (g *grantee) Account(name string) string { return g.granted[name] }

// forRequest finds what was granted under a name, for a request that it may go with.
func (g *grantee) forRequest(ctx context.Context, name string, r *http.Request) (Connection, []byte, error) {
	conn, sealed, err := g.find(ctx, name, egress.ErrNoConnection)
	if err != nil {
		return conn, nil, err
	}
	// Before the credential is opened: one that may not be sent is not needed.
	if !conn.allows(r) {
		return conn, nil, fmt.Errorf("%w: it is for %s; use one that is for this host",
			egress.ErrHostNotAllowed, strings.Join(conn.Hosts, ", "))
	}
	return conn, sealed, nil
}

// find finds what was granted under a name. missing says that nothing was.
func (g *grantee) find(ctx context.Context, name string, missing error) (Connection, []byte, error) {
	id, ok := g.granted[name]
	if !ok {
		return Connection{}, nil, fmt.Errorf("%w: grant a connection named %.64q to the installation", missing, name)
	}
	conn, sealed, err := g.connections.c.Store.Sealed(ctx, g.tenant, id)
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Code == fault.CodeNotFound {
		return Connection{}, nil, fmt.Errorf("%w: the one that was granted as %.64q was deleted; grant another to the installation", missing, name)
	}
	if err != nil {
		return Connection{}, nil, fmt.Errorf("find connection %s: %w", id, err)
	}
	if conn.Tenant != g.tenant || conn.ID != id {
		return Connection{}, nil, fmt.Errorf("find connection %s: the store returned another one", id)
	}
	return conn, sealed, nil
}

// allows says whether a credential of c may go where r goes. A Host header that
// is not the URL's would make it arrive at another site of the same server.
func (c Connection) allows(r *http.Request) bool {
	if r.Host != "" && !strings.EqualFold(r.Host, r.URL.Host) {
		return false
	}
	return slices.ContainsFunc(c.Hosts, func(host string) bool { return ruleFor(host).Allows(http.MethodGet, r.URL) })
}
