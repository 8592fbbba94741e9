package egress

import (
	"crypto/tls"
	"net/http"
)

const (
	// What the host itself asks is few servers, each by many tenants.
	hostIdle, hostIdlePerServer = 64, 8
)

// Transport makes requests of the host's own to addresses that tenants name, such as
// the endpoints of an authorization server: to addresses that guests may reach, and no
// others; in plain http to the operator's exceptions only. What it is asked for and what
// comes back, the caller bounds. It is safe for concurrent use.
type Transport struct {
	pools         *pools
	secure, plain *http.Transport
}

// NewTransport returns a Transport. Of c it goes by AllowAddrs, DenyAddrs, HeaderBytes,
// Proxy, Resolver and RootCAs.
func NewTransport(c Config) *Transport {
	p := newPools(c.withDefaults())
	t := &Transport{pools: p, secure: p.own(true, p.trusted()), plain: p.own(true, nil)}
	for _, own := range []*http.Transport{t.secure, t.plain} {
		own.MaxIdleConns, own.MaxIdleConnsPerHost = hostIdle, hostIdlePerServer
	}
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return t.secure.RoundTrip(r)
	}
	return t.plain.RoundTrip(r)
}

// Showing gives a transport that shows a certificate, over connections that serve one
// request each.
func (t *Transport) Showing(shown tls.Certificate) http.RoundTripper {
	trusted := t.pools.trusted()
	trusted.Certificates = []tls.Certificate{shown}
	return &Transport{pools: t.pools, secure: t.pools.own(false, trusted), plain: t.plain}
}

// CloseIdleConnections closes the connections that are open and idle.
func (t *Transport) CloseIdleConnections() {
	t.secure.CloseIdleConnections()
	t.plain.CloseIdleConnections()
}

func (p *pools) trusted() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.config.RootCAs}
}

// own is a transport of net/http behind the guard; without a configuration of TLS, in
// plain http.
func (p *pools) own(keepAlive bool, secured *tls.Config) *http.Transport {
	return p.transport(keepAlive, p.dialer(secured == nil), secured)
}
