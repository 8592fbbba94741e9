package connector

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// chunkBytes is what passes at once: the most that the host allows, because each chunk
// is a question.
const chunkBytes = 1 << 20

// Stream is a response whose body passes in chunks: there is one of them in memory,
// however long the body is. Whoever got it closes the Body, or reads it to its end.
type Stream struct {
	Status int
	Header Header
	// Body gives the errors of the host as they are: an *Error.
	Body io.ReadCloser
}

// Err is as Response.Err, without the body in its message.
func (s *Stream) Err() error {
	return (&Response{Status: s.Status, Header: s.Header}).Err()
}

// Stream makes a request, and gives its answer as soon as that begins. A status of 400
// and above is an answer: see Stream.Err.
//
// A run that is made again makes the request again, if that is one that only reads, and
// reads what it had read: where the other side gives something else by then, the run
// ends.
func (h HTTP) Stream(r Request) (*Stream, error) {
	question, err := r.wire()
	if err != nil {
		return nil, err
	}
	question.Stream = true
	return h.client.stream(question)
}

// Send makes a request whose body is read from a reader. The Body of a Stream that
// nothing was read of, or whole chunks of a MiB, goes from server to server, and never
// through the connector; any other passes in chunks, as with Upload. What the request
// has as Body or JSON is not sent.
func (h HTTP) Send(r Request, body io.Reader) (*Response, error) {
	if from, ok := body.(*streamBody); ok && len(from.left) == 0 && !from.over {
		question, err := r.streamed()
		if err != nil {
			return nil, err
		}
		from.over = true
		question.BodyStream = from.number
		var result wireResponse
		if err := h.client.ask("http", question, &result); err != nil {
			return nil, err
		}
		return result.response(), nil
	}
	to, err := h.Upload(r)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{body}, make([]byte, chunkBytes)); err != nil && !to.ended {
		_ = to.Close() // There is a better error.
		return nil, err
	}
	return to.Finish()
}

// Upload begins a request whose body is written. What the request has as Body or JSON is
// not sent; a length that is known goes into the header content-length.
//
// While an upload is open, no other request may change anything, and there is one at a
// time. One that is cut off by a crash is made again if its method may be; else somebody
// has to say what became of it: see Connector.Confirm.
func (h HTTP) Upload(r Request) (*Upload, error) {
	question, err := r.streamed()
	if err != nil {
		return nil, err
	}
	question.Upload = true
	var result struct {
		Upload int `json:"upload"`
	}
	if err := h.client.ask("http", question, &result); err != nil {
		return nil, err
	}
	return &Upload{client: h.client, number: result.Upload, buffer: make([]byte, 0, chunkBytes)}, nil
}

// Upload is the body of a request: an io.WriteCloser. Finish it for the answer; closed
// without that, it is given up, and the other side does not take it for whole.
type Upload struct {
	client client
	number int
	// buffer is written once it is full.
	buffer []byte
	// ended says that the request was answered before its body was complete, and over
	// that it was finished or closed.
	ended, over bool
}

// Write implements io.Writer. io.ErrShortWrite says that the other side has answered
// before it had all, or hung up: Finish says what.
func (u *Upload) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		if u.over || u.ended {
			return written, io.ErrShortWrite
		}
		n := min(len(p), chunkBytes-len(u.buffer))
		u.buffer = append(u.buffer, p[:n]...)
		p, written = p[n:], written+n
		if len(u.buffer) == chunkBytes {
			if err := u.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// Finish ends the body, and gives the answer.
func (u *Upload) Finish() (*Response, error) {
	if u.over {
		return nil, Errorf(code.PluginBug, "the upload was finished or closed before")
	}
	if err := u.flush(); err != nil {
		return nil, err
	}
	u.over = true
	var result wireResponse
	if _, err := u.client.about("stream_finish", u.head(), nil, &result); err != nil {
		return nil, err
	}
	return result.response(), nil
}

// Close gives up what was not finished.
func (u *Upload) Close() error {
	if u.over {
		return nil
	}
	u.over = true
	_, err := u.client.about("stream_close", u.head(), nil, nil)
	return err
}

func (u *Upload) flush() error {
	if len(u.buffer) == 0 || u.ended {
		return nil
	}
	var result struct {
		Ended bool `json:"ended"`
	}
	_, err := u.client.about("stream_write", u.head(), u.buffer, &result)
	u.buffer, u.ended = u.buffer[:0], result.Ended
	return err
}

func (u *Upload) head() []byte { return []byte(`{"upload":` + strconv.Itoa(u.number) + `}`) }

// streamBody is the Body of a Stream.
type streamBody struct {
	client client
	number int
	// left is what came and was not read.
	left []byte
	// over says that there is nothing more to come, for which err is given.
	over bool
	err  error
}

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (int, error) {
	for len(b.left) == 0 {
		if b.over {
			return 0, b.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		b.next()
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *streamBody) Close() error {
	b.left = nil
	if b.over {
		return nil
	}
	b.over, b.err = true, Errorf(code.PluginBug, "the body was closed before it was read")
	_, err := b.client.about("stream_close", b.head(), nil, nil)
	return err
}

// next asks for a chunk.
func (b *streamBody) next() {
	var result struct {
		End bool `json:"end"`
	}
	chunk, err := b.client.about("stream_read", b.head(), nil, &result)
	b.left = chunk
	if b.over = err != nil || result.End; err != nil {
		b.err = err
	}
}

func (b *streamBody) head() []byte { return []byte(`{"stream":` + strconv.Itoa(b.number) + `}`) }

// stream gives the answer to a request as a Stream. Where somebody has found out what
// the answer was, it is there as a whole.
func (c client) stream(question wireRequest) (*Stream, error) {
	var result struct {
		wireResponse

		Stream int `json:"stream"`
	}
	if err := c.ask("http", question, &result); err != nil {
		return nil, err
	}
	s := &Stream{Status: result.Status, Header: result.Headers.lower()}
	s.Body = &streamBody{client: c, number: result.Stream, err: io.EOF}
	if result.Stream == 0 {
		s.Body = io.NopCloser(bytes.NewReader(result.bytes()))
	}
	return s, nil
}

// streamed is the request without a body.
func (r Request) streamed() (wireRequest, error) {
	r.Body, r.JSON = nil, nil
	return r.wire()
}

func (w wireResponse) response() *Response {
	return &Response{Status: w.Status, Header: w.Headers.lower(), Body: w.bytes()}
}

// streamer is a Host with the functions about streams by themselves: as with signer,
// they are linked only into connectors that stream.
type streamer interface {
	Stream(function string, request []byte) (answer []byte)
}

// about asks one of them. Bytes follow the request, and the answer.
func (c client) about(function string, request, chunk []byte, result any) ([]byte, error) {
	if chunk != nil {
		request = append(append(request, '\n'), chunk...)
	}
	var answer []byte
	if s, ok := c.host.(streamer); ok {
		answer = s.Stream(function, request)
	} else {
		answer = c.host.Call(function, request)
	}
	head, rest, _ := bytes.Cut(answer, []byte("\n"))
	if !json.Valid(head) {
		return nil, Errorf(code.Internal, "%s: the host's answer is no JSON", function)
	}
	return rest, open(function, head, result)
}
