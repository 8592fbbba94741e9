package journal_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

func keyed(name string) hostfns.Mark {
	return hostfns.Mark{Keyed: true, Name: name, TTL: 24 * time.Hour, Account: "con_1"}
}

func TestKeysAreMadeOfWhatIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.mark = keyed("")
	w.seen = func(s *store) {
		if n := len(s.entries); n > 0 && s.entries[n-1].Key == "" {
			t.Error("the intent has no key")
		}
	}
	var answers []string
	script := []string{"POST /a", "POST /b", "POST /a", "POST /a x"}
	j, _, err := w.run(t, journal.Config{}, asks(&answers, script...))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"exe_1/h-posta-1", "exe_1/h-postb-1", "exe_1/h-posta-2", "exe_1/h-posta-3"}
	if diff := cmp.Diff(want, w.keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for i, e := range j.Entries()[1:] {
		if e.Key != want[i] || e.Account != "con_1" {
			t.Errorf("entry %d has the key %q and the account %q", e.Ordinal, e.Key, e.Account)
		}
	}

	t.Log("from the start again, each request has the key that it had")
	used := journal.UsedKeys(j.Entries(), nil)
	again := newWorld()
	again.mark = w.mark
	if _, _, err := again.run(t, journal.Config{Keys: used}, asks(&answers, "POST /b", "POST /a", "POST /a")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{want[1], want[0], want[2]}, again.keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// What is not part of the key, such as a header with the time, may differ when an
// execution is made from its start again.
func TestDerivedKeyIsThatOfTheSameRequest(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.mark = keyed("")
	var answers []string
	used := []journal.UsedKey{{Key: "exe_1/h-posta-1", Digest: journal.DigestOf([]byte("at noon"))}}
	_, _, err := w.run(t, journal.Config{Keys: used}, asks(&answers, "POST /a at_one"))
	if err != nil || len(w.keys) != 1 || w.keys[0] != used[0].Key {
		t.Errorf("got %v, %q, sent %q", err, answers, w.keys)
	}
}

func TestReplayedEntriesKeepTheirKeys(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.mark = keyed("")
	w.answers["POST /b"] = []string{"none", "ok"}
	var answers []string
	script := asks(&answers, "POST /a", "POST /b")
	j, _, _ := w.run(t, journal.Config{}, script)
	recognised := func(e journal.Entry) bool { return e.Recognised(w.mark, w.now) }
	w.finish(t, j, journal.After(j.Entries(), journal.Failure{Ending: journal.Passing, Mend: recognised}))
	if _, _, err := w.run(t, journal.Config{}, script); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"exe_1/h-posta-1", "exe_1/h-postb-1", "exe_1/h-postb-1"}, w.keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestKeyOfAnotherRequestIsNeverSent(t *testing.T) {
	t.Parallel()
	const refused = `this execution has used the idempotency key \"charge\" with another request`
	tests := map[string]struct {
		first, second string
		answer        string
		keys          []journal.UsedKey
		want          string
	}{
		"another body":                      {first: "POST /a 1", second: "POST /a 2", want: refused},
		"another that nobody knows of":      {first: "POST /a 1", second: "POST /a 2", answer: "none", want: refused},
		"the same":                          {first: "POST /a 1", second: "POST /a 1"},
		"another, of what was not accepted": {first: "POST /a 1", second: "POST /a 2", answer: "429"},
		"of an entry that was dropped": {
			first: "GET /x", second: "POST /a 2", keys: []journal.UsedKey{{Key: "exe_1/charge"}}, want: refused,
		},
		"of another name": {first: "GET /x", second: "POST /a 2", keys: []journal.UsedKey{{Key: "exe_1/refund"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.mark = keyed("charge")
			if test.answer != "" {
				w.answers["POST /a"] = []string{test.answer, "ok"}
			}
			var answers []string
			j, _, err := w.run(t, journal.Config{Keys: test.keys}, asks(&answers, test.first, test.second))
			if err != nil {
				t.Fatal(err)
			}
			last := j.Entries()[2]
			if test.want == "" {
				if last.Key != "exe_1/charge" || last.Outcome != hostfns.Done {
					t.Errorf("got %q, %+v", answers[1], last)
				}
				return
			}
			if !strings.Contains(answers[1], test.want) || !strings.Contains(answers[1], `"invalid_request"`) {
				t.Errorf("got %s, want %s", answers[1], test.want)
			}
			if last.Outcome != hostfns.NotDone || last.Key != "" {
				t.Errorf("its entry is %+v, want it not done and without a key", last)
			}
		})
	}
}

// Between the decision to send again and the sending a key can become too old.
func TestForgottenKeyIsNotSentAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*world)
		sent   bool
	}{
		"in time":               {func(w *world) { w.now = w.now.Add(23 * time.Hour) }, true},
		"just before its end":   {func(w *world) { w.now = w.now.Add(24*time.Hour - 30*time.Second) }, false},
		"too late":              {func(w *world) { w.now = w.now.Add(25 * time.Hour) }, false},
		"another account":       {func(w *world) { w.mark.Account = "con_2" }, false},
		"not declared any more": {func(w *world) { w.mark = hostfns.Mark{Account: "con_1"} }, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.mark = keyed("charge")
			w.answers["POST /a"] = []string{"none", "ok"}
			var answers []string
			j, _, _ := w.run(t, journal.Config{}, asks(&answers, "POST /a"))
			failure := journal.Failure{Mend: func(e journal.Entry) bool { return e.Recognised(w.mark, w.now) }}
			failure.Ending = journal.Passing
			w.finish(t, j, journal.After(j.Entries(), failure))
			test.change(w)
			j, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a"))
			if test.sent {
				if err != nil || w.made["POST /a"] != 2 {
					t.Errorf("got %v, made %v, want it sent", err, w.made)
				}
				return
			}
			if !errors.Is(err, journal.ErrForgotten) || w.made["POST /a"] != 1 {
				t.Fatalf("got %v, made %v, want %v and nothing sent", err, w.made, journal.ErrForgotten)
			}
			failure.Ending = journal.Interrupted
			next := journal.After(j.Entries(), failure)
			if !next.Dead || next.Ambiguous == nil || next.Ambiguous.Key != "exe_1/charge" || next.Ambiguous.Account != "con_1" {
				t.Errorf("after that: %+v, want it ambiguous, with its key", next)
			}
		})
	}
}

// An answer that says "not now" to what is sent again does not say that the first
// time was for nothing.
func TestRefusalOfASecondTryLeavesTheFirstInDoubt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.mark = keyed("charge")
	w.answers["POST /a"] = []string{"none", "429", "ok"}
	var answers []string
	mend := journal.Failure{Ending: journal.Passing, Mend: func(e journal.Entry) bool { return e.Recognised(w.mark, w.now) }}
	for range 2 {
		j, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a same"))
		if err != nil {
			t.Fatal(err)
		}
		if got := j.Entries()[1]; got.Outcome != hostfns.Unknown {
			t.Fatalf("after %s it is %s, want unknown", got.Answer, got.Outcome)
		}
		w.finish(t, j, journal.After(j.Entries(), mend))
	}
	if _, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a another")); err == nil {
		t.Error("another request was made in its place")
	}
	if _, _, err := w.run(t, journal.Config{}, asks(&answers, "POST /a same")); err != nil || w.made["POST /a"] != 3 {
		t.Errorf("got %v, made %v", err, w.made)
	}
}

func TestUsedKeysAreThoseThatMayBeKnown(t *testing.T) {
	t.Parallel()
	entries := past("pp!p?rp.p")
	for i := range entries {
		entries[i].Key = "k" + string(rune('0'+i))
		entries[i].Digest = journal.DigestOf([]byte{byte(i)})
	}
	entries[6].Key = ""
	used := func(i int) journal.UsedKey {
		return journal.UsedKey{Key: entries[i].Key, Digest: entries[i].Digest, Asked: epoch}
	}
	older := journal.UsedKey{Key: "k1", Digest: journal.DigestOf([]byte("older")), Asked: epoch.Add(-time.Hour)}
	before := []journal.UsedKey{older}
	got := journal.UsedKeys(entries, before)
	anew := older
	anew.Asked = epoch // An entry is as old as its key, unless that was forgotten meanwhile.
	if diff := cmp.Diff([]journal.UsedKey{anew, used(3), used(5)}, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if len(before) != 1 || !before[0].Asked.Equal(older.Asked) {
		t.Error("what was given has changed")
	}
	many := slices.Repeat([]journal.UsedKey{{Key: "old"}}, 2000)
	if got := journal.UsedKeys(entries, many); len(got) != 1000 || got[999].Key != "k5" {
		t.Errorf("got %d keys, the last of them %q, want the newest 1000", len(got), got[len(got)-1].Key)
	}
}

// From the start again, a key is as old as its first use: what the other side has
// forgotten, or never knew on another account, is not made a second time by it.
func TestKeyOfADroppedEntryIsSentWhileItIsKnown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		age     time.Duration
		account string
		forced  bool
		sent    bool
	}{
		"in time":                      {age: 23 * time.Hour, account: "con_1", sent: true},
		"too late":                     {age: 25 * time.Hour, account: "con_1"},
		"another account":              {account: "con_2"},
		"too late, and forced":         {age: 25 * time.Hour, account: "con_1", forced: true, sent: true},
		"in time, which forced counts": {age: 23 * time.Hour, account: "con_1", forced: true, sent: true},
	}
	for name, test := range tests {
		for _, key := range []string{"", "charge"} {
			t.Run(name+" "+key, func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				w.mark = keyed(key)
				var answers []string
				script := asks(&answers, "GET /x", "POST /a")
				first, _, err := w.run(t, journal.Config{}, script)
				if err != nil {
					t.Fatal(err)
				}
				asked := first.Entries()[2].Asked
				used := journal.UsedKeys(first.Entries(), nil)
				w.store, w.mark.Account = &store{}, test.account
				w.now = w.now.Add(test.age)
				began := w.now
				j, _, err := w.run(t, journal.Config{Keys: used, Forced: test.forced}, script)
				last := j.Entries()[2]
				if !test.sent {
					if !errors.Is(err, journal.ErrForgotten) || w.made["POST /a"] != 1 {
						t.Fatalf("got %v, made %v, want %v and nothing sent", err, w.made, journal.ErrForgotten)
					}
					if last.Outcome != hostfns.Unknown || last.Key != used[0].Key || !last.Answered.IsZero() {
						t.Errorf("its entry is %+v, want it to be decided about", last)
					}
					last.Again, last.Key = true, "" // As a person decides.
					decided := append(j.Entries()[:2], last)
					if _, _, err := w.run(t, journal.Config{Entries: decided, Keys: used}, script); err != nil || w.made["POST /a"] != 2 {
						t.Errorf("once decided: got %v, made %v, want it sent", err, w.made)
					}
					return
				}
				if err != nil || w.made["POST /a"] != 2 {
					t.Fatalf("got %v, made %v, want it sent", err, w.made)
				}
				if known := test.age < 24*time.Hour; last.Asked.Equal(asked) != known || last.Asked.Before(began) != known {
					t.Errorf("its key lives from %v on, and was used at %v first", last.Asked, asked)
				}
				if again := journal.UsedKeys(j.Entries(), used); len(again) != 1 || !again[0].Asked.Equal(last.Asked) {
					t.Errorf("the keys are %+v after it, want one of %v", again, last.Asked)
				}
			})
		}
	}
}
