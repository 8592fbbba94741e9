package authorization

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// metrics have no label that a tenant could multiply: a provider that does not come with
// the program is "other".
type metrics struct {
	known     map[string]bool
	refreshes *prometheus.CounterVec
	broken    *prometheus.CounterVec
	revoked   *prometheus.CounterVec
	window    prometheus.Histogram
	waiting   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	set, err := provider.Load()
	if err != nil {
		return nil, fmt.Errorf("load the providers: %w", err)
	}
	m := &metrics{
		known: map[string]bool{},
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_oauth_refreshes_total", Help: "Refreshes of tokens by this process, by provider and by what came of them.",
		}, []string{"provider", "outcome"}),
		broken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_oauth_broken_total", Help: "Authorizations that have broken, by provider and reason.",
		}, []string{"provider", "reason"}),
		revoked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_oauth_revocations_total", Help: "Authorizations of deleted connections, by provider and by whether their tokens were revoked.",
		}, []string{"provider", "outcome"}),
		window: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "cofferdam_oauth_lost_window_seconds",
			Help:    "Time from a provider's answer to its commit: a crash in it loses the tokens of a provider without a grace period.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16), // From 0.25 ms to 8 s.
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cofferdam_oauth_refreshes_waiting", Help: "Refreshes in this process that wait because as many as may be are under way with their provider.",
		}),
	}
	for _, p := range set.All() {
		m.known[p.Name] = true
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.refreshes, m.broken, m.revoked, m.window, m.waiting} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) label(provider string) string {
	if m.known[provider] {
		return provider
	}
	return "other"
}

func (m *metrics) refreshed(provider, outcome string) {
	m.refreshes.WithLabelValues(m.label(provider), outcome).Inc()
}

func (m *metrics) broke(provider, reason string) {
	m.broken.WithLabelValues(m.label(provider), reason).Inc()
}

func (m *metrics) ended(provider, outcome string) {
	m.revoked.WithLabelValues(m.label(provider), outcome).Inc()
}
