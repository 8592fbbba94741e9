package outbound

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what is measured. No label names a tenant or a destination.
type metrics struct {
	spread            prometheus.Counter
	tries             *prometheus.CounterVec
	took              prometheus.Histogram
	off               prometheus.Counter
	waiting, disabled prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		spread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_outbound_deliveries_total", Help: "Deliveries that were made: one for each message and destination that wants it.",
		}),
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_outbound_attempts_total", Help: "Tries to deliver, by result: 2xx, 3xx, 4xx, 5xx, other, none for no answer, lost for a message that was not kept.",
		}, []string{"result"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cofferdam_outbound_attempt_seconds", Help: "How long destinations took to answer.", Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 15},
		}),
		off: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_outbound_destinations_disabled_total", Help: "Destinations that were disabled because they are gone, or did nothing but fail.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cofferdam_outbound_waiting", Help: "Deliveries, of all tenants, that wait to be sent to active destinations. Every server says the same.",
		}),
		disabled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cofferdam_outbound_destinations_disabled", Help: "Destinations, of all tenants, that are disabled. Every server says the same.",
		}),
	}
	for _, result := range []string{"2xx", "3xx", "4xx", "5xx", "other", "none", "lost"} {
		m.tries.WithLabelValues(result)
	}
	if r != nil {
		r.MustRegister(m.spread, m.tries, m.took, m.off, m.waiting, m.disabled)
	}
	return m
}

// note counts a try.
func (m *metrics) note(r result, off bool) {
	label := "other"
	switch class := r.attempt.Status / 100; {
	case r.hopeless:
		label = "lost"
	case r.attempt.Status == 0:
		label = "none"
	case class >= 2 && class <= 5:
		label = strconv.Itoa(class) + "xx"
	}
	m.tries.WithLabelValues(label).Inc()
	if r.attempt.Status > 0 {
		m.took.Observe(float64(r.attempt.DurationMS) / 1000)
	}
	if off {
		m.off.Inc()
	}
}
