package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// outside is the world that guests ask through the function probe. What is asked
// for by a name is counted, and answered as the test says.
type outside struct {
	mu    sync.Mutex
	asked []string
	// answer is given the how-manieth question of a name it is, from 1.
	answer func(ctx context.Context, name string, n int) (any, error)
}

// asking is the request of probe.
type asking struct {
	Name string `json:"name"`
	// Effect is read, idempotent, or else unsafe.
	Effect string `json:"effect"`
}

func (o *outside) probe() hostfns.Func {
	return hostfns.Func{
		Name: "probe", Granted: true,
		Effect: func(request json.RawMessage) hostfns.Effect {
			var a asking
			if json.Unmarshal(request, &a) != nil {
				return hostfns.Unsafe
			}
			return map[string]hostfns.Effect{"read": hostfns.Read, "idempotent": hostfns.Idempotent, "": hostfns.Unsafe}[a.Effect]
		},
		Answer: func(ctx context.Context, request json.RawMessage) (any, error) {
			var a asking
			if err := json.Unmarshal(request, &a); err != nil {
				return nil, err
			}
			o.mu.Lock()
			o.asked = append(o.asked, a.Name)
			n := count(o.asked, a.Name)
			o.mu.Unlock()
			return o.answer(ctx, a.Name, n)
		},
	}
}

func count(all []string, name string) int {
	n := 0
	for _, s := range all {
		if s == name {
			n++
		}
	}
	return n
}

// wantAsked compares what was asked for, in its order.
func (o *outside) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.asked, want) {
		t.Errorf("asked for %v, want %v", o.asked, want)
	}
}

// failing answers a name's first questions with an error of which is known what
// became of them.
func failingFirst(name string, times int, outcome hostfns.Outcome) func(context.Context, string, int) (any, error) {
	return func(ctx context.Context, asked string, n int) (any, error) {
		if asked == name && n <= times {
			hostfns.Report(ctx, outcome)
			return nil, hostfns.Errorf(hostfns.CodeNetwork, "no answer")
		}
		return map[string]int{"ok": n}, nil
	}
}

func fine(context.Context, string, int) (any, error) { return map[string]bool{"ok": true}, nil }

// ask is a call of probe in a script.
func ask(name, effect string, must ...string) string {
	s := fmt.Sprintf(`{"func":"probe","request":{"name":%q,"effect":%q}`, name, effect)
	if len(must) == 2 {
		s += fmt.Sprintf(`,"must":%q,"else":{"code":%q,"message":"no"}`, must[0], must[1])
	}
	return s + "}"
}

func script(calls ...string) string { return `{"calls":[` + strings.Join(calls, ",") + `]}` }

// journaled starts a worker for the guest over a world.
func journaled(t *testing.T, o *outside) *bundle {
	t.Helper()
	b := setup(t)
	b.guest("ten_a")
	b.runNow(b.config(b.sandbox(runtime.Limits{}, o.probe())))
	return b
}

// done runs an action to its end.
func (b *bundle) done(input string) execution.Execution {
	b.t.Helper()
	return b.end(b.enqueue("ten_a", event.Action, "do", input))
}

// end waits until an execution is done.
func (b *bundle) end(id string) execution.Execution {
	b.t.Helper()
	return b.until(id, func(e execution.Execution) bool { return e.State.Done() })
}

func (b *bundle) until(id string, what func(execution.Execution) bool) execution.Execution {
	b.t.Helper()
	rung, stop := b.bell.Listen("ten_a")
	defer stop()
	patience := time.After(20 * time.Second)
	for {
		e := b.get("ten_a", id)
		if what(e) {
			return e
		}
		select {
		case <-rung:
		case <-time.After(100 * time.Millisecond):
		case <-patience:
			b.t.Fatalf("execution is %s (%s, %v) still\n%s", e.State, e.Reason, e.Error, b.logs.b.String())
		}
	}
}

// entries of the execution's journal.
func (b *bundle) entries(id string) []journal.Entry {
	b.t.Helper()
	recorded, err := b.store.Journal(b.t.Context(), "ten_a", id)
	if err != nil {
		b.t.Fatal(err)
	}
	entries, err := journal.Join(recorded.Segments)
	if err != nil {
		b.t.Fatal(err)
	}
	return entries
}

func TestRetryMakesAgainOnlyWhatWasNotDone(t *testing.T) {
	t.Parallel()
	o := &outside{answer: failingFirst("d", 1, hostfns.NotDone)}
	b := journaled(t, o)
	got := b.done(script(ask("a", ""), ask("b", "read"), ask("c", ""), ask("d", "", "ok", "upstream_unavailable")))
	if got.State != execution.Succeeded || got.Attempt != 2 {
		t.Errorf("it is %s after %d attempts with %v, want succeeded after 2", got.State, got.Attempt, got.Error)
	}
	o.wantAsked(t, "a", "b", "c", "d", "d")
	attempts := b.attempts("ten_a", got.ID)
	if len(attempts) != 2 || !attempts[1].Steps[0].Recorded || attempts[1].Steps[3].Recorded {
		t.Errorf("the second attempt's steps are %+v, want the first three recorded", attempts[1].Steps)
	}
	if a := attempts[1]; a.ReplayedFuel <= 0 || a.ReplayedFuel >= a.Usage.Fuel {
		t.Errorf("of %d units of fuel %d were replayed, want a part of them", a.Usage.Fuel, a.ReplayedFuel)
	}
}

func TestToleratedFailureReplaysAsItWas(t *testing.T) {
	t.Parallel()
	o := &outside{answer: func(ctx context.Context, name string, n int) (any, error) {
		if name == "b" { // It would work the second time.
			return failingFirst("b", 1, hostfns.Done)(ctx, name, n)
		}
		return failingFirst("d", 1, hostfns.NotDone)(ctx, name, n)
	}}
	b := journaled(t, o)
	got := b.done(script(ask("a", ""), ask("b", "read"), ask("c", ""), ask("d", "", "ok", "retry")))
	o.wantAsked(t, "a", "b", "c", "d", "d")
	var answers []struct {
		Error *struct{ Code string }
	}
	if err := json.Unmarshal(got.Output, &answers); err != nil || answers[1].Error == nil || answers[3].Error != nil {
		t.Errorf("the output is %s, want b to have failed as it did, and d not", got.Output)
	}
}

func TestUnknownEffectIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		decide func(b *bundle, id string)
		asked  []string
		output string
	}{
		"until somebody says to send it again": {
			func(b *bundle, id string) {
				entries := b.entries(id)
				entries[len(entries)-1].Again = true
				b.decided(id, entries)
			},
			[]string{"a", "charge", "charge", "z"},
			`[{"result":{"ok":1}},{"result":{"ok":2}},{"result":{"ok":1}}]`,
		},
		"and not at all if somebody says what was answered": {
			func(b *bundle, id string) {
				entries := b.entries(id)
				last := &entries[len(entries)-1]
				last.Outcome, last.Answer, last.Answered = hostfns.Done, json.RawMessage(`{"result":{"ok":"told"}}`), time.Now()
				b.decided(id, entries)
			},
			[]string{"a", "charge", "z"},
			`[{"result":{"ok":1}},{"result":{"ok":"told"}},{"result":{"ok":1}}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &outside{answer: failingFirst("charge", 1, hostfns.Unknown)}
			b := journaled(t, o)
			got := b.done(script(ask("a", ""), ask("charge", "", "ok", "timeout"), ask("z", "")))
			if got.State != execution.Dead || got.Error.Class != fault.AmbiguousEffect || got.Attempt != 1 {
				t.Fatalf("it is %s with %v, want dead of an ambiguous effect", got.State, got.Error)
			}
			test.decide(b, got.ID)
			if got = b.until(got.ID, func(e execution.Execution) bool { return e.State == execution.Succeeded }); string(got.Output) != test.output {
				t.Errorf("the output is %s, want %s", got.Output, test.output)
			}
			o.wantAsked(t, test.asked...)
		})
	}
}

// decided has a dead execution go on with a changed last entry.
func (b *bundle) decided(id string, entries []journal.Entry) {
	b.t.Helper()
	recorded, err := b.store.Journal(b.t.Context(), "ten_a", id)
	if err != nil {
		b.t.Fatal(err)
	}
	last := len(entries) - 1
	s, err := journal.NewSegment(recorded.Segments[len(recorded.Segments)-1].Seq+1, last, entries[last:])
	if err != nil {
		b.t.Fatal(err)
	}
	b.redrive(id, execution.Redriving{SameVersion: true, Journal: &s})
}

func (b *bundle) redrive(id string, r execution.Redriving) {
	b.t.Helper()
	if err := b.store.Redrive(b.t.Context(), "ten_a", id, r); err != nil {
		b.t.Fatalf("redrive: %v", err)
	}
	b.bell.Ring("ten_a")
}

func TestIdempotentUnknownEffectIsMadeAgain(t *testing.T) {
	t.Parallel()
	o := &outside{answer: failingFirst("put", 2, hostfns.Unknown)}
	got := journaled(t, o).done(script(ask("a", ""), ask("put", "idempotent", "ok", "timeout")))
	if got.State != execution.Succeeded || got.Attempt != 3 {
		t.Errorf("it is %s after %d attempts, want succeeded after 3", got.State, got.Attempt)
	}
	o.wantAsked(t, "a", "put", "put", "put")
}

func TestOtherFailuresRunFromTheStartThreeTimesAtMost(t *testing.T) {
	t.Parallel()
	o := &outside{answer: fine}
	got := journaled(t, o).done(script(ask("a", "read", "no such thing", "contract_changed")))
	if got.State != execution.Dead || got.Attempt != 4 || !strings.Contains(got.Error.Hint, "3 times") {
		t.Errorf("it is %s after %d attempts with %v (%s), want dead after 4", got.State, got.Attempt, got.Error, got.Error.Hint)
	}
	o.wantAsked(t, "a", "a", "a", "a")
}

func TestNoCutPrecedesAnEffect(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string]string{
		"of a failure of which nothing is known": script(ask("a", ""), ask("b", "read", "no such thing", "contract_changed")),
		"of one that may pass":                   script(ask("b", "read"), ask("a", "", "no such thing", "retry")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &outside{answer: fine}
			got := journaled(t, o).done(calls)
			if got.State != execution.Dead || got.Attempt != 1 || !strings.Contains(got.Error.Hint, "would be done twice") {
				t.Errorf("it is %s after %d attempts with %q, want dead at once and the reason", got.State, got.Attempt, got.Error.Hint)
			}
			if n := count(o.asked, "a"); n != 1 {
				t.Errorf("the effect was made %d times, want once", n)
			}
		})
	}
}

func TestSleepHoldsNothing(t *testing.T) {
	t.Parallel()
	o := &outside{answer: fine}
	b := journaled(t, o)
	id := b.enqueue("ten_a", event.Action, "do", script(ask("a", ""), `{"func":"sleep","request":{"ms":1200}}`, ask("b", "")))
	waiting := b.until(id, func(e execution.Execution) bool { return e.State != execution.Queued && e.State != execution.Running })
	if waiting.State != execution.Waiting || waiting.Reason != execution.ReasonSleep || time.Until(waiting.Until) > 1200*time.Millisecond {
		t.Errorf("it is %s for %q until %s, want waiting for its sleep", waiting.State, waiting.Reason, waiting.Until)
	}
	o.wantAsked(t, "a")
	if got := b.end(id); got.State != execution.Succeeded || got.Attempt != 1 || got.Claim != 2 {
		t.Errorf("it is %s after %d attempts and %d claims, want succeeded after 1 and 2", got.State, got.Attempt, got.Claim)
	}
	o.wantAsked(t, "a", "b")
}

func TestCheckpointCommitsAndStartsAFreshJournal(t *testing.T) {
	t.Parallel()
	o := &outside{answer: fine}
	b := journaled(t, o)
	id := b.enqueue("ten_a", event.Action, "do", script(
		ask("a", "read"), `{"func":"state_add","request":{"key":"n","delta":1}}`, `{"func":"sleep","request":{"ms":1200,"checkpoint":{"page":2}}}`))
	b.until(id, func(e execution.Execution) bool { return e.State == execution.Waiting })
	reader := b.store.State("ten_a", installationOf("ten_a"))
	if e, err := reader.Get(t.Context(), "n"); err != nil || string(e.Value) != "1" {
		t.Errorf("at the checkpoint the state is %s and %v, want 1", e.Value, err)
	}
	if entries := b.entries(id); len(entries) != 0 {
		t.Errorf("the journal has %d entries after the checkpoint, want none", len(entries))
	}
	got := b.end(id)
	if want := `[{"result":{"ok":true}},{"result":{"value":2}},{"page":2}]`; string(got.Output) != want {
		t.Errorf("the output is %s, want %s", got.Output, want)
	}
	if e, err := reader.Get(t.Context(), "n"); err != nil || string(e.Value) != "2" {
		t.Errorf("at the end the state is %s and %v, want 2", e.Value, err)
	}
	o.wantAsked(t, "a", "a")
}

func TestRetryAfterIsNoAttempt(t *testing.T) {
	t.Parallel()
	o := &outside{answer: failingFirst("d", 2, hostfns.NotDone)}
	b := journaled(t, o)
	got := b.done(`{"calls":[{"func":"probe","request":{"name":"d"},"must":"ok","else":{"code":"rate_limited","message":"slow down","retry_after_ms":1100}}]}`)
	if got.State != execution.Succeeded || got.Attempt != 1 || got.Claim != 3 {
		t.Errorf("it is %s after %d attempts and %d claims, want succeeded after 1 and 3", got.State, got.Attempt, got.Claim)
	}
}

func TestStateConflictIsCutAtTheStaleRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		effect string
		want   execution.State
	}{
		"reads that anew":                     {"read", execution.Succeeded},
		"and is dead if an effect came after": {"", execution.Dead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &outside{}
			b := setup(t)
			o.answer = func(_ context.Context, name string, n int) (any, error) {
				if n == 1 && name == "meanwhile" {
					b.add(t, "n")
				}
				return true, nil
			}
			b.guest("ten_a")
			b.runNow(b.config(b.sandbox(runtime.Limits{}, o.probe())))
			got := b.done(script(ask("before", ""), `{"func":"state_get","request":{"key":"n"}}`, ask("meanwhile", test.effect),
				`{"func":"state_set","request":{"key":"n","value":7}}`))
			if got.State != test.want || got.Attempt != 1 {
				t.Errorf("it is %s after %d attempts with %v, want %s", got.State, got.Attempt, got.Error, test.want)
			}
			if n := count(o.asked, "before"); n != 1 {
				t.Errorf("what was done before the read was done %d times, want once", n)
			}
		})
	}
}

// add commits a change of state by another execution.
func (b *bundle) add(t *testing.T, key string) {
	t.Helper()
	other := b.enqueue("ten_a", event.Action, "do", script(fmt.Sprintf(`{"func":"state_add","request":{"key":%q,"delta":1}}`, key)))
	if got := b.end(other); got.State != execution.Succeeded {
		t.Errorf("the other execution is %s with %v", got.State, got.Error)
	}
}
