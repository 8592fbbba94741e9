package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

const (
	// step is how many due schedules are looked at before the database is asked again.
	step = 100
	// lookEvery is the longest sleep: what another process was told of and did not live to
	// fire is fired that much later. One read of an index in that time is what schedules
	// cost that are not due.
	lookEvery = 10 * time.Second
	// lookLeast is the shortest.
	lookLeast = 5 * time.Millisecond
	// troubled is how long one waits that could not be looked at.
	troubled = 30 * time.Second
	// heldLeast and heldLook bound how soon a held tick is looked at again.
	heldLeast = time.Second
	heldLook  = 5 * time.Second
)

// What became of a tick, for the metrics.
const (
	fired   = "fired"
	skipped = "skipped"
	held    = "held"
	missed  = "missed"
	refused = "refused"
)

func (s *Schedules) measure() {
	s.ticks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cofferdam_schedule_ticks_total", Help: "Ticks of schedules by what became of them: fired, skipped, held, missed, refused.",
	}, []string{"result"})
	s.late = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "cofferdam_schedule_late_seconds", Help: "How long after they were due ticks have fired.",
		Buckets: []float64{0.01, 0.05, 0.25, 1, 5, 30, 300, 3600},
	})
	for _, result := range []string{fired, skipped, held, missed, refused} {
		s.ticks.WithLabelValues(result)
	}
	if s.c.Registerer != nil {
		s.c.Registerer.MustRegister(s.ticks, s.late)
	}
}

// wake has Run look at once. It never blocks.
func (s *Schedules) wake() {
	select {
	case s.woken <- struct{}{}:
	default: // It is told already.
	}
}

// Run fires what is due until ctx ends.
func (s *Schedules) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause, err := s.FireDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.c.Logger.WarnContext(ctx, "schedules are not looked at", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-s.woken:
		case <-s.c.After(pause):
		}
	}
}

// FireDue fires what is due now, and returns how long nothing will be.
func (s *Schedules) FireDue(ctx context.Context) (time.Duration, error) {
	for {
		due, err := s.c.Store.DueSchedules(ctx, step)
		if err != nil {
			return lookEvery, fmt.Errorf("find what is due: %w", err)
		}
		// Each process has an order of its own, so that they seldom meet.
		rand.Shuffle(len(due.Schedules), func(i, j int) { //nolint:gosec // Nobody gains by guessing it.
			due.Schedules[i], due.Schedules[j] = due.Schedules[j], due.Schedules[i]
		})
		moved := false
		for _, r := range due.Schedules {
			is, err := s.look(ctx, r, due.Now)
			if err != nil {
				return lookEvery, err
			}
			moved = moved || is
		}
		if moved {
			continue // What has fired may be due again, and there may be more.
		}
		if len(due.Schedules) > 0 {
			return lookEvery, nil
		}
		if due.Next.IsZero() {
			return lookEvery, nil
		}
		return max(lookLeast, min(lookEvery, due.Next.Sub(due.Now))), nil
	}
}

// look does what there is to do for a schedule, and says whether that has made it one
// that is not due. One that makes trouble is put off, so that it does not stand before
// the others: an error is that of a database that is away.
func (s *Schedules) look(ctx context.Context, r Ref, now time.Time) (moved bool, err error) {
	err = s.tick(ctx, r, now)
	if err == nil || errors.Is(err, ErrFenced) {
		return true, nil // With ErrFenced somebody else has moved it.
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if fault.From(err).Code == fault.CodeNotFound {
		return false, nil // It is being deleted, or its tenant is.
	}
	s.c.Logger.WarnContext(ctx, "a schedule was put off", slog.String("tenant", r.Tenant), slog.String("schedule", r.ID), slog.Any("error", err))
	sch, err := s.c.Store.Schedule(ctx, r.Tenant, r.ID)
	if err != nil {
		return false, fmt.Errorf("put a schedule off: %w", err)
	}
	if sch.State != Active || sch.Due.After(now) {
		return true, nil
	}
	sch.Due = now.Add(troubled)
	if err := s.save(ctx, sch, now); err != nil && !errors.Is(err, ErrFenced) {
		return false, fmt.Errorf("put a schedule off: %w", err)
	}
	return true, nil
}

func (s *Schedules) save(ctx context.Context, sch Schedule, now time.Time) error {
	sch.Version, sch.UpdatedAt = sch.Version+1, now
	return s.c.Store.UpdateSchedule(ctx, sch)
}

// tick looks at one schedule that was due.
func (s *Schedules) tick(ctx context.Context, r Ref, now time.Time) error {
	sch, err := s.c.Store.Schedule(ctx, r.Tenant, r.ID)
	if err != nil || sch.State != Active || sch.Due.IsZero() || sch.Due.After(now) {
		return err
	}
	if refusal, err := s.refusal(ctx, sch); err != nil || refusal != "" {
		if err == nil {
			err = s.stop(ctx, sch, refusal, now)
		}
		return err
	}
	_, timer, err := sch.When.settled(now)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		// Such as that of a time zone which this system does not know any more.
		return s.stop(ctx, sch, f.Message, now)
	}
	if err != nil {
		return err
	}
	p := planned(sch, timer, now)
	if p.fires.IsZero() {
		s.ticks.WithLabelValues(missed).Inc()
		return s.save(ctx, sch.missed(p.next), now)
	}
	busy, err := s.busy(ctx, sch)
	if err != nil {
		return err
	}
	if busy && sch.Overlap != CancelOld {
		return s.overlaps(ctx, sch, p, timer, now)
	}
	if busy {
		// First this: whoever is killed in between does it again, and nothing happens twice.
		if _, err := s.c.Cancel(ctx, sch.Tenant, sch.LastExecution); err != nil && fault.From(err).Code != fault.CodeNotFound {
			return fmt.Errorf("cancel the execution before: %w", err)
		}
	}
	due := p.fires.Add(sch.delay())
	after := sch.at(p.next)
	after.LastAt = p.fires
	// What was held behind this one is held still, not missed.
	after.Held = sch.Held && after.State == Active && !after.Due.After(now)
	accepted, err := s.fire(ctx, after, tickOf(sch, p.fires, now), now)
	if err != nil {
		return err
	}
	if below, ok := s.c.Tracer.Execution(ctx, accepted.Execution); ok {
		s.c.Tracer.Tell(below, telemetry.Span{
			Name: "tick", Kind: telemetry.Producer, Begin: due, End: now,
			Attributes: []telemetry.Attribute{telemetry.Text("cofferdam.tenant", sch.Tenant), telemetry.Text("cofferdam.schedule", sch.ID)},
		})
	}
	s.ticks.WithLabelValues(fired).Inc()
	s.late.Observe(now.Sub(due).Seconds())
	return nil
}

// overlaps leaves a tick out, or holds it.
func (s *Schedules) overlaps(ctx context.Context, sch Schedule, p plan, timer timer, now time.Time) error {
	if sch.Overlap == Skip {
		sch.Skipped++
		s.ticks.WithLabelValues(skipped).Inc()
		// All that is due until now overlaps.
		return s.save(ctx, sch.at(timer.after(now.Add(-sch.delay()))), now)
	}
	if !sch.Held {
		s.ticks.WithLabelValues(held).Inc()
	}
	waited := now.Sub(p.fires.Add(sch.delay()))
	sch.Next, sch.Held = p.fires, true
	sch.Due = now.Add(max(heldLeast, min(heldLook, waited/4)))
	return s.save(ctx, sch, now)
}

// missed goes on after ticks that do not fire.
func (s Schedule) missed(next time.Time) Schedule {
	s = s.at(next)
	if s.State == Ended {
		s.Reason = "its time was missed"
	}
	return s
}

// refusal says why what a schedule calls for cannot be called, or is empty.
func (s *Schedules) refusal(ctx context.Context, sch Schedule) (string, error) {
	kind, name := sch.call()
	_, err := s.c.Callable(ctx, sch.Tenant, sch.Installation, kind, name, sch.Input)
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Class == fault.Platform {
		return "", err
	}
	if f.Code == fault.CodeNotFound {
		return "the installation was removed", nil
	}
	return f.Message, nil
}

// stop pauses a schedule that would only make dead executions.
func (s *Schedules) stop(ctx context.Context, sch Schedule, reason string, now time.Time) error {
	s.ticks.WithLabelValues(refused).Inc()
	sch.State, sch.Reason, sch.Held = Paused, reason, false
	return s.save(audit.Begin(ctx, &audit.Act{
		Who: audit.Host, Tenant: sch.Tenant, Action: "schedule.pause", Object: sch.ID, Reason: reason,
	}), sch, now)
}

// busy says that the execution of the tick before is not done.
func (s *Schedules) busy(ctx context.Context, sch Schedule) (bool, error) {
	if sch.LastExecution == "" {
		return false, nil
	}
	x, err := s.c.Execution(ctx, sch.Tenant, sch.LastExecution)
	if err != nil && fault.From(err).Code == fault.CodeNotFound {
		return false, nil // It is done for so long that it is not kept any more.
	}
	if err != nil {
		return false, fmt.Errorf("look at the execution before: %w", err)
	}
	return !x.State.Done(), nil
}

// tickOf is the tick of an instant.
func tickOf(sch Schedule, instant, now time.Time) Tick {
	kind, name := sch.call()
	return Tick{
		Kind: kind, Name: name,
		Event: event.Event{
			ID: ident.New(ident.Event, now), Tenant: sch.Tenant, Installation: sch.Installation,
			Kind: event.Schedule, Name: sch.Name, Source: sch.ID, DedupeKey: event.TickKey(instant, ""),
			Body: sch.Input, ReceivedAt: now,
		},
		Work: event.Work{Execution: ident.New(ident.Execution, now), Lane: event.Live},
	}
}

// fire stores a tick together with what a schedule is after it.
func (s *Schedules) fire(ctx context.Context, sch Schedule, t Tick, now time.Time) (event.Accepted, error) {
	sch.Fired++
	sch.Version, sch.UpdatedAt, sch.LastExecution = sch.Version+1, now, t.Work.Execution
	accepted, err := s.c.Store.FireSchedule(ctx, sch, t)
	if err != nil {
		return event.Accepted{}, fmt.Errorf("fire a schedule: %w", err)
	}
	s.c.Wake(ctx, sch.Tenant)
	return accepted, nil
}
