// Package collectortest is a collector of OpenTelemetry for tests: it takes spans by OTLP over
// HTTP, as https://opentelemetry.io/docs/specs/otlp/#otlphttp has it, and keeps them.
package collectortest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps what it is sent.
type Collector struct {
	URL string

	mu    sync.Mutex
	spans []*tracev1.Span
	raw   []byte
	hold  chan struct{}
	came  chan struct{}
}

// New starts a Collector, which ends with the test.
func New(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{came: make(chan struct{}, 1)}
	s := httptest.NewServer(c)
	tb.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	hold := c.hold
	c.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
		http.Error(w, "not now", http.StatusBadRequest) // Which nobody tries again.
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	raw, err := io.ReadAll(body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(raw, &sent) != nil {
		http.Error(w, "this is no export of spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, raw...)
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	select {
	case c.came <- struct{}{}:
	default: // It is told already.
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Await waits until what came is enough, for a minute at most. It is for one goroutine.
func (c *Collector) Await(tb testing.TB, enough func(spans map[string][]Span) bool) {
	tb.Helper()
	late := time.After(time.Minute)
	for !enough(c.Spans()) {
		select {
		case <-c.came:
		case <-late:
			tb.Fatal("after a minute the collector has not got what was awaited")
		}
	}
}

// Hold has requests answered no sooner than the channel is closed, and then refused.
func (c *Collector) Hold(until chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold = until
}

// Raw is all that came, as it came but for its compression.
func (c *Collector) Raw() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw
}

// Span is a span that came.
type Span struct {
	Name, Trace, ID, Parent string
	// Links are the traces that it is linked to.
	Links []string
	// Attributes are texts, or numbers in digits.
	Attributes map[string]string
	// Begin and End are in nanoseconds since 1970.
	Begin, End uint64
	Failed     bool
}

// Spans are those that came so far, by their names.
func (c *Collector) Spans() map[string][]Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string][]Span{}
	for _, s := range c.spans {
		one := Span{
			Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
			Attributes: map[string]string{}, Begin: s.GetStartTimeUnixNano(), End: s.GetEndTimeUnixNano(),
			Failed: s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR,
		}
		for _, l := range s.GetLinks() {
			one.Links = append(one.Links, hex.EncodeToString(l.GetTraceId()))
		}
		for _, a := range s.GetAttributes() {
			text := a.GetValue().GetStringValue()
			if text == "" {
				text = a.GetValue().String()
			}
			one.Attributes[a.GetKey()] = text
		}
		all[one.Name] = append(all[one.Name], one)
	}
	return all
}
