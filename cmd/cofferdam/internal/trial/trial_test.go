package trial_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func now() time.Time { return start }

func open(t *testing.T, wasm []byte, l runtime.Limits) *trial.Bench {
	t.Helper()
	b, err := trial.Open(t.Context(), wasm, trial.Options{Limits: l, CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

func run(t *testing.T, b *trial.Bench, c trial.Config) *trial.Report {
	t.Helper()
	c.Now = now
	r, err := trial.Run(t.Context(), b.Module, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pdk is a plugin that was built with Extism's own PDK: the SDK for Go brings some.
func pdk(t *testing.T, name string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatalf("find the plugins of github.com/extism/go-sdk: %v", err)
	}
	wasm, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "wasm", name))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestPluginsOfExtismsPDKRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		module string
		config trial.Config
		want   string
	}{
		"input and output": {"count_vowels.wasm", trial.Config{Export: "count_vowels", Input: []byte("Hello, World!")}, `{"count":3,"total":3,"vowels":"aeiouAEIOU"}`},
		"configuration":    {"config.wasm", trial.Config{Export: "run_test", Settings: json.RawMessage(`{"thing":"x"}`)}, `{"config": "x"}`},
		"variables":        {"var.wasm", trial.Config{Export: "run_test"}, "a: 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, pdk(t, tt.module), runtime.Limits{})
			if b.Typed() {
				t.Error("it is taken for a typed connector")
			}
			if r := run(t, b, tt.config); r.Failure != nil || string(r.Output) != tt.want {
				t.Errorf("got %q, %v, want %q", r.Output, r.Failure, tt.want)
			}
		})
	}
}

func TestWhatARunDoesIsReported(t *testing.T) {
	t.Parallel()
	var told []string
	ask := func(function, request string, c trial.Config) *trial.Report {
		c.Export = "go"
		c.Step = func(s hostfns.Step) { told = append(told, s.Func) }
		return run(t, open(t, runtimetest.Ask("go", function, request), runtime.Limits{}), c)
	}
	stored := map[string]json.RawMessage{"n": json.RawMessage(`41`), "old": json.RawMessage(`"x"`)}
	r := ask("state_add", `{"key":"n","delta":1}`, trial.Config{State: stored})
	if string(r.Output) != `{"result":{"value":42}}` || len(r.Left.State) != 1 || r.Left.State[0].Delta != 1 {
		t.Errorf("state_add: got %s and %+v", r.Output, r.Left)
	}
	if r = ask("state_list", `{"prefix":""}`, trial.Config{State: stored}); !strings.Contains(string(r.Output), `"key":"old"`) {
		t.Errorf("state_list: got %s", r.Output)
	}
	if r = ask("emit", `{"name":"order","key":"1","data":{"n":1}}`, trial.Config{}); len(r.Left.Records) != 1 {
		t.Errorf("emit: got %+v", r.Left)
	}
	if r = ask("http", `{"method":"GET","url":"https://a.example/"}`, trial.Config{}); !strings.Contains(string(r.Output), `"code":"denied"`) {
		t.Errorf("http without a way out: got %s", r.Output)
	}
	if r = ask("plan_of", `{}`, trial.Config{}); !strings.Contains(string(r.Output), "nobody here who answers the function") {
		t.Errorf("a function of nobody: got %s", r.Output)
	}
	if diff := cmp.Diff([]string{"state_add", "state_list", "emit", "http", "plan_of"}, told); diff != "" {
		t.Errorf("steps that were told (-want +got):\n%s", diff)
	}
}

func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	sleep := func(request string) *trial.Report {
		return run(t, open(t, runtimetest.Ask("go", "sleep", request), runtime.Limits{}), trial.Config{Export: "go"})
	}
	for _, request := range []string{`{"ms":10}`, `{"ms":3600000}`, `{"until":"2026-12-31T00:00:00Z"}`} {
		if r := sleep(request); string(r.Output) != `{"result":{}}` || r.Waits != nil {
			t.Errorf("%s: got %s, %+v", request, r.Output, r.Waits)
		}
	}
	r := sleep(`{"ms":5000,"checkpoint":{"page":2}}`)
	if r.Waits == nil || !r.Waits.Until.Equal(start.Add(5*time.Second)) || string(r.Waits.Checkpoint) != `{"page":2}` {
		t.Errorf("a wait with a checkpoint: got %+v", r.Waits)
	}
}

func TestAFailureIsThePluginsAndAnErrorTheHosts(t *testing.T) {
	t.Parallel()
	r := run(t, open(t, runtimetest.Fail("go", "no luck", 1), runtime.Limits{}), trial.Config{Export: "go"})
	if r.Failure == nil || r.Failure.Message != "no luck" {
		t.Errorf("got %+v", r.Failure)
	}
	loop := open(t, runtimetest.Loop("go"), runtime.Limits{Fuel: 1_000_000})
	if r := run(t, loop, trial.Config{Export: "go"}); r.Failure == nil || r.Failure.Code != runtime.CodeFuelExhausted {
		t.Errorf("got %+v, want it to run out of fuel", r.Failure)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := trial.Run(ended, loop.Module, trial.Config{Export: "go", Now: now}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context has ended", err)
	}
}

func TestOpenRefusesWhatAServerWould(t *testing.T) {
	t.Parallel()
	options := trial.Options{CacheDir: runtimetest.CacheDir(t)}
	if _, err := trial.Open(t.Context(), []byte("no module"), options); err == nil {
		t.Error("bytes that are no module were opened")
	} else if _, ok := errors.AsType[*runtime.InvalidModule](err); !ok {
		t.Errorf("got %v", err)
	}
	wasm := runtimetest.Outputs(map[string]string{"describe": `{"name":"UPPER","version":"1.0.0"}`})
	_, err := trial.Open(t.Context(), wasm, options)
	if refused, ok := errors.AsType[*registry.Error](err); !ok || refused.Code != registry.CodeInvalidManifest {
		t.Errorf("got %v, want invalid_manifest", err)
	}
}

func TestWishesAreNoMoreThanThereIs(t *testing.T) {
	t.Parallel()
	wasm := runtimetest.Outputs(map[string]string{
		"describe": `{"name":"a","version":"1.0.0","actions":[{"name":"go"}],"limits":{"memory_mib":4096,"timeout_ms":1500,"fuel":7000}}`, "action": `{}`,
	})
	got := open(t, wasm, runtime.Limits{}).Wishes()
	want := runtime.Limits{}.WithDefaults()
	want.Deadline, want.Fuel = 1500*time.Millisecond, 7000
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEnvelopes(t *testing.T) {
	t.Parallel()
	about := trial.Ask{Config: json.RawMessage(`{"a":1}`), Connections: map[string]json.RawMessage{"crm": nil}, Received: start}
	const around = `"config":{"a":1},"connections":{"crm":{}}}`
	const head = `{"execution":"` + trial.DefaultExecution + `","attempt":1,`
	for name, tt := range map[string]struct {
		kind    event.Kind
		payload string
		want    string
	}{
		"an action":         {event.Action, `{"n":1}`, head + `"action":"x","input":{"n":1},` + around},
		"without its input": {event.Action, ``, head + `"action":"x","input":{},` + around},
		"a poll":            {event.Poll, `"c"`, head + `"poll":"x","cursor":"c",` + around},
		"the first poll":    {event.Poll, ``, head + `"poll":"x","cursor":null,` + around},
		"a test":            {event.Test, ``, head + around},
		"a delivery": {event.Webhook, `a=1`, head + `"webhook":"x","request":{"id":"delivery-1","received_at":"2026-01-02T03:04:05Z","method":"POST",` +
			`"path":"/hooks/end_00000000000000000000000001","query":"","headers":{},"body":"a=1"},` + around},
		"a delivery of bytes": {event.Webhook, "\xff", head + `"webhook":"x","request":{"id":"delivery-1","received_at":"2026-01-02T03:04:05Z","method":"POST",` +
			`"path":"/hooks/end_00000000000000000000000001","query":"","headers":{},"body_base64":"/w=="},` + around},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := about
			ask.Kind, ask.Name, ask.Payload = tt.kind, "x", []byte(tt.payload)
			got, err := ask.Envelope()
			if diff := cmp.Diff(tt.want, string(got)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := (trial.Ask{Kind: "record"}).Envelope(); err == nil {
		t.Error("a record was asked for")
	}
	if _, err := (trial.Ask{Kind: event.Action, Payload: []byte(`{`)}).Envelope(); err == nil {
		t.Error("what is no JSON became an input")
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	stored := map[string]json.RawMessage{"n": json.RawMessage(`41`), "gone": json.RawMessage(`1`)}
	got := trial.Apply(stored, []replay.StateWrite{
		{Key: "n", Delta: 1}, {Key: "new", Delta: 2}, {Key: "gone", Delete: true}, {Key: "set", Value: replay.Body(`{"a":1}`)},
	})
	want := map[string]json.RawMessage{"n": json.RawMessage(`42`), "new": json.RawMessage(`2`), "set": json.RawMessage(`{"a":1}`)}
	if diff := cmp.Diff(want, got); diff != "" || len(stored) != 2 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPermit(t *testing.T) {
	t.Parallel()
	m := manifest.Manifest{Egress: []manifest.Egress{
		{Host: "api.example.com", Methods: []string{"GET"}}, {Host: "{config.url}", Methods: []string{"POST"}}, {Host: "{config.none}", Methods: []string{"GET"}},
	}}
	config := json.RawMessage(`{"url":"https://shop.example:8443/api"}`)
	rules := trial.Permit(m, config).Rules
	if len(rules) != 2 || rules[0].Host != "api.example.com" || rules[1].Host != "shop.example:8443" {
		t.Errorf("got %+v", rules)
	}
	if diff := cmp.Diff([]string{"a.example", "shop.example:8443"}, trial.Hosts([]string{"a.example", "{config.url}", "{config.none}"}, config)); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
}
