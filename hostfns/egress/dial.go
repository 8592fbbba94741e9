package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// dialTimeout bounds resolution and connection, which go on for a while
	// after a request was given up.
	dialTimeout = 10 * time.Second
	// dialAddrs is how many addresses of a name are tried.
	dialAddrs = 3
)

// errRefused says that an address may not be reached. It does not say which:
// its text goes to the guest.
var errRefused = errors.New("address refused")

// dialer connects to names and addresses that its Guard lets through.
type dialer struct {
	guard    *Guard
	resolver *net.Resolver
	// proxy is what connections are made by, if it is not nil, and roots those that it is
	// trusted by.
	proxy *Proxy
	roots *x509.CertPool
	// plain connections go to the operator's exceptions only.
	plain bool
}

// dial implements http.Transport.DialContext.
func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("split address: %w", err)
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	// One address that is refused refuses the name: an answer that mixes public
	// and private addresses is no accident.
	for _, addr := range addrs {
		if !d.reachable(addr) {
			return nil, errRefused
		}
	}
	if d.proxy != nil {
		return d.through(ctx, host, port, addrs)
	}
	nd := net.Dialer{Timeout: dialTimeout / dialAddrs, Control: d.control}
	var errs []error
	for _, addr := range addrs[:min(len(addrs), dialAddrs)] {
		conn, err := nd.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// resolve gives the addresses of a host. The final dot keeps the search domains
// of this machine's network out of it.
func (d dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host+".")
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// control is the last check, on what the socket is about to connect to.
func (d dialer) control(network, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !d.reachable(target.Addr()) {
		return errRefused
	}
	return nil
}

func (d dialer) reachable(addr netip.Addr) bool {
	v := d.guard.Judge(addr)
	if d.plain {
		return v == VerdictException
	}
	return v.OK()
}
