package webhook

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// logEvery is how often one endpoint's refusals for one reason are logged: whoever knows
	// an address can have as many as they want.
	logEvery = time.Minute
	// maxLogged bounds the endpoints and reasons that are remembered for that.
	maxLogged = 4096
)

// refusals tell the operator why deliveries are refused, and whoever delivers little.
type refusals struct {
	c     Config
	count *prometheus.CounterVec

	mu     sync.Mutex
	logged map[string]time.Time
}

func newRefusals(c Config) *refusals {
	r := &refusals{c: c, logged: map[string]time.Time{}}
	r.count = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cofferdam_webhook_refused_total", Help: "Deliveries that were refused, or turned away for too much load, by signature scheme and reason.",
	}, []string{"scheme", "reason"})
	if c.Registerer != nil {
		c.Registerer.MustRegister(r.count)
	}
	return r
}

// note counts and logs a refusal, and returns what whoever delivers is told.
func (r *refusals) note(ctx context.Context, e endpoint.Endpoint, err error) error {
	f := fault.From(err)
	if f.Code == fault.CodeNotFound {
		return err
	}
	r.count.WithLabelValues(schemeOf(e), f.Code).Inc()
	if r.c.Logger != nil && r.first(e.ID+" "+f.Code) {
		r.c.Logger.WarnContext(ctx, "webhook_refused", slog.String("tenant", e.Tenant), slog.String("endpoint", e.ID),
			slog.String("scheme", e.Scheme), slog.String("code", f.Code), slog.String("reason", f.Message), slog.Any("cause", f.Err))
	}
	told := fault.New(f.Class, f.Code, "the delivery was refused").
		WithHint("Its sender is not told why: see the server's log, or try the delivery with `cofferdam endpoint verify-sample`.")
	return told.Because(err)
}

// turnedAway counts and logs that a delivery came when there was no place for it. What
// whoever delivers is told is when to come again.
func (r *refusals) turnedAway(ctx context.Context, e endpoint.Endpoint, err error) error {
	f := fault.From(err)
	r.count.WithLabelValues(schemeOf(e), f.Code).Inc()
	if r.c.Logger != nil && r.first(e.ID+" "+f.Code) {
		r.c.Logger.WarnContext(ctx, "webhook_turned_away", slog.String("tenant", e.Tenant), slog.String("endpoint", e.ID),
			slog.String("code", f.Code), slog.String("reason", f.Message), slog.Duration("retry_after", f.RetryAfter))
	}
	return err
}

// schemeOf is the label of an endpoint's scheme: of those of their own tenants choose the
// names.
func schemeOf(e endpoint.Endpoint) string {
	if len(e.Descriptor) > 0 {
		return "custom"
	}
	return e.Scheme
}

// first says that this was not logged within logEvery.
func (r *refusals) first(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.c.Now()
	if last, ok := r.logged[what]; ok && now.Sub(last) < logEvery {
		return false
	}
	if len(r.logged) >= maxLogged {
		clear(r.logged)
	}
	r.logged[what] = now
	return true
}
