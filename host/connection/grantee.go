package connection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// grantee is an installation as its connections see it.
type grantee struct {
	connections *Connections
	tenant      string
	granted     map[string]string
}

// Apply implements egress.Credentials.
func (g *grantee) Apply(ctx context.Context, name string, r *http.Request) (secrets []string, err error) {
	id, ok := g.granted[name]
	if !ok {
		return nil, fmt.Errorf("%w: grant a connection named %.64q to the installation", egress.ErrNoConnection, name)
	}
	conn, sealed, err := g.connections.c.Store.Sealed(ctx, g.tenant, id)
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Code == fault.CodeNotFound {
		return nil, fmt.Errorf("%w: the one that was granted as %.64q was deleted; grant another to the installation", egress.ErrNoConnection, name)
	}
	if err != nil {
		return nil, fmt.Errorf("find connection %s: %w", id, err)
	}
	if conn.Tenant != g.tenant || conn.ID != id {
		return nil, fmt.Errorf("find connection %s: the store returned another one", id)
	}
	// Before the credential is opened: one that may not be sent is not needed.
	if !conn.allows(r) {
		return nil, fmt.Errorf("%w: it is for %s; use one that is for this host",
			egress.ErrHostNotAllowed, strings.Join(conn.Hosts, ", "))
	}
	secret, err := g.connections.open(ctx, conn, sealed)
	if err != nil {
		return nil, err
	}
	return secret.apply(conn, r)
}

// Account implements egress.Accounts: a connection is an account, whatever credential
// it has by now.
func (g *grantee) Account(name string) string { return g.granted[name] }

// allows says whether a credential of c may go where r goes. A Host header that
// is not the URL's would make it arrive at another site of the same server.
func (c Connection) allows(r *http.Request) bool {
	if r.Host != "" && !strings.EqualFold(r.Host, r.URL.Host) {
		return false
	}
	return slices.ContainsFunc(c.Hosts, func(host string) bool { return ruleFor(host).Allows(http.MethodGet, r.URL) })
}
