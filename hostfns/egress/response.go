package egress

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// result is what a guest gets. The status goes first: the trace reads that far.
type result struct {
	Status     int                 `json:"status,omitempty"`
	Headers    map[string][]string `json:"headers,omitzero"`
	Body       *string             `json:"body,omitempty"`
	BodyBase64 *string             `json:"body_base64,omitempty"`
	// Stream is where the body is read, and Upload where that of the request is written.
	Stream int `json:"stream,omitempty"`
	Upload int `json:"upload,omitempty"`
}

// maxAnswerHeaders is far more than servers send; each costs more than its bytes.
const maxAnswerHeaders = 500

var (
	// errTooLarge says that a body is over Config.ResponseBytes.
	errTooLarge = errors.New("the body is over the limit")
	// errIdle says that an answer did not go on for Config.Idle.
	errIdle = errors.New("the answer does not go on")
)

// read takes a response in, and closes it. Trailers are left where they are. limit ends
// the exchange when nothing more comes.
func (s *Session) read(response *http.Response, out *outgoing, limit *patience) (*result, error) {
	body, err := s.body(response, out, limit)
	if closeErr := response.Body.Close(); err == nil && closeErr != nil {
		err = explain(out, closeErr)
	}
	if err != nil {
		return nil, err
	}
	body = s.permissions.Secrets.Bytes(body)
	r := &result{Status: response.StatusCode, Headers: s.headersOf(response)}
	if utf8.Valid(body) {
		text := string(body)
		r.Body = &text
	} else {
		text := base64.StdEncoding.EncodeToString(body)
		r.BodyBase64 = &text
	}
	return r, nil
}

// headersOf are a response's headers as the guest gets them. The response has them no
// more.
func (s *Session) headersOf(response *http.Response) map[string][]string {
	secrets, headers := s.permissions.Secrets, make(map[string][]string, len(response.Header))
	for name, values := range response.Header {
		if isHopByHop(name) {
			continue
		}
		for i, v := range values {
			values[i] = strings.ToValidUTF8(secrets.String(v), "\uFFFD")
		}
		name = secrets.String(lower(name))
		if other, taken := headers[name]; taken {
			values = append(other, values...)
		}
		headers[name] = values
	}
	return headers
}

// body reads and decompresses.
func (s *Session) body(response *http.Response, out *outgoing, limit *patience) ([]byte, error) {
	most := int64(s.egress.config.ResponseBytes)
	if err := s.checkHead(response, out, most); err != nil {
		return nil, err
	}
	idle := s.egress.config.Idle
	limit.await(idle)
	defer limit.await(-1)
	reader, err := s.unpacked(response, out, &awaited{from: response.Body, limit: limit, idle: idle}, most)
	if err != nil {
		return nil, s.explainBody(out, most, err)
	}
	body, err := readAll(reader, response.ContentLength)
	if err != nil {
		return nil, s.explainBody(out, most, err)
	}
	return body, nil
}

// checkHead says what is wrong with a response as far as its head tells.
func (s *Session) checkHead(response *http.Response, out *outgoing, most int64) error {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return hostfns.Errorf(hostfns.CodeNetwork, "%s switches protocols, which was not asked for", out.origin)
	}
	if n := countValues(response.Header); n > maxAnswerHeaders {
		return hostfns.Errorf(hostfns.CodeResponseTooLarge, "the answer of %s has %d headers, and %d are the limit", out.origin, n, maxAnswerHeaders)
	}
	if response.ContentLength > most && response.Request.Method != http.MethodHead {
		return s.tooLarge(out, most)
	}
	return nil
}

// unpacked is what comes over the wire, decompressed. The limit holds for both, so that
// an endless stream of nothing ends.
func (s *Session) unpacked(response *http.Response, out *outgoing, from io.Reader, most int64) (io.Reader, error) {
	packed := &capped{from: from, left: most}
	reader, err := s.decoded(response, out, packed, packed)
	if err != nil {
		return nil, err
	}
	return &capped{from: reader, left: most}, nil
}

// readAll reads to the end. The length that a server says is where it begins, up to a
// point: who lies shall not have memory for it.
func readAll(from io.Reader, length int64) ([]byte, error) {
	const most = 64 << 10
	body := make([]byte, 0, min(max(length, 511), most)+1)
	for {
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) == cap(body) {
			body = slices.Grow(body, len(body))
		}
	}
}

func countValues(h http.Header) int {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return n
}

func (s *Session) explainBody(out *outgoing, most int64, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return s.tooLarge(out, most)
	case errors.Is(err, errRatio):
		return hostfns.Errorf(hostfns.CodeResponseTooLarge,
			"the answer of %s unpacks to more than %d times its size: ask for less, or for it as it is with the header \"accept-encoding: identity\"", out.origin, maxRatio)
	case errors.Is(err, errBroken):
		return hostfns.Errorf(hostfns.CodeNetwork, "%s answers with %s", out.origin, err)
	}
	return explain(out, err)
}

func (s *Session) tooLarge(out *outgoing, most int64) error {
	if out.stream {
		return hostfns.Errorf(hostfns.CodeResponseTooLarge,
			"the answer of %s is over the limit of %d bytes for a body that is streamed", out.origin, most)
	}
	return hostfns.Errorf(hostfns.CodeResponseTooLarge,
		"the answer of %s is over the limit of %d bytes: ask for less, by pages for example, or stream it", out.origin, most)
}

// isHopByHop tells headers that are about a connection which the guest has no
// part in.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	default:
		return false
	}
}

// lower is a header's name in small letters, without memory for those that every
// answer has.
func lower(name string) string {
	switch name {
	case "Content-Type":
		return "content-type"
	case "Content-Length":
		return "content-length"
	case "Date":
		return "date"
	case "Server":
		return "server"
	default:
		return strings.ToLower(name)
	}
}

// capped reads up to left bytes, and fails where io.LimitReader would pretend
// that there is no more.
type capped struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (c *capped) Read(p []byte) (int, error) {
	// One byte more than is left tells the end from the excess.
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.from.Read(p)
	if int64(n) > c.left {
		return int(c.left), errTooLarge
	}
	c.left -= int64(n)
	return n, err
}

// awaited puts the end of an exchange off with each byte that comes.
type awaited struct {
	from  io.Reader
	limit *patience
	idle  time.Duration
}

// Read implements io.Reader.
func (a *awaited) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	if n > 0 {
		a.limit.await(a.idle)
	}
	return n, err
}
