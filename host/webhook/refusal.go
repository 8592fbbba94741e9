package webhook

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
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
	// rememberFor is how long refusals are shown after the last of a kind, and maxRemembered
	// bounds the endpoints of which they are: codes are of a list, some 20 of 100 bytes each.
	rememberFor, maxRemembered = time.Hour, 4096
)

// refusals tell the operator why deliveries are refused, and whoever delivers little.
type refusals struct {
	c     Config
	count *prometheus.CounterVec
	took  *prometheus.HistogramVec

	mu     sync.Mutex
	logged map[string]time.Time
	recent map[string]map[string]Refusal
}

// Refusal is how often deliveries to an endpoint were refused for one reason.
type Refusal struct {
	Code  string `json:"code" doc:"The reason's code."`
	Count int64  `json:"count" doc:"How often, since the first time."`
	// First and Last are when.
	First time.Time `json:"first" doc:"When it was the first time."`
	Last  time.Time `json:"last" doc:"When it was the last time."`
	// Reason is of the last one.
	Reason string `json:"reason" doc:"What was wrong the last time."`
}

// Refused says why deliveries to an endpoint were refused here within the last hour, the most
// recent first. It is what this process has in memory: others have their own.
func (i *Intake) Refused(endpoint string) []Refusal { return i.refusals.of(endpoint) }

func (r *refusals) of(endpoint string) []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []Refusal{}
	for _, one := range r.recent[endpoint] {
		if r.c.Now().Sub(one.Last) < rememberFor {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Code, b.Code))
	})
	return all
}

// remember counts a refusal for who looks at the endpoint.
func (r *refusals) remember(endpoint string, f *fault.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.c.Now()
	if r.recent[endpoint] == nil {
		if len(r.recent) >= maxRemembered {
			r.forget(now)
		}
		r.recent[endpoint] = map[string]Refusal{}
	}
	one := r.recent[endpoint][f.Code]
	if now.Sub(one.Last) >= rememberFor {
		one = Refusal{Code: f.Code, First: now}
	}
	one.Count++
	one.Last, one.Reason = now, f.Message
	r.recent[endpoint][f.Code] = one
}

// forget makes room: what is old goes, and where nothing is, everything.
func (r *refusals) forget(now time.Time) {
	maps.DeleteFunc(r.recent, func(_ string, codes map[string]Refusal) bool {
		maps.DeleteFunc(codes, func(_ string, one Refusal) bool { return now.Sub(one.Last) >= rememberFor })
		return len(codes) == 0
	})
	if len(r.recent) >= maxRemembered {
		clear(r.recent)
	}
}

func newRefusals(c Config) *refusals {
	r := &refusals{c: c, logged: map[string]time.Time{}, recent: map[string]map[string]Refusal{}}
	r.count = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cofferdam_webhook_refused_total", Help: "Deliveries that were refused, or turned away for too much load, by signature scheme and reason.",
	}, []string{"scheme", "reason"})
	r.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "cofferdam_webhook_seconds", Help: "How long deliveries took until they could be answered, by what they are answered.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9), // From 0.5 ms to 33 s.
	}, []string{"outcome"})
	if c.Registerer != nil {
		c.Registerer.MustRegister(r.count, r.took)
	}
	return r
}

// answered measures how long an answer took.
func (r *refusals) answered(began time.Time, a Answer, err error) {
	outcome := "accepted"
	switch {
	case err != nil && fault.Status(fault.From(err)) >= http.StatusInternalServerError:
		outcome = "failed"
	case err != nil:
		outcome = "refused"
	case a.Handshake != nil:
		outcome = "handshake"
	case a.Duplicate:
		outcome = "duplicate"
	}
	r.took.WithLabelValues(outcome).Observe(max(r.c.Now().Sub(began), 0).Seconds())
}

// note counts and logs a refusal, and returns what whoever delivers is told.
func (r *refusals) note(ctx context.Context, e endpoint.Endpoint, err error) error {
	f := fault.From(err)
	if f.Code == fault.CodeNotFound {
		return err
	}
	r.count.WithLabelValues(schemeOf(e), f.Code).Inc()
	r.remember(e.ID, f)
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
	r.remember(e.ID, f)
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
