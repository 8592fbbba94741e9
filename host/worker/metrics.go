package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// metrics have no label that a tenant could multiply.
type metrics struct {
	executions *prometheus.CounterVec
	claims     *prometheus.CounterVec
	claim      prometheus.Histogram
	fenced     prometheus.Counter
	inFlight   prometheus.Gauge
	runs       prometheus.Histogram
	waits      *prometheus.HistogramVec
	fuel       prometheus.Counter
	cpu        prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	// From 1 ms to 4.6 h, by factors of 4.
	buckets := prometheus.ExponentialBuckets(0.001, 4, 13)
	m := &metrics{
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_runs_total", Help: "Runs of executions, by the state that they ended in and the class of their error.",
		}, []string{"outcome", "class"}),
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_claims_total", Help: "Claims made of the queue, by result.",
		}, []string{"result"}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_completions_fenced_total", Help: "Completions that were not written because another worker had claimed the execution.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cofferdam_runs_in_flight", Help: "Runs in flight in this process.",
		}),
		runs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cofferdam_run_seconds", Help: "Time from the start of a run to its end.", Buckets: buckets,
		}),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cofferdam_queue_wait_seconds", Help: "Time from when an execution could have been claimed to when it was, by lane.", Buckets: buckets,
		}, []string{"lane"}),
		claim: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cofferdam_claim_seconds", Help: "How long claims took that succeeded.", Buckets: buckets,
		}),
		fuel: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_guest_fuel_total", Help: "Fuel that guests have burnt in the runs that ended in this process.",
		}),
		cpu: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cofferdam_guest_cpu_seconds_total", Help: "Time that guests' own code has run for in the runs that ended in this process.",
		}),
	}
	r.MustRegister(m.executions, m.claims, m.claim, m.fenced, m.inFlight, m.runs, m.waits, m.fuel, m.cpu)
	return m
}

func (m *metrics) started(lane event.Lane, wait time.Duration) {
	m.inFlight.Inc()
	m.waits.WithLabelValues(laneName(lane)).Observe(max(wait, 0).Seconds())
}

func (m *metrics) claimed(took time.Duration) {
	m.claims.WithLabelValues("ok").Inc()
	m.claim.Observe(max(took, 0).Seconds())
}

func laneName(l event.Lane) string {
	switch l {
	case event.Interactive:
		return "interactive"
	case event.Backfill:
		return "backfill"
	default:
		return "live"
	}
}

func (m *metrics) completed(done completed) {
	class := ""
	if done.fault != nil && done.completion.Outcome != execution.Succeeded {
		class = string(done.fault.Class)
	}
	m.executions.WithLabelValues(string(done.completion.Outcome), class).Inc()
	m.runs.Observe(done.attempt.FinishedAt.Sub(done.attempt.StartedAt).Seconds())
	// Max, because a counter that is told less than nothing panics.
	m.fuel.Add(float64(max(done.attempt.Usage.Fuel, 0)))
	m.cpu.Add(max(done.attempt.Usage.CPU, 0).Seconds())
}
