package pace

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have no label that a tenant could multiply.
type metrics struct {
	waits     prometheus.Histogram
	held      *prometheus.CounterVec
	leases    prometheus.Counter
	throttled prometheus.Counter
	breakers  *prometheus.CounterVec
	unread    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cofferdam_pace_wait_seconds", Help: "Time that requests with a connection that has a rate waited for their token, with their sandbox.",
			Buckets: []float64{0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5},
		}),
		held: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_pace_suspended_total", Help: "Runs that were ended because a connection could not be used then, by what they wait for.",
		}, []string{"reason"}),
		leases: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_pace_leases_total", Help: "Batches of tokens that this process has leased.",
		}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_pace_throttled_total", Help: "Requests that were answered 429.",
		}),
		breakers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_breaker_changes_total", Help: "Changes of connections' breakers that this process has made, by the state that they went to.",
		}, []string{"to"}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_pace_unread_total", Help: "Times that the pace of a connection could not be read or kept, and requests went on without.",
		}),
	}
	if r != nil {
		r.MustRegister(m.waits, m.held, m.leases, m.throttled, m.breakers, m.unread)
	}
	return m
}

func (m *metrics) tokenTaken(wait time.Duration) { m.waits.Observe(wait.Seconds()) }
