package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

// TestAStrangerDoesNotDecideWhatIsTold: a request that is refused is in a trace of its own.
func TestAStrangerDoesNotDecideWhatIsTold(t *testing.T) {
	t.Parallel()
	told := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(told), sdktrace.WithIDGenerator(telemetry.IDs{}))
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.Tracing = telemetry.Config{Provider: provider} })
	told.Reset()
	got := b.raw(t, http.MethodGet, "/v1/tenants/acme", "cfd_guessed", "",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "a=canary")
	b.srv.Close()
	spans := told.GetSpans()
	if got.status != http.StatusUnauthorized || len(spans) != 1 {
		t.Fatalf("answered %d, and told %+v", got.status, spans)
	}
	if spans[0].Parent.IsValid() || spans[0].SpanContext.TraceState().Len() > 0 {
		t.Errorf("it is told below %+v", spans[0].Parent)
	}
}

// TestRequestsGoOnWithTheCallersTrace, and are linked to what they have made.
func TestRequestsGoOnWithTheCallersTrace(t *testing.T) {
	t.Parallel()
	told := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(told), sdktrace.WithIDGenerator(telemetry.IDs{}))
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.Tracing = telemetry.Config{Provider: provider} })
	_, secret := b.tenant(t, "acme")
	b.installed(t, "acme")
	told.Reset()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	got := b.raw(t, http.MethodPost, "/v1/tenants/acme/installations/hello/actions/greet", secret, `{"name":"canary"}`, "Traceparent", parent)
	b.srv.Close() // It waits for requests to end: they are told then.
	for _, s := range told.GetSpans() {
		if !strings.HasPrefix(s.Name, "POST /v1/") {
			continue
		}
		if s.Parent.SpanID().String() != "b7ad6b7169203331" || s.SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("it is below %s", s.Parent.SpanID())
		}
		if len(s.Links) != 1 || !strings.Contains(string(got.body), "exe_") {
			t.Errorf("it has the links %+v, and was answered %s", s.Links, got.body)
		}
		if s.Name != "POST /v1/tenants/{tenant}/installations/{installation}/actions/{action}" || strings.Contains(fmt.Sprint(s), "canary") {
			t.Errorf("it is told as %+v", s)
		}
		return
	}
	t.Errorf("the request was not told; %s", got.body)
}
