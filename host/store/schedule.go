package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
)

// Arrivals are the stores of what comes, from outside and by the clock.
type Arrivals interface {
	event.Store
	schedule.Store
	admission.Queue
}

// scheduleFields are what all reads have; the input comes after them.
const scheduleFields = `tenant, id, installation, name, spec, state, reason, next_at, due_at, held, last_at, last_execution, fired, skipped, version, created_at, updated_at`

// scheduleSpec is what a schedule was asked to be.
type scheduleSpec struct {
	Poll    string           `json:"poll,omitempty"`
	Action  string           `json:"action,omitempty"`
	When    schedule.When    `json:"when"`
	Overlap schedule.Overlap `json:"overlap"`
	Missed  schedule.Missed  `json:"missed"`
	JitterS int64            `json:"jitter_s,omitempty"`
	DelayS  int64            `json:"delay_s,omitempty"`
}

func inputOf(s schedule.Schedule) vault.Field {
	return sealing.Field(s.Tenant, "schedules", "input", 1, s.ID)
}

// scheduleRow are the spec and the sealed input.
func (s *SQL) scheduleRow(ctx context.Context, sch schedule.Schedule) (spec, input []byte, err error) {
	spec, err = column.JSON(scheduleSpec{
		Poll: sch.Poll, Action: sch.Action, When: sch.When, Overlap: sch.Overlap, Missed: sch.Missed, JitterS: sch.JitterS, DelayS: sch.DelayS,
	})
	if err != nil {
		return nil, nil, err
	}
	input, err = s.sealing.Seal(ctx, inputOf(sch), sch.Input)
	return spec, column.Bytes(input), err
}

func scheduleTaken(s schedule.Schedule) *fault.Error {
	return conflict("schedule_exists", "there is a schedule %q already", s.Name).At("/name").WithHint("Choose another name.")
}

// InsertSchedule implements schedule.Store.
func (s *SQL) InsertSchedule(ctx context.Context, sch schedule.Schedule, most int) error {
	spec, input, err := s.scheduleRow(ctx, sch)
	if err != nil {
		return err
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := scanInt(tx.QueryRowContext(ctx, `SELECT count(*) FROM schedules WHERE tenant = $1`, sch.Tenant))
		switch {
		case err != nil:
			return err
		case n >= most:
			return conflict("too_many_schedules", "the tenant has %d schedules, and %d is the most", n, most).WithHint("Delete one that is not needed.")
		}
		_, err = execOn(ctx, tx,
			`INSERT INTO schedules (`+scheduleFields+`, input) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
			sch.Tenant, sch.ID, sch.Installation, sch.Name, spec, string(sch.State), sch.Reason, column.Micros(sch.Next), column.Micros(sch.Due), sch.Held,
			column.Micros(sch.LastAt), sch.LastExecution, sch.Fired, sch.Skipped, sch.Version, column.Micros(sch.CreatedAt), column.Micros(sch.UpdatedAt), input)
		return err
	})
	return s.refused(err, "insert a schedule", scheduleTaken(sch), fault.NotFound("installation", sch.Installation))
}

// Schedule implements schedule.Store.
func (s *SQL) Schedule(ctx context.Context, tenant, idOrName string) (schedule.Schedule, error) {
	sch, err := find(ctx, s, fault.NotFound("schedule", idOrName), scanSchedule,
		`SELECT `+scheduleFields+`, input FROM schedules WHERE tenant = $1 AND (id = $2 OR name = $2)`, tenant, idOrName)
	if err != nil {
		return schedule.Schedule{}, err
	}
	input := []byte(sch.Input)
	if err := s.sealing.Open(ctx, inputOf(sch), &input); err != nil {
		return schedule.Schedule{}, err
	}
	sch.Input = input
	return sch, nil
}

// Schedules implements schedule.Store.
func (s *SQL) Schedules(ctx context.Context, tenant string, f schedule.Filter) ([]schedule.Schedule, error) {
	var w where
	w.and("tenant = ?", tenant)
	w.given("installation = ?", f.Installation)
	w.given("id < ?", f.Before)
	query := w.String() + " ORDER BY id DESC " + w.limit(f.Limit)
	return list(ctx, s, scanSchedule, `SELECT `+scheduleFields+`, NULL FROM schedules `+query, w.args...)
}

// UpdateSchedule implements schedule.Store.
func (s *SQL) UpdateSchedule(ctx context.Context, sch schedule.Schedule) error {
	spec, input, err := s.scheduleRow(ctx, sch)
	if err != nil {
		return err
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		return moveSchedule(ctx, tx, sch, `, name = $14, spec = $15, input = $16`, sch.Name, spec, input)
	})
	return s.refused(err, "update a schedule", scheduleTaken(sch), nil)
}

// DeleteSchedule implements schedule.Store.
func (s *SQL) DeleteSchedule(ctx context.Context, tenant, id string) error {
	n, err := s.exec(ctx, "delete a schedule", `DELETE FROM schedules WHERE tenant = $1 AND id = $2`, tenant, id)
	if err == nil && n == 0 {
		return fault.NotFound("schedule", id)
	}
	return err
}

// dueSchedules is what the index of what is due is about, as it is written there.
const dueSchedules = `FROM schedules WHERE state = 'active' AND due_at > 0 `

// DueSchedules implements schedule.Store.
func (s *SQL) DueSchedules(ctx context.Context, limit int) (schedule.Due, error) {
	now := s.d.Clock()
	due := schedule.Due{Now: now}
	var err error
	due.Schedules, err = list(ctx, s, scanRef,
		`SELECT tenant, id `+dueSchedules+`AND due_at <= $1 AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = schedules.tenant AND t.state IN ('active', 'paused'))
		 ORDER BY due_at LIMIT $2`, column.Micros(now), limit)
	if err != nil || len(due.Schedules) == limit {
		return due, err
	}
	next, err := find(ctx, s, nil, scanInt64, `SELECT due_at `+dueSchedules+`AND due_at > $1 ORDER BY due_at LIMIT 1`, column.Micros(now))
	due.Next = column.Time(next)
	return due, err
}

// FireSchedule implements schedule.Store.
func (s *SQL) FireSchedule(ctx context.Context, sch schedule.Schedule, t schedule.Tick) (event.Accepted, error) {
	if err := errors.Join(check.Event(t.Event), check.Work(&t.Work)); err != nil {
		return event.Accepted{}, err
	}
	row, err := s.sealing.Event(ctx, t.Event)
	if err != nil {
		return event.Accepted{}, err
	}
	var a event.Accepted
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		// The fence comes first: whoever comes second waits for it, and stores nothing.
		if err := moveSchedule(ctx, tx, sch, ""); err != nil {
			return err
		}
		var err error
		a, err = acceptTick(ctx, tx, row, t, s.d.Clock())
		if err != nil || !a.Duplicate {
			return err
		}
		_, err = execOn(ctx, tx, `UPDATE schedules SET last_execution = $3 WHERE tenant = $1 AND id = $2`, sch.Tenant, sch.ID, a.Execution)
		return err
	})
	if errors.Is(err, schedule.ErrFenced) {
		return event.Accepted{}, schedule.ErrFenced
	}
	if err != nil {
		return event.Accepted{}, Fault(s.d, err, "fire a schedule")
	}
	return a, nil
}

// moveSchedule replaces what the clock changes of a schedule, and more.
func moveSchedule(ctx context.Context, tx Conn, s schedule.Schedule, more string, args ...any) error {
	n, err := execOn(ctx, tx,
		`UPDATE schedules SET state = $4, reason = $5, next_at = $6, due_at = $7, held = $8, last_at = $9, last_execution = $10,
		   fired = $11, skipped = $12, version = $3, updated_at = $13`+more+`
		 WHERE tenant = $1 AND id = $2 AND version = $3 - 1`,
		append([]any{
			s.Tenant, s.ID, s.Version, string(s.State), s.Reason, column.Micros(s.Next), column.Micros(s.Due), s.Held, column.Micros(s.LastAt), s.LastExecution,
			s.Fired, s.Skipped, column.Micros(s.UpdatedAt),
		}, args...)...)
	if err == nil && n == 0 {
		return schedule.ErrFenced
	}
	return err
}

// acceptTick stores the event of a tick with its execution, unless the tick was stored
// before.
func acceptTick(ctx context.Context, tx Conn, e sealing.Event, t schedule.Tick, now time.Time) (event.Accepted, error) {
	a := event.Accepted{Event: e.ID, Execution: t.Work.Execution}
	key := column.Bytes([]byte(e.DedupeKey))
	n, err := execOn(ctx, tx,
		`INSERT INTO events (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, emitter)
		 SELECT id, $2, $3, $4, $5, $6, $7, NULL, $8, $9, $10, '' FROM tenants WHERE id = $1 AND state IN ('active', 'paused')
		 ON CONFLICT (tenant, source, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING`,
		e.Tenant, e.ID, e.Installation, string(e.Kind), e.Name, e.Source, key, column.Bytes(e.Body), column.Micros(e.ReceivedAt), a.Execution)
	if err != nil {
		return a, err
	}
	if n == 0 {
		a.Duplicate = true
		err := tx.QueryRowContext(ctx, `SELECT id, execution FROM events WHERE tenant = $1 AND source = $2 AND dedupe_key = $3`,
			e.Tenant, e.Source, key).Scan(&a.Event, &a.Execution)
		if errors.Is(err, sql.ErrNoRows) {
			return a, fault.NotFound("tenant", e.Tenant)
		}
		return a, err
	}
	_, err = execOn(ctx, tx,
		`INSERT INTO executions (tenant, id, installation, event, kind, name, lane, run_at, created_at, changed_at)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)`,
		e.Tenant, a.Execution, e.Installation, e.ID, string(t.Kind), t.Name, int(t.Work.Lane), column.Micros(now))
	return a, err
}

func scanRef(r scanner) (schedule.Ref, error) {
	var ref schedule.Ref
	err := r.Scan(&ref.Tenant, &ref.ID)
	return ref, err
}

func scanSchedule(r scanner) (schedule.Schedule, error) {
	var s schedule.Schedule
	var spec, input []byte
	var next, due, last, created, updated int64
	err := r.Scan(&s.Tenant, &s.ID, &s.Installation, &s.Name, &spec, &s.State, &s.Reason, &next, &due, &s.Held, &last, &s.LastExecution,
		&s.Fired, &s.Skipped, &s.Version, &created, &updated, &input)
	if err != nil {
		return s, err
	}
	s.Next, s.Due, s.LastAt = column.Time(next), column.Time(due), column.Time(last)
	s.CreatedAt, s.UpdatedAt = column.Time(created), column.Time(updated)
	if len(input) > 0 {
		s.Input = input
	}
	var asked scheduleSpec
	err = column.FromJSON(spec, &asked)
	s.Poll, s.Action, s.When, s.Overlap, s.Missed, s.JitterS, s.DelayS = asked.Poll, asked.Action, asked.When, asked.Overlap, asked.Missed, asked.JitterS, asked.DelayS
	return s, err
}
