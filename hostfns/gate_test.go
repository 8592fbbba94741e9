package hostfns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// clock moves by one second at each look.
func clock() func() time.Time {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

func answering(name string, result any, err error) hostfns.Func {
	return hostfns.Func{Name: name, Answer: func(context.Context, json.RawMessage) (any, error) { return result, err }}
}

func call(t *testing.T, g *hostfns.Gate, name, request string) string {
	t.Helper()
	a, err := g.Call(t.Context(), runtime.Crossing{Func: name, Request: []byte(request)})
	if err != nil {
		t.Fatalf("Call(%s): %v", name, err)
	}
	return string(a.Response)
}

func TestGateAnswersInTheEnvelope(t *testing.T) {
	t.Parallel()
	granted := answering("charge", "ok", nil)
	granted.Granted = true
	tests := map[string]struct {
		fn      hostfns.Func
		granted []string
		name    string
		want    string
	}{
		"a result":                {fn: answering("f", map[string]any{"n": 1}, nil), want: `{"result":{"n":1}}`},
		"raw JSON as it is":       {fn: answering("f", json.RawMessage(`{"a":"<b>"}`), nil), want: `{"result":{"a":"<b>"}}`},
		"nothing as an object":    {fn: answering("f", nil, nil), want: `{"result":{}}`},
		"an error that is told":   {fn: answering("f", nil, hostfns.Errorf(hostfns.CodeNetwork, "no \"way\"")), want: `{"error":{"code":"network","message":"no \"way\""}}`},
		"one that is wrapped":     {fn: answering("f", nil, fmt.Errorf("x: %w", hostfns.Errorf(hostfns.CodeTimeout, "late"))), want: `{"error":{"code":"timeout","message":"late"}}`},
		"a function that is not":  {fn: answering("f", nil, nil), name: "rm", want: `{"error":{"code":"denied","message":"this host has no function \"rm\"; it has f"}}`},
		"one that is not granted": {fn: granted, name: "charge", want: `{"error":{"code":"denied","message":"the installation is not granted the function \"charge\": name it under \"functions\" in the manifest, and ask the tenant to grant it"}}`},
		"one that is granted":     {fn: granted, name: "charge", granted: []string{"charge"}, want: `{"result":"ok"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := hostfns.NewGate(hostfns.GateConfig{Funcs: []hostfns.Func{tt.fn}, Granted: tt.granted, Now: clock()})
			asked := tt.name
			if asked == "" {
				asked = "f"
			}
			if got := call(t, g, asked, `{}`); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestGateEndsTheCallOnErrorsOfTheHost(t *testing.T) {
	t.Parallel()
	down := errors.New("database is down: password hunter22")
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{
			answering("down", nil, down),
			answering("unencodable", make(chan int), nil),
			{Name: "panics", Answer: func(context.Context, json.RawMessage) (any, error) {
				var at []int
				return at[len(at)], nil
			}},
		},
		Secrets: hostfns.NewRedactor("hunter22"), Now: clock(),
	})
	wants := map[string]string{
		"down":        `answer host function "down": database is down: password [redacted]`,
		"unencodable": `answer host function "unencodable": encode result: json: unsupported type: chan int`,
		"panics":      `index out of range`,
	}
	for name, want := range wants {
		_, err := g.Call(t.Context(), runtime.Crossing{Func: name, Request: []byte(`{}`)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Call(%s): got %v, want %s", name, err, want)
		}
		if name == "down" && !errors.Is(err, down) {
			t.Errorf("Call(down): %v does not wrap its cause", err)
		}
		if name == "panics" && !strings.Contains(err.Error(), "gate_test.go") && !strings.Contains(err.Error(), "hostfns_test.") {
			t.Errorf("Call(panics): %v does not say where", err)
		}
	}
	for _, s := range g.Steps() {
		if s.Code != hostfns.CodeInternal {
			t.Errorf("step of %s: got code %q, want internal", s.Func, s.Code)
		}
	}
}

func TestGateRecordsSteps(t *testing.T) {
	t.Parallel()
	quiet := answering("log", nil, nil)
	quiet.Quiet = true
	spoken := answering("http", map[string]any{"status": 201}, nil)
	spoken.Summarize = func(json.RawMessage) string { return "POST /orders" }
	spoken.SummarizeResult = func(json.RawMessage) string { return " -> 201" }
	broken := answering("broken", nil, hostfns.Errorf(hostfns.CodeDenied, "no"))
	broken.Summarize = func(json.RawMessage) string { panic("embedder") }
	broken.SummarizeResult = func(json.RawMessage) string { return "never" }
	g := hostfns.NewGate(hostfns.GateConfig{Funcs: []hostfns.Func{quiet, spoken, broken}, Now: clock()})

	answer, err := g.Call(t.Context(), runtime.Crossing{Func: "http", Request: []byte(`{"a":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	call(t, g, "log", `{}`)
	call(t, g, "broken", `{}`)

	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if want := base.Add(3 * time.Second); !answer.At.Equal(want) {
		t.Errorf("Answer.At: got %v, want %v, after the call", answer.At, want)
	}
	want := []hostfns.Step{
		{
			Ordinal: 1, Func: "http", Summary: "POST /orders -> 201", At: base.Add(time.Second), Duration: time.Second,
			Request: `{"a":1}`, RequestBytes: 7, Response: `{"result":{"status":201}}`, ResponseBytes: 25,
		},
		{
			Ordinal: 3, Func: "broken", At: base.Add(5 * time.Second), Duration: time.Second, Code: hostfns.CodeDenied,
			Request: `{}`, RequestBytes: 2, Response: `{"error":{"code":"denied","message":"no"}}`, ResponseBytes: 42,
		},
	}
	if diff := cmp.Diff(want, g.Steps()); diff != "" {
		t.Errorf("Steps (-want +got):\n%s", diff)
	}
}

func TestGateCutsExcerptsBetweenRunes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 100)
	g := hostfns.NewGate(hostfns.GateConfig{Funcs: []hostfns.Func{answering("f", long, nil)}, ExcerptBytes: 16, Now: clock()})
	call(t, g, "f", `"xy`+long+"\x00\xff")
	s := g.Steps()[0]
	if len(s.Request) > 16 || len(s.Response) > 16 || !utf8.ValidString(s.Request) || !utf8.ValidString(s.Response) {
		t.Errorf("got excerpts %q and %q, want at most 16 bytes of UTF-8", s.Request, s.Response)
	}
	if s.RequestBytes != 205 || s.ResponseBytes != 213 {
		t.Errorf("got sizes %d and %d, want those of the whole", s.RequestBytes, s.ResponseBytes)
	}
}

func TestGateKeepsSecretsOutOfTraceAndAnswers(t *testing.T) {
	t.Parallel()
	secrets := hostfns.NewRedactor()
	const token = "ghp_0123456789"
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{{
			Name: "http",
			// The secret is learned while the function runs, as a credential is.
			Answer: func(context.Context, json.RawMessage) (any, error) {
				secrets.Add(token)
				return map[string]string{"echo": "Bearer " + token}, nil
			},
			Summarize: func(r json.RawMessage) string { return string(r) },
		}},
		Secrets: secrets, ExcerptBytes: 24, Now: clock(),
	})
	got := call(t, g, "http", `{"a":"xxxxxxxxx`+token+`"}`)
	if want := `{"result":{"echo":"Bearer [redacted]"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// The cut at 24 goes through the secret: half of one is one too many.
	s := g.Steps()[0]
	if all := fmt.Sprint(s); strings.Contains(all, "ghp_") {
		t.Errorf("the step holds a part of the secret: %s", all)
	}
}

func TestGateHoldsTheQuota(t *testing.T) {
	t.Parallel()
	quiet := answering("log", nil, nil)
	quiet.Quiet = true
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{answering("f", nil, nil), quiet},
		Quota: hostfns.Quota{Calls: 2, QuietCalls: 1, RequestBytes: 8}, Now: clock(),
	})
	call(t, g, "log", `{}`)
	if got, want := call(t, g, "f", `"123456789"`), "the request is 11 bytes long, and 8 is the limit"; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := call(t, g, "f", `{}`), `{"result":{}}`; got != want {
		t.Errorf("within the quota: got %s, want %s", got, want)
	}
	for range 50 {
		if got, want := call(t, g, "f", `{}`), `"limit_exceeded","message":"this run has made the 2 host calls`; !strings.Contains(got, want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if got, want := call(t, g, "log", `{}`), `made the 1 host calls`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := len(g.Steps()), 3; got != want {
		t.Errorf("got %d steps, want %d: refusals must not fill the memory", got, want)
	}
}

func TestWhatAJournalAnswersCountsAsACall(t *testing.T) {
	t.Parallel()
	recorded := func(next hostfns.Handler) hostfns.Handler {
		return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
			if c.Func == "asked" {
				return json.RawMessage(`"recorded"`), nil
			}
			return next(ctx, c)
		}
	}
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{answering("asked", nil, nil), answering("computed", nil, nil)}, Journal: recorded,
		Quota: hostfns.Quota{Calls: 2}, Now: clock(),
	})
	for _, tt := range []struct{ name, want string }{
		{"asked", `"recorded"`}, {"computed", `{"result":{}}`}, {"computed", "limit_exceeded"}, {"asked", `"recorded"`},
	} {
		if got := call(t, g, tt.name, `{}`); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestGateRunsFurtherLayersInOrder(t *testing.T) {
	t.Parallel()
	var order []string
	layer := func(name string) hostfns.Layer {
		return func(next hostfns.Handler) hostfns.Handler {
			return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
				order = append(order, name)
				if string(c.Request) == `"panic"` {
					panic(name)
				}
				return next(ctx, c)
			}
		}
	}
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{answering("f", nil, nil)}, Layers: []hostfns.Layer{layer("outer"), layer("inner")}, Now: clock(),
	})
	call(t, g, "f", `{}`)
	call(t, g, "nothing", `{}`)
	if diff := cmp.Diff([]string{"outer", "inner"}, order); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	if _, err := g.Call(t.Context(), runtime.Crossing{Func: "f", Request: []byte(`"panic"`)}); err == nil {
		t.Error("a layer that panics: got no error")
	}
}

func TestNewGatePanicsOnMistakesOfTheProgram(t *testing.T) {
	t.Parallel()
	tests := map[string]hostfns.GateConfig{
		"two of one name": {Funcs: []hostfns.Func{answering("f", nil, nil), answering("f", nil, nil)}, Now: clock()},
		"no name":         {Funcs: []hostfns.Func{answering("", nil, nil)}, Now: clock()},
		"no answer":       {Funcs: []hostfns.Func{{Name: "f"}}, Now: clock()},
		"no clock":        {},
	}
	for name, config := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("NewGate did not panic")
				}
			}()
			hostfns.NewGate(config)
		})
	}
}

func TestGateStepsCanBeReadDuringARun(t *testing.T) {
	t.Parallel()
	secrets := hostfns.NewRedactor()
	g := hostfns.NewGate(hostfns.GateConfig{Funcs: []hostfns.Func{answering("f", "x", nil)}, Secrets: secrets, Now: clock()})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = g.Steps()
					secrets.Add("secret-of-a-reader")
				}
			}
		})
	}
	for range 200 {
		call(t, g, "f", `{}`)
	}
	close(done)
	readers.Wait()
	if got, want := len(g.Steps()), 200; got != want {
		t.Errorf("got %d steps, want %d", got, want)
	}
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	type shape struct {
		Key string `json:"key"`
		N   int    `json:"n"`
	}
	tests := map[string]struct{ request, want string }{
		"a misspelt field": {`{"kye":"a"}`, `unknown field "kye"`},
		"a wrong type":     {`{"n":"1"}`, `"n" cannot be a JSON string`},
		"no object":        {`[1]`, `the request is a JSON array: it must be an object`},
		"no JSON":          {`{"key":}`, `the request is not JSON: at byte 8`},
		"nothing":          {``, `the request is empty or ends too early`},
		"half an object":   {`{"key":`, `the request is empty or ends too early`},
		"two objects":      {`{}{}`, `goes on after its JSON object`},
		"other bytes":      {"{\"key\":\"\xff\"}", `the request is not UTF-8`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := hostfns.Decode[shape](json.RawMessage(tt.request))
			told, ok := errors.AsType[*hostfns.Error](err)
			if !ok || told.Code != hostfns.CodeInvalidRequest || !strings.Contains(told.Message, tt.want) {
				t.Errorf("got %v, want invalid_request with %q", err, tt.want)
			}
		})
	}
	if got, err := hostfns.Decode[shape](json.RawMessage(` {"key":"a","n":2} `)); err != nil || got != (shape{"a", 2}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A host adds a function of its own, and grants it.
func ExampleNewGate() {
	greet := hostfns.Func{
		Name:    "greet",
		Granted: true,
		Answer: func(_ context.Context, request json.RawMessage) (any, error) {
			r, err := hostfns.Decode[struct {
				Name string `json:"name"`
			}](request)
			if err != nil {
				return nil, err
			}
			return map[string]string{"greeting": "Hello, " + r.Name}, nil
		},
	}
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs:   []hostfns.Func{greet},
		Granted: []string{"greet"},
		Now:     func() time.Time { return time.Unix(0, 0) },
	})
	answer, err := gate.Call(context.Background(), runtime.Crossing{Func: "greet", Request: []byte(`{"name":"Ada"}`)})
	fmt.Println(string(answer.Response), err)
	fmt.Println(len(gate.Steps()), "step")
	// Output:
	// {"result":{"greeting":"Hello, Ada"}} <nil>
	// 1 step
}
