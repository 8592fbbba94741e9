package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestAReplayIsTheRunThatWasRecorded(t *testing.T) {
	t.Parallel()
	m := scripted(t)
	tests := map[string][]byte{
		"nothing asked":   script(""),
		"http":            script("", get("$URL/a"), post("$URL/b", "x"), get("$URL/bytes")),
		"refused":         script("", get("https://elsewhere.example/"), post("$URL/busy", "x"), post("$URL/broken", "x")),
		"state":           script("", `state_get {"key":"seen"}`, `state_add {"key":"total","delta":1}`, `state_set {"key":"new","value":[1, 2]}`, `state_get {"key":"none"}`),
		"left behind":     script("", `emit {"name":"order","key":"1","data":{"n":1}}`, `tag {"name":"repo","value":"o/r"}`, `log {"level":"info","message":"done","fields":{"n":1}}`),
		"an embedder's":   script("", `probe {"x":1}`, `probe {"x":1}`),
		"bytes as output": script(`,"raw":"x"`, get("$URL/a")),
		"failure":         script(`,"fail":{"code":"upstream_unavailable","message":"later","retry_after_ms":5}`, get("$URL/a")),
		"bad requests":    script("", `http {"method":1}`, `state_get {}`, `emit {"name":"!"}`, `log {"level":"loud"}`),
	}
	for name, input := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.stored["seen"], l.stored["total"] = state1(`{"a": 1}`), state1(`41`)
			r := l.record(t, m, "action", input, `{"a": {"b": 1}}`)
			asked := l.asked.Load()
			report := wantSame(t, m, r)
			if l.asked.Load() != asked {
				t.Errorf("the server was asked %d times by the replay", l.asked.Load()-asked)
			}
			if !bytes.Equal(report.Output, r.Output) || report.Usage.Fuel != r.Fuel || !report.FuelCompared {
				t.Errorf("got %q and %d units of fuel, want %q and %d", report.Output, report.Usage.Fuel, r.Output, r.Fuel)
			}
			if got, want := report.Asked, len(r.Entries)-1; got != want {
				t.Errorf("asked for %d entries, want %d", got, want)
			}
		})
	}
}

func state1(value string) (e state.Entry) {
	e.Value, e.Version = json.RawMessage(value), 3
	return e
}

// TestThousandRecordedExecutionsReplayAlike records a thousand executions of the
// examples and replays them with no way out.
func TestThousandRecordedExecutionsReplayAlike(t *testing.T) {
	t.Parallel()
	const executions = 1000
	l, m := newLab(t), exampled(t)
	recordings := recordMany(t, l, m, executions)
	asked, connected := l.asked.Load(), l.connected.Load()
	if asked < executions/2 {
		t.Fatalf("the recorded executions asked %d times", asked)
	}
	alike := 0
	for i, r := range recordings {
		report := run(t, m, r)
		if !report.Same() || !bytes.Equal(report.Output, r.Output) || report.Usage.Fuel != r.Fuel {
			t.Fatalf("execution %d: got %+v, %q and %d units of fuel, want %q and %d",
				i, report.Differences, report.Output, report.Usage.Fuel, r.Output, r.Fuel)
		}
		alike++
	}
	more := l.connected.Load() - connected
	if more != 0 || l.asked.Load() != asked {
		t.Errorf("the replays made %d connections and %d requests", more, l.asked.Load()-asked)
	}
	t.Logf("%d recorded, %d alike in output and fuel, %d connections", executions, alike, more)
}

// exampled is the example connector.
func exampled(t *testing.T) plugin {
	t.Helper()
	return prepare(t, runtimetest.BuildGoFresh(t, filepath.Join("..", "..", "examples", "hello-go")))
}

// recordMany records executions of the example, which succeed or fail.
func recordMany(t *testing.T, l *lab, m plugin, executions int) []replay.Recording {
	t.Helper()
	fixture, err := os.ReadFile(filepath.Join("..", "..", "examples", "hello-go", "fixtures", "issues.opened.json"))
	if err != nil {
		t.Fatal(err)
	}
	recordings := make([]replay.Recording, executions)
	outcomes := map[replay.Outcome]int{}
	for i := range recordings {
		export, input, config := example(t, l.url, fixture, i)
		recordings[i] = l.record(t, m, export, input, config)
		outcomes[recordings[i].Outcome]++
	}
	if outcomes[replay.Succeeded] < executions/2 || outcomes[replay.Failed] < executions/20 {
		t.Fatalf("the recorded executions are not varied: %v", outcomes)
	}
	return recordings
}

// example is the i-th call of the example connector.
func example(t *testing.T, url string, fixture []byte, i int) (export string, input []byte, config string) {
	t.Helper()
	config = fmt.Sprintf(`{"label": "label-%d", "api_url": %q}`, i%7, url)
	call := map[string]any{"execution": fmt.Sprintf("exe_%d", i), "attempt": 1 + i%3, "config": json.RawMessage(config), "connections": map[string]any{"github": map[string]any{}}}
	switch i % 5 {
	case 0, 1:
		export, call["webhook"] = "webhook", "issues"
		body := strings.NewReplacer(`"number": 42`, fmt.Sprintf(`"number": %d`, i+1), "octo-org", fmt.Sprintf("org-%d", i%11)).Replace(string(fixture))
		call["request"] = map[string]any{
			"id": fmt.Sprint(i), "received_at": time.Unix(int64(i), 0).UTC(), "method": "POST", "path": "/", "query": "",
			"headers": http.Header{"x-github-event": {"issues"}}, "body": body,
		}
	case 2, 3:
		export, call["action"] = "action", "label"
		call["input"] = map[string]any{"repo": fmt.Sprintf("o/r%d", i), "number": i % 7, "label": strings.Repeat("é<&>", i%9)}
	default:
		export = "test"
	}
	input, err := json.Marshal(call)
	if err != nil {
		t.Fatal(err)
	}
	return export, input, config
}

func TestAReplayShowsWhatTheRunDid(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	l.stored["seen"] = state1(`1`)
	r := l.record(t, m, "action", script("", get(l.url+"/a?q=1"), `state_get {"key":"seen"}`, `state_set {"key":"seen","value":2}`,
		`log {"level":"warn","message":"hm"}`, `emit {"name":"order","data":1}`, `tag {"name":"n","value":"v"}`), `{}`)
	report := wantSame(t, m, r)
	var steps []string
	for _, s := range report.Steps {
		steps = append(steps, fmt.Sprintf("%d %s %s %t", s.Ordinal, s.Func, s.Summary, s.Recorded))
	}
	want := []string{
		"1 http GET " + l.url + "/a?... -> 200 true", `2 state_get "seen" true`, `3 state_set "seen" false`, "5 emit order false", "6 tag n=v false",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("steps:\ngot  %q\nwant %q", steps, want)
	}
	if got, want := report.Steps[0].Duration, r.Entries[1].Answered.Round(0).Sub(r.Entries[1].Asked.Round(0)); got != want || want <= 0 {
		t.Errorf("the call took %s, want %s, as recorded", got, want)
	}
	if len(report.Logs) != 1 || report.Logs[0].Message != "hm" || !report.Logs[0].At.Equal(r.Entries[2].Answered) {
		t.Errorf("logs: got %+v, want one at %s", report.Logs, r.Entries[2].Answered)
	}
	if got := report.Reads["seen"]; got != 3 {
		t.Errorf("read version %d, want 3", got)
	}
	left := report.Left
	if len(left.Records) != 1 || len(left.Tags) != 1 || len(left.State) != 1 || string(left.State[0].Value) != "2" {
		t.Errorf("left behind: got %+v", left)
	}
}

func TestRandomnessAndClockAreTheRecordedOnes(t *testing.T) {
	t.Parallel()
	m := prepare(t, runtimetest.Guest(t))
	for _, export := range []string{"random", "clock", "sleep", "config", "print", "panics", "spin"} {
		t.Run(export, func(t *testing.T) {
			t.Parallel()
			wantSame(t, m, newLab(t).record(t, m, export, []byte("key"), `{"key": {"nested":  [1, 2]}}`))
		})
	}
}

func TestOtherCodeIsShownWhereItDiffersFirst(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	a, b, c := get(l.url+"/a"), post(l.url+"/b", "one"), get(l.url+"/c")
	recorded := l.record(t, m, "action", script("", a, b, c), `{}`)
	asked := l.asked.Load()
	t.Cleanup(func() {
		if got := l.asked.Load(); got != asked {
			t.Errorf("the server was asked %d times by replays", got-asked)
		}
	})
	tests := map[string]struct {
		input            []byte
		verdict          replay.Verdict
		expected, actual string
	}{
		"another request":  {script("", a, post(l.url+"/b", "two"), c), replay.CallsDiffer, "http POST " + l.url + "/b", "http POST " + l.url + "/b"},
		"another function": {script("", a, `probe {}`, c), replay.CallsDiffer, "http POST " + l.url + "/b", `probe "{}"`},
		"another order":    {script("", b, a, c), replay.CallsDiffer, "http GET " + l.url + "/a", "http POST " + l.url + "/b"},
		"more":             {script("", a, b, c, get(l.url+"/d")), replay.CallsDiffer, "", "http GET " + l.url + "/d"},
		"fewer":            {script("", a, b), replay.CallsDiffer, "http GET " + l.url + "/c", ""},
		"a read of state":  {script("", a, `state_get {"key":"k"}`, b, c), replay.CallsDiffer, "http POST " + l.url + "/b", `state "{\"get\":\"k\"}"`},
		"only a log line":  {script("", a, `log {"level":"info","message":"new"}`, b, c), replay.OutputDiffers, "", ""},
		"another end":      {script(`,"fail":{"code":"retry","message":"no"}`, a, b, c), replay.OutcomeDiffers, "", ""},
		"the same":         {script("", a, b, c), replay.Same, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := recorded
			r.Input = tt.input
			r.World.Module = replay.DigestOf(nil) // It was made by other code.
			report := run(t, m, r)
			if got := report.Verdict(); got != tt.verdict {
				t.Fatalf("got %s, %+v; want %s", got, report.Differences, tt.verdict)
			}
			if report.FuelCompared {
				t.Error("fuel of different modules was compared")
			}
			expected, actual := "", ""
			if d := report.Divergence; d != nil && d.Expected != nil {
				expected = d.Expected.String()
			}
			if d := report.Divergence; d != nil && d.Actual != nil {
				actual = d.Actual.String()
			}
			if stopped := actual != ""; stopped != (report.Outcome == replay.Interrupted) || stopped && report.Steps[len(report.Steps)-1].Code != "not_recorded" {
				t.Errorf("it %s, with steps %+v", report.Outcome, report.Steps)
			}
			if expected != tt.expected || actual != tt.actual {
				t.Errorf("got %q and %q, want %q and %q", expected, actual, tt.expected, tt.actual)
			}
		})
	}
}

func TestADivergenceHasBothRequests(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	r := l.record(t, m, "action", script("", post(l.url+"/b", "one")), `{}`)
	r.Input = script("", post(l.url+"/b", "two"))
	d := run(t, m, r).Divergence
	if d == nil || d.Expected == nil || d.Actual == nil {
		t.Fatalf("got %+v, want two calls", d)
	}
	if !strings.Contains(string(d.Expected.Request), `"one"`) || !strings.Contains(string(d.Actual.Request), `"two"`) || d.Expected.Ordinal != 1 {
		t.Errorf("got %+v and %+v", d.Expected, d.Actual)
	}
	if d.Expected.Effect != "unsafe" || d.Expected.Outcome != "done" || d.Expected.Digest == d.Actual.Digest {
		t.Errorf("got %+v and %+v", d.Expected, d.Actual)
	}
}

func TestSuspendedRunsAreReplayedUpToTheirWait(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{"answered later": `{"ms":86400000}`, "checkpoint": `{"ms":5,"checkpoint":{"at":1}}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := prepare(t, runtimetest.Ask("action", "sleep", request))
			r := newLab(t).record(t, m, "action", nil, `{}`)
			if r.Outcome != replay.Suspended {
				t.Fatalf("the recorded run %s", r.Outcome)
			}
			report := wantSame(t, m, r)
			if report.Outcome != replay.Suspended || report.Open == nil || report.Open.Func != "sleep" || !report.FuelCompared {
				t.Errorf("got %s at %+v", report.Outcome, report.Open)
			}
			other := prepare(t, runtimetest.Ask("action", "sleep", `{"ms":7000}`))
			if got := run(t, other, r); got.Verdict() != replay.CallsDiffer {
				t.Errorf("another wait: got %s", got.Verdict())
			}
		})
	}
}

func TestInterruptedRunsAreReplayedUpToWhereTheyWere(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	full := l.record(t, m, "action", script("", get(l.url+"/a"), post(l.url+"/b", "x"), get(l.url+"/c")), `{}`)
	for name, change := range map[string]func(*replay.Recording){
		"before a call": func(r *replay.Recording) { r.Entries = r.Entries[:3] },
		"in a call": func(r *replay.Recording) {
			r.Entries = slices.Clone(r.Entries[:3])
			r.Entries[2].Answer, r.Entries[2].Answered, r.Entries[2].Outcome = nil, time.Time{}, hostfns.Unknown
		},
		"after the last call": func(*replay.Recording) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := full
			r.Outcome, r.Output, r.Left = replay.Interrupted, nil, nil
			change(&r)
			report := wantSame(t, m, r)
			if report.FuelCompared {
				t.Error("the fuel of a run that was interrupted says nothing")
			}
			if stopped := report.Open != nil; stopped != (len(r.Entries) < len(full.Entries)) {
				t.Errorf("got %+v", report.Open)
			}
		})
	}
	other := full
	other.Outcome, other.Entries = replay.Interrupted, full.Entries[:3]
	other.Input = script("", get(l.url+"/a"), get(l.url+"/c"))
	if got := run(t, m, other).Verdict(); got != replay.CallsDiffer {
		t.Errorf("other calls before the interruption: got %s", got)
	}
}

func TestAnswersThatAreToBeAskedForAgainAreReplayed(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	r := l.record(t, m, "action", script(`,"fail":{"code":"retry","message":"no"}`, post(l.url+"/busy", "x")), `{}`)
	r.Entries[1].Again = true // As it is stored while the execution waits for its next run.
	if report := wantSame(t, m, r); report.Error.Code != "retry" {
		t.Errorf("got %+v", report.Error)
	}
}

func TestFuelIsComparedOnlyWhereItMustBeEqual(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	recorded := l.record(t, m, "action", script("", get(l.url+"/a")), `{}`)
	tests := map[string]struct {
		change func(*replay.Recording)
		want   replay.Verdict
	}{
		"other fuel":        {func(r *replay.Recording) { r.Fuel++ }, replay.FuelDiffers},
		"fuel is not known": {func(r *replay.Recording) { r.Fuel = 0 }, replay.Same},
		"of another model":  {func(r *replay.Recording) { r.Fuel++; r.World.Model-- }, replay.Same},
		"of another image":  {func(r *replay.Recording) { r.Fuel++; r.World.Image = replay.DigestOf(nil) }, replay.Same},
		"of another module": {func(r *replay.Recording) { r.Fuel++; r.World.Module = replay.DigestOf(nil) }, replay.Same},
		"other output":      {func(r *replay.Recording) { r.Output = []byte(`[]`) }, replay.OutputDiffers},
		"output as stored":  {func(r *replay.Recording) { r.Output = replay.Kept(r.Output) }, replay.Same},
		"a failure":         {func(r *replay.Recording) { r.Outcome, r.Error = replay.Failed, &replay.Error{Code: "retry"} }, replay.OutcomeDiffers},
		"other records":     {func(r *replay.Recording) { r.Left = &replay.Left{Records: []replay.Record{{Name: "n"}}} }, replay.LeftDiffers},
		"records not known": {func(r *replay.Recording) { r.Left = nil }, replay.Same},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := recorded
			tt.change(&r)
			if report := run(t, m, r); report.Verdict() != tt.want {
				t.Errorf("got %s, %+v; want %s", report.Verdict(), report.Differences, tt.want)
			}
		})
	}
}

func TestOutputThatIsNotJSONIsComparedAsItIsStored(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	r := l.record(t, m, "action", script(`,"raw":"x"`), `{}`)
	r.Output = replay.Kept(r.Output)
	if string(r.Output) != `"/wAB"` {
		t.Fatalf("stored as %s", r.Output)
	}
	wantSame(t, m, r)
}

func TestAnEmbeddersFunctionsAreComputedOrAnswered(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := prepare(t, runtimetest.Ask("action", "double", `21`))
	r := l.record(t, m, "action", nil, `{}`)
	if len(r.Entries) != 1 || string(r.Output) != `{"result":42}` {
		t.Fatalf("recorded %d entries and %s", len(r.Entries), r.Output)
	}
	report, err := replay.Run(t.Context(), m.Module, r, replay.Options{Functions: embedded()})
	if err != nil || !report.Same() {
		t.Errorf("with the function: got %+v, %v", report.Differences, err)
	}
	report, err = replay.Run(t.Context(), m.Module, r, replay.Options{})
	if err != nil || report.Verdict() != replay.CallsDiffer || report.Divergence.Actual.Func != "double" {
		t.Errorf("without it: got %+v, %v", report.Differences, err)
	}
}

func TestRunRefusesWhatIsNoRecording(t *testing.T) {
	t.Parallel()
	m := prepare(t, runtimetest.Echo("run"))
	_, err := replay.Run(t.Context(), m.Module, replay.Recording{Outcome: "well"}, replay.Options{})
	if err == nil || !strings.Contains(err.Error(), `its outcome is "well"`) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := replay.Recording{Outcome: replay.Succeeded, Export: "run", World: journal.World{Module: m.digest}}
	if _, err := replay.Run(ctx, m.Module, r, replay.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r.Export = "gone"
	report, err := replay.Run(t.Context(), m.Module, r, replay.Options{})
	if err != nil || report.Error == nil || report.Error.Code != string(runtime.CodeNoExport) {
		t.Errorf("got %+v, %v", report.Error, err)
	}
}

func TestAModuleStartsAsItDidWhateverItsTenantHas(t *testing.T) {
	t.Parallel()
	r := full()
	r.World.Limits = runtime.Limits{MemoryBytes: 1, Fuel: 1, OutputBytes: 1, KernelBytes: 5, Deadline: 1}
	got, least := replay.Limits(r), runtime.Limits{}.WithDefaults()
	if got.MemoryBytes != least.MemoryBytes || got.Fuel != least.Fuel || got.OutputBytes != least.OutputBytes {
		t.Errorf("got %+v, want not less than %+v", got, least)
	}
	if got.KernelBytes != 5 || got.Deadline < least.Deadline {
		t.Errorf("got %+v, want the kernel's bytes as recorded and a deadline that is of no account", got)
	}
	r.World.Limits.MemoryBytes = 1 << 31
	if got := replay.Limits(r).MemoryBytes; got != 1<<31 {
		t.Errorf("got %d bytes of memory, want what the tenant has", got)
	}
}

func TestTheRunsOwnLimitsHold(t *testing.T) {
	t.Parallel()
	m := prepare(t, runtimetest.Loop("run"))
	r := replay.Recording{Outcome: replay.Failed, Export: "run", Fuel: 12345, World: journal.World{Model: runtime.Model, Module: m.digest}}
	r.World.Limits = runtime.Limits{Fuel: 12345, Deadline: 1}
	if report := wantSame(t, m, r); report.Error.Code != string(runtime.CodeFuelExhausted) || report.Usage.Fuel != 12345 {
		t.Errorf("got %+v after %d units of fuel", report.Error, report.Usage.Fuel)
	}
}

func TestFunctionsAreThoseThatAModuleImports(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	for _, name := range []string{"plan_of", "http", "plan_of"} {
		b.Import(runtimetest.User, name, "I", "I")
	}
	b.Import(runtimetest.Extism, "length", "I", "I")
	b.Func("run", "", "i", "", runtimetest.I32(0))
	got, err := replay.Functions(b.Bytes())
	if want := []string{"http", "plan_of"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := replay.Functions([]byte("text")); err == nil {
		t.Error("text was taken for a module")
	}
}
