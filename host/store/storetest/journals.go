package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

func testJournals(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"the world is pinned and pinned anew":            worlds,
		"segments come back in their order":              segmentOrder,
		"a stale claim adds nothing":                     staleAppends,
		"a number is given once":                         segmentOnce,
		"what is no segment is refused":                  badSegments,
		"who claims after an append sees it":             appendRaces,
		"executions add at once and see their own":       appendTogether,
		"a large body is kept once for all that name it": largeBodies,
		"every end records":                              endsRecord,
		"a refused end records nothing":                  refusedEndRecordsNothing,
		"a checkpoint has effects, and the run goes on":  checkpointed,
		"only what waits is checkpointed":                badCheckpoint,
		"another tenant's journal is empty":              journalIsolation,
	})
}

// segment is a segment, with the large bodies that it names.
func segment(seq int, data string, large ...string) journal.Segment {
	s := journal.Segment{Seq: seq, Data: []byte(data)}
	for _, l := range large {
		if s.Large == nil {
			s.Large = make(map[journal.Digest][]byte)
		}
		s.Large[journal.DigestOf([]byte(l))] = []byte(l)
	}
	return s
}

// wantJournal checks what an execution has recorded; want is the world, and then
// each segment's data. It returns the large bodies.
func (b *bundle) wantJournal(t testing.TB, c execution.Claimed, want ...string) []string {
	t.Helper()
	r, err := b.Journal(t.Context(), c.Tenant, c.Execution)
	must(t, err)
	got := []string{string(r.World)}
	var large []string
	for i, s := range r.Segments {
		got = append(got, string(s.Data))
		if s.Seq != i+1 {
			t.Errorf("segment %d has the number %d", i+1, s.Seq)
		}
		for d, body := range s.Large {
			large = append(large, string(body))
			if d != journal.DigestOf(body) {
				t.Errorf("a body of %d bytes has another's digest", len(body))
			}
		}
	}
	equal(t, want, got)
	slices.Sort(large)
	return large
}

func worlds(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	r, err := b.Journal(ctx, c.Tenant, c.Execution)
	must(t, err)
	equal(t, execution.Recorded{}, r)
	must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w1")}))
	b.wantJournal(t, c, "w1")
	must(t, b.Begin(ctx, c, begins("plv_1")))
	b.wantJournal(t, c, "w1")
	one := segment(1, "a")
	must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w2"), Journal: &one}))
	b.wantJournal(t, c, "w2", "a")
	stale := c
	stale.Claim++
	two := segment(2, "b", "large")
	wantIs(t, b.Begin(ctx, stale, execution.Beginning{VersionID: "plv_2", World: []byte("w3"), Journal: &two}), execution.ErrFenced)
	b.wantJournal(t, c, "w2", "a")
	equal(t, "plv_1", b.execution(t, b.acme, c.Execution).VersionID)
}

func segmentOrder(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	want := []string{"w"}
	must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w")}))
	for i := 1; i <= 12; i++ {
		data := fmt.Sprint("segment ", i)
		must(t, b.Append(ctx, c, segment(i, data)))
		want = append(want, data)
	}
	b.wantJournal(t, c, want...)
}

// staleAppends writes under claims that are over, each in its own way.
func staleAppends(t *testing.T, b *bundle) {
	ctx := t.Context()
	done := b.running(t, b.acme)
	must(t, b.Complete(ctx, success(done)))
	waits := b.running(t, b.acme)
	end := success(waits)
	waiting(execution.ReasonSleep, b.clock.now().Add(time.Hour))(&end)
	must(t, b.Complete(ctx, end))
	reaped, claimed := b.running(t, b.acme), b.running(t, b.acme)
	b.clock.advance(9 * time.Second)
	must2(t)(b.Reap(ctx))
	again := b.claim(t, "w2", b.acme, 2)
	equal(t, 2, len(again))
	back := success(again[0])
	back.Outcome = execution.Queued
	must(t, b.Complete(ctx, back))
	none := done
	none.Execution = "exe_none"
	for what, c := range map[string]execution.Claimed{
		"ended": done, "waiting": waits, "reaped": reaped, "claimed again": claimed, "unknown": none,
	} {
		for _, s := range []journal.Segment{segment(1, "a"), segment(1, "b", "large")} {
			if err := b.Append(ctx, c, s); !errors.Is(err, execution.ErrFenced) {
				t.Errorf("%s: got %v, want ErrFenced", what, err)
			}
		}
		b.wantJournal(t, c, "")
	}
	// Those in the same moment that may write do.
	together(8, func(i int) {
		if i%2 == 0 {
			wantIs(t, b.Append(ctx, claimed, segment(i+1, "stale", "large")), execution.ErrFenced)
			return
		}
		if err := b.Append(ctx, again[1], segment(i+1, "live", "large")); err != nil {
			t.Error(err)
		}
	})
	r, err := b.Journal(ctx, again[1].Tenant, again[1].Execution)
	must(t, err)
	equal(t, 4, len(r.Segments))
}

func segmentOnce(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w")}))
	must(t, b.Append(ctx, c, segment(1, "a")))
	two := segment(1, "again", "large")
	wantFault(t, b.Append(ctx, c, two), fault.Conflict, "exists")
	wantFault(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_2", World: []byte("w2"), Journal: &two}), fault.Conflict, "exists")
	end := success(c)
	end.Journal, end.World = &two, []byte("w3")
	wantFault(t, b.Complete(ctx, end), fault.Conflict, "exists")
	if large := b.wantJournal(t, c, "w", "a"); large != nil {
		t.Errorf("a refused segment left %q", large)
	}
	b.wantState(t, b.acme, c.Execution, execution.Running)
	// One that is refused does not hinder the others of its moment.
	var taken atomic.Int64
	together(6, func(i int) {
		err := b.Append(ctx, c, segment(2+i/2, "x"))
		if err == nil {
			taken.Add(1)
			return
		}
		wantFault(t, err, fault.Conflict, "exists")
	})
	equal(t, 3, taken.Load())
	b.wantJournal(t, c, "w", "a", "x", "x", "x")
}

func badSegments(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	lost := b.end(t, b.acme, dead("f"))
	for name, s := range map[string]journal.Segment{
		"the world's number": segment(0, "a"), "below": segment(-1, "a"), "no data": segment(1, ""),
	} {
		end := success(c)
		end.Journal = &s
		for what, err := range map[string]error{
			"Append":   b.Append(ctx, c, s),
			"Begin":    b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", Journal: &s}),
			"Complete": b.Complete(ctx, end),
			"Redrive":  b.Redrive(ctx, c.Tenant, lost, execution.Redriving{Journal: &s}),
		} {
			t.Run(name+" in "+what, func(t *testing.T) { wantFault(t, err, fault.InvalidInput, "segment_invalid") })
		}
	}
	b.wantJournal(t, c, "")
	wantFault(t, b.Redrive(ctx, c.Tenant, lost, execution.Redriving{Mode: "anyhow"}), fault.InvalidInput, "mode_unknown")
	b.wantState(t, b.acme, lost, execution.Dead)
}

// appendRaces takes executions from workers that add to their journals: whoever
// claims next has every segment that was acknowledged, and none comes after.
func appendRaces(t *testing.T, b *bundle) {
	ctx := t.Context()
	const executions, rounds = 4, 12
	for range executions {
		b.work(t, b.acme, event.Live)
	}
	var mu sync.Mutex
	next := make(map[string]int)
	var writers sync.WaitGroup
	var written, fenced atomic.Int64
	for round := range rounds {
		worker := fmt.Sprint("w", round)
		var claims []execution.Claimed
		for range 100 {
			if claims = append(claims, b.claim(t, worker, b.acme, executions)...); len(claims) == executions {
				break
			}
		}
		equal(t, executions, len(claims))
		begun := make(chan struct{}, executions)
		for _, c := range claims {
			r, err := b.Journal(ctx, c.Tenant, c.Execution)
			must(t, err)
			mu.Lock()
			if len(r.Segments) < next[c.Execution] {
				t.Errorf("%s has %d segments, and %d were acknowledged", c.Execution, len(r.Segments), next[c.Execution])
			}
			mu.Unlock()
			writers.Go(func() {
				for seq := len(r.Segments) + 1; ; seq++ {
					err := b.Append(ctx, c, segment(seq, worker, "large of all"))
					if seq == len(r.Segments)+3 || err != nil {
						begun <- struct{}{}
					}
					if err != nil {
						// A number that is taken would be one that came after the next claim had looked.
						wantIs(t, err, execution.ErrFenced)
						fenced.Add(1)
						return
					}
					written.Add(1)
					mu.Lock()
					next[c.Execution] = max(next[c.Execution], seq)
					mu.Unlock()
				}
			})
		}
		for range executions {
			<-begun
		}
		b.clock.advance(9 * time.Second)
		must2(t)(b.Reap(ctx))
	}
	writers.Wait()
	equal(t, executions*rounds, int(fenced.Load()))
	total := 0
	for id, n := range next {
		r, err := b.Journal(ctx, b.acme.tenant, id)
		must(t, err)
		total += len(r.Segments)
		for i, s := range r.Segments {
			if s.Seq != i+1 {
				t.Errorf("segment %d has the number %d", i+1, s.Seq)
			}
		}
		if len(r.Segments) < n {
			t.Errorf("%s has %d segments, and %d were acknowledged", id, len(r.Segments), n)
		}
	}
	equal(t, int(written.Load()), total)
}

func appendTogether(t *testing.T, b *bundle) {
	ctx := t.Context()
	const n, each = 16, 6
	claims := make([]execution.Claimed, n)
	for i := range claims {
		claims[i] = b.running(t, []place{b.acme, b.other}[i%2])
	}
	// Bodies that they share come in different orders.
	shared := names("shared", 8)
	together(n, func(i int) {
		for k := range each {
			s := segment(k+1, fmt.Sprint(i, " ", k), shared[(i+k)%8], shared[(i*3+k)%8], fmt.Sprint("own", i))
			if err := b.Append(ctx, claims[i], s); err != nil {
				t.Error(err)
			}
		}
		if err := b.Complete(ctx, success(claims[i])); err != nil {
			t.Error(err)
		}
	})
	for i, c := range claims {
		want := []string{""}
		for k := range each {
			want = append(want, fmt.Sprint(i, " ", k))
		}
		if large := b.wantJournal(t, c, want...); !slices.Contains(large, fmt.Sprint("own", i)) || len(large) < 7 {
			t.Errorf("execution %d has the bodies %q", i, large)
		}
	}
}

func largeBodies(t *testing.T, b *bundle) {
	ctx := t.Context()
	first, second, theirs := b.running(t, b.acme), b.running(t, b.acme), b.running(t, b.other)
	big := strings.Repeat("x", 100_000)
	must(t, b.Append(ctx, first, segment(1, "a", big, "only first")))
	must(t, b.Append(ctx, second, segment(1, "b")))
	must(t, b.Append(ctx, second, segment(2, "c", big)))
	must(t, b.Append(ctx, second, segment(3, "d", big)))
	// Another tenant has its own, and is not given a body for its digest.
	must(t, b.Append(ctx, theirs, journal.Segment{Seq: 1, Data: []byte("e"), Large: map[journal.Digest][]byte{
		journal.DigestOf([]byte(big)): []byte("theirs"),
	}}))
	equal(t, []string{"only first", big}, b.wantJournal(t, first, "", "a"))
	equal(t, []string{big}, b.wantJournal(t, second, "", "b", "c", "d"))
	r, err := b.Journal(ctx, theirs.Tenant, theirs.Execution)
	must(t, err)
	equal(t, "theirs", string(r.Segments[0].Large[journal.DigestOf([]byte(big))]))
	// What is there is not written again: it stays as it was first.
	must(t, b.Append(ctx, second, journal.Segment{Seq: 4, Data: []byte("f"), Large: map[journal.Digest][]byte{
		journal.DigestOf([]byte("only first")): []byte("another"),
	}}))
	equal(t, []string{"only first", big}, b.wantJournal(t, second, "", "b", "c", "d", "f"))
	whole, err := journal.NewSegment(5, 0, []journal.Entry{{Request: []byte(big), Answer: []byte(`{"result":"` + big + `"}`)}})
	must(t, err)
	alone := b.running(t, b.acme)
	whole.Seq = 1
	must(t, b.Append(ctx, alone, whole))
	r, err = b.Journal(ctx, alone.Tenant, alone.Execution)
	must(t, err)
	entries, err := journal.Join(r.Segments)
	must(t, err)
	equal(t, big, string(entries[0].Request))
}

func endsRecord(t *testing.T, b *bundle) {
	ctx := t.Context()
	for name, change := range map[string]func(*execution.Completion){
		"succeeded": func(*execution.Completion) {},
		"waiting":   waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)),
		"dead":      dead("f"),
		"cancelled": func(c *execution.Completion) { c.Outcome = execution.Cancelled },
		"queued":    func(c *execution.Completion) { c.Outcome = execution.Queued },
	} {
		t.Run(name, func(t *testing.T) {
			c := b.running(t, b.newPlace(t, "of "+name))
			must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w1")}))
			must(t, b.Append(ctx, c, segment(1, "a")))
			end := success(c)
			change(&end)
			last := segment(2, "b", "large")
			end.Journal, end.World = &last, []byte("w2")
			must(t, b.Complete(ctx, end))
			equal(t, []string{"large"}, b.wantJournal(t, c, "w2", "a", "b"))
			end.Journal, end.World = new(segment(3, "late")), []byte("late")
			wantIs(t, b.Complete(ctx, end), execution.ErrFenced)
			b.wantJournal(t, c, "w2", "a", "b")
		})
	}
	only := success(b.running(t, b.acme))
	only.World = []byte("w")
	must(t, b.Complete(ctx, only))
	b.wantJournal(t, execution.Claimed{Tenant: only.Tenant, Execution: only.Execution}, "w")
}

func refusedEndRecordsNothing(t *testing.T, b *bundle) {
	ctx := t.Context()
	must(t, b.change(t, b.acme, state.Changes{Writes: []state.Write{set("k", "1"), set("l", "1"), set("m", "1")}}))
	seen, err := b.State(b.acme.tenant, b.acme.installation).Get(ctx, "l")
	must(t, err)
	c := b.running(t, b.acme)
	end := success(c)
	end.Journal, end.World = new(segment(1, "a", "large")), []byte("w")
	end.State = state.Changes{Reads: map[string]int64{"m": 0, "l": seen.Version, "k": 0, "z": 0}}
	wantConflict(t, b.Complete(ctx, end), "k") // The first of those that have changed.
	if large := b.wantJournal(t, c, ""); large != nil {
		t.Errorf("it left %q", large)
	}
	end.State = state.Changes{}
	waiting(execution.ReasonConflict, b.clock.now())(&end)
	must(t, b.Complete(ctx, end))
	b.wantJournal(t, c, "w", "a")
}

// checkpointed ends a first part of a run, sleeps, and ends the rest.
func checkpointed(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	failed := success(c)
	waiting(execution.ReasonRetry, b.clock.now())(&failed)
	must(t, b.Complete(ctx, failed))
	must3(t)(b.Promote(ctx, 10))
	c = b.claim(t, "w1", b.acme, 1)[0]
	equal(t, 2, c.Attempt)
	until := b.clock.now().Add(time.Hour)
	first := b.full(c, b.acme)
	waiting(execution.ReasonSleep, until)(&first)
	first.Checkpointed, first.World = true, []byte("after")
	must(t, b.Complete(ctx, first))
	b.wantEffects(t, b.acme, true)
	e := b.execution(t, b.acme, c.Execution)
	if e.State != execution.Waiting || !e.Until.Equal(until) || !e.FinishedAt.IsZero() || len(e.Tags) != 1 || e.Attempt != 0 {
		t.Errorf("a checkpointed execution: %+v", e)
	}
	b.clock.advance(2 * time.Hour)
	must3(t)(b.Promote(ctx, 10))
	again := b.claim(t, "w1", b.acme, 1)[0]
	equal(t, 1, again.Attempt)
	// The second part does not lose what the first has left, nor repeat it.
	last := success(again)
	last.Tags = append(first.Tags, first.Tags[0])
	last.Tags[1].Value = "c"
	last.State = state.Changes{Reads: map[string]int64{"k": 0}}
	wantConflict(t, b.Complete(ctx, last), "k")
	last.State = state.Changes{}
	must(t, b.Complete(ctx, last))
	b.wantEffects(t, b.acme, true)
	e = b.execution(t, b.acme, c.Execution)
	equal(t, last.Tags, e.Tags)
	equal(t, execution.Succeeded, e.State)

	// What came before a checkpoint happened, though nothing comes after it.
	stopped := b.running(t, b.other)
	must2(t)(b.Cancel(ctx, b.other.tenant, stopped.Execution))
	end := b.full(stopped, b.other)
	waiting(execution.ReasonSleep, b.clock.now().Add(time.Hour))(&end)
	end.Checkpointed = true
	must(t, b.Complete(ctx, end))
	b.wantState(t, b.other, stopped.Execution, execution.Cancelled)
	b.wantEffects(t, b.other, true)
}

func badCheckpoint(t *testing.T, b *bundle) {
	c := b.running(t, b.acme)
	for _, outcome := range []execution.State{execution.Succeeded, execution.Dead, execution.Cancelled, execution.Queued} {
		end := b.full(c, b.acme)
		end.Outcome, end.Checkpointed = outcome, true
		if err := b.Complete(t.Context(), end); err == nil {
			t.Errorf("%s: got no error", outcome)
		}
	}
	b.wantEffects(t, b.acme, false)
	b.wantState(t, b.acme, c.Execution, execution.Running)
}

func journalIsolation(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w"), Journal: new(segment(1, "a", "large"))}))
	for _, tenant := range []string{b.other.tenant, "", "ten_none"} {
		r, err := b.Journal(ctx, tenant, c.Execution)
		must(t, err)
		equal(t, execution.Recorded{}, r)
	}
	forged := c
	forged.Tenant = b.other.tenant
	wantIs(t, b.Append(ctx, forged, segment(2, "b")), execution.ErrFenced)
	wantIs(t, b.Begin(ctx, forged, execution.Beginning{World: []byte("x"), Journal: new(segment(2, "b"))}), execution.ErrFenced)
	b.wantJournal(t, c, "w", "a")
	b.wantJournal(t, forged, "")
}
