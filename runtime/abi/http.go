package abi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
)

// httpState is what http_status_code and http_headers answer: the last response.
type httpState struct {
	status  uint16
	headers map[string]string
}

// extismRequest is what PDKs write.
type extismRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	// Header is what the first PDKs called Headers.
	Header map[string]string `json:"header"`
}

// httpQuestion is the request of the function "http".
type httpQuestion struct {
	Method     string              `json:"method"`
	URL        string              `json:"url"`
	Headers    map[string][]string `json:"headers,omitempty"`
	Body       string              `json:"body,omitempty"`
	BodyBase64 []byte              `json:"body_base64,omitempty"`
}

// httpAnswer is the answer of the function "http".
type httpAnswer struct {
	Result *struct {
		Status     uint16              `json:"status"`
		Headers    map[string][]string `json:"headers"`
		Body       string              `json:"body"`
		BodyBase64 []byte              `json:"body_base64"`
	} `json:"result"`
	Error json.RawMessage `json:"error"`
}

// maxHTTPRequest bounds the request beside its body. Each header of a few bytes
// becomes some hundred on the host's heap, which no budget has.
const maxHTTPRequest = 1 << 20

// httpRequest translates Extism's function into the question "http". What is
// refused gives status 0, which no server sends, and a body that says why: PDKs
// that look at the status see a failure, and nothing traps.
func httpRequest(ctx context.Context, g *Guest, _ api.Module, s []uint64) {
	g.http = httpState{}
	if n := g.kernel.heap.length(s[0]); n > maxHTTPRequest {
		s[0] = g.give(ctx, refusal("invalid_request", fmt.Sprintf(
			"http_request's method, URL and headers have %d bytes; the limit is %d: send what is long as the body", n, maxHTTPRequest)))
		return
	}
	question, err := translate(g.take(ctx, s[0], "http_request"), g.take(ctx, s[1], "http_request's body"))
	if err != nil {
		s[0] = g.give(ctx, refusal("invalid_request", err.Error()))
		return
	}
	response := g.question(ctx, "http", question)
	requestOffset, bodyOffset := s[0], s[1]
	s[0] = g.receive(ctx, response)
	// The host frees what it has read, after the answer is placed: were it
	// placed on top of them, a PDK that frees them again would free the answer.
	g.kernel.heap.free(requestOffset)
	g.kernel.heap.free(bodyOffset)
}

func translate(request, body []byte) ([]byte, error) {
	var r extismRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, fmt.Errorf("http_request takes {\"url\", \"method\", \"headers\"}: %w", err)
	}
	question := httpQuestion{Method: strings.ToUpper(r.Method), URL: r.URL}
	if question.Method == "" {
		question.Method = "GET"
	}
	if n := len(r.Headers) + len(r.Header); n > 0 {
		question.Headers = make(map[string][]string, n)
	}
	for _, headers := range []map[string]string{r.Header, r.Headers} {
		for name, value := range headers {
			question.Headers[name] = []string{value}
		}
	}
	if utf8.Valid(body) && !swells(body) {
		question.Body = string(body)
	} else {
		question.BodyBase64 = body
	}
	return json.Marshal(question)
}

// swells says whether a large body has so much of what JSON writes as six bytes
// that base64 is shorter: it could be six times what the guest may hold.
func swells(body []byte) bool {
	const large = 64 << 10
	if len(body) < large {
		return false
	}
	n := 0
	for _, b := range body {
		if b < ' ' && b != '\n' && b != '\r' && b != '\t' || b == '<' || b == '>' || b == '&' {
			n++
		}
	}
	return n > len(body)/8
}

// receive keeps status and headers and returns the offset of the body.
func (g *Guest) receive(ctx context.Context, response []byte) uint64 {
	var answer httpAnswer
	if err := json.Unmarshal(response, &answer); err != nil {
		g.end(fmt.Errorf("decode the answer of http: %w", err)) // The host's fault.
	}
	result := answer.Result
	if result == nil {
		return g.give(ctx, response)
	}
	g.http.status = result.Status
	g.http.headers = make(map[string]string, len(result.Headers))
	// In order, so that of names that differ in case the same one stays each time.
	for _, name := range slices.Sorted(maps.Keys(result.Headers)) {
		g.http.headers[strings.ToLower(name)] = strings.Join(result.Headers[name], ",")
	}
	if result.BodyBase64 != nil {
		return g.give(ctx, result.BodyBase64)
	}
	return g.give(ctx, []byte(result.Body))
}

func (g *Guest) httpHeaders(ctx context.Context, s []uint64) {
	if g.http.headers == nil {
		s[0] = 0
		return
	}
	headers, err := json.Marshal(g.http.headers)
	if err != nil {
		g.end(fmt.Errorf("encode headers: %w", err))
	}
	s[0] = g.give(ctx, headers)
}

// refusal is an answer that the ABI itself gives.
func refusal(code, message string) []byte {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	data, err := json.Marshal(map[string]problem{"error": {code, message}})
	if err != nil { // Two strings always encode.
		return nil
	}
	return data
}
