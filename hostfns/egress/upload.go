package egress

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

var (
	// errAnswered ends the writing of a body whose request was answered, or has failed.
	errAnswered = errors.New("the request is over")
	// errAbandoned breaks off a request whose body is not complete.
	errAbandoned = errors.New("the upload was given up")
)

// upload is a request whose body the guest sends in chunks.
type upload struct {
	out *outgoing
	raw json.RawMessage
	// crossing is the ordinal of the one that began it.
	crossing int
	tally    func(int64)
	life     *life
	// body is nil for one that an earlier run has made. given is how much of it there was.
	body  *io.PipeWriter
	given int64
	// sent says that bytes may have left.
	sent atomic.Bool
	// done is closed when there is a response, or an error.
	done     chan struct{}
	request  *http.Request
	response *http.Response
	err      error
	// settled is the answer that somebody has found out, or nil.
	settled json.RawMessage
}

// end breaks off what goes on, and waits for it.
func (u *upload) end() {
	if u.body == nil {
		return
	}
	_ = u.body.CloseWithError(errAbandoned) // It returns none.
	u.life.end()
	<-u.done
	if u.response != nil {
		_ = u.response.Body.Close() // It is of no use any more.
	}
}

// beginUpload begins to send a request. Its head leaves at once: an intent was durable
// before.
func (s *Session) beginUpload(ctx context.Context, out *outgoing, l *life) (*result, error) {
	if len(s.streams.uploads) > 0 {
		return nil, invalid("an upload is open, and there is one at a time: finish it first, or close it")
	}
	body, writer := io.Pipe()
	u := &upload{
		out: out, crossing: hostfns.Ordinal(ctx), tally: hostfns.Tally(ctx), life: l, body: writer, done: make(chan struct{}),
	}
	pass, err := s.admit(ctx, out)
	if err != nil {
		return nil, err
	}
	r, transport, err := s.prepare(s.guarded(ctx, out, l.limit, func() { u.sent.Store(true) }), out, body)
	if err != nil {
		pass.Leave(ctx, Ending{})
		return nil, err
	}
	u.request, out.begun = r, true
	go func() {
		defer close(u.done)
		u.response, u.err = transport.RoundTrip(r) //nolint:bodyclose // Whoever finishes the upload closes it.
		pass.Leave(ctx, endingOf(ctx, u.response, u.err))
		_ = body.CloseWithError(errAnswered) // It returns none.
	}()
	n := s.streams.next(0)
	s.streams.uploads[n] = u
	hostfns.Report(ctx, hostfns.Unknown)
	hostfns.GoesOn(ctx)
	return &result{Upload: n}, nil
}

// recallUpload knows an upload again. One of which somebody has found out what became
// of it, the guest makes again, and nothing of it is sent.
func (s *Session) recallUpload(ctx context.Context, raw, kept json.RawMessage) (json.RawMessage, error) {
	out, err := s.egress.parse(raw)
	if err != nil {
		return nil, err
	}
	var told result
	if err := json.Unmarshal(kept, &told); err != nil {
		return nil, err
	}
	u := &upload{out: out, raw: append(json.RawMessage{}, raw...), tally: hostfns.Tally(ctx)}
	n := s.streams.next(told.Upload)
	s.streams.uploads[n] = u
	if told.Upload > 0 {
		return kept, nil
	}
	u.settled = append(json.RawMessage{}, kept...)
	return json.RawMessage(`{"upload":` + strconv.Itoa(n) + `}`), nil
}

// written is what is told of a chunk that was given.
type written struct {
	// Ended says that the request is over: what more is given goes nowhere.
	Ended bool `json:"ended"`
}

func (s *Session) writeStream(ctx context.Context, raw json.RawMessage) (any, error) {
	u, chunk, err := s.given(raw)
	if err != nil {
		return nil, err
	}
	u.given += int64(len(chunk))
	if u.body == nil || len(chunk) == 0 {
		return written{}, nil
	}
	if !s.held() {
		return nil, ErrNotHeld
	}
	detach := context.AfterFunc(ctx, func() { u.life.stop(ctx.Err()) })
	u.life.limit.await(s.egress.config.Idle)
	n, err := u.body.Write(chunk)
	u.life.limit.await(-1)
	detach()
	u.tally(int64(n))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(u.life.cause(), ErrNotHeld):
		return nil, ErrNotHeld
	}
	return written{Ended: err != nil}, nil
}

// given reads a question with a chunk.
func (s *Session) given(raw json.RawMessage) (*upload, []byte, error) {
	head, chunk, _ := bytes.Cut(raw, []byte("\n"))
	q, err := hostfns.Decode[question](head)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := q.encoded()
	if err == nil && encoded {
		if chunk, err = base64.StdEncoding.AppendDecode(nil, chunk); err != nil {
			err = invalid("what follows the request is not base64 with padding: %s", err)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if len(chunk) > maxChunk {
		return nil, nil, invalid("the chunk has %d bytes, and %d is the limit: send less at a time", len(chunk), maxChunk)
	}
	u, err := s.streams.upload(q.Upload)
	if err != nil {
		return nil, nil, err
	}
	switch total := u.given + int64(len(chunk)); {
	case u.out.length >= 0 && total > u.out.length:
		return nil, nil, invalid("the body has %d bytes by now, and \"content-length\" is %d", total, u.out.length)
	case total > s.streamBytes():
		return nil, nil, hostfns.Errorf(hostfns.CodeLimitExceeded, "the body has %d bytes by now, and %d is the limit of one that is streamed", total, s.streamBytes())
	}
	return u, chunk, nil
}

func (s *Session) recallWrite(_ context.Context, raw, kept json.RawMessage) (json.RawMessage, error) {
	u, chunk, err := s.given(raw)
	if err != nil {
		return nil, err
	}
	u.given += int64(len(chunk))
	u.tally(int64(len(chunk)))
	return kept, nil
}

func (s *Session) finishStream(ctx context.Context, raw json.RawMessage) (any, error) {
	q, err := hostfns.Decode[question](raw)
	if err != nil {
		return nil, err
	}
	u, err := s.streams.upload(q.Upload)
	if err != nil {
		return nil, err
	}
	if u.body == nil {
		s.streams.drop(q.Upload, "was finished")
		if u.settled == nil {
			return nil, changed("the upload was made by an earlier run, which had not come to its end")
		}
		return u.settled, nil
	}
	hostfns.Concludes(ctx, u.crossing)
	if u.out.length >= 0 && u.given < u.out.length {
		s.abandon(ctx, u)
		return nil, invalid("the body has %d bytes, and \"content-length\" is %d: the upload was given up", u.given, u.out.length)
	}
	delete(s.streams.uploads, q.Upload)
	s.streams.gone[q.Upload] = "was finished"
	_ = u.body.Close() // It returns none.
	living, l := s.live(ctx)
	// The answer is the request's, and what it redirects to is asked for in this crossing.
	stop := l.stop
	l.stop = func(cause error) {
		u.life.stop(cause)
		stop(cause)
	}
	l.leave = u.life.end
	done := l.within(ctx, u.out.timeout)
	told, err := s.finish(living, u, l)
	if !done() && err == nil {
		if told.Stream > 0 {
			s.streams.drop(told.Stream, "did not begin in time")
		}
		hostfns.Report(ctx, hostfns.Unknown)
		err = l.cause()
	}
	if err != nil {
		l.end()
		return nil, s.untold(ctx, u.out, err)
	}
	if told.Stream == 0 {
		l.end()
	}
	return told, nil
}

// finish takes the answer to an upload.
func (s *Session) finish(ctx context.Context, u *upload, l *life) (*result, error) {
	<-u.done // The life's end ends it.
	if u.sent.Load() {
		hostfns.Report(ctx, hostfns.Unknown)
	} else {
		hostfns.Report(ctx, hostfns.NotDone)
	}
	switch {
	case errors.Is(u.life.cause(), ErrNotHeld):
		return nil, ErrNotHeld
	case u.err != nil && errors.Is(u.life.cause(), errIdle):
		return nil, s.faulted(ctx, u.out, u.life, u.err)
	case u.err != nil:
		return nil, explain(u.out, u.err)
	}
	hostfns.Report(ctx, s.outcome(u.out, u.response.StatusCode))
	if err := s.sendable(ctx, u.out, u.request, u.response); err != nil {
		return nil, dropping(u.response, err)
	}
	response, last, err := s.follow(ctx, u.out, u.response, l.limit) //nolint:bodyclose // take does, or whoever reads the stream.
	if err != nil {
		return nil, err
	}
	told, err := s.take(ctx, response, last, l, u.raw)
	return told, s.cutOff(ctx, last, err)
}

// recallFinish knows the answer to an upload again.
func (s *Session) recallFinish(ctx context.Context, raw, kept json.RawMessage) (json.RawMessage, error) {
	q, err := hostfns.Decode[question](raw)
	if err != nil {
		return nil, err
	}
	u, err := s.streams.upload(q.Upload)
	if err != nil {
		return nil, err
	}
	s.streams.drop(q.Upload, "was finished")
	s.known(ctx, u.raw, kept)
	return kept, nil
}

// abandon gives an upload up. What has left by then, may have had its effect.
func (s *Session) abandon(ctx context.Context, u *upload) {
	for n, open := range s.streams.uploads {
		if open == u {
			s.streams.drop(n, "was closed")
		}
	}
	if u.body == nil {
		return
	}
	hostfns.Concludes(ctx, u.crossing)
	outcome := hostfns.NotDone
	if u.sent.Load() {
		outcome = hostfns.Unknown
	}
	hostfns.Report(ctx, outcome)
}
