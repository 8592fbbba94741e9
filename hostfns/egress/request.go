package egress

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

const (
	// maxURL is what common servers accept: nginx takes 8 KiB for a line.
	maxURL = 8 << 10
	// maxHeaders is what common servers accept.
	maxHeaders = 100
)

// request is what a guest sends.
type request struct {
	Connection string              `json:"connection"`
	Method     string              `json:"method"`
	URL        string              `json:"url"`
	Headers    map[string][]string `json:"headers"`
	Body       *string             `json:"body"`
	BodyBase64 *string             `json:"body_base64"`
	// BodyStream is a stream whose bytes are the body, and Upload says that the guest
	// sends the body in chunks.
	BodyStream *int  `json:"body_stream"`
	Upload     bool  `json:"upload"`
	TimeoutMS  int64 `json:"timeout_ms"`
	// Stream says that the answer's body is asked for in chunks.
	Stream bool `json:"stream"`
	// IdempotencyKey is the guest's name for the key.
	IdempotencyKey string `json:"idempotency_key"`
	// Literal says that what looks like a placeholder is text.
	Literal bool `json:"literal"`

	// text is Body, where it was read in another way.
	text []byte
}

// outgoing is a request that has been checked, and is not granted yet.
type outgoing struct {
	connection string
	method     string
	url        *url.URL
	origin     origin
	header     http.Header
	body       []byte
	timeout    time.Duration
	// stream says that the body of the answer is to be asked for in chunks.
	stream bool
	// source is the stream that is the body, 0 for none, and upload says that the guest
	// sends it. length is that of either, -1 if it is not known.
	source int
	upload bool
	length int64
	// stands are the methods that it stands for, by its headers.
	stands []string
	// keyName is what the guest calls its idempotency key, if it does.
	keyName string
	// via tells, in messages, which origin redirected here.
	via string
	// placeholder says that there is one to fill; literal, that none is one.
	placeholder, literal bool
	// settled says that what the guest asked for is done, and this request fetches
	// the answer to it.
	settled bool
	// renewed says that its credential was to be renewed, which is asked once.
	renewed bool
	// begun says that a request was sent for it.
	begun bool
}

func (e *Egress) parse(raw json.RawMessage) (*outgoing, error) {
	r, err := decode(raw)
	if err != nil {
		return nil, err
	}
	out := &outgoing{
		connection: r.Connection, method: strings.ToUpper(r.Method), keyName: r.IdempotencyKey, literal: r.Literal,
		stream: r.Stream, upload: r.Upload, length: -1,
	}
	if err := checkKeyName(out.keyName); err != nil {
		return nil, err
	}
	switch {
	case !isToken(out.method):
		return nil, invalid("\"method\" is %.32q: it must be one of HTTP's, such as GET", r.Method)
	case out.method == http.MethodConnect || out.method == http.MethodTrace:
		return nil, invalid("\"method\" is %s, which guests cannot use", out.method)
	case r.TimeoutMS < 0:
		return nil, invalid("\"timeout_ms\" is %d: it must not be negative", r.TimeoutMS)
	}
	out.timeout = e.config.Timeout
	if asked := r.TimeoutMS; asked > 0 && asked < out.timeout.Milliseconds() {
		out.timeout = time.Duration(asked) * time.Millisecond
	}
	if out.url, out.origin, err = parseURL(r.URL); err != nil {
		return nil, invalid("\"url\": %s", err)
	}
	if out.body, err = e.bodyOf(r); err != nil {
		return nil, err
	}
	if err := out.judgeStreams(r); err != nil {
		return nil, err
	}
	if out.header, err = e.headerOf(r.Headers, out); err != nil {
		return nil, err
	}
	out.placeholder = !out.literal && out.hasPlaceholder()
	return out, nil
}

// parseURL reads a URL and writes it anew, so that what was checked is what is
// sent.
func parseURL(raw string) (*url.URL, origin, error) {
	if len(raw) > maxURL {
		return nil, origin{}, fmt.Errorf("it is %d bytes long, and %d is the limit", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, origin{}, fmt.Errorf("%.128q is not a URL", raw)
	}
	o, err := originOf(u)
	if err != nil {
		return nil, origin{}, err
	}
	u.Scheme, u.Host = o.scheme, o.authority()
	u.Fragment, u.RawFragment = "", ""
	return u, o, nil
}

func (e *Egress) bodyOf(r request) ([]byte, error) {
	var body []byte
	switch {
	case (r.Body != nil || r.text != nil) && r.BodyBase64 != nil:
		return nil, invalid("both \"body\" and \"body_base64\" are there: send one")
	case r.text != nil:
		body = r.text
	case r.Body != nil:
		body = []byte(*r.Body)
	case r.BodyBase64 != nil:
		var err error
		if body, err = base64.StdEncoding.DecodeString(*r.BodyBase64); err != nil {
			return nil, invalid("\"body_base64\" is not base64 with padding: %s", err)
		}
	}
	if len(body) > e.config.RequestBytes {
		return nil, hostfns.Errorf(hostfns.CodeLimitExceeded, "the body is %d bytes long, and %d is the limit", len(body), e.config.RequestBytes)
	}
	return body, nil
}

// headerOf checks a guest's headers. It refuses where it could drop: a header
// that silently does nothing costs its author a day.
func (e *Egress) headerOf(given map[string][]string, out *outgoing) (http.Header, error) {
	header := make(http.Header, len(given)+4) // The host adds some.
	count, size := 0, 0
	// Sorted: two spellings of one name must not change places between runs.
	var few [8]string
	names := slices.AppendSeq(few[:0], maps.Keys(given))
	slices.Sort(names)
	for _, spelt := range names {
		name := http.CanonicalHeaderKey(spelt)
		if !isToken(spelt) {
			return nil, invalid("a header is named %.64q, which HTTP does not allow", spelt)
		}
		for _, value := range given[spelt] {
			count, size = count+1, size+len(name)+len(value)+len(": \r\n")
			if !isFieldValue(value) {
				return nil, invalid("the header %.64q has a character that is not printable ASCII: encode it", spelt)
			}
			keep, err := out.judgeHeader(name, value)
			if err != nil {
				return nil, err
			}
			if keep {
				header.Add(name, value)
			}
		}
	}
	if count > maxHeaders || size > e.config.HeaderBytes {
		return nil, hostfns.Errorf(hostfns.CodeLimitExceeded, "there are %d headers of %d bytes, and %d of %d bytes are the limit",
			count, size, maxHeaders, e.config.HeaderBytes)
	}
	return header, nil
}

// judgeHeader refuses what is the host's to say: how the message is framed,
// where it goes and where it came from.
func (out *outgoing) judgeHeader(name, value string) (keep bool, err error) {
	switch name {
	case "Host":
		if strings.EqualFold(value, out.url.Host) {
			return false, nil
		}
	case "Content-Length":
		if out.streamed() {
			return false, out.declare(value)
		}
		if value == strconv.Itoa(len(out.body)) {
			return false, nil
		}
	case "Authorization":
		// It may be a slot.
		if out.connection == "" || !out.literal && mentions(value) {
			return true, nil
		}
		return false, invalid("the header \"authorization\" comes from the connection %.64q: leave one of them out", out.connection)
	case "Range", "If-Range":
		if out.connection == "" {
			return true, nil
		}
		// Of a secret that the server echoes, a part at a time would pass the search.
		return false, invalid("the header %q cannot be used with the connection %.64q: ask for all of it", strings.ToLower(name), out.connection)
	case "Accept", "Content-Type", "User-Agent", "If-None-Match":
		return true, nil // These are what most requests have.
	default:
		if overrides(name) {
			return out.judgeOverride(name, value)
		}
		if !isHosts(name) {
			return true, nil
		}
	}
	return false, invalid("the header %q is set by the host: leave it out", strings.ToLower(name))
}

// isHosts tells headers that say how a message travels, where from and whereto. Servers
// that take "_" for "-", as CGI does, would take its like for them, too.
func isHosts(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	for _, prefix := range []string{"proxy-", "x-forwarded-", "x-original-", "x-envoy-", "cf-connecting-", "sec-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"host", "x-host", "content-length", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect",
		"forwarded", "x-forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "x-cluster-client-ip", "x-rewrite-url",
	}, name)
}

// overrides tells headers that make another method of a request's.
func overrides(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return name == "x-http-method-override" || name == "x-http-method" || name == "x-method-override"
}

// judgeOverride takes a header by which some servers let a POST stand for another
// method, which is to be granted then. Anywhere else it would make of a request that
// reads one that changes.
func (out *outgoing) judgeOverride(name, value string) (keep bool, err error) {
	method := strings.ToUpper(value)
	if out.method != http.MethodPost || !isToken(method) {
		return false, invalid("the header %q can make another method of a POST, and this is a %s: use the method itself", strings.ToLower(name), out.method)
	}
	out.stands = append(out.stands, method)
	return true, nil
}

func invalid(format string, args ...any) error {
	return hostfns.Errorf(hostfns.CodeInvalidRequest, format, args...)
}

// isToken tells a token of https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-'
		if !alphanumeric && strings.IndexByte("!#$%&'*+.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue is stricter than the RFC, which leaves bytes above ASCII to the
// reader: some take one for the end of a line.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}
