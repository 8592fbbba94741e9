package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// maxProxyAnswer is how long the head of a proxy's answer may be.
const maxProxyAnswer = 16 << 10

// Proxy is the operator's: what all that guests send goes through, in tunnels
// (https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6). TLS is with the server, inside
// of the tunnel. What the environment says of proxies changes nothing. Printed, it leaves
// its credentials out.
type Proxy struct {
	secure bool
	// name and address are the proxy's, without and with its port.
	name, address string
	// authorization is a header's value, or empty.
	authorization string
	byName        bool
}

// ParseProxy reads the URL of a proxy, http://host:port or https://host:port. The
// credentials are "user:password", or empty; then they may be in the URL. The tunnels are
// to the addresses that were checked, unless byName has the proxy resolve names once
// more: for a proxy whose rules are about names. They are resolved and checked here all
// the same, but what the proxy connects to is what it makes of them then. No error quotes
// a credential.
func ParseProxy(raw, credentials string, byName bool) (*Proxy, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the proxy is no URL such as http://proxy.internal:3128 or https://user:password@proxy.internal")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the proxy's URL has more than a host and a port: leave out what follows")
	}
	if u.User != nil {
		if credentials != "" {
			return nil, errors.New("the proxy's credentials are both in its URL and beside it: leave one of them out")
		}
		password, _ := u.User.Password()
		credentials = u.User.Username() + ":" + password
	}
	p := &Proxy{secure: u.Scheme == "https", name: u.Hostname(), byName: byName}
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	if port, err = cleanPort(port); err != nil {
		return nil, fmt.Errorf("the proxy's URL: %w", err)
	}
	p.address = net.JoinHostPort(p.name, port)
	if credentials != "" {
		if user, _, found := strings.Cut(credentials, ":"); !found || user == "" {
			return nil, errors.New("the proxy's credentials must be a user's name, a colon and a password")
		}
		p.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
	}
	return p, nil
}

// String is the URL, without credentials.
func (p *Proxy) String() string {
	if p.secure {
		return "https://" + p.address
	}
	return "http://" + p.address
}

// GoString is String, so that %#v leaves the credentials out, too.
func (p *Proxy) GoString() string { return p.String() }

// Reach connects to the proxy, and hangs up. roots are those that it is trusted by; nil
// for the system's.
func (p *Proxy) Reach(ctx context.Context, roots *x509.CertPool) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := p.open(ctx, roots)
	if err != nil {
		return err
	}
	return conn.Close()
}

// proxyError says that a proxy made no tunnel.
type proxyError struct {
	// status is what it answers, or 0.
	status int
	cause  error
}

// Error implements error.
func (e *proxyError) Error() string {
	if e.status != 0 {
		return fmt.Sprintf("the proxy answers %d", e.status)
	}
	return "the proxy cannot be reached: " + e.cause.Error()
}

// Unwrap gives the cause.
func (e *proxyError) Unwrap() error { return e.cause }

// open connects to the proxy, whose address is the operator's to say, and is not judged.
func (p *Proxy) open(ctx context.Context, roots *x509.CertPool) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, &proxyError{cause: err}
	}
	if !p.secure {
		return conn, nil
	}
	secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: p.name})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // The handshake says why.
		return nil, &proxyError{cause: err}
	}
	return secured, nil
}

// tunnel gives a connection to a target, which is a host and a port.
func (p *Proxy) tunnel(ctx context.Context, target string, roots *x509.CertPool) (net.Conn, error) {
	conn, err := p.open(ctx, roots)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = p.connect(ctx, conn, target)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close() // There is nothing in it.
		if ctx.Err() != nil {
			err = &proxyError{cause: ctx.Err()}
		}
		return nil, err
	}
	return conn, nil
}

func (p *Proxy) connect(ctx context.Context, conn net.Conn, target string) error {
	r := (&http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target,
		Header: http.Header{"User-Agent": {"Cofferdam"}},
	}).WithContext(ctx)
	if p.authorization != "" {
		r.Header.Set("Proxy-Authorization", p.authorization)
	}
	if err := r.Write(conn); err != nil {
		return &proxyError{cause: err}
	}
	in := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	response, err := http.ReadResponse(in, r) //nolint:bodyclose // What follows the head is the tunnel's, or goes with the connection.
	if err != nil {
		return &proxyError{cause: err}
	}
	if response.StatusCode != http.StatusOK {
		return &proxyError{status: response.StatusCode}
	}
	if in.Buffered() > 0 {
		// TLS and HTTP begin on this side.
		return &proxyError{cause: errors.New("it says something in the tunnel by itself")}
	}
	return nil
}

// through dials a host by way of the proxy, at addresses that were checked.
func (d dialer) through(ctx context.Context, host, port string, addrs []netip.Addr) (net.Conn, error) {
	if d.proxy.byName {
		return d.proxy.tunnel(ctx, net.JoinHostPort(host, port), d.roots)
	}
	var errs []error
	for _, addr := range addrs[:min(len(addrs), dialAddrs)] {
		conn, err := d.proxy.tunnel(ctx, net.JoinHostPort(addr.String(), port), d.roots)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		// One that cannot be reached is not there for the next address either.
		if told, ok := errors.AsType[*proxyError](err); ok && told.status == 0 {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// unproxied says what became of a request for which the operator's proxy made no
// tunnel. A guest is not told where the proxy is.
func unproxied(out *outgoing, e *proxyError) error {
	switch {
	case e.status == http.StatusForbidden, e.status == http.StatusUnavailableForLegalReasons:
		return hostfns.Errorf(hostfns.CodeAddressRefused, "%s is refused by the operator's proxy, with the status %d: ask the operator", out.origin, e.status)
	case e.status == http.StatusProxyAuthRequired:
		return network("%s cannot be reached: the operator's proxy does not accept the host's credentials", out)
	case e.status != 0:
		return network(fmt.Sprintf("%%s cannot be reached: the operator's proxy refused the connection, with the status %d", e.status), out)
	case isTimeout(e):
		return network("%s cannot be reached: the operator's proxy did not connect in time", out)
	default:
		return network("%s cannot be reached: the operator's proxy is not there", out)
	}
}
