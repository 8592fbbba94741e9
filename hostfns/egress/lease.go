package egress

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// ErrNotHeld ends a run whose lease is over: see Permissions.Held.
var ErrNotHeld = hostfns.ErrNotHeld

func (s *Session) held() bool { return s.permissions.Held == nil || s.permissions.Held() }

// guarded watches over a request from the moment at which there is a connection that
// bytes could be written to. What fails before, in a resolver, a dial or a handshake,
// was not done; from then on it is unknown. A resolver can take long: whoever does
// not hold the lease any more by then writes nothing, on this connection or the next
// one that the transport would try.
func (s *Session) guarded(ctx context.Context, out *outgoing) (guarded context.Context, lost *atomic.Bool) {
	lost = &atomic.Bool{}
	sending, cancel := context.WithCancel(ctx)
	return httptrace.WithClientTrace(sending, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !s.held() {
				lost.Store(true)
				cancel()
				_ = info.Conn.Close() // There is nobody to tell, and nothing was written.
				return
			}
			if !out.settled {
				hostfns.Report(ctx, hostfns.Unknown)
			}
		},
	}), lost
}
