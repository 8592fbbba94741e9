package egress

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// download is an answer whose body the guest asks for in chunks.
type download struct {
	// raw is the request that it answers, and told what tells its answer from another.
	raw  json.RawMessage
	told stamp
	// tally counts what passes.
	tally func(int64)
	// in is nil for one that an earlier run has begun, until somebody asks for more.
	in *incoming
}

func (d *download) end() {
	if d.in != nil {
		d.in.end()
	}
}

// stamp is what tells a body from one that has taken its place:
// https://www.rfc-editor.org/rfc/rfc9110#section-8.8.
type stamp struct {
	status             int
	etag, modifiedLast string
}

func stampOf(status int, headers map[string][]string) stamp {
	of := func(name string) string { return strings.Join(headers[name], ", ") }
	return stamp{status: status, etag: of("etag"), modifiedLast: of("last-modified")}
}

// same says whether another answer is the same as far as the two tell.
func (a stamp) same(b stamp) error {
	switch {
	case a.status != b.status:
		return changed("its status was %d and is %d", a.status, b.status)
	case a.etag != b.etag:
		return changed("its \"etag\" was %.64q and is %.64q", a.etag, b.etag)
	case a.etag == "" && a.modifiedLast != b.modifiedLast:
		return changed("its \"last-modified\" was %.64q and is %.64q", a.modifiedLast, b.modifiedLast)
	}
	return nil
}

// incoming is a body that comes.
type incoming struct {
	out  *outgoing
	life *life
	// reader gives the body decompressed, bounded and without secrets.
	reader io.Reader
	body   io.Closer
	// length is how many bytes that will be, -1 if it is not known.
	length int64
	idle   time.Duration
	once   sync.Once
}

// Read implements io.Reader.
func (in *incoming) Read(p []byte) (int, error) {
	// Only while somebody waits: a guest may take its time.
	in.life.limit.await(in.idle)
	defer in.life.limit.await(-1)
	return in.reader.Read(p)
}

func (in *incoming) end() {
	in.once.Do(func() {
		in.life.end()
		_ = in.body.Close() // It is of no use any more.
	})
}

// chunk reads as many bytes as there is room for, so that equal bodies are cut into equal
// chunks. Only the last one is shorter.
func (in *incoming) chunk(ctx context.Context, size int) (b []byte, end bool, err error) {
	detach := context.AfterFunc(ctx, func() { in.life.stop(ctx.Err()) })
	defer detach()
	b = make([]byte, 0, min(size, 64<<10))
	for len(b) < size && err == nil {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), size)
			copy(grown, b)
			b = grown
		}
		var n int
		n, err = in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
	}
	if errors.Is(err, io.EOF) && in.life.cause() == nil {
		// Whether the end is known with the last byte or after it, is a matter of luck.
		return b, len(b) < size, nil
	}
	if err == nil {
		// A server that is hung up on may end its answer in good order.
		err = in.life.cause()
	}
	return b, false, err
}

// take gives the guest an answer: whole, or as a stream.
func (s *Session) take(ctx context.Context, response *http.Response, out *outgoing, l *life, raw json.RawMessage) (*result, error) {
	if !out.stream {
		return s.read(response, out, l.limit)
	}
	in, err := s.incoming(response, out, l)
	if err != nil {
		return nil, err
	}
	n := s.streams.next(0)
	told := &result{Status: response.StatusCode, Headers: s.headersOf(response), Stream: n}
	s.streams.downloads[n] = &download{raw: raw, told: stampOf(told.Status, told.Headers), tally: hostfns.Tally(ctx), in: in}
	return told, nil
}

// incoming opens the body of a response.
func (s *Session) incoming(response *http.Response, out *outgoing, l *life) (*incoming, error) {
	limit := s.streamBytes()
	in := &incoming{out: out, life: l, body: response.Body, idle: s.egress.config.Idle}
	if err := s.checkHead(response, out, limit); err != nil {
		_ = response.Body.Close() // There is a better error.
		return nil, err
	}
	l.limit.await(in.idle)
	reader, err := s.unpacked(response, out, &awaited{from: response.Body, limit: l.limit, idle: in.idle}, limit)
	l.limit.await(-1) // A compressed body begins with a head of its own, which was read.
	if err != nil {
		_ = response.Body.Close() // There is a better error.
		return nil, s.explainBody(out, limit, err)
	}
	in.reader, in.length = s.permissions.Secrets.Reader(reader), response.ContentLength
	if s.credentialed {
		in.length = -1 // What is taken out changes it.
	}
	return in, nil
}

// chunkResult is what is told of a chunk, whose bytes follow it.
type chunkResult struct {
	Bytes int  `json:"bytes"`
	End   bool `json:"end"`
	// SHA256 is of the bytes: a journal has it in their place.
	SHA256 string `json:"sha256"`
}

func resultOf(b []byte, end bool) chunkResult {
	sum := sha256.Sum256(b)
	return chunkResult{Bytes: len(b), End: end, SHA256: hex.EncodeToString(sum[:])}
}

// asked reads a question for a chunk.
func (s *Session) asked(raw json.RawMessage) (question, *download, error) {
	q, err := hostfns.Decode[question](raw)
	if err != nil {
		return q, nil, err
	}
	if q.Max < 0 || q.Max > maxChunk {
		return q, nil, invalid("\"max\" is %d: it must be from 1 to %d, or be left out", q.Max, maxChunk)
	}
	if q.Max == 0 {
		q.Max = maxChunk
	}
	if _, err := q.encoded(); err != nil {
		return q, nil, err
	}
	d, err := s.streams.download("stream", q.Stream)
	return q, d, err
}

func (s *Session) readStream(ctx context.Context, raw json.RawMessage) (any, error) {
	q, d, err := s.asked(raw)
	if err != nil {
		return nil, err
	}
	b, end, err := s.chunk(ctx, d, q.Max)
	if err != nil {
		s.streams.drop(q.Stream, "broke off")
		return nil, err
	}
	if end {
		s.streams.drop(q.Stream, "was read to its end")
	}
	attach(ctx, q, b)
	return resultOf(b, end), nil
}

// attach has a chunk follow the answer.
func attach(ctx context.Context, q question, b []byte) {
	if q.Encoding != "" {
		b = base64.StdEncoding.AppendEncode(nil, b)
	}
	hostfns.Attach(ctx, b)
}

func (s *Session) chunk(ctx context.Context, d *download, size int) ([]byte, bool, error) {
	if err := s.reopen(ctx, d); err != nil {
		return nil, false, err
	}
	b, end, err := d.in.chunk(ctx, size)
	if err != nil {
		return nil, false, s.faulted(ctx, d.in.out, d.in.life, err)
	}
	d.tally(int64(len(b)))
	return b, end, nil
}

// recallRead fetches a chunk again that an earlier run was given, and compares it.
func (s *Session) recallRead(ctx context.Context, raw, kept json.RawMessage) (json.RawMessage, error) {
	var had chunkResult
	if err := json.Unmarshal(kept, &had); err != nil {
		return nil, fmt.Errorf("read what is kept of a chunk: %w", err)
	}
	q, d, err := s.asked(raw)
	if err != nil {
		return nil, err
	}
	if d.in != nil || had.Bytes > 0 {
		b, end, err := s.chunk(ctx, d, q.Max)
		if err != nil {
			return nil, err
		}
		if now := resultOf(b, end); now != had {
			return nil, changed("a chunk of %d bytes has the digest %.16s, and the one of %d bytes that was read had %.16s", now.Bytes, now.SHA256, had.Bytes, had.SHA256)
		}
		attach(ctx, q, b)
	}
	if had.End {
		s.streams.drop(q.Stream, "was read to its end")
	}
	return kept, nil
}

// reopen asks again for what an earlier run has begun to read, once that is needed.
func (s *Session) reopen(ctx context.Context, d *download) error {
	if d.in != nil {
		return nil
	}
	out, err := s.egress.parse(d.raw)
	if err != nil {
		return err
	}
	if effectOfMethod(out.method) != hostfns.Read {
		return changed("it answered a %s to %s, which is not sent again to read on", out.method, out.origin)
	}
	out.settled = true // It is no effect, and what is reported is the crossing's own.
	living, l := s.live(ctx)
	done := l.within(ctx, out.timeout)
	in, now, err := s.fetchAgain(living, out, l)
	if !done() && err == nil {
		err = l.cause()
		in.end()
	}
	if err != nil {
		l.end()
		return s.untold(ctx, out, err)
	}
	if err := d.told.same(now); err != nil {
		in.end()
		return err
	}
	d.in = in
	return nil
}

func (s *Session) fetchAgain(ctx context.Context, out *outgoing, l *life) (*incoming, stamp, error) {
	leave, err := s.enter(ctx, out)
	if err != nil {
		return nil, stamp{}, err
	}
	l.leave = leave
	response, err := s.send(ctx, out, l.limit)
	if err != nil {
		return nil, stamp{}, err
	}
	response, last, err := s.follow(ctx, out, response, l.limit)
	if err != nil {
		return nil, stamp{}, err
	}
	in, err := s.incoming(response, last, l)
	if err != nil {
		return nil, stamp{}, s.cutOff(ctx, last, err)
	}
	return in, stampOf(response.StatusCode, s.headersOf(response)), nil
}

// recallHTTP knows the streams again that an earlier run has begun.
func (s *Session) recallHTTP(ctx context.Context, raw, kept json.RawMessage) (json.RawMessage, error) {
	var asked struct {
		Stream     bool
		Upload     bool
		BodyStream int `json:"body_stream"`
	}
	if err := json.Unmarshal(raw, &asked); err != nil || !asked.Stream && !asked.Upload && asked.BodyStream == 0 {
		return kept, nil //nolint:nilerr // What cannot be read has begun no stream.
	}
	s.streams.drop(asked.BodyStream, "was sent as a body")
	if asked.Upload {
		return s.recallUpload(ctx, raw, kept)
	}
	s.known(ctx, raw, kept)
	return kept, nil
}

// known is a stream that a kept answer has.
func (s *Session) known(ctx context.Context, raw, kept json.RawMessage) {
	var told result
	if json.Unmarshal(kept, &told) == nil && told.Stream > 0 {
		n := s.streams.next(told.Stream)
		s.streams.downloads[n] = &download{raw: append(json.RawMessage{}, raw...), told: stampOf(told.Status, told.Headers), tally: hostfns.Tally(ctx)}
	}
}
