package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// RequestInput is a request.
type RequestInput struct {
	Method  string            `json:"method" doc:"What to do." enum:"GET,HEAD,POST,PUT,PATCH,DELETE" default:"GET" example:"POST"`
	Path    string            `json:"path" doc:"Below the base URL, beginning with a slash." example:"/contacts"`
	Query   Query             `json:"query,omitempty" doc:"Parameters of the URL; a list gives one for each of its items."`
	Headers map[string]string `json:"headers,omitempty" doc:"Besides those of the configuration."`
	JSON    json.RawMessage   `json:"json,omitempty" doc:"The body, sent as JSON." example:"{\"email\": \"ada@example.com\"}"`
	Text    *string           `json:"text,omitempty" doc:"The body, sent as it is; a header says what it is."`
	Form    map[string]string `json:"form,omitempty" doc:"The body, sent as a form."`
	Accept  []int             `json:"accept,omitempty" doc:"Statuses of 400 and above that are an answer, not an error, such as 404."`
}

// RequestOutput is the answer.
type RequestOutput struct {
	Status  int               `json:"status" doc:"The status."`
	Headers map[string]string `json:"headers" doc:"By name in lower case; several of one name are joined by commas."`
	JSON    json.RawMessage   `json:"json,omitempty" doc:"The body, if it is JSON."`
	Text    string            `json:"text,omitempty" doc:"The body, if it is another text."`
	Base64  []byte            `json:"base64,omitempty" doc:"The body, if it is no text."`
}

func request(ctx *connector.Context, in RequestInput) (RequestOutput, error) {
	var config Config
	if err := ctx.Config(&config); err != nil {
		return RequestOutput{}, err
	}
	body, contentType, err := in.body()
	if err != nil {
		return RequestOutput{}, err
	}
	response, err := send(ctx, config, call{
		method: in.Method, path: in.Path, query: in.Query, headers: in.Headers, body: body, contentType: contentType,
	})
	if err != nil {
		return RequestOutput{}, err
	}
	if err := response.Err(); err != nil && !slices.Contains(in.Accept, response.Status) {
		return RequestOutput{}, err
	}
	return output(response), nil
}

// body is the one that is given, of three.
func (in RequestInput) body() (body []byte, contentType string, err error) {
	given := 0
	if in.JSON != nil {
		given++
		body, contentType = in.JSON, "application/json"
	}
	if in.Text != nil {
		given++
		body, contentType = []byte(*in.Text), "text/plain; charset=utf-8"
	}
	if in.Form != nil {
		given++
		form := url.Values{}
		for name, value := range in.Form {
			form.Set(name, value)
		}
		body, contentType = []byte(form.Encode()), "application/x-www-form-urlencoded"
	}
	if given > 1 {
		return nil, "", connector.Errorf(code.InvalidInput, "a request has one body: give one of json, text and form")
	}
	return body, contentType, nil
}

func output(r *connector.Response) RequestOutput {
	out := RequestOutput{Status: r.Status, Headers: map[string]string{}}
	for name, values := range r.Header {
		out.Headers[name] = strings.Join(values, ", ")
	}
	switch {
	case len(r.Body) == 0:
	case strings.Contains(r.Header.Get("content-type"), "json") && json.Valid(r.Body):
		out.JSON = r.Body
	case utf8.Valid(r.Body):
		out.Text = string(r.Body)
	default:
		out.Base64 = r.Body
	}
	return out
}

// call is a request before it has the base URL, the headers and the credential of the
// installation.
type call struct {
	method, path string
	query        Query
	headers      map[string]string
	body         []byte
	contentType  string
	// url, if it is set, is whole: the API said where its next page is.
	url string
}

// target is the URL of a call.
func (c call) target(base string) (string, error) {
	if c.url != "" {
		return c.url, nil
	}
	return join(base, c.path, c.query)
}

func send(ctx *connector.Context, config Config, c call) (*connector.Response, error) {
	connection, err := account(ctx)
	if err != nil {
		return nil, err
	}
	target, err := c.target(config.BaseURL)
	if err != nil {
		return nil, err
	}
	header := connector.Header{"accept": {"application/json, */*;q=0.5"}, "user-agent": {"cofferdam-http"}}
	if c.contentType != "" {
		header["content-type"] = []string{c.contentType}
	}
	for _, more := range []map[string]string{config.Headers, c.headers} {
		for name, value := range more {
			header[strings.ToLower(name)] = []string{value}
		}
	}
	return ctx.HTTP.Do(connector.Request{Connection: connection, Method: c.method, URL: target, Header: header, Body: c.body})
}

// join puts a path behind the base URL, so that it cannot lead to another host: in
// https://api.example.com followed by @evil.example the host would be the latter.
func join(base, path string, query Query) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", connector.Errorf(code.InvalidInput, "the base_url must be a URL with a host, without ? and #, such as https://api.example.com/v1")
	}
	if !strings.HasPrefix(path, "/") {
		return "", connector.Errorf(code.InvalidInput, "the path %q does not begin with a slash", path)
	}
	if strings.ContainsAny(path, "#") {
		return "", connector.Errorf(code.InvalidInput, "the path %q has a #: write %%23", path)
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return "", connector.Errorf(code.InvalidInput, "the path %q leads out of the base URL", path)
	}
	whole := strings.TrimSuffix(base, "/") + path
	if len(query) == 0 {
		return whole, nil
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return whole + separator + query.encode(), nil
}

// Query is the parameters of a URL: texts, numbers, and lists of them. They stay as
// they were written, since numbers of an API may have more digits than a float64.
type Query map[string]json.RawMessage

// encode gives the parameters sorted by name.
func (q Query) encode() string {
	values := url.Values{}
	for name, value := range q {
		list := []json.RawMessage{value}
		if bytes.HasPrefix(value, []byte("[")) && json.Unmarshal(value, &list) != nil {
			continue // It came as JSON.
		}
		for _, one := range list {
			if string(one) != "null" {
				values.Add(name, word(one))
			}
		}
	}
	return values.Encode()
}

// word is a JSON value as people write it in a URL: text without its quotes.
func word(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
