package telemetry_test

import (
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

func TestNobodyIsTold(t *testing.T) { //nolint:paralleltest // It counts allocations.
	none := telemetry.New(telemetry.Config{})
	if none != nil {
		t.Fatalf("got %+v without a provider", none)
	}
	if _, ok := none.Execution(t.Context(), "exe_1"); ok {
		t.Error("an execution is to be told to nobody")
	}
	none.TellRoot(none.Tell(t.Context(), telemetry.Span{Name: "a"}), "exe_1", telemetry.Span{Name: "b"})
	telemetry.Caused(t.Context(), "exe_1")
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { none.Execution(ctx, "exe_1") }); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// told are the spans that f tells, to a provider with these options.
func told(t *testing.T, sample float64, f func(tr *telemetry.Tracer), options ...sdktrace.TracerProviderOption) tracetest.SpanStubs {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	p := sdktrace.NewTracerProvider(append(options, sdktrace.WithSyncer(kept))...)
	f(telemetry.New(telemetry.Config{Provider: p, Sample: sample}))
	return kept.GetSpans()
}

func TestAnExecutionIsOneTrace(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	tell := func(tr *telemetry.Tracer) {
		ctx, _ := tr.Execution(t.Context(), "exe_1")
		below := tr.Tell(ctx, telemetry.Span{Name: "attempt", Begin: at, End: at.Add(time.Second), Code: "rate_limited", Attributes: []telemetry.Attribute{telemetry.Text("a", ""), telemetry.Number("n", 7)}})
		tr.Tell(below, telemetry.Span{Name: "host", Begin: at, End: at.Add(-time.Second)})
		tr.TellRoot(t.Context(), "exe_1", telemetry.Span{Name: "execution", Begin: at, End: at})
	}
	for name, options := range map[string][]sdktrace.TracerProviderOption{
		"with ids of ours": {sdktrace.WithIDGenerator(telemetry.IDs{})}, "with others": nil,
	} {
		spans := told(t, 0, tell, options...)
		if len(spans) != 3 {
			t.Fatalf("%s: got %d spans", name, len(spans))
		}
		attempt, host, root := spans[0], spans[1], spans[2]
		for _, s := range spans {
			if s.SpanContext.TraceID() != telemetry.TraceID("exe_1") {
				t.Errorf("%s: %s is of the trace %s", name, s.Name, s.SpanContext.TraceID())
			}
		}
		if host.Parent.SpanID() != attempt.SpanContext.SpanID() || host.EndTime.Before(host.StartTime) {
			t.Errorf("%s: the host call is below %s, from %s to %s", name, host.Parent.SpanID(), host.StartTime, host.EndTime)
		}
		if rooted := options != nil; rooted != (root.SpanContext.SpanID() == attempt.Parent.SpanID()) || rooted == root.Parent.IsValid() {
			t.Errorf("%s: the root is %s below %s, the attempt below %s", name, root.SpanContext.SpanID(), root.Parent.SpanID(), attempt.Parent.SpanID())
		}
		if len(attempt.Attributes) != 2 || attempt.Status.Description != "rate_limited" {
			t.Errorf("%s: got %v, %v", name, attempt.Attributes, attempt.Status)
		}
	}
}

// TestAllDecideTheSame: what tells below an execution's root knows what the provider decides of
// the root.
func TestAllDecideTheSame(t *testing.T) {
	t.Parallel()
	const ratio, n = 0.25, 4000
	below := 0
	spans := told(t, ratio, func(tr *telemetry.Tracer) {
		for i := range n {
			id := fmt.Sprintf("exe_%d", i)
			if _, ok := tr.Execution(t.Context(), id); ok {
				below++
			}
			tr.TellRoot(t.Context(), id, telemetry.Span{Name: id})
		}
	}, sdktrace.WithIDGenerator(telemetry.IDs{}), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))))
	if len(spans) != below || math.Abs(float64(below)-ratio*n) > 150 { // Five times the deviation.
		t.Errorf("%d of %d are sampled, and %d roots", below, n, len(spans))
	}
}

func TestTheCallersTraceGoesOn(t *testing.T) {
	t.Parallel()
	for sampled, want := range map[string]int{"01": 1, "00": 0} {
		h := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-" + sampled}}
		spans := told(t, 0, func(tr *telemetry.Tracer) {
			ctx, found := telemetry.WithRequest(t.Context())
			telemetry.Caused(ctx, "exe_1")
			telemetry.Caused(ctx, "")
			tr.Tell(telemetry.From(ctx, h), telemetry.Span{Name: "a", Executions: found.Executions()})
		}, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())))
		if len(spans) != want {
			t.Fatalf("got %d spans, want %d", len(spans), want)
		}
		if want == 1 && (spans[0].Parent.SpanID().String() != "b7ad6b7169203331" || len(spans[0].Links) != 1 || spans[0].Links[0].SpanContext.TraceID() != telemetry.TraceID("exe_1")) {
			t.Errorf("got %+v", spans[0])
		}
	}
}

func TestWordsThatMayLeave(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"rate_limited": "rate_limited", "": "", "http_502": "http_502", "Token=abc": "other", "a b": "other", "é": "other",
		string(make([]byte, 70)): "other", "a234567890b234567890c234567890d234567890e234567890f234567890g2345": "other",
	} {
		if got := telemetry.Word(code); got != want {
			t.Errorf("%q: got %q, want %q", code, got, want)
		}
	}
	if telemetry.Method("GET") != "GET" || telemetry.Method("SECRET") != "other" {
		t.Error("a method is any word")
	}
}

// BenchmarkOff is what a stage pays where nobody is told.
func BenchmarkOff(b *testing.B) {
	var none *telemetry.Tracer
	for b.Loop() {
		if _, ok := none.Execution(b.Context(), "exe_1"); ok {
			b.Fatal("somebody is told")
		}
	}
}

// BenchmarkOn is what a span costs until it waits to be sent.
func BenchmarkOn(b *testing.B) {
	p := sdktrace.NewTracerProvider(sdktrace.WithIDGenerator(telemetry.IDs{}), sdktrace.WithBatcher(tracetest.NewInMemoryExporter()))
	tr := telemetry.New(telemetry.Config{Provider: p})
	ctx, _ := tr.Execution(b.Context(), "exe_1")
	at := time.Unix(1_700_000_000, 0)
	for b.Loop() {
		tr.Tell(ctx, telemetry.Span{Name: "attempt", Begin: at, End: at, Attributes: []telemetry.Attribute{
			telemetry.Text("cofferdam.tenant", "ten_1"), telemetry.Text("cofferdam.execution", "exe_1"), telemetry.Number("cofferdam.fuel", 1),
		}})
	}
}
