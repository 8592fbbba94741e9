// Package remote asks keepers that are elsewhere, over HTTP: bounded in time, in tries
// and in what it reads, and never anybody but who was named.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/cofferdam-run/cofferdam/host/vault"
)

const (
	// tries are three, with pauses of 100 and 400 ms between: together with the timeout
	// of each, 15.5 s at the most.
	tries      = 3
	pauseFirst = 100 * time.Millisecond
	pauseTimes = 4
	// timeout is that of a try. Both vendors answer within tens of milliseconds.
	timeout = 5 * time.Second
	// answerMost bounds an answer: what is wrapped is some KiB at the most.
	answerMost = 64 << 10
	// idleMost are the connections that are kept.
	idleMost = 8
)

// Client asks one keeper.
type Client struct {
	// Name is how the keeper is called in errors.
	Name string
	// HTTP makes the requests. Its redirects are never followed.
	HTTP *http.Client
	// Timeout is that of a try.
	Timeout time.Duration
	// After is what pauses wait on.
	After func(time.Duration) <-chan time.Time
}

// New returns a Client with defaults for what is zero: 5 s for each of three tries, no
// proxy.
func New(name string, c *http.Client, each time.Duration, after func(time.Duration) <-chan time.Time) *Client {
	if c == nil {
		c = &http.Client{Transport: &http.Transport{
			ForceAttemptHTTP2: true, MaxIdleConns: idleMost, MaxIdleConnsPerHost: idleMost, IdleConnTimeout: time.Minute,
			DialContext: (&net.Dialer{Timeout: timeout}).DialContext, TLSHandshakeTimeout: timeout, MaxResponseHeaderBytes: answerMost,
		}}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if each <= 0 {
		each = timeout
	}
	if after == nil {
		after = time.After //nolint:forbidigo // The default clock has to come from somewhere.
	}
	return &Client{Name: name, HTTP: &own, Timeout: each, After: after}
}

// Answer is what a keeper has answered.
type Answer struct {
	Status int
	Body   []byte
}

// Post sends a body as often as it takes to get an answer that is not about the keeper
// being away, as retried says. Prepare completes each request, such as with a
// signature. An error is a fault of vault.Unavailable or vault.Refused, or ctx's.
func (c *Client) Post(
	ctx context.Context, to string, body []byte, prepare func(*http.Request) error, retried func(Answer) bool,
) (Answer, error) {
	var err error
	pause := pauseFirst
	for try := range tries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return Answer{}, fmt.Errorf("ask %s: %w", c.Name, ctx.Err())
			case <-c.After(pause):
			}
			pause *= pauseTimes
		}
		var a Answer
		a, err = c.once(ctx, to, body, prepare)
		if ctx.Err() != nil {
			return Answer{}, fmt.Errorf("ask %s: %w", c.Name, ctx.Err())
		}
		if _, own := errors.AsType[*prepareError](err); own {
			return Answer{}, vault.Refused(c.Name, err)
		}
		switch {
		case err != nil:
		case a.Status >= http.StatusInternalServerError || a.Status == http.StatusTooManyRequests || retried(a):
			err = fmt.Errorf("it answered %d", a.Status)
		case a.Status/100 == 3:
			return Answer{}, vault.Refused(c.Name, fmt.Errorf("it answered %d, a redirect, which is not followed", a.Status))
		default:
			return a, nil
		}
	}
	return Answer{}, vault.Unavailable(c.Name, fmt.Errorf("after %d tries: %w", tries, err))
}

// Into decodes an answer that is JSON. One that is not comes from something else than
// the keeper. The error has nothing of the answer, which may be secret.
func (c *Client) Into(a Answer, v any) error {
	if json.Unmarshal(a.Body, v) != nil {
		return vault.Refused(c.Name, fmt.Errorf("it answered %d with %d bytes that are not the JSON of its API", a.Status, len(a.Body)))
	}
	return nil
}

// prepareError is an error of our own, before anything was sent.
type prepareError struct{ err error }

func (e *prepareError) Error() string { return e.err.Error() }
func (e *prepareError) Unwrap() error { return e.err }

func (c *Client) once(ctx context.Context, to string, body []byte, prepare func(*http.Request) error) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err == nil {
		err = prepare(r)
	}
	if err != nil {
		return Answer{}, &prepareError{err}
	}
	response, err := c.HTTP.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }() // What matters was read.
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerMost+1))
	if err == nil {
		err = ctx.Err() // An answer that comes with the end is none.
	}
	if err != nil {
		return Answer{}, fmt.Errorf("read its answer: %w", err)
	}
	if len(answer) > answerMost {
		return Answer{}, fmt.Errorf("its answer has more than %d bytes", answerMost)
	}
	return Answer{Status: response.StatusCode, Body: answer}, nil
}

// Address checks where a keeper is: over TLS, or on this machine.
func Address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("its address is not a URL like https://keys.example.com:8200")
	}
	if u.Scheme == "http" {
		if addr, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
			return nil, fmt.Errorf("its address begins with http://, and %s is not this machine: keys go over https only", u.Hostname())
		}
	} else if u.Scheme != "https" {
		return nil, fmt.Errorf("its address begins with %q, and has to with https://", u.Scheme)
	}
	return u, nil
}
