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

func TestRevive(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]int{
		"": 0, "rr": 0, "rs": 0, "p": 1, "pr": 1, "rpr": 2, "rprur": 4, "rp!r": 0, "pp!r": 1, "rp.": 2, "p?r": 1, "u.": 1,
	} {
		before := past(given)
		got := journal.Revive(before)
		if diff := cmp.Diff(past(given)[:want+1], got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", given, diff)
		}
		got[0].Func = "another"
		if before[0].Func == "another" {
			t.Errorf("%q: it shares what was given", given)
		}
	}
	if got := journal.Revive(nil); len(got) != 0 {
		t.Errorf("of nothing: %d entries", len(got))
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	entries := past("rssps")
	for i, read := range map[int][2]string{
		2: {`{"prefix":"o","limit":32}`, `[{"key":"orders/1","value":1,"version":3},{"key":"orders/2","value":1,"version":3}]`},
		3: {`{"get":"cursor"}`, `[{"key":"cursor","version":0}]`},
		5: {`{"get":"orders/1"}`, `[{"key":"orders/1","value":2,"version":4}]`},
	} {
		entries[i].Request, entries[i].Answer = []byte(read[0]), json.RawMessage(read[1])
	}
	entries[1].Request, entries[1].Answer = []byte(`{"get":"cursor"}`), json.RawMessage(`[]`) // It is no read of state.
	for key, want := range map[string]int{"orders/1": 2, "orders/2": 2, "cursor": 3, "orders/9": 1, "": 1} {
		if got := journal.Stale(entries, key); got != want {
			t.Errorf("%q: got entry %d, want %d", key, got, want)
		}
	}
}

func TestUnclearEffectIsConfirmedIfThePluginCan(t *testing.T) {
	t.Parallel()
	mend := func(journal.Entry) bool { return true }
	tests := map[string]struct {
		past    string
		f       journal.Failure
		confirm bool
	}{
		"no answer":                     {"rp.", journal.Failure{Confirm: true}, true},
		"an answer that does not say":   {"rp?", journal.Failure{Confirm: true, Ending: journal.Passing}, true},
		"one that the guest tolerated":  {"rp?", journal.Failure{Confirm: true}, false},
		"an idempotent one":             {"ru.", journal.Failure{Confirm: true}, false},
		"one with a key":                {"rp.", journal.Failure{Confirm: true, Mend: mend}, false},
		"one that was not done":         {"rp!", journal.Failure{Confirm: true, Ending: journal.Raised}, false},
		"a trap after it, which is end": {"rp?", journal.Failure{Confirm: true, Ending: journal.Hopeless}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := journal.After(past(test.past), test.f)
			kept := len(next.Entries) > 0 && next.Entries[len(next.Entries)-1].Confirm
			if next.Confirm != test.confirm || kept != test.confirm || test.confirm && (next.Dead || next.Ambiguous != nil) {
				t.Errorf("got %+v, want it to be confirmed: %t", next, test.confirm)
			}
		})
	}
}

func TestDoubtStaysUntilItIsSettled(t *testing.T) {
	t.Parallel()
	doubt := journal.After(past("rp?"), journal.Failure{Confirm: true, Ending: journal.Passing}).Entries
	if next := journal.After(doubt, journal.Failure{Confirm: true}); !next.Confirm || !next.Entries[2].Confirm {
		t.Errorf("after a crash: %+v, want it to be confirmed still", next)
	}
	if next := journal.After(doubt, journal.Failure{}); !next.Dead || next.Ambiguous == nil {
		t.Errorf("with a plugin that cannot confirm: %+v, want it ambiguous", next)
	}
	next := journal.After(doubt, journal.Failure{Mend: func(journal.Entry) bool { return true }})
	if last := next.Entries[2]; !last.Again || last.Confirm || next.Confirm {
		t.Errorf("with a key: %+v, want it made again", next)
	}
}

func TestNothingIsMadeAgainThatNobodyDecided(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*journal.Entry){
		"an effect without an answer":     func(*journal.Entry) {},
		"one that has to be confirmed":    func(e *journal.Entry) { e.Confirm = true },
		"one that was answered, the same": func(e *journal.Entry) { e.Confirm, e.Answered, e.Answer = true, epoch, json.RawMessage(`{"result":1}`) },
		"whatever else it is":             func(e *journal.Entry) { e.Confirm, e.Again = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.answers["POST /a"] = []string{"host"}
			var answers []string
			j, _, _ := w.run(t, journal.Config{}, asks(&answers, "POST /a"))
			entries := j.Entries()
			change(&entries[1])
			_, _, err := w.run(t, journal.Config{Entries: entries}, asks(&answers, "POST /a"))
			if !errors.Is(err, journal.ErrUndecided) || w.made["POST /a"] != 1 {
				t.Errorf("got %v, made %v, want %v", err, w.made, journal.ErrUndecided)
			}
		})
	}
}

func TestLostAnswerLeavesDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.answers["POST /a"] = []string{"lost"}
	var answers []string
	j, _, _ := w.run(t, journal.Config{}, asks(&answers, "POST /a"))
	if next := journal.After(j.Entries(), journal.Failure{}); !next.Dead || next.Ambiguous == nil {
		t.Errorf("got %+v, want it ambiguous", next)
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	unclear := func(t *testing.T) (*world, []journal.Entry) {
		t.Helper()
		w := newWorld()
		w.answers["POST /b"] = []string{"none", "ok"}
		var answers []string
		j, _, _ := w.run(t, journal.Config{}, asks(&answers, "POST /a", "POST /b same"))
		next := journal.After(j.Entries(), journal.Failure{Ending: journal.Passing, Confirm: true})
		if !next.Confirm {
			t.Fatalf("got %+v", next)
		}
		return w, next.Entries
	}
	t.Run("it has happened", func(t *testing.T) {
		t.Parallel()
		w, entries := unclear(t)
		w.now = w.now.Add(time.Hour)
		found := w.now
		settled := journal.Settle(entries, json.RawMessage(`{"status":201}`), true, w.now, 9)
		if !entries[2].Confirm {
			t.Error("what was given has changed")
		}
		var answers []string
		j, _, err := w.run(t, journal.Config{Entries: settled}, asks(&answers, "POST /a", "POST /b same", "GET /c"))
		if err != nil || answers[1] != `{"result":{"status":201}}` || w.made["POST /b"] != 1 {
			t.Fatalf("got %v, %q, made %v", err, answers, w.made)
		}
		if e := j.Entries()[2]; e.Outcome != hostfns.Done || e.Claim != 9 || e.Confirm || e.Again || !e.Answered.Equal(found) {
			t.Errorf("its entry is %+v", e)
		}
	})
	t.Run("it has not", func(t *testing.T) {
		t.Parallel()
		w, entries := unclear(t)
		var answers []string
		_, _, err := w.run(t, journal.Config{Entries: journal.Settle(entries, nil, false, w.now, 9)}, asks(&answers, "POST /a", "POST /b anew"))
		if err != nil || answers[1] != `{"result":{"answer":"ok"}}` || w.made["POST /b"] != 2 || w.made["POST /a"] != 1 {
			t.Errorf("got %v, %q, made %v, want it made again, of something new", err, answers, w.made)
		}
	})
	t.Run("with an answer that is none", func(t *testing.T) {
		t.Parallel()
		w, entries := unclear(t)
		var answers []string
		_, _, err := w.run(t, journal.Config{Entries: journal.Settle(entries, []byte(`{"sta`), true, w.now, 9)}, asks(&answers, "POST /a", "POST /b same"))
		if err != nil || answers[1] != `{"result":{}}` {
			t.Errorf("got %v, %q", err, answers)
		}
	})
	t.Run("of nothing", func(t *testing.T) {
		t.Parallel()
		for _, entries := range [][]journal.Entry{nil, past("")} {
			if diff := cmp.Diff(entries, journal.Settle(entries, nil, true, epoch, 1)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		}
	})
}
