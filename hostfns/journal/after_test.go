package journal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// past makes entries of letters: r is a read that was answered, s one of state, z a sleep, u an
// idempotent effect, p one that must not be made twice; a ! behind it says that it
// was not done, a ? that an answer came which does not say whether it was, and a
// dot that none came.
func past(letters string) []journal.Entry {
	entries := []journal.Entry{{Func: "start", Effect: hostfns.Read, Outcome: hostfns.Done, Asked: epoch, Answered: epoch}}
	for _, l := range letters {
		last := &entries[len(entries)-1]
		switch l {
		case '!':
			last.Outcome = hostfns.NotDone
		case '?':
			last.Outcome = hostfns.Unknown
		case '.':
			last.Outcome, last.Answered, last.Answer = hostfns.Unknown, time.Time{}, nil
		default:
			e := journal.Entry{
				Ordinal: len(entries), Func: "http", Effect: hostfns.Read, Outcome: hostfns.Done,
				Asked: epoch, Answered: epoch, Answer: []byte(`{"result":{}}`),
			}
			switch l {
			case 's':
				e.Func = journal.StateFunc
			case 'z':
				e.Func = hostfns.SleepFunc
			case 'u':
				e.Effect = hostfns.Idempotent
			case 'p':
				e.Effect = hostfns.Unsafe
			}
			entries = append(entries, e)
		}
	}
	return entries
}

// outlook is a Next in short.
type outlook struct {
	Keep     int // Without the start.
	Again    bool
	Restarts bool
	Dead     string // A part of the reason.
	Unclear  int
}

func TestAfter(t *testing.T) {
	t.Parallel()
	const unclear, twice, same = "nobody knows", "would be done twice", "the same would happen again"
	mend := func(journal.Entry) bool { return true }
	tests := map[string]struct {
		past string
		f    journal.Failure
		want outlook
	}{
		"a crash resumes with all there is":                                {"rpr", journal.Failure{}, outlook{Keep: 3}},
		"a crash before anything":                                          {"", journal.Failure{}, outlook{}},
		"a crash after a refusal":                                          {"rp!", journal.Failure{}, outlook{Keep: 2}},
		"a crash in a read":                                                {"pr.", journal.Failure{}, outlook{Keep: 2}},
		"a crash in an idempotent effect":                                  {"ru.", journal.Failure{}, outlook{Keep: 2, Again: true}},
		"a crash in an effect":                                             {"rp.", journal.Failure{}, outlook{Dead: unclear, Unclear: 2}},
		"a crash in an effect that has a key":                              {"rp.", journal.Failure{Mend: mend}, outlook{Keep: 2, Again: true}},
		"a crash after a 500 that the guest tolerated":                     {"rp?", journal.Failure{}, outlook{Keep: 2}},
		"an error after a request that was not accepted":                   {"prp!", journal.Failure{Ending: journal.Raised}, outlook{Keep: 3, Again: true}},
		"a passing one after the same":                                     {"prp!", journal.Failure{Ending: journal.Passing}, outlook{Keep: 3, Again: true}},
		"an error after a 500 to an effect":                                {"rp?", journal.Failure{Ending: journal.Passing}, outlook{Dead: unclear, Unclear: 2}},
		"the same with a key":                                              {"rp?", journal.Failure{Ending: journal.Passing, Mend: mend}, outlook{Keep: 2, Again: true}},
		"a passing error asks again for the last answer":                   {"rpr", journal.Failure{Ending: journal.Passing}, outlook{Keep: 2}},
		"state does not count as an answer":                                {"rprss", journal.Failure{Ending: journal.Passing}, outlook{Keep: 2}},
		"a passing error of state alone":                                   {"ss", journal.Failure{Ending: journal.Passing}, outlook{}},
		"a passing error right after an effect":                            {"rps", journal.Failure{Ending: journal.Passing}, outlook{Dead: twice}},
		"a passing error after a wait asks again for the answer before it": {"rprz", journal.Failure{Ending: journal.Passing}, outlook{Keep: 2}},
		"a passing error after a wait behind an effect waits on":           {"rpsz", journal.Failure{Ending: journal.Passing}, outlook{Keep: 3}},
		"a passing error after waits alone":                                {"szs", journal.Failure{Ending: journal.Passing}, outlook{}},
		"a passing error right after an idempotent effect makes it again":  {"rpus", journal.Failure{Ending: journal.Passing}, outlook{Keep: 3, Again: true}},
		"neither state nor a wait hides a refusal":                         {"pp!zs", journal.Failure{Ending: journal.Raised}, outlook{Keep: 2, Again: true}},
		"nor an effect of which nobody knows":                              {"pp?sz", journal.Failure{Ending: journal.Passing}, outlook{Dead: unclear, Unclear: 2}},
		"which is made again by its key":                                   {"pp?s", journal.Failure{Ending: journal.Raised, Mend: mend}, outlook{Keep: 2, Again: true}},
		"a crash keeps what came after such a one":                         {"pp?sz", journal.Failure{}, outlook{Keep: 4}},
		"a conflict reads again":                                           {"rsrr", journal.Failure{Ending: journal.Conflicted, Stale: 2}, outlook{Keep: 1}},
		"a conflict before an effect":                                      {"rsp", journal.Failure{Ending: journal.Conflicted, Stale: 2}, outlook{Dead: twice}},
		"a conflict before an effect not done":                             {"rsp!r", journal.Failure{Ending: journal.Conflicted, Stale: 2}, outlook{Keep: 1}},
		"any other error without effects":                                  {"rrs", journal.Failure{Ending: journal.Raised}, outlook{Restarts: true}},
		"the third time":                                                   {"rrs", journal.Failure{Ending: journal.Raised, Starts: 2}, outlook{Restarts: true}},
		"once too often":                                                   {"rrs", journal.Failure{Ending: journal.Raised, Starts: 3}, outlook{Dead: "3 times more"}},
		"any other error after an effect":                                  {"rpr", journal.Failure{Ending: journal.Raised}, outlook{Dead: twice}},
		"any other error after an idempotent effect":                       {"rur", journal.Failure{Ending: journal.Raised}, outlook{Dead: twice}},
		"a trap": {"r", journal.Failure{Ending: journal.Hopeless}, outlook{Dead: same}},
		"a trap after a request that was not accepted": {"p!", journal.Failure{Ending: journal.Hopeless}, outlook{Dead: same}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := past(test.past)
			next := journal.After(before, test.f)
			if diff := cmp.Diff(past(test.past), before); diff != "" {
				t.Errorf("what was given has changed:\n%s", diff)
			}
			got := outlook{Restarts: next.Restarts}
			if n := len(next.Entries); n > 0 {
				got.Keep, got.Again = n-1, next.Entries[n-1].Again
			}
			if next.Dead && strings.Contains(next.Reason, test.want.Dead) {
				got.Dead = test.want.Dead
			} else {
				got.Dead = next.Reason
			}
			if next.Ambiguous != nil {
				got.Unclear = next.Ambiguous.Ordinal
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("what follows (-want +got):\n%s", diff)
			}
		})
	}
}
