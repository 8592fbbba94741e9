package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

var errGivenUp = errors.New("the guest has given up")

// asks is a guest that asks for one thing after the other, and notes the answers.
func asks(answers *[]string, what ...string) guest {
	return func(ask func(string) string) error {
		*answers = nil
		for _, w := range what {
			*answers = append(*answers, ask(w))
		}
		return nil
	}
}

func TestReplayAsksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var first, second []string
	j, gate, err := w.run(t, journal.Config{}, asks(&first, "GET /a", "POST /b", "GET /c"))
	if err != nil {
		t.Fatal(err)
	}
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))
	before := gate.Steps()
	_, gate, err = w.run(t, journal.Config{Mode: journal.Replay}, asks(&second, "GET /a", "POST /b", "GET /c"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("answers (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"GET /a": 1, "POST /b": 1, "GET /c": 1}, w.made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	for i, s := range gate.Steps() {
		if !s.Recorded || before[i].Recorded {
			t.Errorf("step %d is recorded: %t in the first run, %t in the second", s.Ordinal, before[i].Recorded, s.Recorded)
		}
	}
}

func TestReplayHasNoWayOut(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var answers []string
	j, _, _ := w.run(t, journal.Config{}, asks(&answers, "GET /a"))
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))
	_, _, err := w.run(t, journal.Config{Mode: journal.Replay}, asks(&answers, "GET /a", "GET /b"))
	if !errors.Is(err, journal.ErrOffline) || w.made["GET /b"] != 0 {
		t.Errorf("got %v with %v made, want %v", err, w.made, journal.ErrOffline)
	}
}

func TestIntentIsDurableBeforeTheEffect(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var seen []int
	w.seen = func(s *store) { seen = append(seen, len(s.entries)) }
	var answers []string
	if _, _, err := w.run(t, journal.Config{}, asks(&answers, "GET /a", "PUT /b", "POST /c", "GET /d", "POST /e")); err != nil {
		t.Fatal(err)
	}
	// The start and what came before are written with the intent.
	if diff := cmp.Diff([]int{0, 0, 4, 4, 6}, seen); diff != "" {
		t.Errorf("entries in the store when each was done (-want +got):\n%s", diff)
	}
	last := w.store.entries[5]
	if last.Outcome != hostfns.Unknown || !last.Answered.IsZero() || string(last.Request) != `{"do":"POST /e"}` {
		t.Errorf("the last intent is %+v", last)
	}
	if w.store.writes != 2 {
		t.Errorf("%d writes, want one for each POST", w.store.writes)
	}
}

func TestFencedRunMakesNoEffect(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.store.err = errFenced
	var answers []string
	_, _, err := w.run(t, journal.Config{}, asks(&answers, "GET /a", "POST /b"))
	if !errors.Is(err, errFenced) || w.made["POST /b"] != 0 {
		t.Errorf("got %v with %v made, want %v and no POST", err, w.made, errFenced)
	}
}

func TestWhatARunComputesIsNotMatched(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var answers []string
	j, _, _ := w.run(t, journal.Config{}, asks(&answers, "log: one", "POST /a"))
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))
	_, _, err := w.run(t, journal.Config{}, asks(&answers, "log: two", "log: more", "POST /a", "log: last"))
	if err != nil || w.made["POST /a"] != 1 || answers[3] != `{"result":"said"}` {
		t.Errorf("got %v, answers %q, made %v", err, answers, w.made)
	}
}

func TestWhatIsDeniedIsNotAnnounced(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var answers []string
	j, _, err := w.run(t, journal.Config{}, asks(&answers, "granted: POST /a"))
	if err != nil || !strings.Contains(answers[0], `"denied"`) {
		t.Fatalf("got %v, %q, want denied", err, answers)
	}
	if last := j.Entries()[1]; last.Outcome != hostfns.NotDone || w.store.writes != 0 {
		t.Errorf("its outcome is %s, with %d writes, want not_done and none", last.Outcome, w.store.writes)
	}
}

func TestHostErrorLeavesAnOpenEntry(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.answers["POST /a"] = []string{"host"}
	var answers []string
	j, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a"))
	if err == nil {
		t.Fatal("the host's failure did not end the run")
	}
	next := journal.After(j.Entries(), journal.Failure{})
	if !next.Dead || next.Ambiguous == nil || string(next.Ambiguous.Request) != `{"do":"POST /a"}` {
		t.Errorf("got %+v, want an ambiguous effect with its request", next)
	}
}

func TestTheSameVersionMustNotDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var answers []string
	j, _, _ := w.run(t, journal.Config{}, asks(&answers, "GET /a", "POST /b"))
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))
	_, _, err := w.run(t, journal.Config{}, asks(&answers, "GET /z"))
	diverged, ok := errors.AsType[*journal.DivergedError](err)
	if !ok || diverged.Expected.Ordinal != 1 || string(diverged.Request) != `{"do":"GET /z"}` || diverged.Effect.Ordinal != 2 {
		t.Fatalf("got %v, want a divergence at entry 1 with the effect 2 behind it", err)
	}
	if !strings.Contains(err.Error(), "at entry 1 the journal has http") || w.made["GET /z"] != 0 {
		t.Errorf("it says %q, made %v", err, w.made)
	}
}

func TestAnotherVersionMayDifferBeforeAnEffectOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		old, now []string
		diverges bool
		made     int
	}{
		"reads are dropped":         {[]string{"GET /a", "GET /b"}, []string{"GET /a", "GET /new", "GET /b"}, false, 1},
		"an effect stops it":        {[]string{"GET /a", "POST /b"}, []string{"GET /new", "POST /b"}, true, 0},
		"an idempotent one as well": {[]string{"GET /a", "PUT /b"}, []string{"GET /new", "PUT /b"}, true, 0},
		"not behind the effect":     {[]string{"POST /b", "GET /a"}, []string{"POST /b", "GET /new"}, false, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			var answers []string
			j, _, _ := w.run(t, journal.Config{}, asks(&answers, test.old...))
			w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))
			j, _, err := w.run(t, journal.Config{Mode: journal.Redrive}, asks(&answers, test.now...))
			if _, diverged := errors.AsType[*journal.DivergedError](err); diverged != test.diverges || w.made["GET /new"] != test.made {
				t.Fatalf("got %v, made %v", err, w.made)
			}
			if w.made["POST /b"] > 1 || w.made["PUT /b"] > 1 {
				t.Errorf("made %v, want no effect twice", w.made)
			}
			w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))
			if !test.diverges && len(w.store.entries) != len(test.now)+1 {
				t.Errorf("%d entries are kept, want %d", len(w.store.entries), len(test.now)+1)
			}
		})
	}
}

// The clock is what the guest sees: each answer's time.
func TestClockJumpsWhereLiveWorkBegins(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var answers []string
	j, _, _ := w.run(t, journal.Config{}, asks(&answers, "GET /a", "GET /b"))
	first := j.Entries()
	w.finish(t, j, journal.After(first, journal.Failure{}))
	w.now = w.now.Add(time.Hour)
	j, _, err := w.run(t, journal.Config{}, asks(&answers, "GET /a", "GET /b", "GET /c"))
	if err != nil {
		t.Fatal(err)
	}
	second := j.Entries()
	if !second[1].Resumed.IsZero() || !j.Start().Equal(epoch.Add(time.Second)) {
		t.Errorf("the clock has moved before live work: %+v", second[1])
	}
	if jumped := second[2].Resumed; jumped.Sub(second[2].Answered) < time.Hour || !second[3].Asked.After(jumped) {
		t.Errorf("at the end of the replay the clock shows %v, want the present", jumped)
	}
	// A third run sees the same clock as the second.
	w.finish(t, j, journal.After(second, journal.Failure{}))
	j, _, err = w.run(t, journal.Config{Mode: journal.Replay}, asks(&answers, "GET /a", "GET /b", "GET /c"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second, j.Entries()); diff != "" {
		t.Errorf("a replay changed its journal (-want +got):\n%s", diff)
	}
}

func TestNewStartAfterALongTimeIsNotInThePast(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.answers["POST /a"] = []string{"refused", "ok"}
	var answers []string
	j, _, _ := w.run(t, journal.Config{}, asks(&answers, "POST /a at_noon"))
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{Ending: journal.Passing}))
	w.now = w.now.Add(time.Hour)
	j, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a at_one"))
	if err != nil || w.made["POST /a"] != 1 {
		t.Fatalf("got %v, made %v", err, w.made)
	}
	if start := j.Start(); start.Sub(epoch) < time.Hour {
		t.Errorf("its clock starts at %v, an hour ago", start)
	}
}

func TestUnknownEffectIsSentAgainByteForByte(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.answers["POST /a"] = []string{"none", "ok"}
	var answers []string
	j, _, _ := w.run(t, journal.Config{}, asks(&answers, "GET /x", "POST /a same"))
	asked := j.Entries()[2].Asked
	mend := func(journal.Entry) bool { return true }
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{Ending: journal.Passing, Mend: mend}))
	w.now = w.now.Add(time.Hour)
	_, _, err := w.run(t, journal.Config{}, asks(&answers, "GET /x", "POST /a another"))
	if _, ok := errors.AsType[*journal.DivergedError](err); !ok || w.made["POST /a"] != 1 {
		t.Fatalf("another body: got %v, made %v, want a divergence and nothing sent", err, w.made)
	}
	j, _, err = w.run(t, journal.Config{}, asks(&answers, "GET /x", "POST /a same"))
	if err != nil || w.made["POST /a"] != 2 {
		t.Fatalf("the same body: got %v, made %v", err, w.made)
	}
	e := j.Entries()
	if !e[1].Resumed.IsZero() {
		t.Error("the clock moved before it, so that the guest could not make the same")
	}
	if !e[2].Asked.Equal(asked) || e[2].Outcome != hostfns.Done || string(e[2].Request) != `{"do":"POST /a","body":"same"}` {
		t.Errorf("it is %+v, want it done, and first asked at %v", e[2], asked)
	}
}

func TestJournalHasABound(t *testing.T) {
	t.Parallel()
	w := newWorld()
	never := func(context.Context) (json.RawMessage, hostfns.Outcome, error) {
		t.Error("it was asked")
		return nil, hostfns.Unknown, nil
	}
	entries := past(strings.Repeat("r", journal.MaxEntries-1))
	for i := range entries {
		entries[i].Digest = journal.DigestOf(nil)
	}
	tests := map[string]struct {
		entries []journal.Entry
		ask     journal.Question
		want    string
	}{
		"entries": {entries, journal.Question{Func: "http"}, "the journal would have 10001 entries"},
		"bytes": {
			entries[:1],
			journal.Question{Func: "http", Effect: hostfns.Unsafe, Request: make([]byte, journal.MaxBytes)},
			"an execution may have 10000 and 33554432: spread the work",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := journal.New(journal.Config{Entries: slices.Clone(test.entries), Log: w.store, Now: func() time.Time { return epoch }})
			for range test.entries[1:] {
				if _, err := j.Ask(t.Context(), journal.Question{Func: "http"}, never); err != nil {
					t.Fatal(err)
				}
			}
			_, err := j.Ask(t.Context(), test.ask, never)
			if _, full := errors.AsType[*journal.FullError](err); !full || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// POST A ok, GET B 503 that is tolerated, POST C ok, D fails: whatever is retried,
// neither A nor C is made twice.
func TestRetryKeepsWhatIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.answers["GET /b"] = []string{"503"}
	w.answers["POST /d"] = []string{"refused", "refused", "ok"}
	connector := func(ask func(string) string) error {
		ask("POST /a")
		if strings.Contains(ask("GET /b"), "503") {
			ask("log: never mind")
		}
		ask("POST /c")
		if strings.Contains(ask("POST /d"), "error") {
			return errGivenUp
		}
		return nil
	}
	for attempt := 1; ; attempt++ {
		j, _, err := w.run(t, journal.Config{}, connector)
		if err == nil {
			if attempt != 3 {
				t.Errorf("it took %d attempts, want 3", attempt)
			}
			break
		}
		next := journal.After(j.Entries(), journal.Failure{Ending: journal.Raised})
		if next.Dead {
			t.Fatalf("attempt %d: dead: %s", attempt, next.Reason)
		}
		w.finish(t, j, next)
	}
	want := map[string]int{"POST /a": 1, "GET /b": 1, "POST /c": 1, "POST /d": 1}
	if diff := cmp.Diff(want, w.made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
}

// A crash at each point of a run: what is done is not done again, and what may have
// been done is left to a person.
func TestCrashAtEachPoint(t *testing.T) {
	t.Parallel()
	script := []string{"GET /a", "POST /b", "GET /c", "PUT /d", "POST /e", "GET /f"}
	errCrash := errors.New("crash")
	for point := range len(script) + 1 {
		t.Run(fmt.Sprint(point), func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			var answers []string
			// The crash: nothing is flushed at the end.
			_, _, _ = w.run(t, journal.Config{}, func(ask func(string) string) error {
				for _, s := range script[:point] {
					ask(s)
				}
				return errCrash
			})
			if len(w.store.entries) > 0 {
				next := journal.After(w.store.entries, journal.Failure{})
				if next.Dead {
					if next.Ambiguous == nil || w.made["POST /b"] > 1 || w.made["POST /e"] > 1 {
						t.Errorf("dead: %s, made %v, want it ambiguous and each POST once", next.Reason, w.made)
					}
					return
				}
				w.store.entries = next.Entries
			}
			if _, _, err := w.run(t, journal.Config{}, asks(&answers, script...)); err != nil {
				t.Fatal(err)
			}
			if w.made["POST /b"] != 1 || w.made["POST /e"] != 1 {
				t.Errorf("made %v, want each POST once", w.made)
			}
		})
	}
}

func TestEntriesHaveTheirCallsAndTheFuelOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld()
	j := journal.New(journal.Config{Start: epoch, Claim: 1, Log: w.store, Now: w.clock})
	reads := func(ctx context.Context, _ json.RawMessage) (any, error) {
		return j.Read(ctx, []byte(`{"get":"a"}`), func(context.Context) (json.RawMessage, error) { return json.RawMessage(`[]`), nil })
	}
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{
			{Name: "http", Effect: effectOf, Answer: w.answer},
			{Name: "state_get", Effect: hostfns.Always(hostfns.Computed), Answer: reads},
		},
		Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, Now: w.clock,
	})
	for i, name := range []string{"http", "state_get"} {
		if _, err := gate.Call(t.Context(), runtime.Crossing{Func: name, Request: []byte(`{"do":"POST /a"}`), Fuel: int64(100 * (i + 1))}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range j.Entries()[1:] {
		got = append(got, fmt.Sprintf("%s %s %d", e.Func, e.Request, e.Fuel))
	}
	if diff := cmp.Diff([]string{`http {"do":"POST /a"} 100`, `state {"get":"a"} 200`}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// TestALiveAnswerIsToldAsItWillBeAgain: byte for byte, and one that could not be told again
// is not told at all.
func TestALiveAnswerIsToldAsItWillBeAgain(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{"a":1}`, " {\"a\": 1}\n", `null`, ` "<b>"`, `{"a":`, ``} {
		told := func(c journal.Config, layers ...hostfns.Layer) (*journal.Journal, string, error) {
			c.Start, c.Log, c.Now = epoch, &store{}, func() time.Time { return epoch }
			j := journal.New(c)
			gate := hostfns.NewGate(hostfns.GateConfig{
				Funcs:   []hostfns.Func{{Name: "http", Answer: func(context.Context, json.RawMessage) (any, error) { return nil, nil }}},
				Journal: j.Outer, Layers: append([]hostfns.Layer{j.Inner}, layers...), Now: c.Now,
			})
			a, err := gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: []byte(`{}`)})
			return j, string(a.Response), err
		}
		j, live, err := told(journal.Config{}, func(hostfns.Handler) hostfns.Handler {
			return func(context.Context, runtime.Crossing) (json.RawMessage, error) { return json.RawMessage(raw), nil }
		})
		if valid := json.Valid([]byte(raw)); valid != (err == nil) {
			t.Errorf("%q: got %v", raw, err)
		}
		_, again, err2 := told(journal.Config{Entries: j.Entries(), Mode: journal.Replay})
		if live != again || (err == nil) != (err2 == nil) {
			t.Errorf("%q is told as %q and %v, and again as %q and %v", raw, live, err, again, err2)
		}
	}
}
