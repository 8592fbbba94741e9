package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
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
	for name, test := range map[string]func(*testing.T, *bundle){
		"a run ends once":                            completeOnce,
		"only success has effects":                   effectsOfSuccess,
		"a refused completion writes nothing":        refusedWritesNothing,
		"of records with one key the first is kept":  recordsKeepTheFirst,
		"the checkpoint is the last":                 checkpoints,
		"an outcome that is none is refused":         badOutcome,
		"begin pins the version and the first start": begin,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, open))
		})
	}
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
			func(t testing.TB, err error) { wantIs(t, err, execution.ErrStateConflict) },
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
	must(t, b.Begin(t.Context(), c, "plv_1"))
	start := b.clock.now()
	b.clock.advance(time.Second)
	must(t, b.Begin(t.Context(), c, "plv_1"))
	e := b.execution(t, b.acme, c.Execution)
	if e.VersionID != "plv_1" || !e.StartedAt.Equal(start) {
		t.Errorf("a run that has begun: %+v", e)
	}
	stale := c
	stale.Claim++
	wantIs(t, b.Begin(t.Context(), stale, "plv_2"), execution.ErrFenced)
	must(t, b.Complete(t.Context(), success(c)))
	wantIs(t, b.Begin(t.Context(), c, "plv_2"), execution.ErrFenced)
	equal(t, "plv_1", b.execution(t, b.acme, c.Execution).VersionID)
}

func testState(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, *bundle){
		"updates of concurrent runs are not lost":          lostUpdates,
		"two runs that found nothing do not both create":   bothCreate,
		"a value that went and came back is another":       aba,
		"runs that read what the other writes do not both": writeSkew,
		"deltas never conflict":                            deltas,
		"state is listed by prefix":                        listState,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, open))
		})
	}
}

// change completes a new run with changes of state.
func (b *bundle) change(t testing.TB, p place, ch state.Changes) error {
	t.Helper()
	s := success(b.running(t, p))
	s.State = ch
	return b.Complete(t.Context(), s)
}

func set(key, value string) state.Write { return state.Write{Key: key, Value: raw(value)} }

func lostUpdates(t *testing.T, b *bundle) {
	const workers, each = 6, 8
	claims := make(chan execution.Claimed, workers*each)
	for range workers * each {
		claims <- b.running(t, b.acme)
	}
	close(claims)
	reader := b.State(b.acme.tenant, b.acme.installation)
	var conflicts atomic.Int64
	together(workers, func(int) {
		for c := range claims {
			for {
				e, err := reader.Get(t.Context(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(e.Value))
				s := success(c)
				s.State = state.Changes{Reads: map[string]int64{"n": e.Version}, Writes: []state.Write{set("n", strconv.Itoa(n+1))}}
				err = b.Complete(t.Context(), s)
				if err == nil {
					break
				}
				if !errors.Is(err, execution.ErrStateConflict) {
					t.Error(err)
					return
				}
				conflicts.Add(1)
			}
		}
	})
	e, err := reader.Get(t.Context(), "n")
	must(t, err)
	if got, want := string(e.Value), strconv.Itoa(workers*each); got != want {
		t.Errorf("got %s after %s updates (%d conflicts)", got, want, conflicts.Load())
	}
}

func bothCreate(t *testing.T, b *bundle) {
	for round := range 10 {
		key := fmt.Sprintf("k%d", round)
		pair := []execution.Claimed{b.running(t, b.acme), b.running(t, b.acme)}
		wantOneOfTwo(t, func(i int) error {
			s := success(pair[i])
			s.State = state.Changes{Reads: map[string]int64{key: 0}, Writes: []state.Write{set(key, strconv.Itoa(i))}}
			return b.Complete(t.Context(), s)
		})
	}
}

func writeSkew(t *testing.T, b *bundle) {
	for round := range 10 {
		keys := names(fmt.Sprintf("k%d-", round), 2)
		pair := []execution.Claimed{b.running(t, b.acme), b.running(t, b.acme)}
		wantOneOfTwo(t, func(i int) error {
			s := success(pair[i])
			s.State = state.Changes{Reads: map[string]int64{keys[0]: 0, keys[1]: 0}, Writes: []state.Write{set(keys[i], "true")}}
			return b.Complete(t.Context(), s)
		})
	}
}

// wantOneOfTwo makes two calls at once, of which one has to be in conflict.
func wantOneOfTwo(t testing.TB, call func(i int) error) {
	t.Helper()
	var mu sync.Mutex
	passed := 0
	together(2, func(i int) {
		err := call(i)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			passed++
		} else {
			wantIs(t, err, execution.ErrStateConflict)
		}
	})
	if passed != 1 {
		t.Errorf("%d of two passed, want 1", passed)
	}
}

func aba(t *testing.T, b *bundle) {
	reader := b.State(b.acme.tenant, b.acme.installation)
	must(t, b.change(t, b.acme, state.Changes{Writes: []state.Write{set("k", "1")}}))
	seen, err := reader.Get(t.Context(), "k")
	must(t, err)
	must(t, b.change(t, b.acme, state.Changes{Writes: []state.Write{{Key: "k", Delete: true}}}))
	gone, err := reader.Get(t.Context(), "k")
	must(t, err)
	equal(t, state.Entry{Key: "k"}, gone)
	must(t, b.change(t, b.acme, state.Changes{Reads: map[string]int64{"k": 0}, Writes: []state.Write{set("k", "1")}}))
	back, err := reader.Get(t.Context(), "k")
	must(t, err)
	if string(back.Value) != string(seen.Value) || back.Version <= seen.Version {
		t.Errorf("got version %d after %d, want a higher one", back.Version, seen.Version)
	}
	err = b.change(t, b.acme, state.Changes{Reads: map[string]int64{"k": seen.Version}, Writes: []state.Write{set("k", "2")}})
	wantIs(t, err, execution.ErrStateConflict)
}

func deltas(t *testing.T, b *bundle) {
	const n = 40
	claims := make([]execution.Claimed, n)
	for i := range claims {
		claims[i] = b.running(t, b.acme)
	}
	together(n, func(i int) {
		s := success(claims[i])
		s.State = state.Changes{Writes: []state.Write{{Key: "n", Delta: int64(i)}, {Key: "m", Delta: -1}}}
		if err := b.Complete(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
	got, err := b.State(b.acme.tenant, b.acme.installation).List(t.Context(), "", "", 10)
	must(t, err)
	values := map[string]string{}
	for _, e := range got {
		values[e.Key] = string(e.Value)
	}
	equal(t, map[string]string{"n": "780", "m": "-40"}, values)
}

func listState(t *testing.T, b *bundle) {
	var writes []state.Write
	for _, k := range []string{"a", "b/1", "b/2", "b/3", "b\xff", "b\xff\xffz", "c"} {
		writes = append(writes, set(k, "1"))
	}
	must(t, b.change(t, b.acme, state.Changes{Writes: writes}))
	must(t, b.change(t, b.other, state.Changes{Writes: []state.Write{set("b/9", "1")}}))
	reader := b.State(b.acme.tenant, b.acme.installation)
	for name, tt := range map[string]struct {
		prefix, after string
		limit         int
		want          []string
	}{
		"all":                  {"", "", 10, []string{"a", "b/1", "b/2", "b/3", "b\xff", "b\xff\xffz", "c"}},
		"a prefix":             {"b/", "", 10, []string{"b/1", "b/2", "b/3"}},
		"a limit":              {"b/", "", 2, []string{"b/1", "b/2"}},
		"the rest":             {"b/", "b/2", 10, []string{"b/3"}},
		"a prefix of 0xff":     {"b\xff", "", 10, []string{"b\xff", "b\xff\xffz"}},
		"after without prefix": {"", "b\xff", 10, []string{"b\xff\xffz", "c"}},
		"nothing":              {"x", "", 10, nil},
	} {
		t.Run(name, func(t *testing.T) {
			entries, err := reader.List(t.Context(), tt.prefix, tt.after, tt.limit)
			must(t, err)
			var keys []string
			for _, e := range entries {
				keys = append(keys, e.Key)
			}
			equal(t, tt.want, keys)
		})
	}
}
