package webhook

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// Sample is a delivery that somebody has, such as a copy out of a vendor's log, and how it is
// to be judged: as an endpoint's, or by a scheme or descriptor and a secret.
type Sample struct {
	Endpoint   string
	Scheme     string
	Descriptor json.RawMessage
	Secret     string
	Parameters map[string]string
	// At is when it arrived. Defaults to now.
	At time.Time
	signature.Request
}

// Try judges a sample and says what passed and what failed. Nothing is stored and no
// handshake is answered.
func (i *Intake) Try(ctx context.Context, tenant string, sample Sample) (signature.Report, error) {
	now := sample.At
	if now.IsZero() {
		now = i.c.Now()
	}
	c := signature.Case{Request: sample.Request, Parameters: sample.Parameters, Now: now, Vendors: i.c.Vendors}
	if sample.Secret != "" {
		c.Secrets = []string{sample.Secret}
	}
	if sample.Endpoint != "" {
		opened, err := i.fromEndpoint(ctx, tenant, &sample, &c)
		if err != nil {
			return signature.Report{}, err
		}
		if sample.Scheme == ByPlugin && len(sample.Descriptor) == 0 {
			return i.tryPlugins(ctx, opened, c.Request, now), nil
		}
	}
	if sample.Scheme == "" && len(sample.Descriptor) == 0 {
		return signature.Report{}, fault.New(fault.InvalidInput, "invalid_sample", "the sample names no endpoint, no scheme and no descriptor").
			At("/endpoint").WithHint("Name one of them.")
	}
	s, err := i.c.Catalog.find(sample.Scheme, sample.Descriptor)
	if err != nil {
		return signature.Report{}, err
	}
	if _, _, err := s.Tell(sample.Parameters); err != nil {
		return signature.Report{}, err //nolint:wrapcheck // It is a fault with words for users.
	}
	if sample.Secret != "" {
		if err := s.CheckSecret(sample.Secret); err != nil {
			return signature.Report{}, err //nolint:wrapcheck // As above.
		}
	}
	return s.Explain(ctx, c), nil
}

// fromEndpoint fills in what the sample leaves to its endpoint.
func (i *Intake) fromEndpoint(ctx context.Context, tenant string, sample *Sample, c *signature.Case) (endpoint.Opened, error) {
	e, err := i.c.Endpoints.Get(ctx, tenant, sample.Endpoint)
	if err != nil {
		return endpoint.Opened{}, err //nolint:wrapcheck // It is a fault with words for users.
	}
	opened, err := i.c.Endpoints.Open(ctx, e.ID)
	if err != nil {
		return endpoint.Opened{}, err //nolint:wrapcheck // As above.
	}
	if sample.Scheme == "" && len(sample.Descriptor) == 0 {
		sample.Scheme, sample.Descriptor = e.Scheme, e.Descriptor
	}
	if sample.Secret == "" {
		c.Secrets = opened.Secrets(c.Now)
	}
	if sample.Parameters == nil {
		c.Parameters = opened.Told()
	}
	if c.URL == "" {
		c.URL = i.publicURL(e.ID)
	}
	return opened, nil
}

// SignSample returns a delivery to an endpoint as its vendor would make it now: a request's
// body and headers, signed with the endpoint's newest secret.
func (i *Intake) SignSample(ctx context.Context, tenant, endpoint, id string, r signature.Request) (signature.Request, error) {
	e, err := i.c.Endpoints.Get(ctx, tenant, endpoint)
	if err != nil {
		return signature.Request{}, err //nolint:wrapcheck // It is a fault with words for users.
	}
	opened, err := i.c.Endpoints.Open(ctx, e.ID)
	if err != nil {
		return signature.Request{}, err //nolint:wrapcheck // As above.
	}
	now := i.c.Now()
	o := signature.Outgoing{Request: r, ID: id, At: now, Parameters: opened.Told()}
	o.Method, o.URL = http.MethodPost, i.publicURL(e.ID)
	if told := o.Parameters["url"]; told != "" {
		o.URL = told
	}
	if secrets := opened.Secrets(now); len(secrets) > 0 {
		o.Secret = secrets[0]
	}
	signed, err := i.c.Catalog.Sign(e.Scheme, e.Descriptor, o)
	if f := fault.From(err); f != nil && f.Code == "invalid_secret" {
		return signature.Request{}, fault.New(fault.InvalidInput, "cannot_sign", "the vendor signs with a key that nobody has here: the endpoint has the public one, or none").
			WithHint("Have the vendor deliver, or make an endpoint with the public half of a pair of your own.").Because(err)
	}
	return signed, err
}
