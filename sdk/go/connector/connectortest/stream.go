package connectortest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// maxChunk is the most that passes at once, as at the real host.
const maxChunk = 1 << 20

// streams are a call's bodies that pass in chunks, by numbers that count from 1.
type streams struct {
	all []*streamed
	// in are the bytes that follow the request that is being answered, and out those
	// that follow the answer.
	in, out []byte
}

// streamed is a body that is read, or written for a request.
type streamed struct {
	body    []byte
	request *httpRequest
	over    bool
}

func (s *streams) open(one *streamed) int {
	s.all = append(s.all, one)
	return len(s.all)
}

// find gives a stream that is open: one to read, or an upload.
func (s *streams) find(n int, upload bool) (*streamed, *failure) {
	if n < 1 || n > len(s.all) || (s.all[n-1].request != nil) != upload {
		return nil, refuse(code.InvalidRequest, "there is no such stream in this call: %d", n)
	}
	if s.all[n-1].over {
		return nil, refuse(code.InvalidRequest, "the stream %d is over: it was read to its end, sent, finished or closed", n)
	}
	return s.all[n-1], nil
}

type streamRequest struct {
	Stream int `json:"stream"`
	Upload int `json:"upload"`
	Max    int `json:"max"`
}

type chunk struct {
	Bytes  int    `json:"bytes"`
	End    bool   `json:"end"`
	SHA256 string `json:"sha256"`
}

func (c *call) streamRead(r streamRequest) (any, *failure) {
	one, refused := c.streams.find(r.Stream, false)
	if refused != nil {
		return nil, refused
	}
	if r.Max < 0 || r.Max > maxChunk {
		return nil, refuse(code.InvalidRequest, "\"max\" is %d: it must be from 1 to %d", r.Max, maxChunk)
	}
	if r.Max == 0 {
		r.Max = maxChunk
	}
	n := min(r.Max, len(one.body))
	c.streams.out, one.body = one.body[:n], one.body[n:]
	one.over = n < r.Max
	sum := sha256.Sum256(c.streams.out)
	return chunk{Bytes: n, End: one.over, SHA256: hex.EncodeToString(sum[:])}, nil
}

func (c *call) streamWrite(r streamRequest) (any, *failure) {
	one, refused := c.streams.find(r.Upload, true)
	if refused != nil {
		return nil, refused
	}
	if len(c.streams.in) > maxChunk {
		return nil, refuse(code.InvalidRequest, "the chunk has %d bytes, and %d is the limit", len(c.streams.in), maxChunk)
	}
	one.body = append(one.body, c.streams.in...)
	return map[string]bool{"ended": false}, nil
}

func (c *call) streamFinish(r streamRequest) (any, *failure) {
	one, refused := c.streams.find(r.Upload, true)
	if refused != nil {
		return nil, refused
	}
	one.over = true
	request := *one.request
	request.Upload, request.Base64 = false, one.body
	return c.http(request)
}

func (c *call) streamClose(r streamRequest) (any, *failure) {
	one, refused := c.streams.find(max(r.Stream, r.Upload), r.Upload > 0)
	if refused != nil {
		return nil, refused
	}
	one.over = true
	return struct{}{}, nil
}

// begin is a request whose body will be written. What would be refused is so at once.
func (c *call) begin(r httpRequest) (any, *failure) {
	return map[string]int{"upload": c.streams.open(&streamed{request: &r})}, nil
}

// fill puts the stream that a request sends into its body.
func (c *call) fill(r *httpRequest) *failure {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	switch streams := r.Upload || r.BodyStream != 0; {
	case streams && reads:
		return refuse(code.InvalidRequest, "a %s has no body that could be streamed", r.Method)
	case streams && r.IdempotencyKey != "":
		return refuse(code.InvalidRequest, "\"idempotency_key\" is there, and the body is streamed")
	case r.BodyStream == 0:
		return nil
	}
	one, refused := c.streams.find(r.BodyStream, false)
	if refused != nil {
		return refused
	}
	one.over = true
	r.Base64, r.BodyStream = one.body, 0
	return nil
}
