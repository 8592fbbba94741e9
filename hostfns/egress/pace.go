package egress

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Pace says when requests go with a connection, and is told what becomes of them. The
// host binds it to a run.
type Pace interface {
	// Enter is asked before a request goes with the connection that the guest calls name,
	// and waits for a short time until it may. A *hostfns.Suspended ends the run, which is
	// made again later. rest says that the request belongs to another that was sent
	// already, such as one that follows a redirect: it waits for as long as ctx lasts, and
	// no run is ended for it. Whoever has a Pass leaves it.
	Enter(ctx context.Context, name string, rest bool) (Pass, error)
}

// Pass lets one request through.
type Pass interface {
	// Fresh says whether the request may be sent now: a Pass does not keep for long.
	Fresh() bool
	// Leave is told, once, what became of the request.
	Leave(ctx context.Context, e Ending)
}

// Ending is what became of a request, as far as it tells how the other side is.
type Ending struct {
	Result Result
	// RetryAfter is when a Throttled one may be made again, 0 if nobody has said so.
	RetryAfter time.Duration
}

// Result is how a request ended.
type Result byte

// The results.
const (
	// Unsent requests tell nothing of the other side: they were refused here, or given up.
	Unsent Result = iota
	// Answered ones have an answer that the other side meant to give.
	Answered
	// Throttled ones were answered 429.
	Throttled
	// Failed ones have no answer, none in time, or one of 5xx.
	Failed
)

// Ahead is a hostfns.Layer for outside of the one that writes intents: a request has its
// turn before anything says that it may have been made. It is optional; without it
// requests wait when they are to be sent.
func (s *Session) Ahead(next hostfns.Handler) hostfns.Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		name := s.paced(c)
		if name == "" {
			return next(ctx, c)
		}
		pass, err := s.permissions.Pace.Enter(ctx, name, false)
		if err != nil {
			return nil, err
		}
		s.ahead = ahead{connection: name, pass: pass}
		defer func() { s.ahead.drop(ctx) }()
		return next(ctx, c)
	}
}

// ahead is a pass that a request has before it is sent.
type ahead struct {
	connection string
	pass       Pass
}

// drop leaves the pass if nobody has used it.
func (a *ahead) drop(ctx context.Context) {
	if a.pass != nil {
		a.pass.Leave(ctx, Ending{})
	}
	*a = ahead{}
}

// paced is the connection that a crossing asks for, if somebody says when.
func (s *Session) paced(c runtime.Crossing) string {
	if s.permissions.Pace == nil || c.Func != httpFunc {
		return ""
	}
	if f, ok := glance(c.Request); ok {
		return text(f.connection)
	}
	var r struct{ Connection string }
	if err := json.Unmarshal(c.Request, &r); err != nil {
		return "" // It is refused when it is read.
	}
	return r.Connection
}

// admit waits until a request may be sent.
func (s *Session) admit(ctx context.Context, out *outgoing) (Pass, error) {
	if s.permissions.Pace == nil || out.connection == "" {
		return anytime{}, nil
	}
	if a := s.ahead; a.pass != nil && a.connection == out.connection {
		s.ahead = ahead{}
		if a.pass.Fresh() {
			return a.pass, nil
		}
		a.pass.Leave(ctx, Ending{})
	}
	pass, err := s.permissions.Pace.Enter(ctx, out.connection, out.begun)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return pass, err
}

// anytime is the Pass of what nobody has a say in.
type anytime struct{}

func (anytime) Fresh() bool                   { return true }
func (anytime) Leave(context.Context, Ending) {}

// endingOf says what a round trip tells of the other side. What was refused or given up
// here says nothing of it.
func endingOf(ctx context.Context, response *http.Response, err error) Ending {
	var told *hostfns.Error
	var proxied *proxyError
	switch {
	case err == nil && response.StatusCode == http.StatusTooManyRequests:
		return Ending{Result: Throttled, RetryAfter: retryAfter(response.Header)}
	case err == nil && response.StatusCode >= http.StatusInternalServerError:
		return Ending{Result: Failed}
	case err == nil, errors.Is(err, errHeaders):
		return Ending{Result: Answered}
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return Ending{Result: Failed}
	case ctx.Err() != nil, errors.As(err, &told), errors.As(err, &proxied), errors.Is(err, errRefused):
		return Ending{}
	default:
		return Ending{Result: Failed}
	}
}

// retryAfter reads https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3. A date is
// compared with the server's own clock.
func retryAfter(h http.Header) time.Duration {
	const most = 365 * 24 * 60 * 60
	value := h.Get("Retry-After")
	if n, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(n, 0), most)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
