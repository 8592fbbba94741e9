package egress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// maxChunk is the most that passes between a guest and its host at once, and what does
// if the guest does not say.
const maxChunk = 1 << 20

// ReadFunc is the name of the Func whose answers' bytes no journal keeps.
const ReadFunc = "stream_read"

// ErrStreamed is the error of http.Request.GetBody where the body is streamed: who
// signs bodies cannot sign it.
var ErrStreamed = errors.New("the body is streamed")

// streams are those of one run, downloads and uploads, by numbers that count from 1.
type streams struct {
	last      int
	downloads map[int]*download
	uploads   map[int]*upload
	// gone says what became of those that are not open any more.
	gone map[int]string
}

// next is the number of a stream that is begun. Of one that is known already from a
// journal it is the one that it had.
func (t *streams) next(had int) int {
	if t.downloads == nil {
		t.downloads, t.uploads, t.gone = map[int]*download{}, map[int]*upload{}, map[int]string{}
	}
	if had > 0 {
		t.last = max(t.last, had)
		return had
	}
	t.last++
	return t.last
}

// room says whether there may be one more.
func (t *streams) room(most int) error {
	if n := len(t.downloads) + len(t.uploads); n >= most {
		return hostfns.Errorf(hostfns.CodeLimitExceeded, "%d streams are open, which is the limit: read one to its end, or close one", n)
	}
	return nil
}

// missing says why there is no stream of a number.
func (t *streams) missing(what string, n int) error {
	switch {
	case t.gone[n] != "":
		return invalid("%q is %d, which %s", what, n, t.gone[n])
	case t.downloads[n] != nil:
		return invalid("%q is %d, which is no upload: it can be read", what, n)
	case t.uploads[n] != nil:
		return invalid("%q is %d, which is an upload: it can be written", what, n)
	default:
		return invalid("%q is %d, and there is no such stream in this run", what, n)
	}
}

func (t *streams) download(what string, n int) (*download, error) {
	if d := t.downloads[n]; d != nil {
		return d, nil
	}
	return nil, t.missing(what, n)
}

func (t *streams) upload(n int) (*upload, error) {
	if u := t.uploads[n]; u != nil {
		return u, nil
	}
	return nil, t.missing("upload", n)
}

// drop ends a stream, if it is there.
func (t *streams) drop(n int, became string) {
	if d := t.downloads[n]; d != nil {
		d.end()
		delete(t.downloads, n)
		t.gone[n] = became
	}
	if u := t.uploads[n]; u != nil {
		u.end()
		delete(t.uploads, n)
		t.gone[n] = became
	}
}

func (t *streams) close() {
	for n := range t.downloads {
		t.drop(n, "was closed")
	}
	for n := range t.uploads {
		t.drop(n, "was closed")
	}
}

// streamFuncs are about streams that http has begun.
func (s *Session) streamFuncs() []hostfns.Func {
	read := hostfns.Always(hostfns.Read)
	return []hostfns.Func{
		{Name: ReadFunc, Answer: s.readStream, Recall: s.recallRead, Effect: read, Quiet: true},
		{Name: "stream_write", Answer: s.writeStream, Recall: s.recallWrite, Effect: read, Keep: headOf, Quiet: true},
		{
			Name: "stream_finish", Answer: s.finishStream, Recall: s.recallFinish, Effect: read,
			Summarize: summarizeStream, SummarizeResult: summarizeResult,
		},
		{Name: "stream_close", Answer: s.closeStream, Recall: s.recallClose, Effect: effectOfClose, Summarize: summarizeStream},
	}
}

// question is what a guest asks about a stream.
type question struct {
	Stream int `json:"stream"`
	Upload int `json:"upload"`
	// Max is how many bytes are asked for.
	Max int `json:"max"`
	// Encoding is that of the bytes that follow the question, or the answer: "base64"
	// for guests that cannot tell bytes from text. Defaults to none.
	Encoding string `json:"encoding"`
}

// encoded says whether the bytes are in base64.
func (q question) encoded() (bool, error) {
	switch q.Encoding {
	case "":
		return false, nil
	case "base64":
		return true, nil
	default:
		return false, invalid("\"encoding\" is %.32q: it must be \"base64\", or be left out", q.Encoding)
	}
}

// headOf is a request without the bytes that follow it.
func headOf(raw json.RawMessage) []byte {
	head, _, _ := bytes.Cut(raw, []byte("\n"))
	return head
}

func summarizeStream(raw json.RawMessage) string {
	var q question
	if json.Unmarshal(headOf(raw), &q) != nil {
		return ""
	}
	if q.Upload > 0 {
		return "upload " + strconv.Itoa(q.Upload)
	}
	return "stream " + strconv.Itoa(q.Stream)
}

// effectOfClose tells an upload that is given up, which the other side sees, from a
// download, of which it can be told at any time.
func effectOfClose(raw json.RawMessage) hostfns.Effect {
	var q question
	if json.Unmarshal(raw, &q) == nil && q.Upload > 0 {
		return hostfns.Read
	}
	return hostfns.Computed
}

func (s *Session) closeStream(ctx context.Context, raw json.RawMessage) (any, error) {
	q, err := hostfns.Decode[question](raw)
	if err != nil {
		return nil, err
	}
	if q.Upload > 0 {
		u, err := s.streams.upload(q.Upload)
		if err != nil {
			return nil, err
		}
		s.abandon(ctx, u)
		return nil, nil
	}
	if _, err := s.streams.download("stream", q.Stream); err != nil {
		return nil, err
	}
	s.streams.drop(q.Stream, "was closed")
	return nil, nil
}

func (s *Session) recallClose(_ context.Context, raw, result json.RawMessage) (json.RawMessage, error) {
	if q, err := hostfns.Decode[question](raw); err == nil {
		s.streams.drop(q.Upload, "was closed")
	}
	return result, nil
}

// streamBytes is the most of one body.
func (s *Session) streamBytes() int64 {
	if own := s.permissions.StreamBytes; own > 0 {
		return min(own, s.egress.config.StreamBytes)
	}
	return s.egress.config.StreamBytes
}

// life is how long a stream lives: beyond the crossing that begins it, and no longer
// than the Session.
type life struct {
	stop  context.CancelCauseFunc
	cause func() error
	limit *patience
	// leave gives its place among its connection's requests free; nil before it has one.
	leave func()
	once  sync.Once

	mu sync.Mutex
	// waiting is how long a crossing waits for something to pass; 0 while none does.
	waiting time.Duration
}

// live begins a life. What is done in ctx's crossing is done in living.
func (s *Session) live(ctx context.Context) (living context.Context, l *life) {
	living, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	l = &life{stop: stop, cause: func() error { return context.Cause(living) }}
	l.limit = s.egress.watch.begin(time.Hour, func(cause error) { l.stop(cause) })
	l.limit.extend(-1)
	return living, l
}

// within ends the life if a crossing's context ends, or if nothing passes for so long,
// until done is called, which says whether the life goes on.
func (l *life) within(ctx context.Context, d time.Duration) (done func() bool) {
	detach := context.AfterFunc(ctx, func() { l.stop(ctx.Err()) })
	l.wait(d)
	return func() bool {
		l.wait(0)
		detach()
		return l.cause() == nil
	}
}

func (l *life) wait(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting = d; d == 0 {
		d = -1
	}
	l.limit.extend(d)
}

// passed puts off what within waits for: something has passed.
func (l *life) passed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting > 0 {
		l.limit.extend(l.waiting)
	}
}

func (l *life) end() {
	l.once.Do(func() {
		l.stop(context.Canceled)
		l.limit.end()
		if l.leave != nil {
			l.leave()
		}
	})
}

// answerStreamed is answer of a request whose body, or whose answer's, is streamed.
func (s *Session) answerStreamed(ctx context.Context, raw json.RawMessage, out *outgoing) (any, error) {
	if out.stream || out.upload {
		if err := s.streams.room(s.egress.config.Streams); err != nil {
			return nil, err
		}
	}
	living, l := s.live(ctx)
	done := l.within(ctx, out.timeout)
	told, err := s.begin(living, bytes.Clone(raw), out, l)
	if !done() && err == nil {
		err = l.cause()
	}
	if err != nil {
		if told != nil {
			s.streams.drop(told.Stream+told.Upload, "did not begin in time")
		}
		l.end()
		return nil, s.untold(ctx, out, err)
	}
	if told.Stream+told.Upload == 0 {
		l.end()
	}
	return told, nil
}

// begin sends a request, or begins to.
func (s *Session) begin(ctx context.Context, raw json.RawMessage, out *outgoing, l *life) (*result, error) {
	leave, err := s.enter(ctx, out)
	if err != nil {
		return nil, err
	}
	l.leave = leave
	if out.upload {
		return s.beginUpload(ctx, out, l)
	}
	response, err := s.sendStreamed(ctx, out, l)
	if err != nil {
		return nil, err
	}
	response, last, err := s.follow(ctx, out, response, l.limit) //nolint:bodyclose // take does, or whoever reads the stream.
	if err != nil {
		return nil, err
	}
	told, err := s.take(ctx, response, last, l, raw)
	return told, s.cutOff(ctx, last, err)
}

// judgeStreams checks what is said of the bodies that are streamed.
func (out *outgoing) judgeStreams(r request) error {
	body := r.Body != nil || r.BodyBase64 != nil
	switch {
	case r.BodyStream == nil && !r.Upload:
		return nil
	case body || r.BodyStream != nil && r.Upload:
		return invalid("more than one of \"body\", \"body_base64\", \"body_stream\" and \"upload\" is there: send one")
	case effectOfMethod(out.method) == hostfns.Read:
		return invalid("a %s has no body that could be streamed: leave out \"body_stream\" and \"upload\"", out.method)
	case r.BodyStream != nil && *r.BodyStream <= 0:
		return invalid("\"body_stream\" is %d: it must be the \"stream\" of an answer", *r.BodyStream)
	case r.BodyStream != nil:
		out.source = *r.BodyStream
	}
	if out.keyName != "" {
		return invalid("\"idempotency_key\" is there, and the body is streamed: what it will have been cannot be compared when it is sent again; leave the key out, or send it as \"body\"")
	}
	return nil
}

// streamed says that the request's body is.
func (out *outgoing) streamed() bool { return out.upload || out.source > 0 }

// declare takes the length of a body that is streamed.
func (out *outgoing) declare(value string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || strings.HasPrefix(value, "+") {
		return invalid("the header \"content-length\" is %.32q: it must be how many bytes will be streamed, or be left out", value)
	}
	out.length = n
	return nil
}

// faulted is the error of a stream as the guest is told it.
func (s *Session) faulted(ctx context.Context, out *outgoing, l *life, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(l.cause(), errIdle):
		return hostfns.Errorf(hostfns.CodeTimeout, "%s began to stream, and nothing passed for %s", out.origin, s.egress.config.Idle)
	case errors.Is(l.cause(), ErrNotHeld):
		return ErrNotHeld
	}
	err = s.explainBody(out, s.streamBytes(), err)
	if errors.Is(err, context.DeadlineExceeded) {
		return hostfns.Errorf(hostfns.CodeTimeout, "%s did not go on in time", out.origin)
	}
	return err
}

// changed ends a run that cannot be made again as it was.
func changed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", hostfns.ErrChanged, fmt.Sprintf(format, args...))
}
