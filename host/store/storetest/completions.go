package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

func testCompletions(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"a run ends once":                            completeOnce,
		"only success has effects":                   effectsOfSuccess,
		"a refused completion writes nothing":        refusedWritesNothing,
		"of records with one key the first is kept":  recordsKeepTheFirst,
		"the checkpoint is the last":                 checkpoints,
		"an outcome that is none is refused":         badOutcome,
		"begin pins the version and the first start": begin,
	})
}

// full is a success with every effect that there is.
func (b *bundle) full(c execution.Claimed, p place) execution.Completion {
	s := success(c)
	s.Attempt = []byte(`{"claim":1}`)
	s.Output = []byte(`1`)
	s.State = state.Changes{Writes: []state.Write{{Key: "k", Value: raw(`"v"`)}}}
	s.Records = []event.Event{{ID: ident.New(ident.Event, b.clock.now()), Kind: event.Record, Name: "r", DedupeKey: "1", Body: []byte("{}")}}
	s.Tags = []emit.Tag{{Name: "a", Value: "b"}}
	s.Checkpoint = &execution.Checkpoint{Installation: p.installation, Poll: "p", Cursor: []byte("c")}
	return s
}

// wantEffects checks whether the effects of full are there.
func (b *bundle) wantEffects(t testing.TB, p place, want bool) {
	t.Helper()
	ctx := t.Context()
	entry, err := b.State(p.tenant, p.installation).Get(ctx, "k")
	must(t, err)
	records, err := b.Events(ctx, p.tenant, event.Filter{Kind: event.Record})
	must(t, err)
	tagged, err := b.Executions(ctx, p.tenant, execution.Filter{Tag: emit.Tag{Name: "a", Value: "b"}})
	must(t, err)
	cursor, err := b.Cursor(ctx, p.tenant, p.installation, "p")
	must(t, err)
	for what, got := range map[string]bool{
		"state": entry.Version != 0, "record": len(records) == 1, "tag": len(tagged) == 1, "checkpoint": string(cursor) == "c",
	} {
		if got != want {
			t.Errorf("%s: got %t, want %t", what, got, want)
		}
	}
}

func completeOnce(t *testing.T, b *bundle) {
	c := b.running(t, b.acme)
	var ended, fenced atomic.Int64
	together(8, func(int) {
		s := success(c)
		s.State = state.Changes{Writes: []state.Write{{Key: "n", Delta: 1}}}
		switch err := b.Complete(t.Context(), s); {
		case err == nil:
			ended.Add(1)
		case errors.Is(err, execution.ErrFenced):
			fenced.Add(1)
		default:
			t.Error(err)
		}
	})
	if ended.Load() != 1 || fenced.Load() != 7 {
		t.Errorf("%d ended and %d were fenced off, want 1 and 7", ended.Load(), fenced.Load())
	}
	e, err := b.State(b.acme.tenant, b.acme.installation).Get(t.Context(), "n")
	must(t, err)
	equal(t, "1", string(e.Value))
	none := success(c)
	none.Execution = "exe_none"
	wantIs(t, b.Complete(t.Context(), none), execution.ErrFenced)
}

func effectsOfSuccess(t *testing.T, b *bundle) {
	for _, change := range []func(*execution.Completion){
		dead("f"),
		waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)),
		func(c *execution.Completion) { c.Outcome = execution.Cancelled },
		func(c *execution.Completion) { c.Outcome = execution.Queued },
	} {
		s := b.full(b.running(t, b.acme), b.acme)
		change(&s)
		must(t, b.Complete(t.Context(), s))
		b.wantEffects(t, b.acme, false)
		got := b.execution(t, b.acme, s.Execution)
		if got.State != s.Outcome || got.Attempt != 1 || got.State.Done() == got.FinishedAt.IsZero() {
			t.Errorf("ended as %s: %+v", s.Outcome, got)
		}
		if s.Outcome == execution.Queued {
			must2(t)(b.Cancel(t.Context(), s.Tenant, s.Execution))
		}
	}
	must(t, b.Complete(t.Context(), b.full(b.running(t, b.acme), b.acme)))
	b.wantEffects(t, b.acme, true)
	b.wantEffects(t, b.other, false)
}

func refusedWritesNothing(t *testing.T, b *bundle) {
	for name, tt := range map[string]struct {
		change func(*execution.Completion)
		want   func(testing.TB, error)
	}{
		"a stale claim": {
			func(c *execution.Completion) { c.Claim-- },
			func(t testing.TB, err error) { wantIs(t, err, execution.ErrFenced) },
		},
		"a read that has changed": {
			func(c *execution.Completion) { c.State.Reads = map[string]int64{"absent": 3} },
			func(t testing.TB, err error) { wantConflict(t, err, "absent") },
		},
		"a delta on what is no number": {
			func(c *execution.Completion) {
				c.State.Writes = append(c.State.Writes, state.Write{Key: "text", Delta: 1})
			},
			func(t testing.TB, err error) { wantFault(t, err, fault.InvalidInput, "state_not_a_number") },
		},
		"a tag that is a book": {
			func(c *execution.Completion) {
				c.Tags = append(c.Tags, emit.Tag{Name: "x", Value: string(make([]byte, 3000))})
			},
			func(t testing.TB, err error) { wantFault(t, err, fault.InvalidInput, "key_too_long") },
		},
		"a record with the id of an event": {
			func(c *execution.Completion) {
				e := b.event(b.acme)
				must2(t)(b.Accept(t.Context(), e, nil))
				c.Records = append(c.Records, event.Event{ID: e.ID, Kind: event.Record, Name: "r"})
			},
			func(t testing.TB, err error) { wantFault(t, err, fault.Conflict, "exists") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := success(b.running(t, b.acme))
			first.State = state.Changes{Writes: []state.Write{{Key: "text", Value: raw(`"x"`)}}}
			must(t, b.Complete(t.Context(), first))
			c := b.running(t, b.acme)
			s := b.full(c, b.acme)
			tt.change(&s)
			// Others in the same moment are not affected.
			together(6, func(i int) {
				if i == 0 {
					tt.want(t, b.Complete(t.Context(), s))
					return
				}
				if err := b.Complete(t.Context(), success(b.running(t, b.newPlace(t, fmt.Sprintf("%s-%d", c.Execution, i))))); err != nil {
					t.Error(err)
				}
			})
			b.wantEffects(t, b.acme, false)
			b.wantState(t, b.acme, c.Execution, execution.Running)
			trace, err := b.Trace(t.Context(), b.acme.tenant, c.Execution)
			must(t, err)
			equal(t, 0, len(trace.Attempts))
			must(t, b.Complete(t.Context(), success(c)))
		})
	}
}

func recordsKeepTheFirst(t *testing.T, b *bundle) {
	record := func(body string) event.Event {
		return event.Event{ID: ident.New(ident.Event, b.clock.now()), Kind: event.Record, Name: "order", DedupeKey: "1001", Body: []byte(body)}
	}
	first := success(b.running(t, b.acme))
	first.Records = []event.Event{record("first"), record("second")}
	must(t, b.Complete(t.Context(), first))
	later := success(b.running(t, b.acme))
	unkeyed := record("unkeyed")
	unkeyed.DedupeKey = ""
	later.Records = []event.Event{record("third"), unkeyed}
	must(t, b.Complete(t.Context(), later))
	got, err := b.Events(t.Context(), b.acme.tenant, event.Filter{Kind: event.Record})
	must(t, err)
	bodies := map[string]bool{}
	for _, e := range got {
		bodies[string(e.Body)] = true
		if e.Tenant != b.acme.tenant || e.Installation != b.acme.installation || e.ReceivedAt.IsZero() {
			t.Errorf("a record: %+v", e)
		}
	}
	equal(t, map[string]bool{"first": true, "unkeyed": true}, bodies)
}

func checkpoints(t *testing.T, b *bundle) {
	got, err := b.Cursor(t.Context(), b.acme.tenant, b.acme.installation, "p")
	must(t, err)
	if got != nil {
		t.Errorf("got %q before the first", got)
	}
	for _, cursor := range []string{"1", "2"} {
		s := success(b.running(t, b.acme))
		s.Checkpoint = &execution.Checkpoint{Installation: b.acme.installation, Poll: "p", Cursor: []byte(cursor)}
		must(t, b.Complete(t.Context(), s))
		got, err := b.Cursor(t.Context(), b.acme.tenant, b.acme.installation, "p")
		must(t, err)
		equal(t, cursor, string(got))
	}
}

func badOutcome(t *testing.T, b *bundle) {
	c := b.running(t, b.acme)
	for _, outcome := range []execution.State{execution.Running, "", "finished"} {
		s := success(c)
		s.Outcome = outcome
		if err := b.Complete(t.Context(), s); err == nil {
			t.Errorf("outcome %q: got no error", outcome)
		}
	}
	must(t, b.Complete(t.Context(), success(c)))
}

func begin(t *testing.T, b *bundle) {
	c := b.running(t, b.acme)
	must(t, b.Begin(t.Context(), c, begins("plv_1")))
	start := b.clock.now()
	b.clock.advance(time.Second)
	must(t, b.Begin(t.Context(), c, begins("plv_1")))
	e := b.execution(t, b.acme, c.Execution)
	if e.VersionID != "plv_1" || !e.StartedAt.Equal(start) {
		t.Errorf("a run that has begun: %+v", e)
	}
	stale := c
	stale.Claim++
	wantIs(t, b.Begin(t.Context(), stale, begins("plv_2")), execution.ErrFenced)
	must(t, b.Complete(t.Context(), success(c)))
	wantIs(t, b.Begin(t.Context(), c, begins("plv_2")), execution.ErrFenced)
	equal(t, "plv_1", b.execution(t, b.acme, c.Execution).VersionID)
}
