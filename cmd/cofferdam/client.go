package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// client speaks to a server's API.
type client struct {
	base  string
	token string
	http  *http.Client
	// header goes with each request.
	header http.Header
}

// unreachableError says that no answer came from the server.
type unreachableError struct {
	base string
	err  error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("no answer from %s: %v\n  hint: is 'cofferdam serve' running there? --url or COFFERDAM_URL says where", e.base, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

func (a *app) client() *client {
	c := &client{base: strings.TrimSuffix(a.URL, "/"), token: a.Token, http: &http.Client{}}
	if c.token == "" {
		c.token = sessionToken(c.base, time.Now())
	}
	return c
}

// call sends body as JSON, if it is not nil, and decodes the answer into out, if
// it is not nil.
func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		reader = bytes.NewReader(data)
	}
	return c.send(ctx, method, path, "application/json", reader, out)
}

// send sends a body of any type and decodes the answer into out, if it is not nil.
func (c *client) send(ctx context.Context, method, path, contentType string, body io.Reader, out any) error {
	resp, err := c.open(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	return nil
}

// open sends a request and returns an answer that is not an error.
func (c *client) open(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, usagef("--url is %q: %v", c.base, err)
	}
	maps.Copy(req.Header, c.header)
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, ctx.Err())
		}
		return nil, &unreachableError{base: c.base, err: plainURLError(err)}
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problemOf(resp)
}

// plainURLError drops the URL that net/http repeats.
func plainURLError(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// problemOf reads an RFC 9457 problem.
func problemOf(resp *http.Response) error {
	var p struct {
		Title  string          `json:"title"`
		Detail string          `json:"detail"`
		Code   string          `json:"code"`
		Class  fault.Class     `json:"class"`
		Hint   string          `json:"hint"`
		Where  string          `json:"where"`
		Errors []fault.Problem `json:"errors"`
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || p.Code == "" {
		return fault.New(fault.Platform, "unexpected_answer", "the server answered %s: %s", resp.Status, firstLine(data))
	}
	f := fault.New(p.Class, p.Code, "%s", p.Detail)
	if p.Detail == "" {
		f.Message = p.Title
	}
	f.Hint, f.Where, f.Problems = p.Hint, p.Where, p.Errors
	if resp.StatusCode == http.StatusUnauthorized && f.Hint == "" {
		f.Hint = "set COFFERDAM_TOKEN; the first start of 'cofferdam serve' printed the operator's"
	}
	return f
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

// escape makes a name fit into one segment of a path.
func escape(segment string) string { return url.PathEscape(segment) }

// page is one page of a listing.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor,omitempty"`
}
