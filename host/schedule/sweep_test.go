package schedule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

func TestOverlap(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *bundle){
		"what overlaps is skipped": func(t *testing.T, b *bundle) {
			t.Helper()
			s := b.create(t, schedule.Spec{When: every("1m")})
			b.pass(t, 3*time.Minute)
			if got := b.wantTicks(t, s, "12:01:00"); got.Skipped != 2 || got.Fired != 1 {
				t.Errorf("%d fired and %d were skipped, want 1 and 2", got.Fired, got.Skipped)
			}
			b.finish(t)
			b.pass(t, time.Minute)
			b.wantTicks(t, s, "12:01:00", "12:04:00")
		},
		"what overlaps is queued": func(t *testing.T, b *bundle) {
			t.Helper()
			s := b.create(t, schedule.Spec{When: every("1m"), Overlap: schedule.Queue})
			b.pass(t, 4*time.Minute)
			if got := b.wantTicks(t, s, "12:01:00"); !got.Held || !got.Next.Equal(noon.Add(2*time.Minute)) {
				t.Errorf("held is %v, and the next is %s", got.Held, got.Next)
			}
			for _, want := range []string{"12:02:00", "12:03:00", "12:04:00"} {
				b.finish(t)
				b.pass(t, 10*time.Second) // In which it is looked at again.
				if got := b.ticks(t, s); got[len(got)-1] != want {
					t.Errorf("got %v, want %s last", got, want)
				}
			}
			b.finish(t)
			b.pass(t, time.Minute)
			if got := b.wantTicks(t, s, "12:01:00", "12:02:00", "12:03:00", "12:04:00", "12:05:00"); got.Held {
				t.Error("it is held, and nothing is before it")
			}
		},
		"a queue has an end": func(t *testing.T, b *bundle) {
			t.Helper()
			s := b.create(t, schedule.Spec{When: every("1m"), Overlap: schedule.Queue})
			b.pass(t, 150*time.Minute)
			// Of 149 that are held the oldest 49 are dropped.
			if got := b.wantTicks(t, s, "12:01:00"); got.Next.Before(noon.Add(50*time.Minute)) || got.Next.After(noon.Add(52*time.Minute)) {
				t.Errorf("the next is %s, want 100 before %s", got.Next, b.now())
			}
		},
		"the old one is cancelled": func(t *testing.T, b *bundle) {
			t.Helper()
			s := b.create(t, schedule.Spec{When: every("1m"), Overlap: schedule.CancelOld})
			b.pass(t, 3*time.Minute)
			b.wantTicks(t, s, "12:01:00", "12:02:00", "12:03:00")
			all, err := b.Executions(t.Context(), tenantID, execution.Filter{})
			must(t, err)
			counts := map[execution.State]int{}
			for _, x := range all {
				counts[x.State]++
			}
			if counts[execution.Cancelled] != 2 || counts[execution.Queued] != 1 {
				t.Errorf("got %v, want 2 cancelled and 1 queued", counts)
			}
		},
		"a run by hand comes before": func(t *testing.T, b *bundle) {
			t.Helper()
			s := b.create(t, schedule.Spec{When: every("1m")})
			b.down(30 * time.Second)
			accepted, err := b.RunNow(t.Context(), tenantID, "sync")
			must(t, err)
			b.pass(t, time.Minute)
			got := b.wantTicks(t, s, "12:00:30")
			if got.LastExecution != accepted.Execution || got.Skipped != 1 {
				t.Errorf("the last is %s, and %d were skipped", got.LastExecution, got.Skipped)
			}
			_, err = b.RunNow(t.Context(), tenantID, s.ID)
			must(t, err)
			if got := b.ticks(t, s); len(got) != 2 {
				t.Errorf("got %v: by hand nothing is left out", got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t))
		})
	}
}

// TestATickIsTold: from when it was due, in the trace of what it calls for.
func TestATickIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.create(t, schedule.Spec{When: every("1m")})
	b.pass(t, time.Minute)
	s, err := b.Schedule(t.Context(), tenantID, s.ID)
	must(t, err)
	told := b.spans.GetSpans()
	if len(told) != 1 || told[0].Name != "tick" || told[0].SpanContext.TraceID() != telemetry.TraceID(s.LastExecution) || told[0].StartTime.Before(s.LastAt) || told[0].EndTime.Before(told[0].StartTime) {
		t.Errorf("of the tick of %s got %+v", s.LastAt, told)
	}
}

func TestMissed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spec schedule.Spec
		down time.Duration
		want []string
		next string
	}{
		"the latest":           {schedule.Spec{When: every("1h")}, 3*time.Hour + 30*time.Minute, []string{"15:00:00"}, "16:00:00"},
		"all, in their order":  {schedule.Spec{When: every("1h"), Missed: schedule.CatchUpAll, Overlap: schedule.Queue}, 3*time.Hour + 30*time.Minute, []string{"13:00:00", "14:00:00", "15:00:00"}, "16:00:00"},
		"none":                 {schedule.Spec{When: every("1h"), Missed: schedule.CatchUpNone}, 3*time.Hour + 30*time.Minute, nil, "16:00:00"},
		"none, but on time":    {schedule.Spec{When: every("1h"), Missed: schedule.CatchUpNone}, 3*time.Hour + 30*time.Second, []string{"15:00:00"}, "16:00:00"},
		"one instant, late":    {schedule.Spec{When: schedule.When{At: noon.Add(time.Minute)}}, time.Hour, []string{"12:01:00"}, "00:00:00"},
		"one instant, missed":  {schedule.Spec{When: schedule.When{At: noon.Add(time.Minute)}, Missed: schedule.CatchUpNone}, time.Hour, nil, "00:00:00"},
		"the latest, by cron":  {schedule.Spec{When: schedule.When{Cron: "*/20 9-17 * * mon-fri"}}, 5*time.Hour + 45*time.Minute, []string{"17:40:00"}, "09:00:00"},
		"after a quarter year": {schedule.Spec{When: every("10s")}, 90*24*time.Hour + 5*time.Second, []string{"12:00:00"}, "12:00:10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			s := b.create(t, test.spec)
			b.down(test.down)
			for range 5 {
				b.pass(t, 0)
				b.finish(t)
				if test.spec.Missed == schedule.CatchUpAll {
					b.pass(t, 6*time.Second)
				}
			}
			got := b.wantTicks(t, s, append([]string{}, test.want...)...)
			if next := got.Next.Format("15:04:05"); next != test.next {
				t.Errorf("the next is %s, want %s", next, test.next)
			}
			if ended := s.When.Every == "" && s.When.Cron == ""; ended != (got.State == schedule.Ended) {
				t.Errorf("it is %s", got.State)
			}
		})
	}
}

func TestJitterIsTheSchedulesOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	delays := map[int64]bool{}
	for i := range 40 {
		s := b.create(t, schedule.Spec{Name: fmt.Sprint("s", i), When: every("1h"), JitterS: 600})
		if s.DelayS < 0 || s.DelayS > 600 || !s.Due.Equal(s.Next.Add(time.Duration(s.DelayS)*time.Second)) {
			t.Errorf("it is due at %s, %d s after %s", s.Due, s.DelayS, s.Next)
		}
		delays[s.DelayS] = true
	}
	if len(delays) < 30 {
		t.Errorf("40 schedules have %d delays", len(delays))
	}
	s, err := b.Get(t.Context(), tenantID, "s0")
	must(t, err)
	b.pass(t, time.Hour)
	b.finish(t)
	b.Schedules = b.process(b.Store) // It is started again, and it is the same delay.
	b.pass(t, time.Hour)
	b.finish(t)
	b.pass(t, 11*time.Minute)
	got := b.wantTicks(t, s, "13:00:00", "14:00:00")
	if got.DelayS != s.DelayS || !got.Due.Equal(got.Next.Add(time.Duration(s.DelayS)*time.Second)) {
		t.Errorf("the delay is %d, and was %d", got.DelayS, s.DelayS)
	}
}

func TestPauseAndWhatCannotBeCalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	s := b.create(t, schedule.Spec{When: every("1m"), Missed: schedule.CatchUpAll, Overlap: schedule.Queue})
	_, err := b.Pause(ctx, tenantID, s.ID)
	must(t, err)
	b.pass(t, 10*time.Minute)
	s, err = b.Resume(ctx, tenantID, s.ID)
	must(t, err)
	b.pass(t, time.Minute)
	b.wantTicks(t, s, "12:11:00") // What comes while it is paused was not missed.

	b.finish(t)
	b.refuses.Store(fault.New(fault.InvalidInput, "no_such_action", "shop 2.0.0 has no action %q", "sync"))
	b.pass(t, 2*time.Minute)
	got := b.wantTicks(t, s, "12:11:00")
	if got.State != schedule.Paused || !strings.Contains(got.Reason, "no action") {
		t.Errorf("it is %s because %q", got.State, got.Reason)
	}
	if _, err := b.Resume(ctx, tenantID, s.ID); err == nil || fault.From(err).Where != "/action" {
		t.Errorf("got %v for resuming what cannot be called", err)
	}
	b.refuses.Store(fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "away"))
	if _, err := b.Resume(ctx, tenantID, s.ID); err == nil {
		t.Error("it was resumed, and nobody knows whether it can be called")
	}
	b.refuses.Store(nil)
	got, err = b.Resume(ctx, tenantID, s.ID)
	must(t, err)
	if got.State != schedule.Active || got.Reason != "" {
		t.Errorf("it is %s because %q", got.State, got.Reason)
	}
	// What nobody can tell is put off, and the others go on.
	b.refuses.Store(fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "away"))
	b.pass(t, 2*time.Minute)
	if got = b.wantTicks(t, s, "12:11:00"); got.State != schedule.Active || !got.Due.After(b.now()) {
		t.Errorf("it is %s, and due at %s", got.State, got.Due)
	}
	b.refuses.Store(nil)
	b.pass(t, time.Minute)
	if got := b.ticks(t, s); len(got) < 2 {
		t.Errorf("got %v", got)
	}
}

func TestChangesOfASchedule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	s := b.create(t, schedule.Spec{Poll: "orders"})
	if s.When.Every != "5m" || s.Name != "orders" {
		t.Errorf("got %+v, want what the manifest suggests", s)
	}
	b.down(time.Minute)
	renamed, err := b.Update(ctx, tenantID, s.ID, schedule.Change{Name: new("news"), Overlap: new(schedule.Queue)})
	must(t, err)
	if renamed.Name != "news" || renamed.Overlap != schedule.Queue || !renamed.Next.Equal(s.Next) {
		t.Errorf("got %+v", renamed)
	}
	at := noon.Add(2 * time.Minute)
	got, err := b.Update(ctx, tenantID, "news", schedule.Change{When: &schedule.When{At: at}})
	must(t, err)
	if !got.Next.Equal(at) {
		t.Errorf("the next is %s, want %s", got.Next, at)
	}
	b.pass(t, 10*time.Minute)
	if got := b.wantTicks(t, s, "12:02:00"); got.State != schedule.Ended {
		t.Errorf("it is %s", got.State)
	}
	_, err = b.Resume(ctx, tenantID, "news")
	if err == nil || fault.From(err).Code != "schedule_ended" {
		t.Errorf("got %v for resuming what has ended", err)
	}
	b.finish(t)
	_, err = b.Update(ctx, tenantID, "news", schedule.Change{When: &schedule.When{Cron: "0 * * * *"}})
	must(t, err)
	b.pass(t, time.Hour)
	b.wantTicks(t, s, "12:02:00", "13:00:00")
	for name, test := range map[string]struct {
		change      schedule.Change
		code, where string
	}{
		"a name":     {schedule.Change{Name: new("a b")}, "name_invalid", "/name"},
		"a policy":   {schedule.Change{Overlap: new(schedule.Overlap("both"))}, "overlap_unknown", "/overlap"},
		"another":    {schedule.Change{Missed: new(schedule.Missed("some"))}, "missed_unknown", "/missed"},
		"a conflict": {schedule.Change{Missed: new(schedule.CatchUpAll), Overlap: new(schedule.Skip)}, "missed_conflict", "/missed"},
		"a jitter":   {schedule.Change{JitterS: new(int64(3601))}, "jitter_invalid", "/jitter_s"},
		"the past":   {schedule.Change{When: &schedule.When{At: noon}}, "at_past", "/when/at"},
	} {
		if _, err := b.Update(ctx, tenantID, "news", test.change); err == nil || fault.From(err).Code != test.code || fault.From(err).Where != test.where {
			t.Errorf("%s: got %v, want %s at %s", name, err, test.code, test.where)
		}
	}
	must(t, b.Delete(ctx, tenantID, "news"))
	b.finish(t)
	b.pass(t, 2*time.Hour)
	if got := b.ticks(t, s); len(got) != 2 {
		t.Errorf("a deleted one ticks: %v", got)
	}
}

func TestIdleSchedulesCostNothing(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	b := setupOn(t, func(now func() time.Time) (store.Store, error) {
		return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Driver: faults.SQLite(&plan), Now: now})
	})
	for i := range 2000 {
		b.create(t, schedule.Spec{Name: fmt.Sprint("s", i), When: every("24h")})
	}
	// Two reads of the index, however many there are.
	plan.Arm(4, faults.Before)
	pause, err := b.FireDue(t.Context())
	must(t, err)
	if plan.Struck() {
		t.Error("a look at what is not due takes more than three statements")
	}
	plan.Arm(0, faults.Before)
	if pause < 10*time.Second {
		t.Errorf("it looks again after %s", pause)
	}
}

// TestRunWakes holds that a schedule that is made is not slept over.
func TestRunWakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	slept, end := make(chan time.Duration), make(chan time.Time)
	s := schedule.New(schedule.Config{
		Store: b.Store, Clock: b.Now, Execution: b.Execution,
		Callable: func(context.Context, string, string, event.Kind, string, json.RawMessage) (string, error) {
			return installationID, nil
		},
		Wake: func(context.Context, string) {}, Logger: slog.New(slog.DiscardHandler),
		After: func(d time.Duration) <-chan time.Time {
			slept <- d
			return end
		},
	})
	run.Go(func() { s.Run(ctx) })
	idle := <-slept
	sch, err := s.Create(ctx, tenantID, schedule.Spec{Installation: "shop", Action: "sync", When: schedule.When{At: noon.Add(2 * time.Second)}})
	must(t, err)
	if d := <-slept; d != 2*time.Second || idle <= d {
		t.Errorf("it sleeps for %s, and for %s where nothing is due; want 2s and more", d, idle)
	}
	b.down(2 * time.Second)
	end <- b.now()
	<-slept
	b.wantTicks(t, sch, "12:00:02")
	stop()
	run.Wait()
}
