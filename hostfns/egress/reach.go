package egress

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
)

// Reachable says why a Transport would make no request to a URL, in words for whoever named
// it. A name that does not resolve now may later, and is none of its business.
func (t *Transport) Reachable(ctx context.Context, u *url.URL) error {
	o, err := originOf(u)
	if err != nil {
		return err
	}
	d := t.pools.dialer(o.scheme == "http")
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs, err := d.resolve(ctx, o.host)
	if err != nil {
		addrs = nil
		if d.plain { // Only the operator's exceptions are reached so, and it is none.
			addrs = []netip.Addr{{}}
		}
	}
	for _, addr := range addrs {
		if !d.reachable(addr) {
			return refused(&outgoing{origin: o})
		}
	}
	return nil
}

// Explain says what came of a request that has failed, in words that name no address and
// nothing of the URL but its origin.
func (t *Transport) Explain(r *http.Request, err error) error {
	o, invalid := originOf(r.URL)
	if invalid != nil {
		return invalid
	}
	if told := explain(&outgoing{origin: o}, err); !errors.Is(told, context.DeadlineExceeded) {
		return told
	}
	return network("%s gave no answer in time", &outgoing{origin: o})
}
