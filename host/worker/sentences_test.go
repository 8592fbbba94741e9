package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// watched is a store whose journals and beginnings a test can look into.
type watched struct {
	store.Store
	// read may change what is read, and begun is told of each run that has begun.
	read  func(*execution.Recorded)
	begun func()
}

func (w *watched) Journal(ctx context.Context, tenant, id string) (execution.Recorded, error) {
	r, err := w.Store.Journal(ctx, tenant, id)
	if err == nil && w.read != nil {
		w.read(&r)
	}
	return r, err
}

func (w *watched) Begin(ctx context.Context, c execution.Claimed, with execution.Beginning) error {
	err := w.Store.Begin(ctx, c, with)
	if err == nil && w.begun != nil {
		w.begun()
	}
	return err
}

// worldOf is the world that is pinned.
func (b *bundle) worldOf(id string) journal.World {
	b.t.Helper()
	recorded, err := b.store.Journal(b.t.Context(), "ten_a", id)
	if err != nil {
		b.t.Fatal(err)
	}
	var w journal.World
	if err := json.Unmarshal(recorded.World, &w); err != nil {
		b.t.Fatal(err)
	}
	return w
}

// interrupted is an execution whose first run ended in its read "stop", as that of a
// worker that dies, with all before it in its journal.
func (b *bundle) interrupted(o *outside, calls ...string) string {
	b.t.Helper()
	ctx, die := context.WithCancel(b.t.Context())
	answer := o.answer
	o.answer = func(asked context.Context, name string, n int) (any, error) {
		if name == "stop" && n == 1 {
			die()
			<-asked.Done()
			return nil, asked.Err()
		}
		return answer(asked, name, n)
	}
	s := b.sandbox(runtime.Limits{}, o.probe())
	id := b.enqueue("ten_a", event.Action, "do", script(append(calls, ask("stop", "read"))...))
	claimed := b.claim("wrk_dying", id)
	ended, err := s.Run(ctx, claimed, func() bool { return true })
	if !errors.Is(err, context.Canceled) || ended.Kept == nil {
		b.t.Fatalf("the run ended with %v, want it cancelled", err)
	}
	// What is durable when a worker dies a moment later: the outcomes of effects too.
	segment, err := journal.NewSegment(ended.Kept.Seq, 0, ended.Kept.Entries[:len(ended.Kept.Entries)-1])
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.Append(b.t.Context(), claimed, segment); err != nil {
		b.t.Fatal(err)
	}
	return id
}

// takeOver starts a worker that finds what a dead one has left.
func (b *bundle) takeOver(attempts int, functions ...hostfns.Func) (end func()) {
	c := b.config(b.sandbox(runtime.Limits{}, functions...))
	c.Lease, c.Attempts = 200*time.Millisecond, attempts
	_, end = b.runNow(c)
	return end
}

// "A journal of another version", or one that was altered: said, and nothing done.
func TestAJournalThatCannotBeReadIsSaid(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*execution.Recorded)
		want   string
	}{
		"of another version": {func(r *execution.Recorded) { r.Segments[0].Data[0] = 9 }, "its version is 9"},
		"cut off":            {func(r *execution.Recorded) { r.Segments[0].Data = r.Segments[0].Data[:40] }, "cut off"},
		"with a gap":         {func(r *execution.Recorded) { r.Segments[0].Data[1] = 3 }, "it begins at entry 3"},
		"without its world":  {func(r *execution.Recorded) { r.World = r.World[:9] }, "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.guest("ten_a")
			o := &outside{answer: fine}
			id := b.interrupted(o, ask("a", ""))
			sound := b.store
			b.store = &watched{Store: sound, read: func(r *execution.Recorded) {
				if r.Segments[0].Seq != 1 {
					return
				}
				r.Segments = slices.Clone(r.Segments[len(r.Segments)-1:])
				test.change(r)
			}}
			end := b.takeOver(2, o.probe())
			got := b.end(id)
			if got.State != execution.Dead || got.Attempt != 2 || got.Error.Code != "journal_unreadable" || !strings.Contains(got.Error.Message, test.want) {
				t.Errorf("it is %s after %d attempts with %v, want dead after 2, and %q", got.State, got.Attempt, got.Error, test.want)
			}
			o.wantAsked(t, "a", "stop")
			end()

			t.Log("a server that can read it goes on")
			b.store = sound
			b.redrive(id, execution.Redriving{SameVersion: true})
			b.takeOver(2, o.probe())
			b.await("ten_a", id, execution.Succeeded)
			o.wantAsked(t, "a", "stop", "stop")
		})
	}
}

// "Force always works", whatever the journal looks like, and what follows is readable.
func TestForceDropsAJournalThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(r *execution.Recorded, segments int){
		"of another version": func(r *execution.Recorded, segments int) {
			for i := range segments {
				r.Segments[i].Data[0] = 9
			}
		},
		"without its world": func(r *execution.Recorded, segments int) {
			if len(r.Segments) == segments { // What the forced run pins is whole.
				r.World = r.World[:9]
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.guest("ten_a")
			o := &outside{answer: fine}
			id := b.interrupted(o, ask("a", ""))
			recorded, err := b.store.Journal(t.Context(), "ten_a", id)
			if err != nil {
				t.Fatal(err)
			}
			b.store = &watched{Store: b.store, read: func(r *execution.Recorded) { damage(r, len(recorded.Segments)) }}
			b.takeOver(1, o.probe())
			if got := b.end(id); got.State != execution.Dead {
				t.Fatalf("it is %s, want dead", got.State)
			}
			b.redrive(id, execution.Redriving{Mode: execution.Force})
			b.until(id, func(e execution.Execution) bool { return e.State == execution.Succeeded })
			o.wantAsked(t, "a", "stop", "a", "stop")
			if w := b.worldOf(id); !w.Forced || !w.Redriven {
				t.Errorf("its world is %+v, want it forced", w)
			}
			if entries := b.entries(id); len(entries) != 3 {
				t.Errorf("its journal has %d entries, want the start and two", len(entries))
			}
		})
	}
}

// "A host function removed or added between attempts".
func TestHostFunctionsThatComeAndGo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	o := &outside{answer: fine}
	id := b.interrupted(o, ask("a", ""))
	before := b.entries(id)
	end := b.takeOver(8)
	got := b.end(id)
	if got.State != execution.Dead || got.Attempt != 1 || !strings.Contains(got.Error.Error()+got.Error.Hint, "probe") {
		t.Errorf("without the function it is %s after %d attempts with %v, want dead at once, and its name", got.State, got.Attempt, got.Error)
	}
	if diff := cmp.Diff(before, b.entries(id)); diff != "" {
		t.Errorf("its journal has changed (-before +after):\n%s", diff)
	}
	end()
	b.redrive(id, execution.Redriving{SameVersion: true})
	b.takeOver(8, o.probe(), hostfns.Func{Name: "other", Answer: func(context.Context, json.RawMessage) (any, error) { return nil, nil }})
	b.await("ten_a", id, execution.Succeeded)
	o.wantAsked(t, "a", "stop", "stop")
}

// "`claim` fences (every write carries it)": a worker that was taken over makes no
// effect, and writes neither journal nor state.
func TestTheFencedWorkersWritesDoNotLand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	asked, wake := make(chan struct{}), make(chan struct{})
	o := &outside{answer: func(_ context.Context, name string, n int) (any, error) {
		if name == "look" && n == 1 {
			close(asked)
			<-wake
		}
		return map[string]int{"ok": n}, nil
	}}
	calls := script(ask("first", ""), ask("look", "read"), `{"func":"state_add","request":{"key":"n","delta":1}}`, ask("a", ""))
	id := b.enqueue("ten_a", event.Action, "do", calls)
	s := b.sandbox(runtime.Limits{}, o.probe())
	claimed := b.claim("wrk_stopped", id)
	type end struct {
		kept *journal.Segment
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		got, err := s.Run(context.WithoutCancel(t.Context()), claimed, func() bool { return true })
		var e end
		if got.Kept != nil {
			segment, _ := journal.NewSegment(got.Kept.Seq+100, 0, got.Kept.Entries)
			e.kept = &segment
		}
		e.err = err
		ended <- e
	}()
	<-asked
	if _, err := b.store.Heartbeat(t.Context(), "wrk_stopped", -time.Second); err != nil {
		t.Fatal(err)
	}
	b.takeOver(8, o.probe())
	b.await("ten_a", id, execution.Succeeded)
	before := b.entries(id)

	close(wake)
	stale := <-ended
	if !errors.Is(stale.err, execution.ErrFenced) {
		t.Errorf("the worker that woke up ended with %v, want %v", stale.err, execution.ErrFenced)
	}
	c := execution.Completion{Tenant: "ten_a", Execution: id, Claim: claimed.Claim, Outcome: execution.Succeeded, Journal: stale.kept, World: []byte(`{}`)}
	for what, err := range map[string]error{
		"complete": b.store.Complete(t.Context(), c),
		"append":   b.store.Append(t.Context(), claimed, *stale.kept),
		"begin":    b.store.Begin(t.Context(), claimed, execution.Beginning{VersionID: "plv_guest", World: []byte(`{}`), Journal: stale.kept}),
	} {
		if !errors.Is(err, execution.ErrFenced) {
			t.Errorf("%s: got %v, want %v", what, err, execution.ErrFenced)
		}
	}
	o.wantAsked(t, "first", "look", "look", "a")
	if diff := cmp.Diff(before, b.entries(id)); diff != "" {
		t.Errorf("the journal has changed (-before +after):\n%s", diff)
	}
	if e, err := b.store.State("ten_a", installationOf("ten_a")).Get(t.Context(), "n"); err != nil || string(e.Value) != "1" {
		t.Errorf("the state is %s and %v, want 1", e.Value, err)
	}
	if w := b.worldOf(id); w.Module == "" {
		t.Error("the world is another")
	}
}

// "Replayed fuel is not billed", and what was not burnt is not either.
func TestARunThatEndsInItsReplayIsNotCredited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	o := &outside{answer: fine}
	id := b.interrupted(o, ask("a", ""), ask("b", "read"))
	if _, err := b.store.Heartbeat(t.Context(), "wrk_dying", -time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Reap(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.store = &watched{Store: b.store, begun: cancel}
	ended, err := b.sandbox(runtime.Limits{}, o.probe()).Run(ctx, b.claim("wrk_next", id), func() bool { return true })
	if err == nil {
		t.Fatal("the run came to its end")
	}
	if a := ended.Attempt; a.ReplayedFuel > a.Usage.Fuel {
		t.Errorf("of %d units of fuel %d were replayed", a.Usage.Fuel, a.ReplayedFuel)
	}
	if n := len(ended.Kept.Entries); n < 3 {
		t.Errorf("its journal has %d entries, want all that it had", n)
	}
	o.wantAsked(t, "a", "b", "stop")
}

// "What may be made again: `unknown` only if the method is idempotent": an answer to an
// idempotent effect that the guest takes for one that may pass is asked for again.
func TestAnIdempotentEffectIsMadeAgainForAnErrorThatMayPass(t *testing.T) {
	t.Parallel()
	o := &outside{answer: func(_ context.Context, name string, n int) (any, error) {
		return map[string]bool{"ok": name != "put" || n > 1}, nil
	}}
	got := journaled(t, o).done(script(ask("a", ""), ask("put", "idempotent", `"ok":true`, "upstream_unavailable"), ask("z", "")))
	if got.State != execution.Succeeded || got.Attempt != 2 {
		t.Errorf("it is %s after %d attempts with %v, want succeeded after 2", got.State, got.Attempt, got.Error)
	}
	o.wantAsked(t, "a", "put", "put", "z")
}

// "A person chooses: send again, or go on with a given answer": of the effect, though
// the guest has looked at its state since.
func TestDoubtIsNotHiddenByAReadOfState(t *testing.T) {
	t.Parallel()
	o := &outside{answer: failingFirst("charge", 1, hostfns.Unknown)}
	b := journaled(t, o)
	executions := execution.New(execution.Config{Store: b.store, Now: time.Now, After: time.After, Bell: b.bell})
	got := b.done(script(ask("charge", ""), `{"func":"state_get","request":{"key":"n"},"must":"\"value\":1","else":{"code":"retry","message":"no"}}`))
	if got.State != execution.Dead || got.Error.Class != fault.AmbiguousEffect {
		t.Fatalf("it is %s with %v, want dead of an ambiguous effect", got.State, got.Error)
	}
	entries := b.entries(got.ID)
	if last := entries[len(entries)-1]; last.Func != "probe" || last.Outcome != hostfns.Unknown {
		t.Errorf("its journal ends with %+v, want the effect", last)
	}
	b.add(t, "n")
	if _, err := executions.Resolve(t.Context(), "ten_a", got.ID, execution.Resolution{SendAgain: true}); err != nil {
		t.Fatal(err)
	}
	b.until(got.ID, func(e execution.Execution) bool { return e.State == execution.Succeeded })
	o.wantAsked(t, "charge", "charge")
}

// "Starts a fresh journal from a checkpoint", with attempts and randomness of its own.
func TestACheckpointForgetsAttempts(t *testing.T) {
	t.Parallel()
	o := &outside{answer: failingFirst("a", 1, hostfns.NotDone)}
	b := journaled(t, o)
	id := b.enqueue("ten_a", event.Action, "do", script(ask("a", "read", "ok", "retry"), `{"func":"sleep","request":{"ms":1500,"checkpoint":{"page":2}}}`))
	var before journal.World
	waiting := b.until(id, func(e execution.Execution) bool {
		if e.Reason == execution.ReasonRetry {
			before = b.worldOf(id)
		}
		return e.Reason == execution.ReasonSleep
	})
	if after := b.worldOf(id); waiting.Attempt != 0 || after.Generation != 1 || after.Seed == before.Seed || after.Model != before.Model {
		t.Errorf("at the checkpoint it has %d attempts, and the world %+v after %+v", waiting.Attempt, after, before)
	}
	if got := b.end(id); got.State != execution.Succeeded || got.Attempt != 1 {
		t.Errorf("it is %s after %d attempts, want succeeded after 1", got.State, got.Attempt)
	}
}
