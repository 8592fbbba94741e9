// Package webhook takes deliveries: it verifies them against the raw bytes by
// the endpoint's scheme, recognises those that came before, and stores the rest
// before it says that they were taken.
//
//	accepted, err := intake.Receive(ctx, webhook.Delivery{
//		Endpoint: chi.URLParam(r, "endpoint"), Method: r.Method, Path: r.URL.Path, Header: r.Header, Body: body,
//	})
//
// How vendors sign is data: see scheme.
package webhook

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// Config configures an Intake.
type Config struct {
	Endpoints *endpoint.Endpoints
	Events    event.Store
	// Wake is told the tenant of each execution that was queued. Defaults to nothing.
	Wake func(ctx context.Context, tenant string)
	Now  func() time.Time
}

// Intake takes deliveries. It is safe for concurrent use.
type Intake struct{ c Config }

// New returns an Intake.
func New(c Config) *Intake {
	if c.Wake == nil {
		c.Wake = func(context.Context, string) {}
	}
	return &Intake{c: c}
}

// Delivery is a request that a vendor made.
type Delivery struct {
	Endpoint string
	Method   string
	Path     string
	Query    string
	// Header has canonical names, as net/http gives them.
	Header http.Header
	// Body is the raw bytes.
	Body []byte
}

// Receive verifies a delivery and stores it; what it returns is durable. A zero
// Accepted without an error is a vendor's ping, which was verified and leaves
// nothing behind.
//
// Refusals are faults: not_found, endpoint_disabled; signature_missing,
// signature_invalid, timestamp_out_of_range, all of Class Auth;
// delivery_id_missing, delivery_id_invalid.
func (i *Intake) Receive(ctx context.Context, d Delivery) (event.Accepted, error) {
	e, secret, err := i.c.Endpoints.Open(ctx, d.Endpoint)
	if err != nil {
		return event.Accepted{}, fmt.Errorf("open endpoint: %w", err)
	}
	if e.Disabled {
		return event.Accepted{}, fault.New(fault.Denied, fault.CodeEndpointDisabled, "the endpoint is disabled").
			WithHint("Enable it, or let the vendor stop delivering to it.")
	}
	s, err := schemeOf(e.Scheme)
	if err != nil { // It was known when the endpoint was made: by a newer program.
		return event.Accepted{}, fault.New(fault.Platform, fault.CodeInternal, "the endpoint's scheme %.64q is not known here", e.Scheme).Because(err)
	}
	now := i.c.Now()
	id, err := s.verify(secret, now, d.Header, d.Body)
	if err != nil {
		return event.Accepted{}, err
	}
	if s.isPing(d.Header) {
		return event.Accepted{}, nil
	}
	accepted, err := i.c.Events.Accept(ctx, eventOf(e, id, now, d), &event.Work{
		Execution: ident.New(ident.Execution, now), Lane: event.Live,
	})
	if err != nil {
		return event.Accepted{}, fmt.Errorf("store delivery: %w", err)
	}
	if !accepted.Duplicate {
		i.c.Wake(ctx, e.Tenant)
	}
	return accepted, nil
}

func (s scheme) isPing(h http.Header) bool {
	for _, p := range s.pings {
		if h.Get(p.header) == p.value {
			return true
		}
	}
	return false
}

func eventOf(e endpoint.Endpoint, id string, now time.Time, d Delivery) event.Event {
	return event.Event{
		ID: ident.New(ident.Event, now), Tenant: e.Tenant, Installation: e.Installation,
		Kind: event.Webhook, Name: e.Webhook,
		Source: e.ID, DedupeKey: id,
		Request: &event.Request{
			Method: storable(d.Method), Path: storable(d.Path), Query: storable(d.Query), Headers: public(d.Header),
		},
		Body: d.Body, ReceivedAt: now,
	}
}

// public returns the headers that may be stored and shown to guests, under
// lower-case names.
func public(h http.Header) map[string][]string {
	kept := make(map[string][]string, len(h))
	for name, values := range h {
		name = strings.ToLower(name)
		if isSecret(name) {
			continue
		}
		for _, v := range values {
			kept[name] = append(kept[name], storable(v))
		}
	}
	return kept
}

// isSecret tells headers that carry a signature or a credential, also those of
// vendors that are not known here: leaving out too much costs a guest a header,
// leaving out too little costs a tenant a secret.
func isSecret(name string) bool {
	for _, part := range []string{"signature", "hmac", "authorization", "cookie", "secret", "password", "api-key", "apikey"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return strings.HasPrefix(name, "proxy-") || strings.HasSuffix(name, "token") || name == "x-forwarded-client-cert"
}

// storable returns s as valid UTF-8 without NUL, which is what databases keep.
// net/http lets other bytes through in headers and queries.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
