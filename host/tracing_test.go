package host_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/telemetry/collectortest"
	"github.com/cofferdam-run/cofferdam/host/telemetry/otlp"
)

// traced is a Host that tells a collector what happens.
type traced struct {
	*verified

	collector *collectortest.Collector
	spans     *otlp.Provider
}

func setupTraced(t *testing.T) *traced {
	t.Helper()
	x := &traced{collector: collectortest.New(t)}
	var err error
	if x.spans, err = otlp.New(t.Context(), otlp.Config{Endpoint: x.collector.URL, Every: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.spans.Close(context.WithoutCancel(t.Context())) })
	x.verified = setupProbe(t, "go", host.Config{Tracing: telemetry.Config{Provider: x.spans}})
	return x
}

// of are the spans of an execution's trace, by name.
func (x *traced) of(t *testing.T, execution string) map[string]collectortest.Span {
	t.Helper()
	if err := x.spans.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := map[string]collectortest.Span{}
	for name, spans := range x.collector.Spans() {
		for _, s := range spans {
			if s.Trace == telemetry.TraceID(execution).String() {
				all[name] = s
			}
		}
	}
	return all
}

// parents are the names of the spans that spans are below.
func parents(all map[string]collectortest.Span) map[string]string {
	names, of := map[string]string{"": ""}, map[string]string{}
	for name, s := range all {
		names[s.ID] = name
	}
	for name, s := range all {
		of[name] = names[s.Parent]
	}
	return of
}

func TestADeliveryIsOneTraceToItsEnd(t *testing.T) {
	t.Parallel()
	x := setupTraced(t)
	deliveries := x.deliveries(t)
	right := deliveries["right"].give
	// What a vendor says of its own traces is nobody's business.
	right.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	taken, err := x.h.Webhooks.Receive(t.Context(), right)
	if err != nil {
		t.Fatal(err)
	}
	x.await(t, taken.Execution, execution.Succeeded)
	spans := x.settled(t, taken.Execution, "execution")
	want := map[string]string{"execution": "", "delivery": "execution", "verify": "delivery", "store": "delivery", "queue": "execution", "attempt": "execution", "commit": "execution"}
	if diff := cmp.Diff(want, parents(spans)); diff != "" {
		t.Errorf("what is below what (-want +got):\n%s", diff)
	}
	a := spans["attempt"].Attributes
	if a["cofferdam.plugin"] != "probe-go" || a["cofferdam.plugin.version"] != "0.1.0" || a["cofferdam.tenant"] != x.tenant.ID || a["cofferdam.outcome"] != "succeeded" || a["cofferdam.fuel"] == "" {
		t.Errorf("the attempt has %v", a)
	}
	if q, d := spans["queue"], spans["delivery"]; q.End != spans["attempt"].Begin || q.Begin < d.Begin || q.Begin > q.End {
		t.Errorf("it was queued from %d to %d, and ran from %d", q.Begin, q.End, spans["attempt"].Begin)
	}
	if _, err := x.h.Webhooks.Receive(t.Context(), deliveries["wrong"].give); err == nil {
		t.Fatal("a wrong signature was taken")
	}
	x.of(t, "")
	refused := x.collector.Spans()["delivery"]
	if last := refused[len(refused)-1]; len(refused) != 2 || !last.Failed || last.Attributes["cofferdam.code"] != "signature_invalid" || last.Parent != "" {
		t.Errorf("of a refusal got %+v", last)
	}
}

// settled are the spans of an execution once the last of a run is there, or of all of it: they
// are told after the end is stored.
func (x *traced) settled(t *testing.T, execution, last string) map[string]collectortest.Span {
	t.Helper()
	id := telemetry.TraceID(execution).String()
	x.collector.Await(t, func(spans map[string][]collectortest.Span) bool {
		return slices.ContainsFunc(spans[last], func(s collectortest.Span) bool { return s.Trace == id })
	})
	return x.of(t, execution)
}

func TestHostCallsAreToldWithoutWhatTheySay(t *testing.T) {
	t.Parallel()
	x := setupTraced(t)
	for action, input := range map[string]string{
		"set":  `{"key":"canary-key","value":"canary-value"}`,
		"http": `{"Method":"GET","URL":"https://api.example.com/canary-path?canary=query","Headers":{"X-A":["canary-header"]}}`,
		"fail": `{"Code":"Canary=1","Message":"canary-message","retry_after_ms":0,"Details":{"a":"canary-details"}}`,
	} {
		accepted, err := x.h.Executions.Start(t.Context(), x.tenant.ID, execution.Start{
			Installation: "probe-go", Kind: event.Action, Name: action, Input: json.RawMessage(input), Lane: event.Live,
		})
		if err != nil {
			t.Fatal(err)
		}
		last := "execution"
		if action == "http" { // Nobody is there, and it is tried again.
			last = "commit"
		}
		spans := x.settled(t, accepted.Execution, last)
		switch action {
		case "set":
			if s := spans["host state_set"]; parents(spans)["host state_set"] != "attempt" || s.Failed || s.Attributes["cofferdam.ordinal"] == "" {
				t.Errorf("of state got %+v", spans)
			}
		case "http":
			s := spans["host http"]
			if s.Attributes["server.address"] != "api.example.com" || s.Attributes["http.request.method"] != "GET" || !s.Failed {
				t.Errorf("of a request got %+v", s)
			}
		case "fail":
			if a := spans["execution"]; !a.Failed || a.Attributes["cofferdam.code"] != "other" {
				t.Errorf("of a failure got %+v", a)
			}
		}
	}
	if raw := string(x.collector.Raw()); strings.Contains(strings.ToLower(raw), "canary") {
		t.Error("what an execution says has left")
	}
}

func TestAllButAPartIsLeftOut(t *testing.T) {
	t.Parallel()
	x := &traced{collector: collectortest.New(t)}
	var err error
	if x.spans, err = otlp.New(t.Context(), otlp.Config{Endpoint: x.collector.URL, Sample: 1e-12}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.spans.Close(context.WithoutCancel(t.Context())) })
	x.verified = setupProbe(t, "go", host.Config{Tracing: telemetry.Config{Provider: x.spans, Sample: 1e-12}})
	taken, err := x.h.Webhooks.Receive(t.Context(), x.deliveries(t)["right"].give)
	if err != nil {
		t.Fatal(err)
	}
	x.await(t, taken.Execution, execution.Succeeded)
	if spans := x.of(t, taken.Execution); len(spans) > 0 {
		t.Errorf("got %v", spans)
	}
	families, err := x.h.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "cofferdam_spans_total" {
			return
		}
	}
	t.Error("the provider's metrics are not among the host's")
}
