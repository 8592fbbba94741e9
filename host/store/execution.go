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
	t.Attempts, err = list(ctx, s, scanAttempt,
		`SELECT body FROM attempts WHERE tenant = $1 AND execution = $2 ORDER BY claim`, tenant, id)
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
		// An event has one execution, which it names.
		w.and("id = (SELECT execution FROM events WHERE tenant = $1 AND id = ?)", f.Event)
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
	return list(ctx, s, scanDeadLetters,
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
	return list(ctx, s, scanExecution, executionColumns+which, args...)
}

func scanExecution(r scanner) (execution.Execution, error) {
	var e execution.Execution
	var state int
	var runAt, created, started, finished, changed int64
	var output, fail, tags []byte
	err := r.Scan(&e.Tenant, &e.ID, &e.Installation, &e.Event, &e.Kind, &e.Name, &e.VersionID, &state, &e.Lane, &e.Reason, &runAt, &e.Claim,
		&e.Worker, &e.Attempt, &e.CancelRequested, &output, &fail, &e.Fingerprint, &tags, &created, &started, &finished, &changed, &e.Mode)
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
	if len(fail) > 0 {
		e.Error = &fault.Error{}
		if err := column.FromJSON(fail, e.Error); err != nil {
			return e, err
		}
	}
	err = column.FromJSON(tags, &e.Tags)
	return e, err
}

func scanAttempt(r scanner) (execution.Attempt, error) {
	var a execution.Attempt
	var body []byte
	if err := r.Scan(&body); err != nil {
		return a, err
	}
	err := column.FromJSON(body, &a)
	return a, err
}

func scanDeadLetters(r scanner) (execution.DeadLetters, error) {
	var d execution.DeadLetters
	var first, last int64
	var fail []byte
	if err := r.Scan(&d.Fingerprint, &d.Installation, &d.Count, &first, &last, &d.Sample, &fail); err != nil {
		return d, err
	}
	d.First, d.Last = column.Time(first), column.Time(last)
	var f struct{ Class, Code, Message string }
	if err := column.FromJSON(fail, &f); err != nil {
		return d, err
	}
	d.Class, d.Code, d.Message = f.Class, f.Code, f.Message
	return d, nil
}
