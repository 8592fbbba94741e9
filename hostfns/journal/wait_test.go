package journal_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

func TestWaitGoesOnAtItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld()
	until := epoch.Add(time.Hour)
	w.waits = &hostfns.Suspended{Reason: "sleep", Until: until, Answer: json.RawMessage(`{"result":"awake"}`)}
	var answers []string
	script := asks(&answers, "POST /a", "wait: x", "POST /b")
	j, _, err := w.run(t, journal.Config{}, script)
	if _, ok := errors.AsType[*hostfns.Suspended](err); !ok || w.made["POST /b"] != 0 {
		t.Fatalf("got %v, made %v, want it suspended", err, w.made)
	}
	e := j.Entries()[2]
	if e.Outcome != hostfns.Done || !e.Answered.Equal(until) || string(e.Answer) != `{"result":"awake"}` {
		t.Errorf("its entry is %+v, want it answered at %v", e, until)
	}
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))

	t.Log("too early: it waits on, and changes nothing")
	j, _, err = w.run(t, journal.Config{}, script)
	waits, ok := errors.AsType[*hostfns.Suspended](err)
	if !ok || !waits.Until.Equal(until) || waits.Reason != "wait" || w.made["POST /b"] != 0 || len(j.Pending()) != 0 {
		t.Fatalf("got %v, made %v, %d pending, want it suspended again", err, w.made, len(j.Pending()))
	}

	t.Log("replayed: the wait is over, whatever the time")
	_, _, err = w.run(t, journal.Config{Mode: journal.Replay}, asks(&answers, "POST /a", "wait: x"))
	if err != nil || answers[1] != `{"result":"awake"}` {
		t.Fatalf("got %v, %q", err, answers)
	}

	t.Log("in time: it goes on, and its clock shows the present")
	w.now = until.Add(time.Minute)
	j, _, err = w.run(t, journal.Config{}, script)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"POST /a": 1, "POST /b": 1}, w.made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	if e := j.Entries()[2]; !e.Answered.Equal(until) || !e.Resumed.After(until) {
		t.Errorf("the clock shows %v after it, resumed at %v", e.Answered, e.Resumed)
	}
}

func TestWaitWithoutAnAnswerIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, waits := range map[string]hostfns.Suspended{
		"until somebody says so":  {Reason: "approval"},
		"with a checkpoint":       {Reason: "sleep", Until: epoch, Checkpoint: json.RawMessage(`1`), Answer: json.RawMessage(`{}`)},
		"with an answer, no time": {Reason: "approval", Answer: json.RawMessage(`{}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.waits = &waits
			var answers []string
			for range 2 {
				j, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a", "wait: x"))
				if _, ok := errors.AsType[*hostfns.Suspended](err); !ok {
					t.Fatalf("got %v, want it suspended", err)
				}
				if e := j.Entries()[2]; e.Outcome != hostfns.NotDone || !e.Answered.IsZero() {
					t.Errorf("its entry is %+v, want it open", e)
				}
				next := journal.After(j.Entries(), journal.Failure{})
				if next.Dead {
					t.Fatal(next.Reason)
				}
				w.finish(t, j, next)
			}
			if w.made["POST /a"] != 1 {
				t.Errorf("made %v", w.made)
			}
		})
	}
}

// What may be made again, though nobody knows whether it was made, may be so still after it
// had to wait for its turn.
func TestWhatWaitsForItsTurnStaysDecided(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.mark = keyed("charge")
	w.answers["POST /a"] = []string{"none", "held", "held", "ok"}
	var answers []string
	script := asks(&answers, "POST /a")
	j, _, err := w.run(t, journal.Config{}, script)
	if err != nil {
		t.Fatal(err)
	}
	mend := journal.Failure{Mend: func(e journal.Entry) bool { return e.Recognised(w.mark, w.now) }, Ending: journal.Passing}
	w.finish(t, j, journal.After(j.Entries(), mend))
	for range 2 {
		j, _, err = w.run(t, journal.Config{}, script)
		if s, ok := errors.AsType[*hostfns.Suspended](err); !ok || s.For != "con_1" {
			t.Fatalf("got %v, want it to wait", err)
		}
		if e := j.Entries()[1]; !e.Again || e.Outcome != hostfns.Unknown {
			t.Fatalf("its entry is %+v, want one that may be made again", e)
		}
		w.finish(t, j, journal.Next{Entries: j.Entries()}) // As what waits is kept.
	}
	if _, _, err = w.run(t, journal.Config{}, script); err != nil {
		t.Fatal(err)
	}
	if w.made["POST /a"] != 2 || len(w.keys) != 2 || w.keys[0] != w.keys[1] {
		t.Errorf("it was sent %d times, with the keys %q, want twice with one", w.made["POST /a"], w.keys)
	}
}
