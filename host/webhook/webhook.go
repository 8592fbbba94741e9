// Package webhook takes deliveries: it verifies them against the raw bytes by
// the endpoint's scheme, recognises those that came before, and stores the rest
// before it says that they were taken.
package webhook

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
)

// Config configures an Intake.
type Config struct {
	Endpoints *endpoint.Endpoints
	Events    event.Store
	// Wake is told the tenant of each execution that was queued.
	Wake func(ctx context.Context, tenant string)
	Now  func() time.Time
}

// Intake takes deliveries.
type Intake struct{ c Config }

// New returns an Intake.
func New(c Config) *Intake { return &Intake{c: c} }

// Delivery is a request that a vendor made.
type Delivery struct {
	Endpoint string
	Method   string
	Path     string
	Query    string
	Header   http.Header
	// Body is the raw bytes.
	Body []byte
}

// Receive verifies a delivery and stores it; what it returns is durable.
func (i *Intake) Receive(ctx context.Context, d Delivery) (event.Accepted, error) { panic("unbuilt") }

// Schemes names the signature schemes, sorted.
func Schemes() []string { panic("unbuilt") }

// NewSecret makes a signing secret in the form that the scheme wants.
func NewSecret(scheme string) (string, error) { panic("unbuilt") }

// CheckSecret refuses a secret that the scheme cannot use.
func CheckSecret(scheme, secret string) error { panic("unbuilt") }

// Sign returns the headers that a vendor of the scheme would send.
func Sign(scheme, secret, id string, at time.Time, body []byte) (http.Header, error) {
	panic("unbuilt")
}
