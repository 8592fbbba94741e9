package egress_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// pacing takes note of what it is asked and told.
type pacing struct {
	mu     sync.Mutex
	stale  bool
	err    error
	rest   []bool
	ends   []egress.Ending
	behind int
}

func (p *pacing) Enter(_ context.Context, name string, rest bool) (egress.Pass, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name != "c" {
		return nil, errors.New("another connection")
	}
	p.rest = append(p.rest, rest)
	if p.err != nil {
		return nil, p.err
	}
	p.behind++
	return &passing{p: p, fresh: !p.stale || len(p.rest) > 1}, nil
}

type passing struct {
	p     *pacing
	fresh bool
	once  sync.Once
}

func (x *passing) Fresh() bool { return x.fresh }

func (x *passing) Leave(_ context.Context, e egress.Ending) {
	x.once.Do(func() {
		x.p.mu.Lock()
		defer x.p.mu.Unlock()
		x.p.behind--
		x.p.ends = append(x.p.ends, e)
	})
}

// paces makes a request of a session as a guest does, through the layers of a gate.
func paces(t *testing.T, s *egress.Session, request map[string]any) error {
	t.Helper()
	raw, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: s.Funcs(), Layers: []hostfns.Layer{s.Ahead}, Now: time.Now})
	_, err = gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: raw})
	return err
}

func TestHTTPHasItsPace(t *testing.T) {
	t.Parallel()
	answers := map[string]func(w http.ResponseWriter, r *http.Request){
		"/ok":    func(http.ResponseWriter, *http.Request) {},
		"/404":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"/500":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"/close": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"/moved": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) },
		"/429": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"/429-at": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Mon, 23 Nov 2026 12:00:00 GMT")
			w.Header().Set("Retry-After", "Mon, 23 Nov 2026 12:01:00 GMT")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"/slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	b := setup(t, func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Path](w, r) }, nil)
	ended := func(r egress.Result) []egress.Ending { return []egress.Ending{{Result: r}} }
	for name, tt := range map[string]struct {
		path   string
		method string
		stale  bool
		rest   []bool
		ends   []egress.Ending
	}{
		"an answer":                   {"/ok", "GET", false, []bool{false}, ended(egress.Answered)},
		"one that says no":            {"/404", "POST", false, []bool{false}, ended(egress.Answered)},
		"one that says that it fails": {"/500", "POST", false, []bool{false}, ended(egress.Failed)},
		"none":                        {"/close", "POST", false, []bool{false}, ended(egress.Failed)},
		"none in time":                {"/slow", "GET", false, []bool{false}, ended(egress.Failed)},
		"too many":                    {"/429", "GET", false, []bool{false}, []egress.Ending{{Result: egress.Throttled, RetryAfter: 7 * time.Second}}},
		"too many, until":             {"/429-at", "GET", false, []bool{false}, []egress.Ending{{Result: egress.Throttled, RetryAfter: time.Minute}}},
		"sent on":                     {"/moved", "GET", false, []bool{false, true}, append(ended(egress.Answered), ended(egress.Answered)...)},
		"a pass that is too old":      {"/ok", "GET", true, []bool{false, false}, append(ended(egress.Unsent), ended(egress.Answered)...)},
		"what is not granted":         {"/ok", "PATCH", false, []bool{false}, ended(egress.Unsent)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &pacing{stale: tt.stale}
			s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: credentials(token16), Pool: "t", Pace: p})
			request := using("c", "https://"+b.host+tt.path)
			request["method"], request["timeout_ms"] = tt.method, 2000
			if tt.path == "/slow" {
				request["timeout_ms"] = 50
			}
			if err := paces(t, s, request); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(p.rest, tt.rest) || !slices.Equal(p.ends, tt.ends) || p.behind != 0 {
				t.Errorf("asked %v and told %+v, with %d not left, want %v and %+v", p.rest, p.ends, p.behind, tt.rest, tt.ends)
			}
			if err := paces(t, s, get("https://"+b.host+"/ok")); err != nil || len(p.rest) != len(tt.rest) {
				t.Errorf("without a connection: %v, and it was asked", err)
			}
		})
	}
}

// A request that has to wait ends the run, before anything is said of it or opened.
func TestHTTPThatWaitsForItsTurnIsNotBegun(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }, nil)
	s := b.egress.Session(egress.Permissions{
		Rules: []egress.Rule{rule(b.host)}, Credentials: credentials(token16), Pool: "t",
		Pace: &pacing{err: &hostfns.Suspended{Reason: "rate_limited", For: "con_1"}},
	})
	request := using("c", "https://"+b.host)
	for _, layered := range []bool{true, false} {
		var err error
		if layered {
			err = paces(t, s, request)
		} else {
			raw, _ := json.Marshal(request)
			_, _, err = doRaw(t.Context(), s, raw)
		}
		if waits, ok := errors.AsType[*hostfns.Suspended](err); !ok || waits.For != "con_1" {
			t.Errorf("got %v, want it to wait", err)
		}
	}
}
