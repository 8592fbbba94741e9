package execution_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// past gives an execution a journal of letters: r is a read, p a POST, u a PUT, all
// of them done; a ! behind it says that it was not done, a ? that an answer came
// which does not say whether it was, a dot that none came, and a k that it had a key.
func (b *bundle) past(t *testing.T, e execution.Execution, letters string) {
	t.Helper()
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
		case 'k':
			last.Key = "key"
		default:
			entries = append(entries, journal.Entry{
				Ordinal: len(entries), Func: "http", Outcome: hostfns.Done, Asked: epoch, Answered: epoch,
				Effect:  map[rune]hostfns.Effect{'r': hostfns.Read, 'p': hostfns.Unsafe, 'u': hostfns.Idempotent}[l],
				Request: []byte(`{"method":"post","url":"https://api.example.com/orders?key=canary"}`), Answer: []byte(`{"result":{"status":200}}`),
			})
		}
	}
	segment, err := journal.NewSegment(3, 0, entries)
	if err != nil {
		t.Fatal(err)
	}
	b.store.journals[e.ID] = []journal.Segment{segment}
	b.store.change(e)
}

func deadly(code string) execution.Execution {
	return execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Dead, Claim: 4, Error: &fault.Error{Code: code}}
}

func TestRedriveWakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.change(deadly("trapped"))
	e, err := b.executions.Redrive(t.Context(), "ten_a", "exe_1", execution.Resume)
	if err != nil || e.State != execution.Queued {
		t.Errorf("redrive gave %s and %v, want queued", e.State, err)
	}
	if got := <-b.woken; got != "ten_a" {
		t.Errorf("woke %q, want ten_a", got)
	}
	_, err = b.executions.Redrive(t.Context(), "ten_a", "exe_1", execution.Resume)
	if fault.From(err).Code != execution.CodeNotRedrivable || len(b.woken) != 0 {
		t.Errorf("a second redrive gave %v and woke %d, want a fault and nobody", err, len(b.woken))
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	const unclear, twice = execution.CodeAmbiguousEffect, execution.CodeWouldRepeat
	tests := map[string]struct{ past, resume, restart string }{
		"nothing was asked":                     {"", "", ""},
		"reads only":                            {"rr", "", ""},
		"an effect was made":                    {"rpr", "", twice},
		"with a key":                            {"rpkr", "", ""},
		"an idempotent effect":                  {"ru", "", ""},
		"one was not accepted":                  {"rp!", "", ""},
		"one has no answer":                     {"rp.", unclear, twice},
		"with a key, too":                       {"rp.k", "", ""},
		"an idempotent one has no answer":       {"ru.", "", ""},
		"an answer that does not say":           {"rp?", "", twice},
		"one was made and one was not accepted": {"pp!", "", twice},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, want := range map[execution.Mode]string{
				execution.Resume: test.resume, execution.Restart: test.restart, execution.Force: "", "sideways": "mode_unknown",
			} {
				b := setup(t)
				b.past(t, deadly("trapped"), test.past)
				if err := b.executions.Redrivable(t.Context(), "ten_a", "exe_1", mode); codeOf(err) != want {
					t.Errorf("%s: got %v, want %q", mode, err, want)
				}
				_, err := b.executions.Redrive(t.Context(), "ten_a", "exe_1", mode)
				if codeOf(err) != want {
					t.Errorf("%s: got %v, want %q", mode, err, want)
				}
				if want == "" && (len(b.store.redriven) != 1 || b.store.redriven[0].Mode != mode || b.store.redriven[0].SameVersion) {
					t.Errorf("%s: asked the store for %+v", mode, b.store.redriven)
				}
			}
		})
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

func TestRefusalNamesTheEffects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.past(t, deadly("trapped"), "rp"+strings.Repeat("p", 30)+"p.")
	_, err := b.executions.Redrive(t.Context(), "ten_a", "exe_1", execution.Restart)
	f := fault.From(err)
	if !strings.Contains(f.Message, "32 effects") || len(f.Problems) != 20 || f.Problems[0].Where != "entry 2" {
		t.Errorf("it says %q with %d problems: %+v", f.Message, len(f.Problems), f.Problems[0])
	}
	var details struct{ Effects []execution.Effect }
	if err := json.Unmarshal(f.Details, &details); err != nil {
		t.Fatal(err)
	}
	want := execution.Effect{Ordinal: 2, Function: "http", Name: "POST https://api.example.com/orders", Outcome: "done", AskedAt: epoch}
	if diff := gocmp.Diff(want, details.Effects[0]); diff != "" {
		t.Errorf("the first effect (-want +got):\n%s", diff)
	}
	_, err = b.executions.Redrive(t.Context(), "ten_a", "exe_1", execution.Resume)
	if f := fault.From(err); !strings.Contains(f.Hint, "execution resolve exe_1 --send-again") || strings.Contains(string(f.Details), "canary") {
		t.Errorf("the hint is %q, the details %s", f.Hint, f.Details)
	}
}

func TestAnExecutionThatRanMeanwhileIsNotRedriven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.past(t, deadly("trapped"), "r")
	b.store.looked = func() {
		e := b.store.all["exe_1"]
		e.Claim++
		b.store.all["exe_1"] = e
	}
	if _, err := b.executions.Redrive(t.Context(), "ten_a", "exe_1", execution.Restart); codeOf(err) != execution.CodeNotRedrivable {
		t.Errorf("got %v, want %s: its journal is another now", err, execution.CodeNotRedrivable)
	}
}

func TestJournalThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.change(deadly("trapped"))
	b.store.journals["exe_1"] = []journal.Segment{{Seq: 1, Data: []byte{99}}}
	for mode, want := range map[execution.Mode]string{execution.Resume: "journal_unreadable", execution.Restart: "journal_unreadable", execution.Force: ""} {
		if err := b.executions.Redrivable(t.Context(), "ten_a", "exe_1", mode); codeOf(err) != want {
			t.Errorf("%s: got %v, want %q", mode, err, want)
		}
	}
}

func TestOthersExecutionsAreNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.past(t, deadly(execution.CodeAmbiguousEffect), "p.")
	if _, err := b.executions.Redrive(t.Context(), "ten_b", "exe_1", execution.Force); codeOf(err) != fault.CodeNotFound {
		t.Errorf("redrive: %v", err)
	}
	if _, err := b.executions.Resolve(t.Context(), "ten_b", "exe_1", execution.Resolution{SendAgain: true}); codeOf(err) != fault.CodeNotFound {
		t.Errorf("resolve: %v", err)
	}
}
