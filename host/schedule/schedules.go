package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

const (
	// most is how many schedules a tenant may have: all of them every minute are 167
	// executions a second, which is more than a small server does.
	most = 10_000
	// maxJitter is the longest delay that may be asked for.
	maxJitter = time.Hour
	// maxUpcoming is how many instants are shown at most.
	maxUpcoming = 100
	// listMost and listUsual bound a List.
	listMost  = 200
	listUsual = 50
	// rereads is how often a change is made again that another came before.
	rereads = 8
)

// Config configures Schedules.
type Config struct {
	Store Store
	// Callable checks what is called for, and returns the installation's id; see
	// installation.Callable.
	Callable func(ctx context.Context, tenant, installation string, kind event.Kind, name string, input json.RawMessage) (string, error)
	// Every is the interval that the manifest suggests for a poll, or empty.
	Every func(ctx context.Context, tenant, installation, poll string) (string, error)
	// Execution finds an execution, and Cancel ends one.
	Execution func(ctx context.Context, tenant, id string) (execution.Execution, error)
	Cancel    func(ctx context.Context, tenant, id string) (execution.Execution, error)
	// Wake is told the tenant of each execution that was queued.
	Wake func(ctx context.Context, tenant string)
	// Clock is the database's time.
	Clock func(ctx context.Context) (time.Time, error)
	// Tracer is told of each tick that fires. Defaults to nobody.
	Tracer *telemetry.Tracer
	// Registerer takes the metrics. Defaults to nowhere.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	// After is what is waited on.
	After func(d time.Duration) <-chan time.Time
}

// Schedules are what tenants have done at times. They are safe for concurrent use.
type Schedules struct {
	c     Config
	woken chan struct{}
	ticks *prometheus.CounterVec
	late  prometheus.Histogram
}

// New returns Schedules that fire nothing before Run.
func New(c Config) *Schedules {
	s := &Schedules{c: c, woken: make(chan struct{}, 1)}
	s.measure()
	return s
}

// Spec asks for a schedule.
type Spec struct {
	// Name defaults to that of what is called for.
	Name string
	// Installation is an id or a name.
	Installation string
	// Of Poll and Action one is set. Input is the action's.
	Poll, Action string
	Input        json.RawMessage
	// When defaults, for a poll, to the interval that the plugin's manifest suggests.
	When When
	// Overlap defaults to Skip, and Missed to CatchUpOne.
	Overlap Overlap
	Missed  Missed
	// JitterS is the most seconds by which ticks come later.
	JitterS int64
	// Paused has it begin paused.
	Paused bool
}

// Change is what of a schedule changes: nil is what stays.
type Change struct {
	Name    *string
	Input   json.RawMessage
	When    *When
	Overlap *Overlap
	Missed  *Missed
	JitterS *int64
}

// Create adds a schedule.
func (s *Schedules) Create(ctx context.Context, tenant string, spec Spec) (Schedule, error) {
	now, err := s.c.Clock(ctx)
	if err != nil {
		return Schedule{}, fmt.Errorf("read the time: %w", err)
	}
	sch := Schedule{
		ID: ident.New(ident.Schedule, now), Tenant: tenant, Name: spec.Name, Poll: spec.Poll, Action: spec.Action, Input: spec.Input,
		When: spec.When, Overlap: spec.Overlap, Missed: spec.Missed, JitterS: spec.JitterS,
		State: Active, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if spec.Paused {
		sch.State = Paused
	}
	if sch.Installation, err = s.target(ctx, sch, spec.Installation); err != nil {
		return Schedule{}, err
	}
	if sch.When == (When{}) {
		if sch.When, err = s.suggested(ctx, sch); err != nil {
			return Schedule{}, err
		}
	}
	if sch, err = sch.checked(); err != nil {
		return Schedule{}, err
	}
	if sch, err = sch.timed(now); err != nil {
		return Schedule{}, err
	}
	if err := s.c.Store.InsertSchedule(ctx, sch, most); err != nil {
		return Schedule{}, fmt.Errorf("store schedule: %w", err)
	}
	s.wake()
	return sch, nil
}

// Get finds a schedule by id or name.
func (s *Schedules) Get(ctx context.Context, tenant, idOrName string) (Schedule, error) {
	sch, err := s.c.Store.Schedule(ctx, tenant, idOrName)
	if err != nil {
		return Schedule{}, fmt.Errorf("find schedule: %w", err)
	}
	return sch, nil
}

// List lists the newest first, without their inputs; 50 if the filter says no limit.
func (s *Schedules) List(ctx context.Context, tenant string, f Filter) ([]Schedule, error) {
	if f.Limit <= 0 {
		f.Limit = listUsual
	}
	f.Limit = min(f.Limit, listMost)
	all, err := s.c.Store.Schedules(ctx, tenant, f)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	return all, nil
}

// Update changes a schedule. Where its When or jitter changes, it goes on from now; one
// that has ended becomes active again.
func (s *Schedules) Update(ctx context.Context, tenant, idOrName string, c Change) (Schedule, error) {
	return s.change(ctx, tenant, idOrName, func(sch Schedule, now time.Time) (Schedule, error) {
		set(&sch.Name, c.Name)
		set(&sch.Overlap, c.Overlap)
		set(&sch.Missed, c.Missed)
		set(&sch.JitterS, c.JitterS)
		if c.Input != nil {
			sch.Input = c.Input
			if _, err := s.target(ctx, sch, sch.Installation); err != nil {
				return sch, err
			}
		}
		if c.When != nil {
			sch.When = *c.When
			if sch.State == Ended {
				sch.State, sch.Reason = Active, ""
			}
		}
		sch, err := sch.checked()
		if err != nil || c.When == nil && c.JitterS == nil {
			return sch, err
		}
		return sch.timed(now)
	})
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Pause stops ticks. One that is paused or has ended stays as it is.
func (s *Schedules) Pause(ctx context.Context, tenant, idOrName string) (Schedule, error) {
	return s.change(ctx, tenant, idOrName, func(sch Schedule, _ time.Time) (Schedule, error) {
		if sch.State == Active {
			sch.State = Paused
		}
		return sch, nil
	})
}

// Resume has a paused schedule go on, from now: nothing was missed. An active one stays
// as it is.
func (s *Schedules) Resume(ctx context.Context, tenant, idOrName string) (Schedule, error) {
	return s.change(ctx, tenant, idOrName, func(sch Schedule, now time.Time) (Schedule, error) {
		switch sch.State {
		case Paused:
		case Ended:
			return sch, fault.New(fault.Conflict, "schedule_ended", "the schedule %q has ended: it has no instant left", sch.Name).
				WithHint("Give it another time, or run it by hand.")
		default:
			return sch, nil
		}
		if _, err := s.target(ctx, sch, sch.Installation); err != nil {
			return sch, err
		}
		sch.State, sch.Reason = Active, ""
		return sch.timed(now)
	})
}

// Delete forgets a schedule. What it has caused goes on.
func (s *Schedules) Delete(ctx context.Context, tenant, idOrName string) error {
	sch, err := s.Get(ctx, tenant, idOrName)
	if err != nil {
		return err
	}
	if err := s.c.Store.DeleteSchedule(ctx, tenant, sch.ID); err != nil {
		return fmt.Errorf("delete schedule: %w", err)
	}
	return nil
}

// Upcoming lists the next n instants of what somebody may want, at most 100, in its time
// zone. There is no delay in them.
func (s *Schedules) Upcoming(ctx context.Context, w When, n int) ([]time.Time, error) {
	now, err := s.c.Clock(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the time: %w", err)
	}
	return w.upcoming(now, max(1, min(n, maxUpcoming)))
}

// RunNow has what is called for done now, whatever the schedule's state and the overlap. It
// counts as the tick before the next one.
func (s *Schedules) RunNow(ctx context.Context, tenant, idOrName string) (event.Accepted, error) {
	now, err := s.c.Clock(ctx)
	if err != nil {
		return event.Accepted{}, fmt.Errorf("read the time: %w", err)
	}
	for range rereads {
		sch, err := s.Get(ctx, tenant, idOrName)
		if err != nil {
			return event.Accepted{}, err
		}
		if _, err := s.target(ctx, sch, sch.Installation); err != nil {
			return event.Accepted{}, err
		}
		t := tickOf(sch, now, now)
		t.Event.DedupeKey = event.TickKey(now, t.Work.Execution)
		sch.LastAt = now
		accepted, err := s.fire(ctx, sch, t, now)
		if !errors.Is(err, ErrFenced) {
			return accepted, err
		}
	}
	return event.Accepted{}, busy(idOrName)
}

// target checks what is called for, and finds the installation.
func (s *Schedules) target(ctx context.Context, sch Schedule, installation string) (string, error) {
	if (sch.Poll == "") == (sch.Action == "") {
		return "", fault.New(fault.InvalidInput, "target_invalid", "a schedule calls for one poll or one action").At("/action").
			WithHint("Name one of them: the installation's manifest has their names.")
	}
	kind, name := sch.call()
	id, err := s.c.Callable(ctx, sch.Tenant, installation, kind, name, sch.Input)
	if err != nil {
		return "", under(err, map[event.Kind]string{event.Poll: "/poll", event.Action: "/action"}[kind])
	}
	return id, nil
}

// suggested is when the plugin's author would poll.
func (s *Schedules) suggested(ctx context.Context, sch Schedule) (When, error) {
	none := fault.New(fault.InvalidInput, "when_invalid", "it is not said when").At("/when").
		WithHint(`Write {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}, {"every": "5m"} or {"at": "2027-01-01T00:00:00Z"}.`)
	if sch.Poll == "" {
		return When{}, none
	}
	every, err := s.c.Every(ctx, sch.Tenant, sch.Installation, sch.Poll)
	if err != nil {
		return When{}, err
	}
	d, err := time.ParseDuration(every)
	if err != nil {
		none.Message = fmt.Sprintf("it is not said when, and the plugin suggests nothing for the poll %q", sch.Poll)
		return When{}, none
	}
	return When{Every: max(d.Round(time.Second), minEvery).String()}, nil
}

// change reads a schedule, changes it, and writes it unless it is as it was.
func (s *Schedules) change(ctx context.Context, tenant, idOrName string, how func(sch Schedule, now time.Time) (Schedule, error)) (Schedule, error) {
	now, err := s.c.Clock(ctx)
	if err != nil {
		return Schedule{}, fmt.Errorf("read the time: %w", err)
	}
	for range rereads {
		before, err := s.Get(ctx, tenant, idOrName)
		if err != nil {
			return Schedule{}, err
		}
		after, err := how(before, now)
		if err != nil || after.same(before) {
			return after, err
		}
		after.Version, after.UpdatedAt = before.Version+1, now
		err = s.c.Store.UpdateSchedule(ctx, after)
		if err == nil {
			s.wake()
			return after, nil
		}
		if !errors.Is(err, ErrFenced) {
			return Schedule{}, fmt.Errorf("change schedule: %w", err)
		}
	}
	return Schedule{}, busy(idOrName)
}

// under says where in a request a fault is that was found in what is called for.
func under(err error, call string) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Where != "" {
		return err
	}
	at := *f
	switch f.Code {
	case "input_invalid":
		at.Where = "/input"
		at.Problems = nil
		for _, p := range f.Problems {
			at.Problems = append(at.Problems, fault.Problem{Where: "/input" + p.Where, Message: p.Message})
		}
	case fault.CodeNotFound:
		at.Where = "/installation"
	default:
		at.Where = call
	}
	return &at
}
