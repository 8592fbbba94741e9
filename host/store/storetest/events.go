package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/store"
)

func testEvents(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"an event is kept with its execution":                acceptKeeps,
		"an event without work is kept alone":                acceptAlone,
		"a key is accepted once under concurrent deliveries": acceptOnce,
		"keys are per tenant and source":                     keysHaveScopes,
		"events without a key are never duplicates":          noKeyNoDuplicate,
		"an unknown tenant is not found, others go on":       acceptUnknownTenant,
		"what no database could keep is refused":             acceptRefuses,
		"events are listed newest first":                     listEvents,
		"a large body is kept once, and read as any":         acceptLarge,
	})
}

func acceptKeeps(t *testing.T, b *bundle) {
	e := b.event(b.acme)
	e.DedupeKey = "delivery-1"
	e.Body = []byte{0, 0xff, 'x'}
	e.Request = &event.Request{Method: "POST", Path: "/hooks/1", Query: "a=b", Headers: map[string][]string{"x-a": {"1", "2"}}}
	a, err := b.Accept(t.Context(), e, &event.Work{Execution: "exe_1", Lane: event.Live})
	must(t, err)
	equal(t, event.Accepted{Event: e.ID, Execution: "exe_1"}, a)
	got, err := b.Event(t.Context(), e.Tenant, e.ID)
	must(t, err)
	equal(t, e, got)
	want := execution.Execution{
		ID: "exe_1", Tenant: e.Tenant, Installation: e.Installation, Event: e.ID, Kind: e.Kind, Name: e.Name,
		State: execution.Queued, Lane: event.Live, CreatedAt: b.clock.now(), ChangedAt: b.clock.now(),
	}
	equal(t, want, b.execution(t, b.acme, "exe_1"))
}

func acceptAlone(t *testing.T, b *bundle) {
	e := b.event(b.acme)
	e.Body = nil
	a, err := b.Accept(t.Context(), e, nil)
	must(t, err)
	equal(t, event.Accepted{Event: e.ID}, a)
	got, err := b.Event(t.Context(), e.Tenant, e.ID)
	must(t, err)
	equal(t, e, got)
	backlogs, err := b.Backlogs(t.Context())
	must(t, err)
	equal(t, 0, len(backlogs))
}

func acceptOnce(t *testing.T, b *bundle) {
	var mu sync.Mutex
	var first []event.Accepted
	seen := map[event.Accepted]bool{}
	together(50, func(int) {
		e := b.event(b.acme)
		e.DedupeKey = "delivery-1"
		a, err := b.Accept(t.Context(), e, &event.Work{Execution: ident.New(ident.Execution, b.clock.now()), Lane: event.Live})
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			t.Error(err)
		case a.Duplicate:
			a.Duplicate = false
			seen[a] = true
		default:
			first = append(first, a)
		}
	})
	if len(first) != 1 {
		t.Fatalf("got %d accepted, want 1", len(first))
	}
	equal(t, map[event.Accepted]bool{first[0]: true}, seen)
	events, err := b.Events(t.Context(), b.acme.tenant, event.Filter{})
	must(t, err)
	executions, err := b.Executions(t.Context(), b.acme.tenant, execution.Filter{})
	must(t, err)
	if len(events) != 1 || len(executions) != 1 {
		t.Errorf("got %d events and %d executions, want one each", len(events), len(executions))
	}
}

func keysHaveScopes(t *testing.T, b *bundle) {
	mine := b.event(b.acme)
	mine.DedupeKey = "k"
	otherSource := b.event(b.acme)
	otherSource.DedupeKey, otherSource.Source = "k", "end_2"
	others := b.event(b.other)
	others.DedupeKey = "k"
	for _, e := range []event.Event{mine, otherSource, others} {
		a, err := b.Accept(t.Context(), e, nil)
		must(t, err)
		if a.Duplicate {
			t.Errorf("the event of %s and %s is called a duplicate", e.Tenant, e.Source)
		}
	}
}

func noKeyNoDuplicate(t *testing.T, b *bundle) {
	for range 3 {
		a, err := b.Accept(t.Context(), b.event(b.acme), nil)
		must(t, err)
		if a.Duplicate {
			t.Error("an event without a key is called a duplicate")
		}
	}
}

func acceptUnknownTenant(t *testing.T, b *bundle) {
	together(20, func(i int) {
		if i%4 != 0 {
			b.work(t, b.acme, event.Live)
			return
		}
		_, err := b.Accept(t.Context(), b.event(place{"ten_none", "ins_none"}), &event.Work{Execution: ident.New(ident.Execution, b.clock.now())})
		wantNotFound(t, "Accept", err)
	})
	executions, err := b.Executions(t.Context(), b.acme.tenant, execution.Filter{})
	must(t, err)
	equal(t, 15, len(executions))
}

func acceptRefuses(t *testing.T, b *bundle) {
	good := b.event(b.acme)
	must2(t)(b.Accept(t.Context(), good, nil))
	long := make([]byte, 3000)
	for name, spoil := range map[string]struct {
		e    func(*event.Event)
		w    *event.Work
		code string
	}{
		"NUL in a name":        {func(e *event.Event) { e.Name = "a\x00b" }, nil, "text_invalid"},
		"a source not UTF-8":   {func(e *event.Event) { e.Source = "\xff" }, nil, "text_invalid"},
		"a key that is a book": {func(e *event.Event) { e.DedupeKey = string(long) }, nil, "key_too_long"},
		"no such lane":         {func(*event.Event) {}, &event.Work{Execution: "exe_1", Lane: 3}, "lane_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			e := b.event(b.acme)
			spoil.e(&e)
			_, err := b.Accept(t.Context(), e, spoil.w)
			wantFault(t, err, fault.InvalidInput, spoil.code)
		})
	}
	odd := b.event(b.acme)
	odd.DedupeKey = "\xff\x00"
	must2(t)(b.Accept(t.Context(), odd, nil))
	got, err := b.Event(t.Context(), odd.Tenant, odd.ID)
	must(t, err)
	equal(t, odd, got)
	_, err = b.Accept(t.Context(), good, nil)
	wantFault(t, err, fault.Conflict, "exists")
}

func listEvents(t *testing.T, b *bundle) {
	var want []string
	for i, source := range []string{"end_1", "end_2", "end_1"} {
		b.clock.advance(time.Millisecond)
		e := b.event(b.acme)
		e.Source, e.Name = source, names("hook", 3)[i]
		must2(t)(b.Accept(t.Context(), e, nil))
		want = append([]string{e.ID}, want...)
	}
	for name, tt := range map[string]struct {
		f    event.Filter
		want []string
	}{
		"all":          {event.Filter{}, want},
		"a limit":      {event.Filter{Limit: 2}, want[:2]},
		"the next":     {event.Filter{Before: want[1]}, want[2:]},
		"an endpoint":  {event.Filter{Endpoint: "end_2"}, want[1:2]},
		"a name":       {event.Filter{Name: "hook0", Kind: event.Webhook}, want[2:]},
		"another kind": {event.Filter{Kind: event.Poll}, nil},
		"elsewhere":    {event.Filter{Installation: "ins_none"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Events(t.Context(), b.acme.tenant, tt.f)
			must(t, err)
			var ids []string
			for _, e := range got {
				ids = append(ids, e.ID)
			}
			equal(t, tt.want, ids)
		})
	}
}

func testIdempotency(t *testing.T, open Open) {
	b := setup(t, open)
	ctx, at := t.Context(), b.clock.now()
	k := store.Key{Scope: b.acme.tenant, Key: "k\x00", Digest: []byte("d")}
	reserved := func(k store.Key, at time.Time) {
		t.Helper()
		got, err := b.Reserve(ctx, k, at)
		must(t, err)
		if got != nil {
			t.Errorf("got the answer %v for a new request", got)
		}
	}
	reserved(k, at)
	_, err := b.Reserve(ctx, k, at)
	wantFault(t, err, fault.Conflict, "idempotency_in_progress")
	must(t, b.Settle(ctx, k, store.Answered{Status: 201, Body: []byte("{}")}))
	got, err := b.Reserve(ctx, k, at.Add(time.Hour))
	must(t, err)
	equal(t, &store.Answered{Status: 201, Body: []byte("{}")}, got)
	other := k
	other.Digest = []byte("e")
	_, err = b.Reserve(ctx, other, at)
	wantFault(t, err, fault.Conflict, "idempotency_key_reused")
	must(t, b.ReleaseKey(ctx, k)) // An answer stays.
	got, err = b.Reserve(ctx, k, at)
	must(t, err)
	if got == nil {
		t.Error("the answer was given up by ReleaseKey")
	}

	scoped := k
	scoped.Scope = b.other.tenant
	reserved(scoped, at)
	must(t, b.ReleaseKey(ctx, scoped))
	reserved(scoped, at)
	reserved(scoped, at.Add(11*time.Minute)) // Whoever reserved it has died.
	reserved(other, at.Add(25*time.Hour))    // The answer has expired.

	var mu sync.Mutex
	firsts := 0
	together(20, func(int) {
		a, err := b.Reserve(ctx, store.Key{Scope: "operator", Key: "same", Digest: []byte("d")}, at)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && a == nil {
			firsts++
		}
	})
	equal(t, 1, firsts)
}

// must2 ends the test unless the error of a call is nil.
func must2(t testing.TB) func(any, error) {
	return func(_ any, err error) {
		t.Helper()
		must(t, err)
	}
}
