// Package egress gives a guest HTTP: to the hosts and methods that its manifest
// asks for and its tenant grants, at addresses that are checked when they are
// dialled, with credentials that the guest never sees.
//
//	out := egress.New(egress.Config{})
//	defer out.Close()
//	// for each run:
//	session := out.Session(egress.Permissions{
//		Rules:       []egress.Rule{{Host: "api.github.com", Methods: []string{"GET", "POST"}}},
//		Credentials: credentials, Secrets: secrets, Pool: tenantID,
//	})
//	defer session.Close()
//	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: session.Funcs(), Secrets: secrets, Now: now})
//
// What holds for every request, whatever was granted:
//
//   - https only; plain http reaches only addresses in Config.AllowAddrs.
//   - A name is resolved once, every address of the answer must be public (see
//     [Guard]), and one of those addresses is dialled.
//   - No proxy but Config.Proxy, no cookies, no HTTP/2, no upgrade.
//   - A redirect is a new request to the rules. Across origins it loses its
//     credential and all headers but a few, carries no body, and never goes from
//     https to http.
//   - A request that is not to be made twice carries an idempotency key to hosts that
//     take one, and no byte of it leaves without the run's lease.
//   - Each connection's secrets are taken out of what comes back.
//   - No message names an address or a secret.
//   - A body that is passed in chunks is bounded as one that is not, by a size of its
//     own, and is in memory a chunk at a time. A Session ends those that are open when
//     it is closed.
//
// Connections to a server are kept open for the next request of one Pool only,
// so that tenants share none.
package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// ErrNoConnection says that a name has no connection behind it.
var ErrNoConnection = errors.New("no such connection")

// ErrHostNotAllowed says that a credential may not go to the request's host.
var ErrHostNotAllowed = errors.New("the connection is not for this host")

// Credentials adds a connection's credential to a request. The host binds it
// to a tenant's installation.
type Credentials interface {
	// Apply adds the credential of the connection that the guest calls name to
	// r, if r goes to one of the connection's hosts, and returns the secrets
	// that it put there, so that they can be redacted from what comes back.
	// It returns ErrNoConnection, wrapped with what to do, if there is none, and
	// ErrHostNotAllowed if r goes elsewhere: the guest is told the error's text.
	// An *hostfns.Error is told as it is; any other error ends the guest's call.
	Apply(ctx context.Context, name string, r *http.Request) (secrets []string, err error)
}

// Config configures an Egress.
type Config struct {
	// AllowAddrs are the operator's exceptions: addresses that guests may reach
	// though they are not public, by plain http too. Defaults to none; for
	// development, 127.0.0.0/8.
	AllowAddrs []netip.Prefix
	// DenyAddrs may not be reached though they are public: the operator's own
	// networks. AllowAddrs goes before it. Defaults to none.
	DenyAddrs []netip.Prefix
	// Timeout of one call with its redirects; a guest can ask for less.
	// Defaults to 30 s.
	Timeout time.Duration
	// Idle is how long an answer that has begun may bring nothing. Defaults to 10 s.
	Idle time.Duration
	// RequestBytes of a request's body. Defaults to 8 MiB.
	RequestBytes int
	// ResponseBytes of an answer's body, both as it comes and decompressed, where it
	// may be 200 times as large as it came if that is over 1 MiB. Defaults to 8 MiB.
	ResponseBytes int
	// StreamBytes of a body that is passed in chunks, in either direction, both as it
	// comes and decompressed. Defaults to 1 GiB.
	StreamBytes int64
	// Streams that one Session has open at a time. Defaults to 8.
	Streams int
	// HeaderBytes of all headers, in either direction. Defaults to 64 KiB.
	HeaderBytes int
	// Redirects that are followed; negative for none: the guest gets the
	// redirect itself. Defaults to 3.
	Redirects int
	// CallsPerRun of one Session. Defaults to 100.
	CallsPerRun int
	// PerConnection is how many requests with a tenant's connection are made at a time,
	// in this process. Further ones wait, as long as their time lasts. Defaults to 16.
	PerConnection int
	// PerConnectionRate is how many of them are begun in a second, of which PerConnection
	// may be at once. Defaults to as many as come.
	PerConnectionRate float64
	// Pools that are kept open at a time. Defaults to 128, of at most 4 idle
	// connections each.
	Pools int
	// Resolver of names. Defaults to Go's own, which knows no "127.1" and no
	// "0x7f.1" as the one of libc does.
	Resolver *net.Resolver
	// RootCAs that are trusted. Defaults to the system's.
	RootCAs *x509.CertPool
	// Proxy is what all requests go through. Names are resolved and their addresses
	// checked here, as ever. Defaults to none, whatever the environment says.
	Proxy *Proxy
	// Instead answers requests in place of the network, for tests and for development
	// without one: what is granted, which credentials are sent, limits and redirects
	// are as ever, and no address is looked at. Defaults to none.
	Instead http.RoundTripper
}

func (c Config) withDefaults() Config {
	c.AllowAddrs, c.DenyAddrs = slices.Clone(c.AllowAddrs), slices.Clone(c.DenyAddrs)
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Idle <= 0 {
		c.Idle = 10 * time.Second
	}
	c.RequestBytes = orDefault(c.RequestBytes, 8<<20)
	c.ResponseBytes = orDefault(c.ResponseBytes, 8<<20)
	c.Streams = orDefault(c.Streams, 8)
	if c.StreamBytes <= 0 {
		c.StreamBytes = 1 << 30
	}
	c.HeaderBytes = orDefault(c.HeaderBytes, 64<<10)
	c.CallsPerRun = orDefault(c.CallsPerRun, 100)
	c.PerConnection = orDefault(c.PerConnection, 16)
	c.Pools = orDefault(c.Pools, 128)
	if c.Redirects == 0 {
		c.Redirects = 3
	}
	c.Redirects = max(c.Redirects, 0)
	if c.Resolver == nil {
		c.Resolver = &net.Resolver{PreferGo: true}
	}
	return c
}

// Egress is the process's way out for guests. It is safe for concurrent use.
type Egress struct {
	config Config
	pools  *pools
	lanes  *lanes
	watch  *watch
	forms  *forms
}

// New returns an Egress; the caller closes it.
func New(c Config) *Egress {
	c = c.withDefaults()
	f := newForms()
	return &Egress{config: c, pools: newPools(c), lanes: newLanes(c.PerConnection, c.PerConnectionRate), watch: newWatch(f.sweep), forms: f}
}

// Trim drops what is kept of a pool that was not used since the third call before: its
// connections, and the client's certificate that they show, with its key. It is to be
// called now and then.
func (e *Egress) Trim() { e.pools.trim() }

// Close closes the connections that are open and idle. Requests in flight go on.
func (e *Egress) Close() {
	e.pools.close()
	e.forms.forget()
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
