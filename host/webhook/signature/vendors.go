package signature

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

const (
	// maxAnswer bounds what a vendor answers: a chain of certificates has 8 KiB, Google's
	// keys 2.
	maxAnswer = 64 << 10
	// askFor bounds a question: vendors wait some 3 s for the answer to a delivery.
	askFor = 5 * time.Second
	// keepFor is how long an answer is kept, and forgetAfter how long it is that there was
	// none: keys are replaced days before they are used.
	keepFor, forgetAfter = time.Hour, 10 * time.Second
	// refreshAfter is how old an answer has to be to be asked for again because a key is not
	// in it.
	refreshAfter = time.Minute
	// maxKept bounds the answers that are kept, of some 5 KiB each.
	maxKept = 256
	// maxAsked is how many questions there may be in a minute of one host, for whoever sends
	// forged deliveries chooses what is asked.
	maxAsked = 30
)

// VendorsConfig configures Vendors.
type VendorsConfig struct {
	// Transport makes the requests. It has to refuse addresses that are not public: what is
	// asked stands in deliveries. It follows no redirects.
	Transport http.RoundTripper
	Now       func() time.Time
	// Check verifies that public authorities vouch for a chain of certificates, the leaf
	// first. Defaults to the system's authorities.
	Check func(chain [][]byte, now time.Time) error
}

// Vendors are asked for the certificates and keys with which deliveries are verified. What
// they answer is kept for a while; a question that is under way is not asked twice. It is
// safe for concurrent use.
type Vendors struct {
	c      VendorsConfig
	flight singleflight.Group

	mu    sync.Mutex
	kept  map[string]kept
	asked map[string]asked
}

type kept struct {
	value any
	err   error
	until time.Time
	since time.Time
}

// asked counts the questions of a minute.
type asked struct {
	since time.Time
	n     int
}

// NewVendors returns Vendors.
func NewVendors(c VendorsConfig) *Vendors {
	if c.Check == nil {
		c.Check = checkChain
	}
	return &Vendors{c: c, kept: map[string]kept{}, asked: map[string]asked{}}
}

func unavailable(format string, args ...any) *fault.Error {
	return fault.New(fault.Platform, codeVendor, format, args...)
}

// answer returns what is kept under a key, or what make makes of the vendor's answer.
func (v *Vendors) answer(ctx context.Context, key string, req func(context.Context) (*http.Request, error), read func([]byte) (any, time.Time, error)) (any, error) {
	if v == nil || v.c.Transport == nil {
		return nil, unavailable("nobody can be asked for the vendor's keys here")
	}
	if k, ok := v.get(key); ok {
		return k.value, k.err
	}
	value, err, _ := v.flight.Do(key, func() (any, error) {
		if k, ok := v.get(key); ok {
			return k.value, k.err
		}
		// Others wait for the same answer: that the first of them has gone is not theirs.
		value, until, err := v.ask(context.WithoutCancel(ctx), req, read)
		v.put(key, value, until, err)
		return value, err
	})
	return value, err //nolint:wrapcheck // It is a fault.
}

func (v *Vendors) ask(ctx context.Context, build func(context.Context) (*http.Request, error), read func([]byte) (any, time.Time, error)) (any, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	body, err := v.do(ctx, build)
	if err != nil {
		return nil, time.Time{}, err
	}
	return read(body)
}

func (v *Vendors) do(ctx context.Context, build func(context.Context) (*http.Request, error)) ([]byte, error) {
	req, err := build(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the vendor: %w", err)
	}
	if !v.may(req.URL.Host) {
		return nil, unavailable("%s was asked %d times within a minute", req.URL.Host, maxAsked)
	}
	resp, err := v.c.Transport.RoundTrip(req)
	if err != nil {
		return nil, unavailable("%s cannot be asked for what verifies the delivery", req.URL.Host).Because(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, unavailable("the answer of %s broke off", req.URL.Host).Because(err)
	case len(body) > maxAnswer:
		return nil, unavailable("the answer of %s has more than %d bytes", req.URL.Host, maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return nil, unavailable("%s answered %d", req.URL.Host, resp.StatusCode)
	}
	return body, nil
}

// may counts a question of a host.
func (v *Vendors) may(host string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.c.Now()
	a := v.asked[host]
	if now.Sub(a.since) >= time.Minute {
		a = asked{since: now}
	}
	a.n++
	if len(v.asked) >= maxKept && v.asked[host].n == 0 {
		clear(v.asked)
	}
	v.asked[host] = a
	return a.n <= maxAsked
}

func (v *Vendors) get(key string) (kept, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k, ok := v.kept[key]
	return k, ok && v.c.Now().Before(k.until)
}

func (v *Vendors) put(key string, value any, until time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.c.Now()
	end := now.Add(keepFor)
	if err != nil {
		end = now.Add(forgetAfter)
	}
	if !until.IsZero() && until.Before(end) {
		end = until
	}
	if len(v.kept) >= maxKept {
		for old, k := range v.kept {
			if !now.Before(k.until) {
				delete(v.kept, old)
			}
		}
	}
	if len(v.kept) >= maxKept {
		clear(v.kept)
	}
	v.kept[key] = kept{value, err, end, now}
}

// refresh drops an answer that lacks what is looked for, if it is not a new one: whoever
// makes up ids of keys would have the vendor asked for each.
func (v *Vendors) refresh(key string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.c.Now().Sub(v.kept[key].since) < refreshAfter {
		return false
	}
	delete(v.kept, key)
	return true
}

// address is where a delivery says that something is.
type address struct {
	descriptor.Certificate
	host, path, names *regexp.Regexp
}

func compileAddress(c descriptor.Certificate) (*address, error) {
	a := &address{Certificate: c}
	for into, expression := range map[**regexp.Regexp]string{&a.host: c.Host, &a.path: c.Path, &a.names: c.Names} {
		if expression == "" {
			continue
		}
		var err error
		if *into, err = regexp.Compile(expression); err != nil {
			return nil, fmt.Errorf("compile a pattern: %w", err)
		}
	}
	return a, nil
}

// url is the address in a request, if it is the vendor's.
func (a *address) url(r *reading) (*url.URL, error) {
	text, err := r.one(a.At)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Port() != "" || u.Opaque != "" ||
		u.Host != u.Hostname() || !a.host.MatchString(u.Host) || a.path != nil && !a.path.MatchString(u.EscapedPath()) {
		return nil, invalid("%s is no address of the vendor's", named(a.At))
	}
	return u, nil
}

// confirm asks the address that a handshake names.
func (v *Vendors) confirm(ctx context.Context, a *address, r *reading) error {
	u, err := a.url(r)
	if err != nil {
		return err
	}
	if v == nil || v.c.Transport == nil {
		return unavailable("nobody can be asked to confirm the subscription here")
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	_, err = v.do(ctx, get(u))
	return err
}

func get(u *url.URL) func(context.Context) (*http.Request, error) {
	return func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	}
}

func post(u string, body []byte) func(context.Context) (*http.Request, error) {
	return func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
		}
		return req, err
	}
}

var errNoCertificate = errors.New("it has no certificate")
