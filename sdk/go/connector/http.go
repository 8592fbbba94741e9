package connector

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// HTTP makes requests through the host, which checks them against the manifest
// and the tenant's grant, and adds the credential.
type HTTP struct{ client client }

// Request is an HTTP request to a third party.
type Request struct {
	// Connection names the connection whose credential the host adds. Empty adds none.
	Connection string
	// Method defaults to GET.
	Method string
	// URL is absolute.
	URL    string
	Header Header
	// Body is sent as it is.
	Body []byte
	// JSON, if not nil, is sent instead of Body, as application/json.
	JSON any
	// Timeout can only shorten the host's own.
	Timeout time.Duration
	// IdempotencyKey names the request among all of this execution, so that the host
	// it goes to knows it if it has to be sent again: 1 to 128 visible ASCII
	// characters, not beginning with "h-". It needs an Idempotency of the connector for that host, and then it
	// need not be set: it is made of the request.
	IdempotencyKey string
	// Literal says that what looks like a placeholder of a Connection's Slots is text:
	// set it where the text is somebody else's.
	Literal bool
}

// Response is what came back.
type Response struct {
	Status int
	Header Header
	Body   []byte
}

// Do makes a request. A status of 400 and above is a response, not an error: see
// Response.Err.
func (h HTTP) Do(r Request) (*Response, error) {
	question, err := r.wire()
	if err != nil {
		return nil, err
	}
	var result wireResponse
	if err := h.client.ask("http", question, &result); err != nil {
		return nil, err
	}
	return &Response{Status: result.Status, Header: result.Headers.lower(), Body: result.bytes()}, nil
}

// Fetch makes a request and decodes the JSON that comes back into the value that
// out points to, unless that is nil. A status of 400 and above is the error that
// Response.Err gives.
func (h HTTP) Fetch(r Request, out any) error {
	response, err := h.Do(r)
	if err != nil {
		return err
	}
	if err := response.Err(); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return response.Decode(out)
}

type wireResponse struct {
	Status  int    `json:"status"`
	Headers Header `json:"headers"`
	wireBody
}

type wireRequest struct {
	Connection string `json:"connection,omitempty"`
	Method     string `json:"method"`
	URL        string `json:"url"`
	Headers    Header `json:"headers,omitempty"`
	wireBody
	TimeoutMS      int64  `json:"timeout_ms,omitempty"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	Literal        bool   `json:"literal,omitempty"`
	// Stream, Upload and BodyStream are as sdk/ABI.md has them.
	Stream     bool `json:"stream,omitempty"`
	Upload     bool `json:"upload,omitempty"`
	BodyStream int  `json:"body_stream,omitempty"`
}

func (r Request) wire() (wireRequest, error) {
	w := wireRequest{
		Connection: r.Connection, Method: r.Method, URL: r.URL, Headers: r.Header.lower(), wireBody: bodyOf(r.Body),
		TimeoutMS: r.Timeout.Milliseconds(), IdempotencyKey: r.IdempotencyKey, Literal: r.Literal,
	}
	if w.Method == "" {
		w.Method = "GET"
	}
	if r.JSON == nil {
		return w, nil
	}
	body, err := json.Marshal(r.JSON)
	if err != nil {
		return w, Errorf(code.PluginBug, "http: encode the body: %w", err)
	}
	w.wireBody = bodyOf(body)
	if w.Headers.Get("content-type") == "" {
		w.Headers["content-type"] = []string{"application/json"}
	}
	return w, nil
}

// Decode reads the body as JSON into the value that v points to. A body that
// does not fit is the error contract_changed: the third party answers with
// something else than it used to.
func (r *Response) Decode(v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return Errorf(code.ContractChanged, "decode the response (status %d): %w", r.Status, err)
	}
	return nil
}

// Err is nil below a status of 400. Above, it is an *Error with the code that
// most APIs mean by the status, the wait that Retry-After asks for, and the
// beginning of the body in its message:
//
//	401, 403             auth
//	408, 500 and above   upstream_unavailable
//	425, 429             rate_limited
//	any other            invalid_input
//
// Where an API means something else, look at Status first.
func (r *Response) Err() error {
	if r.Status < 400 {
		return nil
	}
	return &Error{
		Code:       r.code(),
		Message:    fmt.Sprintf("the API answered with status %d: %s", r.Status, r.excerpt()),
		RetryAfter: r.retryAfter(),
		Details:    map[string]any{"status": r.Status},
	}
}

func (r *Response) wire() wireResponse {
	return wireResponse{Status: r.Status, Headers: r.Header.lower(), wireBody: bodyOf(r.Body)}
}

func (r *Response) code() code.Code {
	switch {
	case r.Status == 401, r.Status == 403:
		return code.Auth
	case r.Status == 425, r.Status == 429:
		return code.RateLimited
	case r.Status == 408, r.Status >= 500:
		return code.UpstreamUnavailable
	default:
		return code.InvalidInput
	}
}

// excerpt is enough of the body to recognise an error message: most APIs' fit in 300 bytes.
func (r *Response) excerpt() string {
	const enough = 300
	text := strings.TrimSpace(strings.ToValidUTF8(string(r.Body[:min(len(r.Body), enough)]), ""))
	if len(r.Body) > enough {
		text += "..."
	}
	return text
}

// retryAfter reads seconds or a date, <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>.
// A date counts from the response's own Date, so that clocks need not agree.
func (r *Response) retryAfter() time.Duration {
	value := r.Header.Get("retry-after")
	const year = 365 * 24 * 60 * 60
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), year)) * time.Second
	}
	until, err := time.Parse(time.RFC1123, value)
	if err != nil {
		return 0
	}
	now, err := time.Parse(time.RFC1123, r.Header.Get("date"))
	if err != nil {
		return 0
	}
	return max(0, until.Sub(now))
}

// Header maps names to values. The names of what comes from the host are in
// lower case.
type Header map[string][]string

// Get gives the first value of a name, in whatever case, or the empty string.
func (h Header) Get(name string) string {
	for key, values := range h {
		if len(values) > 0 && strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}

// lower is a copy with names in lower case; it is never nil.
func (h Header) lower() Header {
	out := make(Header, len(h))
	for name, values := range h {
		key := strings.ToLower(name)
		out[key] = append(out[key], values...)
	}
	return out
}
