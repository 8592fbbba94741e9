package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const executionColumns = `SELECT tenant, id, installation, event, kind, name, version_id, state, lane, reason, run_at, claim,
 worker, attempt, cancel_requested, output, error, fingerprint, tags, created_at, started_at, finished_at, changed_at, mode FROM executions `

// Execution implements execution.Store.
func (s *SQL) Execution(ctx context.Context, tenant, id string) (execution.Execution, error) {
	es, err := s.executions(ctx, `WHERE tenant = $1 AND id = $2`, tenant, id)
	switch {
	case err != nil:
		return execution.Execution{}, err
	case len(es) == 0:
		return execution.Execution{}, fault.NotFound("execution", id)
	default:
		return es[0], nil
	}
}

// Trace implements execution.Store.
func (s *SQL) Trace(ctx context.Context, tenant, id string) (execution.Trace, error) {
	var t execution.Trace
	var err error
	if t.Execution, err = s.Execution(ctx, tenant, id); err != nil {
		return execution.Trace{}, err
	}
	if t.Event, err = s.Event(ctx, tenant, t.Execution.Event); err != nil {
		return execution.Trace{}, err
	}
	if t.Redelivery, err = s.redelivery(ctx, tenant, id); err != nil {
		return execution.Trace{}, err
	}
	traces, err := list(ctx, s, scanTrace,
		`SELECT execution, claim, body FROM attempts WHERE tenant = $1 AND execution = $2 ORDER BY claim`, tenant, id)
	if err != nil {
		return execution.Trace{}, err
	}
	t.Attempts, err = opened(traces, func(row traceRow) (execution.Attempt, error) { return s.attempt(ctx, tenant, row) })
	if err != nil {
		return execution.Trace{}, err
	}
	t.Emitted, err = list(ctx, s, scanString,
		`SELECT id FROM events WHERE tenant = $1 AND emitter = $2 AND emitter <> '' ORDER BY id`, tenant, id)
	if err != nil {
		return execution.Trace{}, err
	}
	return t, nil
}

// Executions implements execution.Store.
func (s *SQL) Executions(ctx context.Context, tenant string, f execution.Filter) ([]execution.Execution, error) {
	var w where
	w.and("tenant = ?", tenant)
	w.given("installation = ?", f.Installation)
	w.given("kind = ?", string(f.Kind))
	w.given("name = ?", f.Name)
	w.given("fingerprint = ?", f.Fingerprint)
	w.given("id < ?", f.Before)
	if f.State != "" {
		n, err := column.State(f.State)
		if err != nil {
			return nil, fault.New(fault.InvalidInput, "state_unknown", "%s", err.Error()).At("state")
		}
		w.and("state = ?", n)
	}
	if f.Event != "" {
		ids, err := s.executionsOf(ctx, tenant, f.Event)
		if err != nil {
			return nil, err
		}
		names, err := texts(ids)
		if err != nil {
			return nil, err
		}
		w.conds = append(w.conds, s.d.In("id", s.d.Each(w.next(names))))
	}
	if f.Tag.Name != "" {
		w.args = append(w.args, []byte(f.Tag.Name))
		w.and("id IN (SELECT execution FROM execution_tags WHERE tenant = $1 AND name = "+w.last()+" AND value = ?)", []byte(f.Tag.Value))
	}
	query := w.String() + " ORDER BY id DESC " + w.limit(f.Limit)
	return s.executions(ctx, query, w.args...)
}

// Changed implements execution.Store. Changes of concurrent transactions may
// appear a little late: a tail asks again from some seconds back.
func (s *SQL) Changed(ctx context.Context, tenant string, since time.Time, limit int) ([]execution.Execution, error) {
	return s.executions(ctx,
		`WHERE tenant = $1 AND changed_at >= $2 ORDER BY changed_at, id LIMIT $3`,
		tenant, column.Micros(since), limit)
}

// DeadLetters implements execution.Store.
func (s *SQL) DeadLetters(ctx context.Context, tenant string) ([]execution.DeadLetters, error) {
	return s.deadLetters(ctx, tenant,
		`SELECT g.fingerprint, g.installation, g.n, g.first_at, g.last_at, g.sample, e.error FROM (
		   SELECT fingerprint, installation, count(*) AS n, min(finished_at) AS first_at, max(finished_at) AS last_at, max(id) AS sample
		   FROM executions WHERE tenant = $1 AND state = 4 GROUP BY fingerprint, installation) g
		 JOIN executions e ON e.tenant = $1 AND e.id = g.sample ORDER BY g.last_at DESC, g.sample DESC`, tenant)
}

// Pinned implements execution.Pins.
func (s *SQL) Pinned(ctx context.Context, versionID string) (installations, executions int, err error) {
	installations, err = find(ctx, s, nil, scanInt,
		`SELECT count(*) FROM installations WHERE version_id = $1 AND state <> 'removed'`, versionID)
	if err != nil {
		return 0, 0, err
	}
	// One count per state, because each has its partial index.
	executions, err = find(ctx, s, nil, scanInt,
		`SELECT (SELECT count(*) FROM executions WHERE state = 0 AND version_id = $1)
		      + (SELECT count(*) FROM executions WHERE state = 1 AND version_id = $1)
		      + (SELECT count(*) FROM executions WHERE state = 2 AND version_id = $1)`, versionID)
	return installations, executions, err
}

func (s *SQL) executions(ctx context.Context, which string, args ...any) ([]execution.Execution, error) {
	rows, err := list(ctx, s, scanExecution, executionColumns+which, args...)
	if err != nil {
		return nil, err
	}
	return opened(rows, func(row executionRow) (execution.Execution, error) { return s.execution(ctx, row) })
}

// executionRow is an execution of which Output and failure may be sealed.
type executionRow struct {
	execution.Execution
	failure []byte
}

func (s *SQL) execution(ctx context.Context, row executionRow) (execution.Execution, error) {
	e := row.Execution
	output := []byte(e.Output)
	err := s.sealing.OpenEnd(ctx, e.Tenant, e.ID, &output, &row.failure)
	if err != nil {
		return e, err
	}
	e.Output = output
	if len(row.failure) > 0 {
		e.Error = &fault.Error{}
		err = column.FromJSON(row.failure, e.Error)
	}
	return e, err
}

func scanExecution(r scanner) (executionRow, error) {
	var e executionRow
	var state int
	var runAt, created, started, finished, changed int64
	var output, tags []byte
	err := r.Scan(&e.Tenant, &e.ID, &e.Installation, &e.Event, &e.Kind, &e.Name, &e.VersionID, &state, &e.Lane, &e.Reason, &runAt, &e.Claim,
		&e.Worker, &e.Attempt, &e.CancelRequested, &output, &e.failure, &e.Fingerprint, &tags, &created, &started, &finished, &changed, &e.Mode)
	if err != nil {
		return e, err
	}
	e.State, e.Output = column.StateOf(state), output
	e.CreatedAt, e.StartedAt, e.FinishedAt = column.Time(created), column.Time(started), column.Time(finished)
	e.ChangedAt = column.Time(changed)
	switch {
	case state == column.Running:
		// The column counts the tries that have ended, and this one has begun.
		e.Attempt++
	case state == column.Waiting && runAt != column.Never:
		e.Until = column.Time(runAt)
	}
	if e.State == execution.Waiting {
		e.WaitsFor = e.Worker // See the schema.
	}
	if state != column.Running {
		e.Worker = ""
	}
	err = column.FromJSON(tags, &e.Tags)
	return e, err
}

// traceRow is the trace of a run as it is stored.
type traceRow struct {
	execution string
	claim     int64
	body      []byte
}

func scanTrace(r scanner) (traceRow, error) {
	var t traceRow
	err := r.Scan(&t.execution, &t.claim, &t.body)
	return t, err
}

func (s *SQL) attempt(ctx context.Context, tenant string, row traceRow) (execution.Attempt, error) {
	var a execution.Attempt
	if err := s.sealing.OpenAttempt(ctx, tenant, row.execution, row.claim, &row.body); err != nil {
		return a, err
	}
	err := column.FromJSON(row.body, &a)
	return a, err
}

// deadRow is a group of dead letters, with the failure of its sample as it is stored.
type deadRow struct {
	execution.DeadLetters
	failure []byte
}

func (s *SQL) deadLetters(ctx context.Context, tenant, query string, args ...any) ([]execution.DeadLetters, error) {
	rows, err := list(ctx, s, scanDeadLetters, query, args...)
	if err != nil {
		return nil, err
	}
	return opened(rows, func(row deadRow) (execution.DeadLetters, error) {
		d := row.DeadLetters
		if err := s.sealing.OpenEnd(ctx, tenant, d.Sample, new([]byte), &row.failure); err != nil {
			return d, err
		}
		var f struct{ Class, Code, Message string }
		err := column.FromJSON(row.failure, &f)
		d.Class, d.Code, d.Message = f.Class, f.Code, f.Message
		return d, err
	})
}

func scanDeadLetters(r scanner) (deadRow, error) {
	var d deadRow
	var first, last int64
	err := r.Scan(&d.Fingerprint, &d.Installation, &d.Count, &first, &last, &d.Sample, &d.failure)
	d.First, d.Last = column.Time(first), column.Time(last)
	return d, err
}
