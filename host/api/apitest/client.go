// Package apitest drives an HTTP API by nothing but its OpenAPI document, and is
// stricter than any client would be: it refuses operations, parameters and bodies
// that the document does not declare, and answers whose status, media type or
// shape it does not declare. A test that works through it proves the document.
//
//	c, err := apitest.New(document, "http://127.0.0.1:8080", token)
//	status, body, err := c.Do(ctx, "createTenant", nil, map[string]any{"name": "acme"})
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Client calls the operations of a document. It can be used by several
// goroutines at once.
type Client struct {
	base, token string
	operations  map[string]operation
	schemas     *schemas
	http        *http.Client
}

// New returns a Client of the server at base, such as "http://127.0.0.1:8080",
// that sends a bearer token with every request unless it is empty.
func New(document []byte, base, token string) (*Client, error) {
	var doc openapi
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("parse the OpenAPI document: %w", err)
	}
	s, err := newSchemas(document)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base: strings.TrimSuffix(base, "/"), token: token, operations: doc.operations(), schemas: s,
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	return c, nil
}

// As returns a Client that sends another token.
func (c *Client) As(token string) *Client {
	other := *c
	other.token = token
	return &other
}

// Operations lists the ids of the operations, sorted.
func (c *Client) Operations() []string {
	var ids []string
	for id := range c.operations {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Call is a request.
type Call struct {
	// Operation is its operationId.
	Operation string
	// Params are those of the path, the query and the header, by name.
	Params map[string]any
	// Body is sent as it is if it is a []byte, and as JSON otherwise; nil is none.
	Body any
	// Header is what no document declares, such as a vendor's signature.
	Header http.Header
}

// Answer is a response that the document declares.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes a request and returns the status and body of the answer. An answer
// that is a problem is not an error; one that the document does not declare is.
func (c *Client) Do(ctx context.Context, operation string, params map[string]any, body any) (int, []byte, error) {
	a, err := c.Send(ctx, Call{Operation: operation, Params: params, Body: body})
	return a.Status, a.Body, err
}

// Send is Do with everything that can be said of a request and its answer.
func (c *Client) Send(ctx context.Context, call Call) (Answer, error) {
	resp, err := c.Stream(ctx, call)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: read the answer: %w", call.Operation, err)
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Body: b}
	if err := c.checkAnswer(c.operations[call.Operation], a); err != nil {
		return a, fmt.Errorf("%s: answer %d: %w", call.Operation, a.Status, err)
	}
	return a, nil
}

// Stream makes a request and returns the response with its body unread and
// unchecked, for answers that do not end. Its status is one that is declared.
func (c *Client) Stream(ctx context.Context, call Call) (*http.Response, error) {
	op, ok := c.operations[call.Operation]
	if !ok {
		return nil, fmt.Errorf("the document has no operation %q", call.Operation)
	}
	req, err := c.request(ctx, op, call)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op.ID, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op.ID, err)
	}
	if _, ok := op.Responses[strconv.Itoa(resp.StatusCode)]; !ok {
		return nil, errors.Join(fmt.Errorf("%s: the document does not declare the status %d", op.ID, resp.StatusCode), resp.Body.Close())
	}
	return resp, nil
}

// request builds a request out of what the document declares.
func (c *Client) request(ctx context.Context, op operation, call Call) (*http.Request, error) {
	path, query, header := op.path, url.Values{}, http.Header{}
	for name := range call.Params {
		if !slices.ContainsFunc(op.Parameters, func(p parameter) bool { return p.Name == name }) {
			return nil, fmt.Errorf("the document declares no parameter %q", name)
		}
	}
	for i, p := range op.Parameters {
		v, given := call.Params[p.Name]
		if !given {
			if p.Required {
				return nil, fmt.Errorf("the parameter %q is required", p.Name)
			}
			continue
		}
		if err := c.schemas.check(v, op.pointer("parameters", strconv.Itoa(i), "schema")); err != nil {
			return nil, fmt.Errorf("the parameter %q: %w", p.Name, err)
		}
		switch p.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(text(v)))
		case "query":
			query.Set(p.Name, text(v))
		case "header":
			header.Set(p.Name, text(v))
		}
	}
	body, kind, err := c.body(op, call.Body)
	if err != nil {
		return nil, err
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, op.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	c.dress(req, op, header, kind)
	maps.Copy(req.Header, call.Header)
	return req, nil
}

func (c *Client) dress(req *http.Request, op operation, header http.Header, kind string) {
	req.Header = header
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.token != "" && len(op.Security) > 0 {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
}

// body encodes a body as one of the media types that the operation declares.
func (c *Client) body(op operation, v any) (body []byte, mediaType string, err error) {
	switch {
	case v == nil && op.RequestBody != nil && op.RequestBody.Required:
		return nil, "", errors.New("a body is required")
	case v == nil:
		return nil, "", nil
	case op.RequestBody == nil:
		return nil, "", errors.New("the document declares no body")
	}
	if raw, ok := v.([]byte); ok {
		for kind := range op.RequestBody.Content {
			if kind == "*/*" {
				return raw, "application/json", nil
			}
			if kind != "application/json" {
				return raw, kind, nil
			}
		}
		return nil, "", errors.New("the document declares no body but JSON")
	}
	if _, ok := op.RequestBody.Content["application/json"]; !ok {
		return nil, "", errors.New("the document declares no JSON body")
	}
	if err := c.schemas.check(v, op.pointer("requestBody", "content", "application/json", "schema")); err != nil {
		return nil, "", fmt.Errorf("the body: %w", err)
	}
	body, err = json.Marshal(v)
	return body, "application/json", err
}

// checkAnswer refuses an answer that the document does not declare.
func (c *Client) checkAnswer(op operation, a Answer) error {
	code := strconv.Itoa(a.Status)
	content := op.Responses[code].Content
	if len(content) == 0 {
		if len(a.Body) > 0 {
			return errors.New("the document declares no body")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("parse the media type: %w", err)
	}
	media, ok := content[kind]
	if !ok {
		return fmt.Errorf("the document does not declare the media type %q", kind)
	}
	if len(media.Schema) == 0 {
		return errors.New("the document declares no schema")
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.Body))
	if err != nil {
		return fmt.Errorf("parse the body: %w", err)
	}
	return c.schemas.checkDecoded(v, op.pointer("responses", code, "content", kind, "schema"))
}

// text writes a parameter as the document's default styles do.
func text(v any) string {
	if list, ok := v.([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v)
}
