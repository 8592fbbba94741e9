package retention

import "github.com/prometheus/client_golang/prometheus"

// metrics have no label that a tenant could multiply.
type metrics struct {
	rows  *prometheus.CounterVec
	bytes prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_purged_total", Help: "What this process has purged because it was kept for long enough, by what it was.",
		}, []string{"kind"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_purged_bytes_total", Help: "Bytes of the executions that this process has purged.",
		}),
	}
	if r != nil {
		r.MustRegister(m.rows, m.bytes)
	}
	return m
}

func (m *metrics) add(p Purged) {
	for kind, n := range map[string]int{
		"execution": p.Executions, "event": p.Events, "dedupe_key": p.Keys, "answer": p.Answers, "job": p.Jobs,
	} {
		m.rows.WithLabelValues(kind).Add(float64(n))
	}
	m.bytes.Add(float64(p.Bytes))
}
