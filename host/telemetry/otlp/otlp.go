// Package otlp sends spans to a collector of OpenTelemetry, by OTLP over HTTP:
// https://opentelemetry.io/docs/specs/otlp/#otlphttp.
//
//	p, err := otlp.New(ctx, otlp.Config{Endpoint: "http://collector:4318", Sample: 0.1})
//	h, err := host.New(ctx, host.Config{Tracing: telemetry.Config{Provider: p, Sample: 0.1}, ...})
//	...
//	p.Close(ctx)
//
// Spans wait in memory until a batch of them is sent, up to Config.Waiting. What comes when so
// many wait, because the collector is slow or away, is dropped and counted: nobody waits for it.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

// Config configures a Provider.
type Config struct {
	// Endpoint is the collector's, such as http://collector:4318; spans go to /v1/traces below
	// it. Defaults to what the environment says: OTEL_EXPORTER_OTLP_ENDPOINT and its like.
	Endpoint string
	// Sample is the part of the traces that are sent, up to 1. Defaults to all.
	Sample float64
	// Version is the program's. Defaults to none.
	Version string
	// Waiting is how many spans wait at most. Defaults to 8192: some 10 MB.
	Waiting int
	// Every is how long a span waits for others. Defaults to OTEL_BSP_SCHEDULE_DELAY, in
	// milliseconds, or 5 s.
	Every time.Duration
	// Patience is how long a batch is tried to send. Defaults to 10 s.
	Patience time.Duration
	// Logger is told when the collector stops taking spans, and when it takes them again.
	// Defaults to slog.Default.
	Logger *slog.Logger
}

// batch is how many spans are sent at once.
const batch = 512

// Provider sends spans. It is a trace.TracerProvider, and a prometheus.Collector of what became
// of them.
type Provider struct {
	*sdktrace.TracerProvider

	spans *prometheus.CounterVec
}

// New returns a Provider; the caller closes it. Nothing is sent yet: that a collector is away is
// no error.
func New(ctx context.Context, c Config) (*Provider, error) {
	if c.Waiting <= 0 {
		c.Waiting = 8192
	}
	if c.Patience <= 0 {
		c.Patience = 10 * time.Second
	}
	if c.Sample <= 0 {
		c.Sample = 1
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	var options []otlptracehttp.Option
	if c.Endpoint != "" {
		u, err := Endpoint(c.Endpoint)
		if err != nil {
			return nil, err
		}
		options = append(options, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("make an exporter of spans: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "cofferdam"), attribute.String("service.version", c.Version),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	p := &Provider{spans: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cofferdam_spans_total", Help: "Spans of OpenTelemetry that ended, by what became of them: sent, dropped because too many waited, or failed because the collector did not take them.",
	}, []string{"result"})}
	for _, result := range []string{"sent", "dropped", "failed"} {
		p.spans.WithLabelValues(result)
	}
	waiting := &atomic.Int64{}
	bounds := []sdktrace.BatchSpanProcessorOption{
		sdktrace.WithMaxQueueSize(c.Waiting + batch), sdktrace.WithMaxExportBatchSize(batch), sdktrace.WithExportTimeout(c.Patience),
	}
	if c.Every > 0 {
		bounds = append(bounds, sdktrace.WithBatchTimeout(c.Every))
	}
	sent := sdktrace.NewBatchSpanProcessor(&counting{exporter: exporter, waiting: waiting, spans: p.spans, logger: c.Logger}, bounds...)
	p.TracerProvider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithIDGenerator(telemetry.IDs{}),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))),
		sdktrace.WithSpanProcessor(&bounded{SpanProcessor: sent, most: int64(c.Waiting), waiting: waiting, spans: p.spans}),
	)
	return p, nil
}

// Endpoint is a collector's URL. It is for whoever leaves Config.Endpoint to the environment,
// too: the exporter would pass over what is none there, for its default.
func Endpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("the endpoint is not of the form http://host:4318: it has a scheme, http or https, a host, and perhaps a path")
	}
	return u, nil
}

// Describe implements prometheus.Collector.
func (p *Provider) Describe(c chan<- *prometheus.Desc) { p.spans.Describe(c) }

// Collect implements prometheus.Collector.
func (p *Provider) Collect(c chan<- prometheus.Metric) { p.spans.Collect(c) }

// Close sends what waits, until ctx ends.
func (p *Provider) Close(ctx context.Context) error { return p.Shutdown(ctx) }

// bounded drops what comes when too much waits, and counts it: the processor behind it would
// drop it without a word.
type bounded struct {
	sdktrace.SpanProcessor

	most    int64
	waiting *atomic.Int64
	spans   *prometheus.CounterVec
}

// OnEnd implements sdktrace.SpanProcessor.
func (b *bounded) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if b.waiting.Add(1) > b.most {
		b.waiting.Add(-1)
		b.spans.WithLabelValues("dropped").Inc()
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// counting counts what became of spans.
type counting struct {
	exporter sdktrace.SpanExporter
	waiting  *atomic.Int64
	spans    *prometheus.CounterVec
	logger   *slog.Logger
	failing  atomic.Bool
}

// ExportSpans implements sdktrace.SpanExporter. What failed is counted and logged here: an
// error that is returned would be printed for each batch, past the logger.
func (c *counting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.exporter.ExportSpans(ctx, spans)
	c.waiting.Add(-int64(len(spans)))
	result := "sent"
	if err != nil {
		result = "failed"
	}
	c.spans.WithLabelValues(result).Add(float64(len(spans)))
	switch failing := err != nil; {
	case c.failing.Swap(failing) == failing:
	case failing:
		c.logger.LogAttrs(ctx, slog.LevelWarn, "spans_refused", slog.String("error", err.Error()))
	default:
		c.logger.LogAttrs(ctx, slog.LevelInfo, "spans_taken_again")
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (c *counting) Shutdown(ctx context.Context) error { return c.exporter.Shutdown(ctx) }
