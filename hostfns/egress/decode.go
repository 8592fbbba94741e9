package egress

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

const (
	// maxRatio is what an answer may unpack to, as a multiple of its size. Deflate
	// reaches 1032; tables of numbers and logs come to 20 or so.
	maxRatio = 200
	// freeOfRatio is what any answer may unpack to: a page of spaces is no attack.
	freeOfRatio = 1 << 20
)

var (
	// errRatio says that an answer unpacks to too much of its size.
	errRatio = errors.New("the body unpacks to too much")
	// errBroken says that an answer is not in the coding that it says.
	errBroken = errors.New("broken")
)

// decoded unpacks gzip, for which the host asks, and deflate, which some servers send
// all the same. A coding that is neither cannot be searched for credentials, and would
// be a riddle to the guest; one that the guest asked for comes as it is. packed
// counts what has come of the body.
func (s *Session) decoded(response *http.Response, out *outgoing, raw io.Reader, packed *capped) (io.Reader, error) {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(response.Header.Values("Content-Encoding"), ", ")))
	if coding == "" || coding == "identity" || response.Request.Method == http.MethodHead {
		return raw, nil
	}
	if out.header.Get("Accept-Encoding") != "" && !s.credentialed {
		return raw, nil
	}
	unpack := unpackerOf(coding)
	if unpack == nil {
		return nil, hostfns.Errorf(hostfns.CodeNetwork,
			"%s answers with the content-encoding %.64q, which was not asked for and cannot be searched for credentials: only gzip and deflate are unpacked, one at a time",
			out.origin, s.permissions.Secrets.String(coding))
	}
	response.Header.Del("Content-Encoding")
	response.Header.Del("Content-Length")
	response.ContentLength = -1
	unpacked, err := unpack(raw)
	if errors.Is(err, io.EOF) {
		return http.NoBody, nil
	}
	return &proportioned{from: unpacked, packed: packed, limit: packed.left}, err
}

// unpackerOf is what undoes a coding, or nil.
func unpackerOf(coding string) func(io.Reader) (io.Reader, error) {
	switch coding {
	case "gzip", "x-gzip":
		return func(r io.Reader) (io.Reader, error) {
			unpacked, err := gzip.NewReader(r)
			return unpacked, broken("gzip", err)
		}
	case "deflate":
		return deflated
	default:
		return nil
	}
}

// deflated unpacks zlib's format, which "deflate" means, and the bare one, which
// servers have sent under that name since the beginning:
// https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2.
func deflated(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 512)
	head, err := b.Peek(2)
	if len(head) == 0 {
		return nil, err
	}
	if len(head) == 2 && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		unpacked, err := zlib.NewReader(b)
		return unpacked, broken("deflate", err)
	}
	return flate.NewReader(b), nil
}

// broken makes errors about a coding's own bytes errBroken, and leaves those of the
// network.
func broken(coding string, err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, zlib.ErrHeader) ||
		errors.Is(err, zlib.ErrChecksum) || errors.Is(err, zlib.ErrDictionary) || errors.As(err, &corrupt) {
		return fmt.Errorf("%w %s", errBroken, coding)
	}
	return err
}

// proportioned ends an answer that unpacks to too much.
type proportioned struct {
	from   io.Reader
	packed *capped
	// limit is what packed had left at first, and made is what came out.
	limit, made int64
}

// Read implements io.Reader.
func (p *proportioned) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.made += int64(n)
	if p.made > freeOfRatio && p.made > maxRatio*(p.limit-p.packed.left) {
		return 0, errRatio
	}
	return n, broken("compression", err)
}
