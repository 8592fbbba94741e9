package storetest

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

func testRedeliveries(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"events in the order of their ids":             deliveries,
		"windows come to their end":                    deliveryWindows,
		"events are read with and without bodies":      eventsOf,
		"the latest execution decides":                 redeliverStates,
		"a step that is made twice makes no second":    redeliverTwice,
		"many at once make one each":                   redeliverTogether,
		"what a redelivery has made, by pages":         redelivered,
		"the trace says that it is a redelivery":       redeliveredTrace,
		"what was redelivered is not redriven":         redriveRedelivered,
		"redrives and redeliveries at once":            redriveBesideRedeliver,
		"what is gone is not redelivered":              redeliverGone,
		"other tenants' events are not there":          redeliverIsolated,
		"a redelivery waits for live work in its lane": redeliverLane,
	})
}

// ordered is an order of some events, by a job that was made now.
func (b *bundle) ordered(job string, events ...string) redeliver.Order {
	o := redeliver.Order{Job: job, Each: map[string]string{}}
	for _, e := range events {
		o.Each[e] = ident.Derive(ident.Execution, b.clock.now(), e, job)
	}
	return o
}

// redeliver redelivers events, and wants that to be counted.
func (b *bundle) redeliver(t testing.TB, p place, o redeliver.Order, made int, skipped redeliver.Skipped) {
	t.Helper()
	n, s, err := b.Redeliver(t.Context(), p.tenant, o)
	must(t, err)
	if n != made || s != skipped {
		t.Errorf("redelivered %d and skipped %+v, want %d and %+v", n, s, made, skipped)
	}
}

func (b *bundle) eventOf(t testing.TB, p place, id string) string {
	t.Helper()
	return b.execution(t, p, id).Event
}

func deliveries(t *testing.T, b *bundle) {
	ctx := t.Context()
	accept := func(p place, change func(*event.Event), work bool) string {
		b.clock.advance(time.Minute)
		e := b.event(p)
		change(&e)
		var w *event.Work
		if work {
			w = &event.Work{Execution: ident.New(ident.Execution, b.clock.now()), Lane: event.Live}
		}
		must2(t)(b.Accept(ctx, e, w))
		return e.ID
	}
	as := func(*event.Event) {}
	start := b.clock.now()
	first := accept(b.acme, as, true)
	action := accept(b.acme, func(e *event.Event) { e.Kind, e.Source = event.Action, "" }, true)
	accept(b.acme, as, false)
	accept(b.other, as, true)
	another := accept(b.acme, func(e *event.Event) { e.Source = "end_2" }, true)
	elsewhere := accept(b.acme, func(e *event.Event) { e.Installation = "ins_2" }, true)
	for name, tt := range map[string]struct {
		s     redeliver.Spec
		after string
		want  []string
	}{
		"all that cause something": {redeliver.Spec{}, "", []string{first, action, another, elsewhere}},
		"after one":                {redeliver.Spec{}, action, []string{another, elsewhere}},
		"an endpoint":              {redeliver.Spec{Endpoint: "end_1"}, "", []string{first, elsewhere}},
		"an installation":          {redeliver.Spec{Installation: b.acme.installation}, "", []string{first, action, another}},
		"both":                     {redeliver.Spec{Installation: "ins_2", Endpoint: "end_1"}, "", []string{elsewhere}},
		"a kind":                   {redeliver.Spec{Kind: event.Action}, "", []string{action}},
		"one":                      {redeliver.Spec{Event: another}, "", []string{another}},
		"one that is done":         {redeliver.Spec{Event: another}, another, nil},
		"since":                    {redeliver.Spec{Since: start.Add(2 * time.Minute)}, "", []string{action, another, elsewhere}},
		"since, later":             {redeliver.Spec{Since: start.Add(2 * time.Minute)}, another, []string{elsewhere}},
		"until":                    {redeliver.Spec{Until: start.Add(2 * time.Minute)}, "", []string{first}},
		"a period":                 {redeliver.Spec{Since: start.Add(2 * time.Minute), Until: start.Add(2*time.Minute + time.Microsecond)}, "", []string{action}},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := b.Deliveries(ctx, b.acme.tenant, tt.s, tt.after, 100)
			must(t, err)
			equal(t, tt.want, foundIn(w))
			equal(t, false, w.More)
		})
	}
	w, err := b.Deliveries(ctx, b.acme.tenant, redeliver.Spec{Event: first}, "", 100)
	must(t, err)
	if f := w.Found[0]; f.Latest != execution.Queued || f.Bytes < len(`{"n":1}`) {
		t.Errorf("found %+v", f)
	}
}

func foundIn(w redeliver.Window) []string {
	var ids []string
	for _, f := range w.Found {
		ids = append(ids, f.Event)
	}
	return ids
}

func deliveryWindows(t *testing.T, b *bundle) {
	var want, got []string
	for range 7 {
		want = append(want, b.eventOf(t, b.acme, b.work(t, b.acme, event.Live)))
		b.clock.advance(time.Millisecond)
	}
	windows := 0
	for w := (redeliver.Window{More: true}); w.More; windows++ {
		var err error
		w, err = b.Deliveries(t.Context(), b.acme.tenant, redeliver.Spec{Installation: b.acme.installation}, w.End, 3)
		must(t, err)
		got = append(got, foundIn(w)...)
	}
	equal(t, want, got)
	equal(t, 3, windows)
	// One in which nothing is selected is no end.
	w, err := b.Deliveries(t.Context(), b.acme.tenant, redeliver.Spec{Endpoint: "end_none"}, "", 3)
	must(t, err)
	if len(w.Found) > 0 || !w.More || w.End != want[2] {
		t.Errorf("got %+v, want nothing until %s", w, want[2])
	}
}

func eventsOf(t *testing.T, b *bundle) {
	e := b.event(b.acme)
	e.Request = &event.Request{Method: "POST", Path: "/hooks/x", Headers: map[string][]string{"X-A": {"1"}}}
	must2(t)(b.Accept(t.Context(), e, nil))
	for _, bodies := range []bool{true, false} {
		got, err := b.EventsOf(t.Context(), b.acme.tenant, []string{e.ID, "evt_none"}, bodies)
		must(t, err)
		want := e
		if !bodies {
			want.Body = nil
		}
		equal(t, []event.Event{want}, got)
	}
	got, err := b.EventsOf(t.Context(), b.acme.tenant, nil, true)
	must(t, err)
	equal(t, 0, len(got))
}

func redeliverStates(t *testing.T, b *bundle) {
	ctx := t.Context()
	end := func(change func(*execution.Completion)) string { return b.eventOf(t, b.acme, b.end(t, b.acme, change)) }
	succeeded, died := end(func(*execution.Completion) {}), end(dead("f"))
	waits := end(waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	runs := b.eventOf(t, b.acme, b.running(t, b.acme).Execution)
	cancelled := b.work(t, b.acme, event.Live)
	must2(t)(b.Cancel(ctx, b.acme.tenant, cancelled))
	gaveUp := b.eventOf(t, b.acme, cancelled)
	queued := b.eventOf(t, b.acme, b.work(t, b.acme, event.Live))
	all := []string{succeeded, died, waits, runs, gaveUp, queued}
	b.redeliver(t, b.acme, b.ordered("job_1", all...), 2, redeliver.Skipped{Succeeded: 1, Unfinished: 3})
	// Those are queued now; what has succeeded is done again if that is forced.
	o := b.ordered("job_2", all...)
	o.Force = true
	b.redeliver(t, b.acme, o, 1, redeliver.Skipped{Unfinished: 5})
	for name, n := range map[string]int{succeeded: 2, died: 2, waits: 1, runs: 1, gaveUp: 2, queued: 1} {
		list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{Event: name})
		must(t, err)
		equal(t, n, len(list))
	}
}

func redeliverTwice(t *testing.T, b *bundle) {
	first, second := b.eventOf(t, b.acme, b.end(t, b.acme, dead("f"))), b.eventOf(t, b.acme, b.end(t, b.acme, dead("f")))
	o := b.ordered("job_1", first)
	b.redeliver(t, b.acme, o, 1, redeliver.Skipped{})
	// The process has died before that was counted: it is made again, with one more.
	both := b.ordered("job_1", first, second)
	b.redeliver(t, b.acme, both, 2, redeliver.Skipped{})
	for _, c := range b.claim(t, "w1", b.acme, 9) {
		end := success(c)
		dead("f")(&end)
		must(t, b.Complete(t.Context(), end))
	}
	b.redeliver(t, b.acme, both, 2, redeliver.Skipped{})
	equal(t, 0, len(b.claim(t, "w1", b.acme, 9)))
	// A version of the program that derives other ids finds them, too.
	anew := redeliver.Order{Job: "job_1", Each: map[string]string{first: ident.New(ident.Execution, b.clock.now())}}
	b.redeliver(t, b.acme, anew, 1, redeliver.Skipped{})
	b.redeliver(t, b.acme, b.ordered("job_2", first, second), 2, redeliver.Skipped{})
	b.redeliver(t, b.acme, both, 2, redeliver.Skipped{})
	equal(t, 2, len(b.claim(t, "w1", b.acme, 9)))
}

func redeliverTogether(t *testing.T, b *bundle) {
	var events []string
	for range 20 {
		events = append(events, b.eventOf(t, b.acme, b.end(t, b.acme, dead("f"))))
	}
	same := b.ordered("job_same", events...)
	var made atomic.Int64
	together(6, func(i int) {
		o := same
		if i > 2 {
			o = b.ordered(names("job_", 9)[i], events...)
		}
		n, _, err := b.Redeliver(t.Context(), b.acme.tenant, o)
		if err != nil {
			t.Error(err)
		}
		if i > 2 {
			made.Add(int64(n))
		}
	})
	claimed := b.claim(t, "w1", b.acme, 200)
	equal(t, 20, len(claimed))
	var got []string
	for _, c := range claimed {
		got = append(got, b.eventOf(t, b.acme, c.Execution))
	}
	slices.Sort(got)
	slices.Sort(events)
	equal(t, events, got)
	if n := made.Load(); n != 0 && n != 20 {
		t.Errorf("the others have made %d of 20", n)
	}
}

func redelivered(t *testing.T, b *bundle) {
	ctx := t.Context()
	var events []string
	for range 5 {
		events = append(events, b.eventOf(t, b.acme, b.end(t, b.acme, dead("f"))))
	}
	created := b.clock.now()
	o := b.ordered("job_1", events...)
	b.redeliver(t, b.acme, o, 5, redeliver.Skipped{})
	end := success(b.claim(t, "w1", b.acme, 1)[0])
	must(t, b.Complete(ctx, end))
	got := map[string]string{}
	for after, pages := "", 0; pages == 0 || after != ""; pages++ {
		list, err := b.Redelivered(ctx, b.acme.tenant, "job_1", created, redeliver.OutcomeFilter{After: after, Limit: 2})
		must(t, err)
		after = ""
		for _, one := range list {
			got[one.Event], after = one.Execution, one.Execution
		}
	}
	equal(t, o.Each, got)
	list, err := b.Redelivered(ctx, b.acme.tenant, "job_1", created, redeliver.OutcomeFilter{State: execution.Succeeded, Limit: 9})
	must(t, err)
	equal(t, []redeliver.Outcome{{Event: b.eventOf(t, b.acme, end.Execution), Execution: end.Execution, State: execution.Succeeded}}, list)
	list, err = b.Redelivered(ctx, b.acme.tenant, "job_2", created, redeliver.OutcomeFilter{Limit: 9})
	must(t, err)
	equal(t, 0, len(list))
	_, err = b.Redelivered(ctx, b.acme.tenant, "job_1", created, redeliver.OutcomeFilter{State: "lost"})
	wantFault(t, err, fault.InvalidInput, "state_unknown")
}

func redeliveredTrace(t *testing.T, b *bundle) {
	ctx := t.Context()
	first := b.end(t, b.acme, dead("f"))
	e := b.eventOf(t, b.acme, first)
	o := b.ordered("job_1", e)
	b.redeliver(t, b.acme, o, 1, redeliver.Skipped{})
	trace, err := b.Trace(ctx, b.acme.tenant, o.Each[e])
	must(t, err)
	equal(t, &execution.Redelivered{Job: "job_1", Follows: first}, trace.Redelivery)
	equal(t, e, trace.Event.ID)
	trace, err = b.Trace(ctx, b.acme.tenant, first)
	must(t, err)
	if trace.Redelivery != nil {
		t.Errorf("the first one is %+v", trace.Redelivery)
	}
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{Event: e})
	must(t, err)
	equal(t, 2, len(list))
}

func redriveRedelivered(t *testing.T, b *bundle) {
	ctx := t.Context()
	first := b.end(t, b.acme, dead("f"))
	o := b.ordered("job_1", b.eventOf(t, b.acme, first))
	b.redeliver(t, b.acme, o, 1, redeliver.Skipped{})
	wantFault(t, b.Redrive(ctx, b.acme.tenant, first, execution.Redriving{}), fault.Conflict, execution.CodeNotRedrivable)
	b.wantState(t, b.acme, first, execution.Dead)
	end := success(b.claim(t, "w1", b.acme, 1)[0])
	dead("f")(&end)
	must(t, b.Complete(ctx, end))
	wantFault(t, b.Redrive(ctx, b.acme.tenant, first, execution.Redriving{}), fault.Conflict, execution.CodeNotRedrivable)
	must(t, b.Redrive(ctx, b.acme.tenant, end.Execution, execution.Redriving{}))
	b.wantState(t, b.acme, end.Execution, execution.Queued)
}

func redriveBesideRedeliver(t *testing.T, b *bundle) {
	for range 20 {
		first := b.end(t, b.acme, dead("f"))
		o := b.ordered(ident.New(ident.Job, b.clock.now()), b.eventOf(t, b.acme, first))
		var redriven, made atomic.Int64
		together(2, func(i int) {
			if i == 0 {
				if b.Redrive(t.Context(), b.acme.tenant, first, execution.Redriving{}) == nil {
					redriven.Add(1)
				}
				return
			}
			n, _, err := b.Redeliver(t.Context(), b.acme.tenant, o)
			if err != nil {
				t.Error(err)
			}
			made.Add(int64(n))
		})
		if redriven.Load()+made.Load() != 1 {
			t.Errorf("redriven %d times and redelivered %d times, want one of them once", redriven.Load(), made.Load())
		}
		for _, c := range b.claim(t, "w1", b.acme, 9) {
			must(t, b.Complete(t.Context(), success(c)))
		}
	}
}

func redeliverGone(t *testing.T, b *bundle) {
	e := b.eventOf(t, b.acme, b.end(t, b.acme, dead("f")))
	b.redeliver(t, b.acme, b.ordered("job_1", "evt_none", b.record(t)), 0, redeliver.Skipped{Gone: 2})
	ins, err := b.Installation(t.Context(), b.acme.tenant, b.acme.installation)
	must(t, err)
	removed := ins
	removed.State = installation.Removed
	must(t, b.UpdateInstallation(t.Context(), removed, ins.UpdatedAt))
	b.redeliver(t, b.acme, b.ordered("job_1", e), 0, redeliver.Skipped{Gone: 1})
	b.redeliver(t, b.acme, redeliver.Order{Job: "job_1"}, 0, redeliver.Skipped{})
}

// record is an event that causes nothing.
func (b *bundle) record(t testing.TB) string {
	t.Helper()
	e := b.event(b.acme)
	must2(t)(b.Accept(t.Context(), e, nil))
	return e.ID
}

func redeliverIsolated(t *testing.T, b *bundle) {
	ctx := t.Context()
	e := b.eventOf(t, b.acme, b.end(t, b.acme, dead("f")))
	b.redeliver(t, b.other, b.ordered("job_1", e), 0, redeliver.Skipped{Gone: 1})
	w, err := b.Deliveries(ctx, b.other.tenant, redeliver.Spec{}, "", 9)
	must(t, err)
	equal(t, 0, len(w.Found))
	got, err := b.EventsOf(ctx, b.other.tenant, []string{e}, true)
	must(t, err)
	equal(t, 0, len(got))
	b.redeliver(t, b.acme, b.ordered("job_1", e), 1, redeliver.Skipped{})
	list, err := b.Redelivered(ctx, b.other.tenant, "job_1", b.clock.now(), redeliver.OutcomeFilter{})
	must(t, err)
	equal(t, 0, len(list))
}

func redeliverLane(t *testing.T, b *bundle) {
	e := b.eventOf(t, b.acme, b.end(t, b.acme, dead("f")))
	o := b.ordered("job_1", e)
	b.redeliver(t, b.acme, o, 1, redeliver.Skipped{})
	b.clock.advance(time.Second)
	live := b.work(t, b.acme, event.Live)
	equal(t, live, b.claim(t, "w1", b.acme, 1)[0].Execution)
	last := b.claim(t, "w1", b.acme, 1)[0]
	equal(t, o.Each[e], last.Execution)
	equal(t, event.Backfill, last.Lane)
}

// purgeRedelivered checks that an event stays as long as its latest execution.
func purgeRedelivered(t *testing.T, k *kept) {
	ctx := t.Context()
	first := k.end(t, k.acme, dead("f"))
	e := k.eventOf(t, k.acme, first)
	k.clock.advance(time.Hour)
	o := k.ordered("job_1", e)
	k.redeliver(t, k.acme, o, 1, redeliver.Skipped{})
	got := k.purge(t, k.acme, time.Minute)
	equal(t, retention.Purged{Executions: 1, Bytes: got.Bytes}, got)
	trace, err := k.Trace(ctx, k.acme.tenant, o.Each[e])
	must(t, err)
	equal(t, e, trace.Event.ID)
	list, err := k.Executions(ctx, k.acme.tenant, execution.Filter{Event: e})
	must(t, err)
	equal(t, []string{o.Each[e]}, ids(list))
	must(t, k.Complete(ctx, success(k.claim(t, "w1", k.acme, 1)[0])))
	k.clock.advance(time.Hour)
	got = k.purge(t, k.acme, time.Minute)
	equal(t, retention.Purged{Executions: 1, Events: 1, Bytes: got.Bytes}, got)
	_, err = k.Event(ctx, k.acme.tenant, e)
	wantNotFound(t, "the event", err)
}
