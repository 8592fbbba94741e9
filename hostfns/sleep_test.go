package hostfns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// never is a time.After for which nobody may wait.
func never(t *testing.T) func(time.Duration) <-chan time.Time {
	t.Helper()
	return func(d time.Duration) <-chan time.Time {
		t.Errorf("it waits for %s", d)
		return nil
	}
}

func TestShortSleepHoldsTheSandbox(t *testing.T) {
	t.Parallel()
	tests := map[string]time.Duration{
		`{"ms":1000}`:                           time.Second,
		`{"ms":0.5}`:                            500 * time.Microsecond,
		`{"ms":250,"checkpoint":null}`:          250 * time.Millisecond,
		`{"until":"2026-03-01T12:00:00.3Z"}`:    300 * time.Millisecond,
		`{"until":"2026-03-01T13:00:01+01:00"}`: time.Second,
	}
	for request, want := range tests {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			var asked time.Duration
			f := hostfns.Sleep(atNoon, func(d time.Duration) <-chan time.Time {
				asked = d
				c := make(chan time.Time, 1)
				c <- time.Time{}
				return c
			})
			if _, err := f.Answer(t.Context(), json.RawMessage(request)); err != nil {
				t.Fatal(err)
			}
			if asked != want {
				t.Errorf("got %v, want %v", asked, want)
			}
		})
	}
	t.Run("ends with the call", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		f := hostfns.Sleep(atNoon, func(time.Duration) <-chan time.Time {
			cancel()
			return nil
		})
		if _, err := f.Answer(ctx, json.RawMessage(`{"ms":1}`)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

func TestPastIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, request := range []string{`{"ms":0}`, `{"until":"2026-03-01T12:00:00Z"}`, `{"until":"1999-01-01T00:00:00Z"}`} {
		if _, err := hostfns.Sleep(atNoon, never(t)).Answer(t.Context(), json.RawMessage(request)); err != nil {
			t.Errorf("%s: %v", request, err)
		}
	}
}

func TestLongSleepEndsTheRun(t *testing.T) {
	t.Parallel()
	answer := json.RawMessage(`{"result":{}}`)
	tests := map[string]hostfns.Suspended{
		`{"ms":1000.5}`:                                    {Until: noon.Add(time.Second + 500*time.Microsecond), Answer: answer},
		`{"ms":34560000000}`:                               {Until: noon.Add(400 * 24 * time.Hour), Answer: answer},
		`{"until":"2026-12-24T18:00:00Z"}`:                 {Until: time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC), Answer: answer},
		`{"ms":60000,"checkpoint":{"page":7}}`:             {Until: noon.Add(time.Minute), Checkpoint: json.RawMessage(`{"page":7}`)},
		`{"ms":0,"checkpoint":1}`:                          {Until: noon, Checkpoint: json.RawMessage(`1`)},
		`{"until":"1999-01-01T00:00:00Z","checkpoint":""}`: {Until: noon, Checkpoint: json.RawMessage(`""`)},
	}
	for request, want := range tests {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			want.Reason = "sleep"
			_, err := hostfns.Sleep(atNoon, never(t)).Answer(t.Context(), json.RawMessage(request))
			got, ok := errors.AsType[*hostfns.Suspended](err)
			if !ok {
				t.Fatalf("got %v, want it suspended", err)
			}
			if diff := cmp.Diff(want, *got); diff != "" {
				t.Errorf("suspended (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSleepRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`{}`:                 `give either "ms" or "until"`,
		`{"ms":-1}`:          `"ms" is -1, and must be from 0 to 34560000000, which are 400 days`,
		`{"ms":34560000001}`: "wait in parts",
		`{"ms":"1"}`:         `"ms" cannot be a JSON string`,
		`{"ms":1e999}`:       `"ms" cannot be`,
		`{"ms":1,"until":"2026-03-02T00:00:00Z"}`:                     "give either",
		`{"until":"2027-04-06T12:00:00Z"}`:                            `and 2027-04-05T12:00:00Z is the limit, 400 days from now`,
		`{"until":"tomorrow"}`:                                        "is not a time such as 2026-01-02T15:04:05Z",
		`{"ms":1,"checkpoint":"` + strings.Repeat("x", 64<<10) + `"}`: `"checkpoint" is 65538 bytes of JSON, and 65536 is the limit`,
	}
	for request, want := range tests {
		t.Run(fmt.Sprintf("%.40s", request), func(t *testing.T) {
			t.Parallel()
			_, err := hostfns.Sleep(atNoon, never(t)).Answer(t.Context(), json.RawMessage(request))
			told, ok := errors.AsType[*hostfns.Error](err)
			if !ok || told.Code != hostfns.CodeInvalidRequest || !strings.Contains(told.Message, want) {
				t.Errorf("got %v, want invalid_request with %q", err, want)
			}
		})
	}
}

func TestSleepIsSummarized(t *testing.T) {
	t.Parallel()
	f := hostfns.Sleep(atNoon, never(t))
	for request, want := range map[string]string{
		`{"ms":1500}`: "1500 ms", `{"until":"2026-03-01T13:00:00+01:00"}`: "until 2026-03-01T12:00:00Z", `{}`: "", `[`: "",
	} {
		if got := f.Summarize(json.RawMessage(request)); got != want {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
	}
}

// What a Func waits for passes the gate, without the secrets that are in its answer.
func TestGateEndsARunThatWaits(t *testing.T) {
	t.Parallel()
	waits := hostfns.Func{Name: "approval", Answer: func(context.Context, json.RawMessage) (any, error) {
		return nil, fmt.Errorf("ask for approval: %w", &hostfns.Suspended{
			Reason: "approval", Until: noon, Answer: json.RawMessage(`{"result":"hunter22"}`),
		})
	}}
	layer := func(next hostfns.Handler) hostfns.Handler { return next }
	for name, journal := range map[string]hostfns.Layer{"without a journal": nil, "with one": layer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := hostfns.NewGate(hostfns.GateConfig{
				Funcs: []hostfns.Func{waits}, Secrets: hostfns.NewRedactor("hunter22"), Journal: journal, Now: clock(),
			})
			_, err := g.Call(t.Context(), runtime.Crossing{Func: "approval", Request: []byte(`{}`)})
			got, ok := errors.AsType[*hostfns.Suspended](err)
			if !ok || got.Reason != "approval" || !got.Until.Equal(noon) || string(got.Answer) != `{"result":"[redacted]"}` {
				t.Errorf("got %v, %+v", err, got)
			}
			if want := "waits until 2026-03-01T12:00:00Z: approval"; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if steps := g.Steps(); len(steps) != 1 || steps[0].Code != "suspended" {
				t.Errorf("got steps %+v, want one that is suspended", steps)
			}
		})
	}
	if got, want := (&hostfns.Suspended{Reason: "reconnect"}).Error(), "waits: reconnect"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadOnlyLetsARunLookAndNoMore(t *testing.T) {
	t.Parallel()
	answers := func(name string, e hostfns.Effect) hostfns.Func {
		f := answering(name, "ok", nil)
		f.Effect = hostfns.Always(e)
		return f
	}
	keeps := answers("state_set", hostfns.Computed)
	keeps.Keeps = true
	post := answers("http", hostfns.Unsafe)
	post.Summarize = func(json.RawMessage) string { return "POST https://api.example.com/orders" }
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{
			answers("log", hostfns.Computed), answers("get", hostfns.Read), answers("put", hostfns.Idempotent), answering("unsaid", nil, nil),
			keeps, post, hostfns.Sleep(atNoon, never(t)),
		},
		Layers: []hostfns.Layer{hostfns.ReadOnly}, Now: clock(),
	})
	const ok, denied = `{"result":"ok"}`, `{"error":{"code":"denied","message":"this call may only look: `
	for name, want := range map[string]string{
		"log": ok, "get": ok,
		"put":       denied + `put would change something"}}`,
		"unsaid":    denied + `unsaid would change something"}}`,
		"state_set": denied + `state_set would change something"}}`,
		"http":      denied + `http POST https://api.example.com/orders would change something"}}`,
	} {
		if got := call(t, g, name, `{}`); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	if got := call(t, g, "sleep", `{"ms":5000}`); !strings.Contains(got, "cannot wait for so long") {
		t.Errorf("sleep: got %s", got)
	}
}

func TestCrossingsCarryMarksAndKeys(t *testing.T) {
	t.Parallel()
	want := hostfns.Mark{Keyed: true, Name: "charge", TTL: time.Hour, Account: "con_1"}
	marked := hostfns.Func{
		Name:   "charge",
		Mark:   func(context.Context, json.RawMessage) (hostfns.Mark, error) { return want, nil },
		Answer: func(ctx context.Context, _ json.RawMessage) (any, error) { return hostfns.KeyOf(ctx), nil },
	}
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{marked, answering("plain", "ok", nil)},
		Layers: []hostfns.Layer{func(next hostfns.Handler) hostfns.Handler {
			return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
				m, err := hostfns.MarkOf(ctx, c.Request)
				if c.Func == "plain" {
					want = hostfns.Mark{}
				}
				if diff := cmp.Diff(want, m); diff != "" || err != nil {
					t.Errorf("mark of %s: %v (-want +got):\n%s", c.Func, err, diff)
				}
				hostfns.SetKey(ctx, "exe_1/"+m.Name)
				return next(ctx, c)
			}
		}},
		Now: clock(),
	})
	if got, want := call(t, g, "charge", `{}`), `{"result":"exe_1/charge"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	call(t, g, "plain", `{}`)
	if got := hostfns.KeyOf(t.Context()); got != "" {
		t.Errorf("outside a gate there is the key %q", got)
	}
}

// Through a sandbox, what waits is found in the error of the guest's call.
func TestSuspendedReachesTheCaller(t *testing.T) {
	t.Parallel()
	r, err := runtime.New(t.Context(), runtime.Config{Functions: []string{"sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.WithoutCancel(t.Context())) })
	module, err := r.Prepare(t.Context(), runtimetest.Ask("action", "sleep", `{"ms":60000}`), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: []hostfns.Func{hostfns.Sleep(atNoon, never(t))}, Now: clock()})
	_, err = module.Call(t.Context(), runtime.Call{Export: "action", Host: gate})
	if got, ok := errors.AsType[*hostfns.Suspended](err); !ok || !got.Until.Equal(noon.Add(time.Minute)) {
		t.Errorf("got %v, want it suspended for a minute", err)
	}
}
