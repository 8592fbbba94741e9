package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/telemetry/otlp"
)

// spansLast is how long spans that wait are sent for at the end.
const spansLast = 5 * time.Second

func (a *app) tracingFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&a.OTLPEndpoint, "otlp-endpoint", a.OTLPEndpoint, "send spans of OpenTelemetry to a collector by OTLP over HTTP, as http://collector:4318; by default where OTEL_EXPORTER_OTLP_ENDPOINT says, or nowhere (COFFERDAM_OTLP_ENDPOINT)")
	flags.Float64Var(&a.OTLPSample, "otlp-sample", a.OTLPSample, "of which part of the executions and requests, as 0.01; callers of the API may decide for theirs (COFFERDAM_OTLP_SAMPLE)")
}

// tracing makes what sends spans, or nothing where nobody wants them.
func (a *app) tracing(ctx context.Context, logger *slog.Logger) (*otlp.Provider, error) {
	if !(a.OTLPSample > 0 && a.OTLPSample <= 1) { // NaN is neither.
		return nil, usagef("--otlp-sample is %g: it is more than 0, and 1 at most", a.OTLPSample)
	}
	name, env := collectorInEnvironment()
	off := strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none"
	if a.OTLPEndpoint == "" && (env == "" || off) {
		return nil, nil
	}
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	if protocol != "http/protobuf" {
		return nil, usagef("OTEL_EXPORTER_OTLP_PROTOCOL is %q: spans are sent by http/protobuf, to port 4318 of most collectors", protocol)
	}
	if a.OTLPEndpoint == "" {
		if _, err := otlp.Endpoint(env); err != nil {
			return nil, usagef("%s: %v", name, err)
		}
	}
	p, err := otlp.New(ctx, otlp.Config{Endpoint: a.OTLPEndpoint, Sample: a.OTLPSample, Version: buildVersion().Version, Logger: logger})
	switch {
	case err != nil && a.OTLPEndpoint == "":
		return nil, usagef("%v", err)
	case err != nil:
		return nil, usagef("--otlp-endpoint: %v", err)
	}
	return p, nil
}

// collectorInEnvironment is where the environment says that spans go, and which of its
// variables does.
func collectorInEnvironment() (name, endpoint string) {
	for _, name = range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if endpoint = os.Getenv(name); endpoint != "" {
			break
		}
	}
	return name, endpoint
}

// tracingOf is what the host is given.
func (a *app) tracingOf(p *otlp.Provider) telemetry.Config {
	if p == nil {
		return telemetry.Config{}
	}
	return telemetry.Config{Provider: p, Sample: a.OTLPSample}
}

// closeTracing sends what waits.
func closeTracing(ctx context.Context, p *otlp.Provider) error {
	if p == nil {
		return nil
	}
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), spansLast)
	defer done()
	if err := p.Close(ending); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}
