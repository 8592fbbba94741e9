package egress

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// Renewer is what Credentials may implement, too, for credentials that are exchanged for
// others.
type Renewer interface {
	// Renew is asked once in a call whose request was answered 401, of the connection
	// that the guest calls name. r is the request as Apply, or Parts, has left it. It says
	// whether there is another credential by now, so that the request is worth sending
	// once more. Its errors are as those of Apply.
	Renew(ctx context.Context, name string, r *http.Request) (bool, error)
	// Worked is told, as Renew would be, that a request was answered with success: the
	// server has taken its credential.
	Worked(ctx context.Context, name string, r *http.Request)
}

// drained is how much of an answer that nobody reads is taken for its connection to be
// used again: what refuses a credential is short.
const drained = 64 << 10

// renew looks at what an answer says of the request's credential: one that was refused it
// has exchanged, and says whether there is another one. It is asked once, and of requests with a credential only: whoever
// refuses one has not done what came with it.
func (s *Session) renew(ctx context.Context, out *outgoing, r *http.Request, response *http.Response) (bool, error) {
	renewer, ok := s.permissions.Credentials.(Renewer)
	switch {
	case !ok || out.connection == "":
		return false, nil
	case response.StatusCode < http.StatusMultipleChoices:
		renewer.Worked(ctx, out.connection, r)
		return false, nil
	case response.StatusCode != http.StatusUnauthorized || out.renewed:
		return false, nil
	}
	out.renewed = true
	renewed, err := renewer.Renew(ctx, out.connection, r)
	if err != nil {
		return false, refusalOf(out, err)
	}
	if renewed {
		hostfns.Tried(ctx, fmt.Sprintf(" -> %d", response.StatusCode))
	}
	return renewed, nil
}

// discard is for an answer that is not passed on.
func (s *Session) discard(response *http.Response, limit *patience) {
	limit.await(s.egress.config.Idle)
	_, _ = io.CopyN(io.Discard, response.Body, drained) // What cannot be read is not missed.
	limit.await(-1)
	_ = response.Body.Close() // It is of no use any more.
}

// sendable says whether a body could be sent again, of a request whose credential was
// renewed: one that was streamed is gone.
func (s *Session) sendable(ctx context.Context, out *outgoing, r *http.Request, response *http.Response) error {
	renewed, err := s.renew(ctx, out, r, response)
	switch {
	case err != nil:
		return err
	case renewed:
		return hostfns.Errorf(hostfns.CodeUpstreamUnavailable,
			"%s refused the credential of the connection %.64q, which was renewed since; what was streamed cannot be sent again: make the request once more", out.origin, out.connection)
	default:
		return nil
	}
}
