package webhook

import (
	"context"
	"encoding/json"
	"time"

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
		if err := i.fromEndpoint(ctx, tenant, &sample, &c); err != nil {
			return signature.Report{}, err
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
func (i *Intake) fromEndpoint(ctx context.Context, tenant string, sample *Sample, c *signature.Case) error {
	e, err := i.c.Endpoints.Get(ctx, tenant, sample.Endpoint)
	if err != nil {
		return err //nolint:wrapcheck // It is a fault with words for users.
	}
	opened, err := i.c.Endpoints.Open(ctx, e.ID)
	if err != nil {
		return err //nolint:wrapcheck // As above.
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
	return nil
}
