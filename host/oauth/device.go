package oauth

import (
	"context"
	"errors"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	// https://www.rfc-editor.org/rfc/rfc8628#section-3.2: without one, 5 s.
	deviceInterval = 5 * time.Second
	// https://www.rfc-editor.org/rfc/rfc8628#section-3.5: 5 s more each time.
	deviceSlower = 5 * time.Second
	// devicePause is the longest pause: with it a user who is done waits no longer.
	devicePause = time.Minute
	// deviceLifetime is the longest that is polled for, whatever the server says, and
	// what is taken if it says nothing.
	deviceLifetime = 30 * time.Minute
)

// Device is a device flow that waits for its user (RFC 8628). It prints as
// "[redacted]".
type Device struct {
	Code string `json:"device_code"`
	// UserCode is what the user enters at VerificationURI. VerificationURIComplete has
	// it already, or is empty.
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete,omitempty"`
	// Interval is what lies between two polls: DevicePoll makes it longer.
	Interval time.Duration `json:"interval_ns"`
	// PollAt is when the next poll may be.
	PollAt    time.Time `json:"poll_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Scopes    []string  `json:"scopes,omitempty"`
}

// DeviceBegin starts a device flow.
func (c *Client) DeviceBegin(ctx context.Context, r Registration) (Device, error) {
	if err := c.check(r); err != nil {
		return Device{}, err
	}
	endpoint, err := c.endpoint(r, "device authorization", r.Endpoints.DeviceAuthorization)
	if err != nil {
		return Device{}, err
	}
	params := c.asking(r, url.Values{"client_id": {r.ClientID}}).params
	if len(r.Resources) > 0 {
		params["resource"] = r.Resources
	}
	got, err := c.send(ctx, r, request{endpoint: endpoint, params: params})
	if err != nil {
		return Device{}, err
	}
	now := c.config.Now()
	if err := got.judged(r.Wire.Answer, now); err != nil {
		return Device{}, err
	}
	return c.device(got, r, now)
}

func (c *Client) device(got *answer, r Registration, now time.Time) (Device, error) {
	d := Device{
		Code: text(at(got.doc, "/device_code")), UserCode: clean(text(at(got.doc, "/user_code")), nil),
		VerificationURI:         or(text(at(got.doc, "/verification_uri")), text(at(got.doc, "/verification_url"))), // As Google says it.
		VerificationURIComplete: text(at(got.doc, "/verification_uri_complete")),
		Interval:                deviceInterval, ExpiresAt: now.Add(deviceLifetime), Scopes: slices.Clone(r.Scopes),
	}
	if d.Code == "" || d.UserCode == "" || d.VerificationURI == "" {
		return Device{}, got.invalid("answered without a device_code, user_code or verification_uri")
	}
	for _, shown := range []string{d.VerificationURI, d.VerificationURIComplete} {
		if _, err := c.address(shown); shown != "" && err != nil {
			return Device{}, got.invalid("answered with a verification_uri that %s", err)
		}
	}
	if s := seconds(at(got.doc, "/interval")); s > 0 {
		d.Interval = min(s, devicePause)
	}
	if s := seconds(at(got.doc, "/expires_in")); s > 0 {
		d.ExpiresAt = now.Add(min(s, deviceLifetime))
	}
	d.PollAt = now.Add(d.Interval)
	return d, nil
}

func seconds(said any) time.Duration {
	n, err := strconv.ParseFloat(text(said), 64)
	if err != nil || math.IsNaN(n) || n <= 0 {
		return 0
	}
	return time.Duration(min(n, lifetimeMost.Seconds()) * float64(time.Second))
}

// DevicePoll asks once whether the user has agreed. If not, the error is CodePending,
// Retryable after RetryAfter, and d says when: a call before that asks nobody. What
// slows polls down (slow_down, a broken connection) is kept in d.
func (c *Client) DevicePoll(ctx context.Context, r Registration, d *Device) (Token, error) {
	now := c.config.Now()
	if !now.Before(d.ExpiresAt) {
		return Token{}, newError(codeExpired, "nobody entered the code in time")
	}
	if now.Before(d.PollAt) {
		return Token{}, pending(d.PollAt.Sub(now))
	}
	token, err := c.grant(ctx, r, ask{
		params:    url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.Code}},
		requested: d.Scopes, secrets: []string{d.Code},
	})
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return token, err
	}
	switch {
	case e.Code == CodePending:
	case e.Code == codeSlowDown:
		d.Interval += deviceSlower
	case e.Retryable:
		// https://www.rfc-editor.org/rfc/rfc8628#section-3.5: back off exponentially.
		d.Interval = max(2*d.Interval, e.RetryAfter)
	default:
		return Token{}, e
	}
	d.Interval = min(d.Interval, devicePause)
	d.PollAt = c.config.Now().Add(d.Interval)
	waits := pending(d.Interval)
	waits.Err = e
	return Token{}, waits
}

func pending(wait time.Duration) *Error {
	e := newError(CodePending, "the user has not decided yet")
	e.RetryAfter = wait
	return e
}
