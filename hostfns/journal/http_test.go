package journal_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// raw is what servers send that nobody likes to get.
var raw = []byte("\xff\x00\x80binary\r\n")

// serveRaw answers as its path says.
func serveRaw(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/binary":
		_, _ = w.Write(raw)
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(bytes.Repeat(raw, 10_000)) // More than an entry has room for.
		_ = z.Close()
	case "/broken-gzip":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "this is no gzip")
	case "/cut-off":
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(raw)
	case "/large":
		_, _ = w.Write(make([]byte, 1<<20))
	}
}

// "A response that is binary, compressed or cut off, a request body that exceeds the
// cap": what a guest was told it is told again byte for byte, by nobody.
func TestHTTPAnswersAreReplayedByteForByte(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, path string
		body         string
		want         string // In what the guest is told.
		outcome      hostfns.Outcome
	}{
		"binary":                         {"GET", "/binary", "", `"body_base64":"/wCAYmluYXJ5DQo="`, hostfns.Done},
		"binary, of an effect":           {"POST", "/binary", "x", `"body_base64":"/wCAYmluYXJ5DQo="`, hostfns.Done},
		"compressed":                     {"POST", "/gzip", "x", `"status":200`, hostfns.Done},
		"compressed, and broken":         {"POST", "/broken-gzip", "x", "broken gzip", hostfns.Unknown},
		"cut off":                        {"GET", "/cut-off", "", `"code":"network"`, hostfns.Unknown},
		"cut off, of an effect":          {"POST", "/cut-off", "x", `"code":"network"`, hostfns.Unknown},
		"over the limit":                 {"POST", "/large", "x", `"code":"response_too_large"`, hostfns.Done},
		"to a body that exceeds the cap": {"POST", "/binary", strings.Repeat("x", 1001), "the body is 1001 bytes long, and 1000 is the limit", hostfns.NotDone},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(serveRaw))
			t.Cleanup(server.Close)
			out := egress.New(egress.Config{
				AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RequestBytes: 1000, ResponseBytes: 512 << 10,
			})
			t.Cleanup(out.Close)
			request, err := json.Marshal(map[string]any{"method": test.method, "url": server.URL + test.path, "body": test.body})
			if err != nil {
				t.Fatal(err)
			}
			run := func(c journal.Config) ([]byte, *journal.Journal) {
				w := newWorld()
				c.Start, c.Now, c.Claim, c.Execution, c.Log = epoch, w.clock, 1, "exe_1", w.store
				j := journal.New(c)
				rule := egress.Rule{Host: server.Listener.Addr().String(), Methods: []string{"GET", "POST"}}
				gate := hostfns.NewGate(hostfns.GateConfig{
					Funcs:   out.Session(egress.Permissions{Rules: []egress.Rule{rule}}).Funcs(),
					Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, Now: w.clock,
				})
				answer, err := gate.Call(context.WithoutCancel(t.Context()), runtime.Crossing{Func: "http", Request: request})
				if err != nil {
					t.Fatal(err)
				}
				return answer.Response, j
			}
			told, j := run(journal.Config{})
			entries := j.Entries()
			if e := entries[1]; !strings.Contains(string(told), test.want) || e.Outcome != test.outcome {
				t.Errorf("it is %s, and the guest is told %.200s: want %s and %s", e.Outcome, told, test.outcome, test.want)
			}
			kept, err := journal.Join([]journal.Segment{segment(t, 1, 0, entries)})
			if err != nil {
				t.Fatal(err)
			}
			server.Close()
			for _, mode := range []journal.Mode{journal.Resume, journal.Redrive, journal.Replay} {
				again, j := run(journal.Config{Entries: kept, Mode: mode})
				if !bytes.Equal(again, told) {
					t.Errorf("in mode %d the guest is told %.200s, and was %.200s", mode, again, told)
				}
				if diff := cmp.Diff(kept, j.Entries()); diff != "" {
					t.Errorf("the journal has changed (-before +after):\n%s", diff)
				}
			}
		})
	}
}

// What the host itself takes for a call, on its way out and back: nothing is sent, and
// nothing is kept.
func BenchmarkCall(b *testing.B) {
	large := strings.Repeat("x", 64<<10)
	request, err := json.Marshal(map[string]any{"method": "POST", "url": "https://elsewhere.example", "body": large})
	if err != nil {
		b.Fatal(err)
	}
	out := egress.New(egress.Config{})
	b.Cleanup(out.Close)
	sends := func() []hostfns.Func { return out.Session(egress.Permissions{}).Funcs() }
	answers := func() []hostfns.Func {
		return []hostfns.Func{{Name: "http", Answer: func(context.Context, json.RawMessage) (any, error) { return large, nil }}}
	}
	for name, test := range map[string]struct {
		funcs   func() []hostfns.Func
		request []byte
	}{
		"request of 64 KiB": {sends, request},
		"answer of 64 KiB":  {answers, []byte(`{}`)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := newWorld()
			for b.Loop() {
				j := journal.New(journal.Config{Start: epoch, Log: forgetful{}, Now: w.clock})
				gate := hostfns.NewGate(hostfns.GateConfig{
					Funcs: test.funcs(), Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, Now: w.clock,
				})
				if _, err := gate.Call(b.Context(), runtime.Crossing{Func: "http", Request: test.request}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// forgetful is a Log that keeps nothing.
type forgetful struct{}

func (forgetful) Write(context.Context, []journal.Entry) error { return nil }
