package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/schedule"
)

func testSchedules(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"what is kept of a schedule": scheduleRoundTrip,
		"names and bounds":           scheduleBounds,
		"changes are fenced":         scheduleFenced,
		"listed":                     schedulesListed,
		"what is due":                schedulesDue,
		"a tick and what it causes":  scheduleFired,
		"of many one fires":          scheduleFiredTogether,
		"others' schedules":          othersSchedules,
	})
}

func (b *bundle) schedule(p place, name string) schedule.Schedule {
	now := b.clock.now()
	return schedule.Schedule{
		ID: ident.New(ident.Schedule, now), Tenant: p.tenant, Installation: p.installation, Name: name,
		Action: "sync", Input: json.RawMessage(`{"n":1}`), When: schedule.When{Cron: "0 3 * * *", TimeZone: "Europe/Berlin"},
		Overlap: schedule.Queue, Missed: schedule.CatchUpAll, JitterS: 60, DelayS: 17, State: schedule.Active,
		Next: now.Add(time.Hour), Due: now.Add(time.Hour + 17*time.Second), Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

func (b *bundle) insertSchedule(t testing.TB, s schedule.Schedule) schedule.Schedule {
	t.Helper()
	must(t, b.InsertSchedule(t.Context(), s, 1<<20))
	return s
}

// tick is one of a schedule, and the schedule as it is then.
func (b *bundle) tick(s schedule.Schedule) (schedule.Schedule, schedule.Tick) {
	now := b.clock.now()
	t := schedule.Tick{
		Kind: event.Action, Name: s.Action,
		Event: event.Event{
			ID: ident.New(ident.Event, now), Tenant: s.Tenant, Installation: s.Installation, Kind: event.Schedule, Name: s.Name,
			Source: s.ID, DedupeKey: event.TickKey(s.Next, ""), Body: s.Input, ReceivedAt: now,
		},
		Work: event.Work{Execution: ident.New(ident.Execution, now), Lane: event.Live},
	}
	s.LastAt, s.LastExecution = s.Next, t.Work.Execution
	s.Next, s.Due = s.Next.Add(24*time.Hour), s.Due.Add(24*time.Hour)
	s.Fired, s.Version, s.UpdatedAt = s.Fired+1, s.Version+1, now
	return s, t
}

func (b *bundle) wantSchedule(t testing.TB, want schedule.Schedule) {
	t.Helper()
	got, err := b.Schedule(t.Context(), want.Tenant, want.ID)
	must(t, err)
	equal(t, want, got)
}

func scheduleRoundTrip(t *testing.T, b *bundle) {
	ctx := t.Context()
	s := b.insertSchedule(t, b.schedule(b.acme, "nightly"))
	b.wantSchedule(t, s)
	got, err := b.Schedule(ctx, s.Tenant, "nightly")
	must(t, err)
	equal(t, s, got)

	b.clock.advance(time.Minute)
	s.Name, s.Action, s.Poll, s.Input = "hourly", "", "issues", nil
	s.When, s.Overlap, s.Missed, s.JitterS, s.DelayS = schedule.When{Every: "1h", Anchor: b.clock.now()}, schedule.Skip, schedule.CatchUpNone, 0, 0
	s.State, s.Reason, s.Next, s.Due, s.Held = schedule.Paused, "because", time.Time{}, time.Time{}, true
	s.LastAt, s.LastExecution, s.Fired, s.Skipped, s.Version, s.UpdatedAt = b.clock.now(), "exe_1", 2, 3, 2, b.clock.now()
	must(t, b.UpdateSchedule(ctx, s))
	b.wantSchedule(t, s)

	must(t, b.DeleteSchedule(ctx, s.Tenant, s.ID))
	_, err = b.Schedule(ctx, s.Tenant, s.ID)
	wantNotFound(t, "Schedule", err)
	wantNotFound(t, "DeleteSchedule", b.DeleteSchedule(ctx, s.Tenant, s.ID))
	wantFencedOff(t, b.UpdateSchedule(ctx, s))
}

func scheduleBounds(t *testing.T, b *bundle) {
	ctx := t.Context()
	first := b.insertSchedule(t, b.schedule(b.acme, "a"))
	wantFault(t, b.InsertSchedule(ctx, b.schedule(b.acme, "a"), 10), fault.Conflict, "schedule_exists")
	wantFault(t, b.InsertSchedule(ctx, b.schedule(b.acme, "b"), 1), fault.Conflict, "too_many_schedules")
	b.insertSchedule(t, b.schedule(b.other, "a")) // Others have names and bounds of their own.
	foreign := b.schedule(b.acme, "c")
	foreign.Installation = b.other.installation
	wantNotFound(t, "of another's installation", b.InsertSchedule(ctx, foreign, 10))

	b.insertSchedule(t, b.schedule(b.acme, "b"))
	first.Name, first.Version = "b", 2
	wantFault(t, b.UpdateSchedule(ctx, first), fault.Conflict, "schedule_exists")
}

func scheduleFenced(t *testing.T, b *bundle) {
	ctx := t.Context()
	s := b.insertSchedule(t, b.schedule(b.acme, "a"))
	s.Skipped, s.Version = 1, 2
	must(t, b.UpdateSchedule(ctx, s))
	late := s
	late.Skipped = 9
	wantFencedOff(t, b.UpdateSchedule(ctx, late))
	late.Version = 2
	_, tick := b.tick(s)
	_, err := b.FireSchedule(ctx, late, tick)
	wantFencedOff(t, err)
	b.wantSchedule(t, s)
	events, err := b.Events(ctx, s.Tenant, event.Filter{})
	must(t, err)
	equal(t, 0, len(events))
}

func schedulesListed(t *testing.T, b *bundle) {
	ctx := t.Context()
	var all []schedule.Schedule
	for i := range 3 {
		b.clock.advance(time.Second)
		s := b.insertSchedule(t, b.schedule(b.acme, fmt.Sprintf("s%d", i)))
		s.Input = nil // A list has none.
		all = append(all, s)
	}
	slices.Reverse(all)
	got, err := b.Schedules(ctx, b.acme.tenant, schedule.Filter{})
	must(t, err)
	equal(t, all, got)
	got, err = b.Schedules(ctx, b.acme.tenant, schedule.Filter{Before: all[0].ID, Limit: 1})
	must(t, err)
	equal(t, all[1:2], got)
	got, err = b.Schedules(ctx, b.acme.tenant, schedule.Filter{Installation: "ins_other"})
	must(t, err)
	equal(t, 0, len(got))
}

func schedulesDue(t *testing.T, b *bundle) {
	ctx := t.Context()
	due := func(want ...schedule.Schedule) schedule.Due {
		t.Helper()
		got, err := b.DueSchedules(ctx, 10)
		must(t, err)
		refs := []schedule.Ref{}
		for _, s := range want {
			refs = append(refs, schedule.Ref{Tenant: s.Tenant, ID: s.ID})
		}
		equal(t, refs, got.Schedules)
		return got
	}
	if got := due(); !got.Next.IsZero() {
		t.Errorf("the next of none is due at %s", got.Next)
	}
	soon, later, paused, over := b.schedule(b.acme, "soon"), b.schedule(b.other, "later"), b.schedule(b.acme, "paused"), b.schedule(b.acme, "over")
	later.Due = later.Due.Add(time.Minute)
	paused.State = schedule.Paused
	over.State, over.Next, over.Due = schedule.Ended, time.Time{}, time.Time{}
	for _, s := range []schedule.Schedule{later, soon, paused, over} {
		b.insertSchedule(t, s)
	}
	equal(t, soon.Due, due().Next)
	b.clock.advance(soon.Due.Sub(b.clock.now()))
	got := due(soon)
	equal(t, later.Due, got.Next)
	equal(t, b.clock.now(), got.Now.UTC())
	b.clock.advance(time.Hour)
	due(soon, later)
	first, err := b.DueSchedules(ctx, 1)
	must(t, err)
	equal(t, []schedule.Ref{{Tenant: soon.Tenant, ID: soon.ID}}, first.Schedules)
	// Nothing is due of a tenant that is being deleted.
	b.deleting(t, b.acme)
	due(later)
}

func wantFencedOff(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, schedule.ErrFenced) {
		t.Errorf("got error %v, want %v", err, schedule.ErrFenced)
	}
}

func scheduleFired(t *testing.T, b *bundle) {
	ctx := t.Context()
	s := b.insertSchedule(t, b.schedule(b.acme, "nightly"))
	after, tick := b.tick(s)
	a, err := b.FireSchedule(ctx, after, tick)
	must(t, err)
	equal(t, event.Accepted{Event: tick.Event.ID, Execution: tick.Work.Execution}, a)
	b.wantSchedule(t, after)
	e, err := b.Event(ctx, s.Tenant, a.Event)
	must(t, err)
	equal(t, tick.Event, e)
	equal(t, s.Next, e.ScheduledAt())
	x, err := b.Execution(ctx, s.Tenant, a.Execution)
	must(t, err)
	equal(t, execution.Queued, x.State)
	equal(t, []string{"action", "sync", e.ID, s.Installation}, []string{string(x.Kind), x.Name, x.Event, x.Installation})
	if got := b.claim(t, "wrk_1", b.acme, 5); len(got) != 1 || got[0].Execution != x.ID {
		t.Errorf("claimed %v, want the tick's", got)
	}

	// Of an instant that was fired before, whoever forgot it, nothing is stored again.
	again := after
	again.Next = s.Next
	again, tick = b.tick(again)
	dup, err := b.FireSchedule(ctx, again, tick)
	must(t, err)
	equal(t, event.Accepted{Event: a.Event, Execution: a.Execution, Duplicate: true}, dup)
	again.LastExecution = a.Execution
	b.wantSchedule(t, again)

	b.deleting(t, b.acme)
	last, tick := b.tick(again)
	tick.Event.Body = nil // It could not be sealed any more.
	_, err = b.FireSchedule(ctx, last, tick)
	wantNotFound(t, "a tick of a tenant that is being deleted", err)
	all, err := b.Schedules(ctx, s.Tenant, schedule.Filter{})
	must(t, err)
	equal(t, again.Fired, all[0].Fired)
}

// deleting brings a tenant to where nothing of it is accepted any more.
func (b *bundle) deleting(t testing.TB, p place) {
	t.Helper()
	was, err := b.Tenant(t.Context(), p.tenant)
	must(t, err)
	_, err = b.AskDeletion(t.Context(), was, 0)
	must(t, err)
	_, err = b.DestroyKey(t.Context(), p.tenant)
	must(t, err)
}

func scheduleFiredTogether(t *testing.T, b *bundle) {
	s := b.insertSchedule(t, b.schedule(b.acme, "nightly"))
	var fired, fenced atomic.Int64
	together(8, func(int) {
		after, tick := b.tick(s)
		switch _, err := b.FireSchedule(t.Context(), after, tick); {
		case err == nil:
			fired.Add(1)
		case errors.Is(err, schedule.ErrFenced):
			fenced.Add(1)
		default:
			t.Error(err)
		}
	})
	equal(t, []int64{1, 7}, []int64{fired.Load(), fenced.Load()})
	events, err := b.Events(t.Context(), s.Tenant, event.Filter{Kind: event.Schedule})
	must(t, err)
	equal(t, 1, len(events))
}

func othersSchedules(t *testing.T, b *bundle) {
	ctx := t.Context()
	s := b.insertSchedule(t, b.schedule(b.acme, "nightly"))
	for _, ref := range []string{s.ID, s.Name} {
		_, err := b.Schedule(ctx, b.other.tenant, ref)
		wantNotFound(t, "Schedule", err)
	}
	wantNotFound(t, "DeleteSchedule", b.DeleteSchedule(ctx, b.other.tenant, s.ID))
	forged := s
	forged.Tenant, forged.Version = b.other.tenant, 2
	wantFencedOff(t, b.UpdateSchedule(ctx, forged))
	after, tick := b.tick(forged)
	_, err := b.FireSchedule(ctx, after, tick)
	wantFencedOff(t, err)
	b.wantSchedule(t, s)
}
