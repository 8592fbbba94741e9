package otlp_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/telemetry/collectortest"
	"github.com/cofferdam-run/cofferdam/host/telemetry/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func counted(t *testing.T, p *otlp.Provider) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(p)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	return got
}

func tell(ctx context.Context, p *otlp.Provider, n int) {
	t := telemetry.New(telemetry.Config{Provider: p})
	for range n {
		t.TellRoot(ctx, "exe_1", telemetry.Span{Name: "execution", Begin: time.Unix(1, 0), End: time.Unix(2, 0)})
	}
}

func TestSpansArrive(t *testing.T) {
	t.Parallel()
	c := collectortest.New(t)
	p, err := otlp.New(t.Context(), otlp.Config{Endpoint: c.URL, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	tell(t.Context(), p, 3)
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := c.Spans()["execution"]
	if len(spans) != 3 || spans[0].Trace != telemetry.TraceID("exe_1").String() || spans[0].Parent != "" {
		t.Errorf("got %+v", spans)
	}
	if raw := string(c.Raw()); !strings.Contains(raw, "cofferdam") || !strings.Contains(raw, "1.2.3") {
		t.Error("it does not say who sends")
	}
	if got := counted(t, p); got["sent"] != 3 || got["dropped"] != 0 || got["failed"] != 0 {
		t.Errorf("counted %v", got)
	}
}

// TestNobodyWaitsForACollector: what comes while too many wait is dropped, at once.
func TestNobodyWaitsForACollector(t *testing.T) {
	t.Parallel()
	c := collectortest.New(t)
	hold := make(chan struct{})
	c.Hold(hold)
	p, err := otlp.New(t.Context(), otlp.Config{Endpoint: c.URL, Waiting: 600, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	const n = 5000
	tell(t.Context(), p, n) // It returns, though nothing is taken.
	if got := counted(t, p); got["dropped"] < n-600 || got["sent"] != 0 {
		t.Errorf("while it does not answer: counted %v", got)
	}
	close(hold)
	_ = p.Close(t.Context()) // What the collector refuses is counted.
	if got := counted(t, p); got["dropped"]+got["failed"] != n || got["sent"] != 0 {
		t.Errorf("once it has refused: counted %v", got)
	}
}

func TestACollectorThatIsAwayIsNoError(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	p, err := otlp.New(t.Context(), otlp.Config{
		Endpoint: "http://127.0.0.1:1", Patience: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tell(t.Context(), p, 1)
		_ = p.ForceFlush(t.Context())
	}
	_ = p.Close(t.Context())
	if got := counted(t, p); got["failed"] != 3 {
		t.Errorf("counted %v", got)
	}
	if n := strings.Count(logged.String(), "msg=spans_refused"); n != 1 {
		t.Errorf("it was logged %d times: %s", n, logged.String())
	}
}

func TestAPartIsSent(t *testing.T) {
	t.Parallel()
	c := collectortest.New(t)
	p, err := otlp.New(t.Context(), otlp.Config{Endpoint: c.URL, Sample: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	tell(t.Context(), p, 10)
	if err := p.Close(t.Context()); err != nil || len(c.Raw()) > 0 {
		t.Errorf("got %v, %d bytes", err, len(c.Raw()))
	}
}

func TestEndpointsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"collector:4318", "grpc://collector:4317", "http://", "http://user:pass@collector:4318", "http://collector/?key=a", "://"} {
		if p, err := otlp.New(t.Context(), otlp.Config{Endpoint: endpoint}); err == nil {
			t.Errorf("%s was taken", endpoint)
			_ = p.Close(t.Context())
		} else if strings.Contains(err.Error(), "pass") {
			t.Errorf("the error quotes what may be secret: %v", err)
		}
	}
}
