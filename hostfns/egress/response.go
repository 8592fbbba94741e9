package egress

import (
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// result is what a guest gets. The status goes first: the trace reads that far.
type result struct {
	Status     int                 `json:"status"`
	Headers    map[string][]string `json:"headers"`
	Body       *string             `json:"body,omitempty"`
	BodyBase64 *string             `json:"body_base64,omitempty"`
}

// errTooLarge says that a body is over Config.ResponseBytes.
var errTooLarge = errors.New("the body is over the limit")

// read takes a response in, and closes it.
func (s *Session) read(response *http.Response, out *outgoing) (*result, error) {
	body, err := s.body(response, out)
	if closeErr := response.Body.Close(); err == nil && closeErr != nil {
		err = explain(out, closeErr)
	}
	if err != nil {
		return nil, err
	}
	secrets := s.permissions.Secrets
	body = secrets.Bytes(body)
	r := &result{Status: response.StatusCode, Headers: map[string][]string{}}
	for name, values := range response.Header {
		if isHopByHop(name) {
			continue
		}
		name = secrets.String(strings.ToLower(name))
		for _, v := range values {
			r.Headers[name] = append(r.Headers[name], strings.ToValidUTF8(secrets.String(v), "\uFFFD"))
		}
	}
	if utf8.Valid(body) {
		text := string(body)
		r.Body = &text
	} else {
		text := base64.StdEncoding.EncodeToString(body)
		r.BodyBase64 = &text
	}
	return r, nil
}

// body reads and decompresses. The limit holds for what comes over the wire,
// so that an endless stream of nothing ends, and for what it unpacks to.
func (s *Session) body(response *http.Response, out *outgoing) ([]byte, error) {
	limit := int64(s.egress.config.ResponseBytes)
	if response.StatusCode == http.StatusSwitchingProtocols {
		return nil, hostfns.Errorf(hostfns.CodeNetwork, "%s switches protocols, which was not asked for", out.origin)
	}
	if response.ContentLength > limit && response.Request.Method != http.MethodHead {
		return nil, s.tooLarge(out)
	}
	reader, err := s.decoded(response, out, &capped{from: response.Body, left: limit})
	if err != nil {
		return nil, s.explainBody(out, err)
	}
	body, err := io.ReadAll(&capped{from: reader, left: limit})
	if err != nil {
		return nil, s.explainBody(out, err)
	}
	return body, nil
}

// decoded unpacks gzip where the host asked for it. What the guest asked for
// comes as it is.
func (s *Session) decoded(response *http.Response, out *outgoing, raw io.Reader) (io.Reader, error) {
	encoding := strings.ToLower(strings.Join(response.Header.Values("Content-Encoding"), ", "))
	if encoding == "" || encoding == "identity" || response.Request.Method == http.MethodHead {
		return raw, nil
	}
	guestAsked := out.header.Get("Accept-Encoding") != "" && !s.credentialed
	if !guestAsked && (encoding == "gzip" || encoding == "x-gzip") {
		response.Header.Del("Content-Encoding")
		response.Header.Del("Content-Length")
		unpacked, err := gzip.NewReader(raw)
		if errors.Is(err, io.EOF) {
			return http.NoBody, nil
		}
		return unpacked, err
	}
	if s.credentialed {
		return nil, hostfns.Errorf(hostfns.CodeNetwork,
			"%s answers with the content-encoding %.64q, which was not asked for and cannot be searched for credentials", out.origin, encoding)
	}
	return raw, nil
}

func (s *Session) explainBody(out *outgoing, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return s.tooLarge(out)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return hostfns.Errorf(hostfns.CodeNetwork, "%s answers with broken gzip", out.origin)
	}
	return explain(out, err)
}

func (s *Session) tooLarge(out *outgoing) error {
	return hostfns.Errorf(hostfns.CodeResponseTooLarge,
		"the answer of %s is over the limit of %d bytes: ask for less, by pages for example", out.origin, s.egress.config.ResponseBytes)
}

// isHopByHop tells headers that are about a connection which the guest has no
// part in.
func isHopByHop(name string) bool {
	return slices.Contains([]string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}, name)
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
