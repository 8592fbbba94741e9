package golden

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// viaHeader carries the name of a request's connection to the world, which takes it
// off again: no guest may send it.
const viaHeader = "X-Cofferdam-Connection"

// none is the Connection of a Request that must not use one.
const none = "none"

// world answers what a test declares. It is used by one run, of one goroutine.
type world struct {
	exchanges []Exchange
	answers   []Answer
	// signatures are nil if nothing is said of them.
	signatures []Signature
	// asked are the requests that were made, as a Test would have them.
	asked []Request
	// called are the functions that were called.
	called []Answer
	// signed are the requests for signatures, and algorithm is the last one's.
	signed    []json.RawMessage
	algorithm string
	problems  []Problem
	// lenient takes any request for the one that is declared.
	lenient bool
}

// Problem is one thing that is not as a test wants it.
type Problem struct {
	// What it is, such as "the output differs".
	What string
	// Want and Got are JSON or text; both are empty where What says all.
	Want, Got string
}

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	via := r.Header.Get(viaHeader)
	r.Header.Del(viaHeader)
	asked := requestOf(r, body)
	if asked.Connection = via; via == "" {
		asked.Connection = none
	}
	w.asked = append(w.asked, asked)
	n := len(w.asked)
	if n > len(w.exchanges) {
		w.differs(fmt.Sprintf("request %d is not among those of the test's http", n), "", pretty(shownOf(asked, nil)))
		return nil, hostfns.Errorf(hostfns.CodeNetwork, "the test has no answer to request %d", n)
	}
	x := w.exchanges[n-1]
	if x.Request != nil && !w.lenient && !x.Request.matches(asked) {
		w.differs(fmt.Sprintf("request %d differs", n), pretty(*x.Request), pretty(shownOf(asked, x.Request)))
		return nil, hostfns.Errorf(hostfns.CodeNetwork, "the test has another request %d", n)
	}
	return x.Response.Answer(r)
}

func (w *world) differs(what, want, got string) {
	w.problems = append(w.problems, Problem{What: what, Want: want, Got: got})
}

// Answer is the response as net/http has it.
func (s Response) Answer(r *http.Request) (*http.Response, error) {
	switch s.Error {
	case "timeout":
		return nil, hostfns.Errorf(hostfns.CodeTimeout, "%s: no answer in time", r.URL.Host)
	case "network":
		return nil, hostfns.Errorf(hostfns.CodeNetwork, "%s refuses connections", r.URL.Host)
	}
	status := s.Status
	if status == 0 {
		status = http.StatusOK
	}
	header := http.Header{}
	for name, value := range s.Headers {
		header.Set(name, value)
	}
	if header.Get("Content-Type") == "" && json.Valid(s.Body) {
		header.Set("Content-Type", "application/json")
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(s.Body)), ContentLength: int64(len(s.Body)), Request: r,
	}, nil
}

// requestOf is a request as a Test would have it, but for its connection.
func requestOf(r *http.Request, body []byte) Request {
	asked := Request{Method: r.Method, URL: r.URL.String(), Headers: map[string]string{}}
	for name := range r.Header {
		asked.Headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	if len(body) > 0 {
		asked.Body = body
	}
	return asked
}

// Fits says whether a request is the one that is written, whatever its connection.
func (r *Request) Fits(asked *http.Request, body []byte) bool {
	whatever := *r
	whatever.Connection = ""
	return whatever.matches(requestOf(asked, body))
}

// matches compares what is written of a request.
func (r *Request) matches(asked Request) bool {
	for name, want := range r.Headers {
		if asked.Headers[strings.ToLower(name)] != want {
			return false
		}
	}
	return (r.Method == "" || strings.EqualFold(r.Method, asked.Method)) && (r.URL == "" || r.URL == asked.URL) &&
		(r.Connection == "" || r.Connection == asked.Connection) && (r.Body == nil || sameJSON(r.Body, asked.Body))
}

// shownOf is a request as far as another one says something of it, so that the two
// can be held to each other; without another it is what a test would have of it.
func shownOf(asked Request, like *Request) Request {
	shown := Request{Method: asked.Method, URL: asked.URL, Body: asked.Body}
	if like == nil {
		if asked.Connection != none {
			shown.Connection = asked.Connection
		}
		return shown
	}
	if like.Method == "" {
		shown.Method = ""
	}
	if like.URL == "" {
		shown.URL = ""
	}
	if like.Connection != "" {
		shown.Connection = asked.Connection
	}
	if like.Body == nil {
		shown.Body = nil
	}
	if like.Headers != nil {
		shown.Headers = map[string]string{}
		for name := range like.Headers {
			if value, ok := asked.Headers[strings.ToLower(name)]; ok {
				shown.Headers[name] = value
			}
		}
	}
	return shown
}

// function answers a host app's function.
func (w *world) function(name string) hostfns.Func {
	return hostfns.Func{Name: name, Answer: func(_ context.Context, request json.RawMessage) (any, error) {
		called := Answer{Function: name, Request: bytes.Clone(request)}
		w.called = append(w.called, called)
		n := len(w.called)
		if n > len(w.answers) {
			w.differs(fmt.Sprintf("call %d of a host app's function is not among the test's functions", n), "", pretty(called))
			return nil, hostfns.Errorf(hostfns.CodeInternal, "the test has no answer")
		}
		a := w.answers[n-1]
		if !w.lenient && (a.Function != name || a.Request != nil && !sameJSON(a.Request, request)) {
			w.differs(fmt.Sprintf("call %d of a host app's function differs", n), pretty(Answer{Function: a.Function, Request: a.Request}), pretty(called))
			return nil, hostfns.Errorf(hostfns.CodeInternal, "the test has another call")
		}
		if a.Error != nil {
			return nil, hostfns.Errorf(hostfns.Code(a.Error.Code), "%s", a.Error.Message)
		}
		return a.Result, nil
	}}
}

// unasked reports what was declared and nobody asked for.
func (w *world) unasked() {
	for i := len(w.asked); i < len(w.exchanges); i++ {
		want := ""
		if r := w.exchanges[i].Request; r != nil {
			want = pretty(*r)
		}
		w.differs(fmt.Sprintf("request %d was not made", i+1), want, "")
	}
	for i := len(w.called); i < len(w.answers); i++ {
		w.differs(fmt.Sprintf("call %d of a host app's function was not made", i+1), pretty(Answer{Function: w.answers[i].Function, Request: w.answers[i].Request}), "")
	}
	for i := len(w.signed); i < len(w.signatures); i++ {
		w.differs(fmt.Sprintf("signature %d was not asked for", i+1), pretty(w.signatures[i].Request), "")
	}
}

// credentials have one that is no secret for each granted connection, and tell the
// world which one a request uses.
type credentials struct {
	egress.Credentials

	world *world
	// given are the connections whose credentials are the test's own.
	given map[string]bool
}

// Apply implements egress.Credentials.
func (c credentials) Apply(ctx context.Context, name string, r *http.Request) ([]string, error) {
	if _, err := c.Credentials.Apply(ctx, name, r); err != nil {
		return nil, err
	}
	r.Header.Set(viaHeader, name)
	return nil, nil // Nothing in a test is to be hidden from it.
}

// Parts implements egress.Placeable: a test sees the placeholders.
func (c credentials) Parts(ctx context.Context, name string, r *http.Request) (map[string]string, error) {
	p, ok := c.Credentials.(egress.Placeable)
	if !ok {
		return nil, fmt.Errorf("the connection %q fills no placeholders", name)
	}
	parts, err := p.Parts(ctx, name, r)
	for part := range parts {
		parts[part] = "{{connection." + part + "}}"
	}
	if err == nil {
		r.Header.Set(viaHeader, name)
	}
	return parts, err
}

// Account implements egress.Accounts.
func (credentials) Account(name string) string { return name }

// pretty is a value as indented JSON.
func pretty(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// prettyBody is a body as indented JSON, or as it is.
func prettyBody(b fixture.Body) string {
	if b == nil {
		return ""
	}
	return pretty(b)
}
