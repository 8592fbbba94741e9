package egress

import (
	"context"
	"net/http/httptrace"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// ErrNotHeld ends a run whose lease is over: see Permissions.Held.
var ErrNotHeld = hostfns.ErrNotHeld

func (s *Session) held() bool { return s.permissions.Held == nil || s.permissions.Held() }

// guarded watches over a request from the moment at which there is a connection that
// bytes could be written to. What fails before, in a resolver, a dial or a handshake,
// was not done; from then on it is unknown. A resolver can take long: whoever does
// not hold the lease any more by then writes nothing, on this connection or the next
// one that the transport would try. sent is told that something may leave.
func (s *Session) guarded(ctx context.Context, out *outgoing, limit *patience, sent func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !s.held() {
				limit.stop(ErrNotHeld)
				_ = info.Conn.Close() // There is nobody to tell, and nothing was written.
				return
			}
			if !out.settled {
				sent()
			}
		},
	})
}
