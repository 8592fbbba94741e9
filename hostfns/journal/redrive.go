package journal

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// Revive is what a run begins with that a person wants after the last has failed for
// good: all up to the last entry that has, or may have, changed something outside, and
// no answer after it, so that these are asked for anew. What it returns shares nothing
// with entries.
func Revive(entries []Entry) []Entry {
	for i := len(entries) - 1; i > 0; i-- {
		if !entries[i].settled() {
			continue
		}
		end := i
		for at := range entries {
			if entries[at].Of == i {
				end = at
			}
		}
		kept := slices.Clone(entries[:end+1])
		if kept[end].GoesOn {
			kept[end] = kept[end].begun()
		}
		return kept
	}
	return slices.Clone(entries[:min(1, len(entries))])
}

// Stale is the ordinal of the first read of state that has seen a key. Where none has,
// it is that of the first question.
func Stale(entries []Entry, key string) int {
	for i := range entries {
		if e := &entries[i]; e.Func == StateFunc && state.Saw(e.Request, e.Answer, key) {
			return e.Ordinal
		}
	}
	return 1
}

// Settle is what a run begins with once somebody has found out what became of the
// last entry, of which nobody knew. If it has happened, answer is its result, in the
// form that its Func gives it; if not, it is made again. What it returns shares
// nothing with entries.
func Settle(entries []Entry, answer json.RawMessage, happened bool, now time.Time, claim int64) []Entry {
	entries = slices.Clone(entries)
	if len(entries) <= 1 {
		return entries // There is nothing but the start.
	}
	e := &entries[len(entries)-1]
	e.Confirm, e.Again, e.Resumed = false, !happened, time.Time{}
	if !happened {
		e.Outcome = hostfns.NotDone
		return entries
	}
	if !json.Valid(answer) {
		answer = json.RawMessage("{}") // A guest is told so that the answer is not known.
	}
	e.Outcome, e.Answered, e.Claim = hostfns.Done, now, claim
	e.Answer = slices.Concat([]byte(`{"result":`), answer, []byte("}"))
	return entries
}
