// Package webhook takes deliveries: it verifies them against the raw bytes by the endpoint's
// scheme, answers vendors' handshakes, recognises what came before, and stores the rest
// before it says that it was taken.
//
//	answer, err := intake.Receive(ctx, webhook.Delivery{
//		Endpoint: chi.URLParam(r, "endpoint"), Method: r.Method, Path: r.URL.Path, Header: r.Header, Body: body,
//	})
//
// How vendors sign is data: see package descriptor. What no descriptor can say, a plugin's
// export verify decides, before anything is stored. What whoever delivers is told of a
// refusal is little; why it was refused, the operator reads in the log and counts in
// cofferdam_webhook_refused_total.
package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// Config configures an Intake.
type Config struct {
	Endpoints *endpoint.Endpoints
	Events    event.Store
	// Catalog has the schemes. Defaults to one of its own.
	Catalog *Catalog
	// Vendors are asked for certificates and keys. Defaults to nobody.
	Vendors *signature.Vendors
	// PublicURL is where vendors reach the program, without a slash at its end: some sign the
	// URL. Defaults to unknown, so that endpoints have to be told theirs.
	PublicURL string
	// Gate bounds what comes. Defaults to one of its own, that knows no queue.
	Gate *admission.Gate
	// Limits finds what bounds a tenant's deliveries. Defaults to nothing.
	Limits func(ctx context.Context, tenant string) (admission.Limits, error)
	// Verify asks an endpoint's plugin of a delivery, and returns what its export verify did: a
	// PluginBug is the plugin's fault, a RateLimited is for the vendor to try again, and any
	// other error is ours. Defaults to refusing what plugins would have to verify.
	Verify func(ctx context.Context, q Question) (verdict []byte, err error)
	// Wake is told the tenant of each execution that was queued. Defaults to nothing.
	Wake func(ctx context.Context, tenant string)
	// Tracer is told of each delivery. Defaults to nobody.
	Tracer *telemetry.Tracer
	// Registerer takes the metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Logger is told why deliveries are refused. Defaults to nobody.
	Logger *slog.Logger
	Now    func() time.Time
}

// Intake takes deliveries. It is safe for concurrent use.
type Intake struct {
	c        Config
	refusals *refusals
	limits   *limits
}

// New returns an Intake.
func New(c Config) *Intake {
	if c.Wake == nil {
		c.Wake = func(context.Context, string) {}
	}
	if c.Catalog == nil {
		c.Catalog = NewCatalog()
	}
	if c.Gate == nil {
		c.Gate = admission.New(admission.Config{Now: c.Now})
	}
	if c.Limits == nil {
		c.Limits = func(context.Context, string) (admission.Limits, error) { return admission.Limits{}, nil }
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	return &Intake{c: c, refusals: newRefusals(c), limits: &limits{find: c.Limits, now: c.Now, byTenant: map[string]*limited{}}}
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

// Answer is what the vendor is told.
type Answer struct {
	event.Accepted
	// Status is the one that the vendor wants.
	Status int
	// Silent says that the answer has no body.
	Silent bool
	// Tenant is whose delivery it is, and Wait for how long its execution is waited for,
	// whose answer is the vendor's; 0 is not at all.
	Tenant string
	Wait   time.Duration
	// Handshake is the answer where it was one, which leaves nothing behind.
	Handshake *signature.Reply
}

// Receive verifies a delivery and stores it; what it returns is durable. A vendor's handshake
// is answered, verified first where the vendor signs it, and leaves nothing behind.
//
// Refusals are faults: not_found, endpoint_disabled; signature_missing, signature_invalid,
// timestamp_out_of_range, delivery_refused, verify_failed, all of Class Auth;
// delivery_id_missing, delivery_id_invalid; vendor_keys_unavailable, endpoint_incomplete,
// verify_unavailable; and those of Admit, which is where a delivery comes from whose body
// is to be read yet.
func (i *Intake) Receive(ctx context.Context, d Delivery) (Answer, error) {
	v, err := i.Admit(ctx, d.Endpoint, int64(len(d.Body)))
	if err != nil {
		return Answer{}, err
	}
	defer v.Close()
	return v.Receive(ctx, d)
}

// Trim forgets what nothing came for. It is to be called now and then.
func (i *Intake) Trim() { i.c.Gate.Trim() }

func (i *Intake) receive(ctx context.Context, e endpoint.Opened, guest admission.Guest, d Delivery) (answer Answer, err error) {
	now := i.c.Now()
	judged := now
	defer func() { i.tell(ctx, e.Endpoint, now, judged, answer, err) }()
	verified, m, err := i.judge(ctx, e, d, now)
	judged = i.c.Now()
	if err != nil {
		return Answer{}, i.refusals.note(ctx, e.Endpoint, err)
	}
	if h := verified.Handshake; h != nil {
		return Answer{Status: h.Status, Silent: m.silent, Handshake: h}, nil
	}
	if err := i.c.Gate.Enter(ctx, guest); err != nil {
		return Answer{}, i.refusals.turnedAway(ctx, e.Endpoint, err)
	}
	defer func() { i.c.Gate.Leave(guest, err == nil && !answer.Duplicate) }()
	return i.store(ctx, m, e.Endpoint, verified.ID, d, now)
}

// manners are how a vendor wants to be answered.
type manners struct {
	status int
	silent bool
}

// judge verifies a delivery as its endpoint says: by a scheme, or by the plugin.
func (i *Intake) judge(ctx context.Context, e endpoint.Opened, d Delivery, now time.Time) (signature.Verified, manners, error) {
	if byPlugin(e.Endpoint) {
		verified, err := i.ask(ctx, e, signature.Request{
			Method: d.Method, URL: i.publicURL(e.ID), Query: d.Query, Header: d.Header, Body: d.Body,
		}, now)
		return verified, manners{status: http.StatusAccepted}, err
	}
	s, err := i.c.Catalog.find(e.Scheme, e.Descriptor)
	if err != nil { // It was known when the endpoint was made: by a newer program.
		err = fault.New(fault.Platform, fault.CodeInternal, "the endpoint's scheme %.64q is not known here", e.Scheme).Because(err)
		return signature.Verified{}, manners{}, err
	}
	verified, err := i.verify(ctx, s, e, d, now)
	return verified, manners{s.Answer, s.Silent}, err
}

// verify judges a request. Only what is posted can be a delivery.
func (i *Intake) verify(ctx context.Context, s *signature.Scheme, e endpoint.Opened, d Delivery, now time.Time) (signature.Verified, error) {
	if d.Method != http.MethodPost && !s.Takes(d.Method) {
		return signature.Verified{}, fault.NotFound("handshake", d.Method)
	}
	c := signature.Case{
		Request: signature.Request{Method: d.Method, URL: i.publicURL(e.ID), Query: d.Query, Header: d.Header, Body: d.Body},
		Secrets: e.Secrets(now), Parameters: e.Told(), Now: now, Vendors: i.c.Vendors,
	}
	reply, err := s.Unsigned(c)
	if err != nil {
		return signature.Verified{}, err //nolint:wrapcheck // It is a fault.
	}
	if reply != nil {
		if reply.Adopt != "" {
			err = i.c.Endpoints.Adopt(ctx, e.Tenant, e.ID, reply.Adopt)
		}
		return signature.Verified{Handshake: reply}, err //nolint:wrapcheck // It is a fault.
	}
	verified, err := s.Verify(ctx, c)
	if err == nil && verified.Handshake == nil && d.Method != http.MethodPost {
		err = fault.New(fault.Auth, "handshake_refused", "the request is no handshake of the vendor's")
	}
	return verified, err //nolint:wrapcheck // It is a fault.
}

func (i *Intake) publicURL(endpoint string) string {
	if i.c.PublicURL == "" {
		return ""
	}
	return i.c.PublicURL + "/hooks/" + endpoint
}

func (i *Intake) store(ctx context.Context, m manners, e endpoint.Endpoint, id string, d Delivery, now time.Time) (Answer, error) {
	if id == "" { // Each delivery counts.
		id = ident.New("each_", now)
	}
	accepted, err := i.c.Events.Accept(ctx, eventOf(e, id, now, d), &event.Work{
		Execution: ident.New(ident.Execution, now), Lane: laneOf(e), OrderKey: e.OrderKey(d.Header, d.Body),
	})
	if err != nil {
		return Answer{}, fmt.Errorf("store delivery: %w", err)
	}
	answer := Answer{Accepted: accepted, Status: m.status, Silent: m.silent, Tenant: e.Tenant, Wait: e.Wait()}
	if accepted.Duplicate {
		answer.Status = http.StatusOK
	} else {
		i.c.Wake(ctx, e.Tenant)
	}
	return answer, nil
}

// laneOf is the lane of a delivery: somebody may wait for what is made of it.
func laneOf(e endpoint.Endpoint) event.Lane {
	if e.Wait() > 0 {
		return event.Interactive
	}
	return event.Live
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
