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

// "When a call returns the clock moves to the recorded time of its answer": on a
// machine whose clock is behind, that is in the future, and nothing to wait for.
func TestAClockThatWentBackDelaysNoAnswerButAWait(t *testing.T) {
	t.Parallel()
	w := newWorld()
	until := epoch.Add(time.Hour)
	w.waits = &hostfns.Suspended{Reason: "sleep", Until: until, Answer: json.RawMessage(`{"result":"awake"}`)}
	var answers []string
	script := asks(&answers, "GET /a", "POST /b", "wait: x", "POST /c")
	j, _, _ := w.run(t, journal.Config{}, script)
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{}))

	w.now = epoch.Add(-24 * time.Hour)
	j, gate, err := w.run(t, journal.Config{}, script)
	waits, ok := errors.AsType[*hostfns.Suspended](err)
	if !ok || !waits.Until.Equal(until) {
		t.Fatalf("got %v, want it to wait until %v", err, until)
	}
	steps := gate.Steps()
	if len(steps) != 3 || !steps[0].Recorded || !steps[1].Recorded {
		t.Errorf("the steps are %+v, want both answers at once", steps)
	}
	if len(j.Pending()) != 0 || !j.Start().Equal(epoch.Add(time.Second)) {
		t.Errorf("the clock that went back has changed %+v, and shows %v first", j.Pending(), j.Start())
	}
	w.now = until
	if _, _, err = w.run(t, journal.Config{}, script); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"GET /a": 1, "POST /b": 1, "POST /c": 1}, w.made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
}

// "The journal decides first: a replayed call is neither authorised again nor counted
// again", whether the guest may make it still or not.
func TestARecordedAnswerNeedsNoGrant(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var answers []string
	j, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a"))
	if err != nil {
		t.Fatal(err)
	}
	entries := j.Entries()
	entries[1].Func = "granted" // It was, when it was asked.
	if _, _, err := w.run(t, journal.Config{Entries: entries}, asks(&answers, "granted: POST /a", "granted: POST /b")); err != nil {
		t.Fatal(err)
	}
	if answers[0] != `{"result":{"answer":"ok"}}` || w.made["POST /b"] != 0 {
		t.Errorf("got %q, made %v: want the first answered, and the second denied", answers, w.made)
	}
}

// "Starts a fresh journal from a checkpoint": with names of its own for all that the
// guest makes of randomness, and no blame for what was before.
func TestACheckpointBeginsAWorldOfItsOwn(t *testing.T) {
	t.Parallel()
	w := journal.World{
		Model: 3, Module: "sha256:aa", Seed: journal.Seed{1, 2}, Start: epoch, Attempt: 4, Restarts: 3, Generation: 7, Forced: true, Redriven: true,
		Keys: []journal.UsedKey{{Key: "k"}}, Checkpoint: json.RawMessage(`1`), Config: json.RawMessage(`{}`),
	}
	next := w.Next(json.RawMessage(`2`))
	want := w
	want.Checkpoint, want.Generation, want.Restarts, want.Forced, want.Keys = json.RawMessage(`2`), 8, 0, false, nil
	want.Seed = next.Seed
	if diff := cmp.Diff(want, next); diff != "" {
		t.Errorf("world (-want +got):\n%s", diff)
	}
	after := next.Next(nil)
	if next.Seed == w.Seed || after.Seed == next.Seed || after.Seed == w.Seed {
		t.Error("a seed comes again")
	}
	if again := w.Next(json.RawMessage(`3`)); again.Seed != next.Seed {
		t.Error("the same checkpoint has another seed")
	}
}

// What a later segment takes the place of is not looked at: an execution whose journal
// cannot be read any more can begin anew.
func TestASegmentThatReplacesAllMakesTheRestReadable(t *testing.T) {
	t.Parallel()
	entries := past("rp")
	broken := journal.Segment{Seq: 1, Data: []byte{9, 9}}
	got, err := journal.Join([]journal.Segment{broken, segment(t, 2, 0, entries[:2]), segment(t, 3, 2, entries[2:])})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// An intent whose write may or may not have arrived has no effect behind it.
func TestAnIntentThatWasNotConfirmedIsNotDone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.store.err = errors.New("no answer")
	var answers []string
	j, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a"))
	if err == nil || w.made["POST /a"] != 0 {
		t.Fatalf("got %v, made %v", err, w.made)
	}
	if e := j.Entries()[1]; e.Outcome != hostfns.NotDone {
		t.Errorf("it is %s, want not_done", e.Outcome)
	}
	next := journal.After(j.Entries(), journal.Failure{})
	if next.Dead {
		t.Fatal(next.Reason)
	}
	w.store.err = nil
	w.finish(t, j, next)
	if _, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a")); err != nil || w.made["POST /a"] != 1 {
		t.Errorf("got %v, made %v, want it made", err, w.made)
	}
}
