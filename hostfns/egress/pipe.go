package egress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// sendStreamed is send, of a request whose body may be a stream.
func (s *Session) sendStreamed(ctx context.Context, out *outgoing, l *life) (*http.Response, error) {
	if out.source == 0 {
		return s.send(ctx, out, l.limit)
	}
	d, err := s.streams.download("body_stream", out.source)
	if err != nil {
		return nil, err
	}
	if err := s.reopen(ctx, d); err != nil {
		return nil, err
	}
	defer s.streams.drop(out.source, "was sent as a body")
	if out.length < 0 {
		out.length = d.in.length
	}
	body := &piped{in: d.in, tally: both(d.tally, hostfns.Tally(ctx)), life: l, held: s.held}
	pass, err := s.admit(ctx, out)
	if err != nil {
		return nil, err
	}
	r, transport, err := s.prepare(s.guarded(ctx, out, l.limit, func() { hostfns.Report(ctx, hostfns.Unknown) }), out, body)
	if err != nil {
		pass.Leave(ctx, Ending{})
		return nil, err
	}
	response, err := transport.RoundTrip(r)
	out.begun = true
	pass.Leave(ctx, pipedEnding(ctx, response, err, body))
	switch failed := body.failed(); {
	case errors.Is(l.cause(), ErrNotHeld), errors.Is(failed, ErrNotHeld):
		return nil, dropping(response, ErrNotHeld)
	case failed != nil && ctx.Err() == nil:
		return nil, dropping(response, s.faulted(ctx, d.in.out, d.in.life, failed))
	case err != nil && errors.Is(d.in.life.cause(), errIdle):
		return nil, s.faulted(ctx, d.in.out, d.in.life, err)
	case err != nil:
		return nil, explain(out, err)
	}
	hostfns.Report(ctx, s.outcome(out, response.StatusCode))
	if err := s.sendable(ctx, out, r, response); err != nil {
		return nil, dropping(response, err)
	}
	return response, nil
}

// pipedEnding is endingOf, but for what failed where the body comes from.
func pipedEnding(ctx context.Context, response *http.Response, err error, body *piped) Ending {
	if body.failed() != nil {
		return Ending{}
	}
	return endingOf(ctx, response, err)
}

// dropping closes a response of which nothing is wanted.
func dropping(response *http.Response, err error) error {
	if response != nil {
		_ = response.Body.Close() // There is a better error.
	}
	return err
}

func both(f, g func(int64)) func(int64) {
	return func(n int64) {
		f(n)
		g(n)
	}
}

// piped is a stream that is the body of a request: it goes from server to server in
// the pieces in which the transport reads it.
type piped struct {
	in    *incoming
	tally func(int64)
	life  *life
	held  func() bool

	mu  sync.Mutex
	err error
}

// Read implements io.Reader.
func (p *piped) Read(b []byte) (int, error) {
	if !p.held() {
		return 0, p.fail(ErrNotHeld)
	}
	n, err := p.in.Read(b)
	if n > 0 {
		p.tally(int64(n))
		p.life.passed()
	}
	if errors.Is(err, io.EOF) && p.in.life.cause() != nil {
		err = p.in.life.cause() // Half of it is not to pass for the whole.
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = p.fail(err)
	}
	return n, err
}

// Close implements io.Closer.
func (p *piped) Close() error {
	p.in.end()
	return nil
}

func (p *piped) fail(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	return err
}

// failed is what has broken off the stream that was to be sent.
func (p *piped) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
