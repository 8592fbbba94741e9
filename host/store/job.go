package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Jobs is the store of long work, and of what it looks for.
type Jobs interface {
	job.Store
	redrive.Store
	redeliver.Store
	shadow.Store
}

const jobFields = `tenant, id, kind, spec, state, progress, cursor, error, claim, tries, created_at, changed_at, finished_at`

// claimable is the predicate of the index of what is due, as it is written there.
const claimable = `state IN ('queued', 'running')`

// InsertJob implements job.Store.
func (s *SQL) InsertJob(ctx context.Context, j job.Job, most int) error {
	err := s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := scanInt(tx.QueryRowContext(ctx,
			`SELECT count(*) FROM jobs WHERE tenant = $1 AND state IN ('queued', 'running', 'paused')`, j.Tenant))
		switch {
		case err != nil:
			return err
		case n >= most:
			return conflict("too_many_jobs", "%d jobs have not ended, and %d may be so at once", n, most).
				WithHint("wait for one to end, or cancel one")
		}
		_, err = execOn(ctx, tx,
			`INSERT INTO jobs (tenant, id, kind, spec, state, due_at, created_at, changed_at) VALUES ($1, $2, $3, $4, 'queued', $5, $6, $7)`,
			j.Tenant, j.ID, j.Kind, []byte(j.Spec), column.Micros(s.d.Clock()), column.Micros(j.CreatedAt), column.Micros(j.ChangedAt))
		return err
	})
	return s.refused(err, "insert a job", conflict("job_exists", "there is a job %q already", j.ID), nil)
}

// Job implements job.Store.
func (s *SQL) Job(ctx context.Context, tenant, id string) (job.Job, error) {
	j, err := find(ctx, s, fault.NotFound("job", id), scanJob, `SELECT `+jobFields+` FROM jobs WHERE tenant = $1 AND id = $2`, tenant, id)
	if err != nil {
		return j, err
	}
	return s.openJob(ctx, j)
}

// openJob opens what a job's steps have left: it may show what executions did.
func (s *SQL) openJob(ctx context.Context, j job.Job) (job.Job, error) {
	progress := []byte(j.Progress)
	err := s.sealing.Open(ctx, progressOf(j), &progress)
	j.Progress = progress
	return j, err
}

func progressOf(j job.Job) vault.Field { return sealing.Field(j.Tenant, "jobs", "progress", 1, j.ID) }

// Jobs implements job.Store.
func (s *SQL) Jobs(ctx context.Context, tenant string, f job.Filter) ([]job.Job, error) {
	var w where
	w.and("tenant = ?", tenant)
	w.given("kind = ?", f.Kind)
	w.given("id < ?", f.Before)
	query := w.String() + " ORDER BY id DESC " + w.limit(f.Limit)
	rows, err := list(ctx, s, scanJob, `SELECT `+jobFields+` FROM jobs `+query, w.args...)
	if err != nil {
		return nil, err
	}
	return s.openJobs(ctx, rows)
}

func (s *SQL) openJobs(ctx context.Context, rows []job.Job) ([]job.Job, error) {
	return opened(rows, func(j job.Job) (job.Job, error) { return s.openJob(ctx, j) })
}

// SteerJob implements job.Store. A lease stays as it is: whoever holds the job saves
// what it has in hand, and goes on if it was resumed meanwhile.
func (s *SQL) SteerJob(ctx context.Context, tenant, id string, to job.State) error {
	var from string
	switch to {
	case job.Paused:
		from = `'queued', 'running'`
	case job.Queued:
		from = `'paused', 'failed'`
	case job.Cancelled:
		from = `'queued', 'running', 'paused', 'failed'`
	default:
		return fault.New(fault.InvalidInput, "job_state_unknown", "a job cannot be made %q by asking", to)
	}
	return s.write(ctx, "steer a job", func(ctx context.Context, tx Conn) error {
		now, finished := column.Micros(s.d.Clock()), int64(0)
		if to.Ended() {
			finished = now
		}
		n, err := execOn(ctx, tx,
			`UPDATE jobs SET state = $3, changed_at = $4, finished_at = $5, error = CASE WHEN $3 = 'queued' THEN NULL ELSE error END
			 WHERE tenant = $1 AND id = $2 AND state IN (`+from+`)`, tenant, id, string(to), now, finished)
		if err != nil || n == 1 {
			return err
		}
		return unsteerable(ctx, tx, tenant, id, to)
	})
}

// unsteerable says why a job stays what it is. To be already what was asked for is
// no fault.
func unsteerable(ctx context.Context, tx Conn, tenant, id string, to job.State) error {
	state, err := scanString(tx.QueryRowContext(ctx, `SELECT state FROM jobs WHERE tenant = $1 AND id = $2`, tenant, id))
	switch is := job.State(state); {
	case errors.Is(err, sql.ErrNoRows):
		return fault.NotFound("job", id)
	case err != nil:
		return err
	case is == to, to == job.Queued && is == job.Running:
		return nil
	default:
		return conflict("job_"+state, "the job %q is %s, and cannot be made %s", id, state, to)
	}
}

// ClaimJobs implements job.Store. Nothing is written where nothing is due.
func (s *SQL) ClaimJobs(ctx context.Context, c job.Claiming) ([]job.Job, time.Time, error) {
	if len(c.Kinds) == 0 || c.N <= 0 {
		return nil, time.Time{}, nil
	}
	now := s.d.Clock()
	due, err := s.nextJob(ctx, c.Kinds)
	if err != nil {
		return nil, time.Time{}, err
	}
	var claimed []job.Job
	if due != 0 && due <= column.Micros(now) {
		if claimed, err = s.claimJobs(ctx, c, now); err != nil {
			return nil, time.Time{}, err
		}
		if due, err = s.nextJob(ctx, c.Kinds); err != nil {
			return claimed, time.Time{}, nil //nolint:nilerr // What is claimed is claimed; the next look will tell.
		}
	}
	return claimed, column.Time(due), nil
}

func (s *SQL) claimJobs(ctx context.Context, c job.Claiming, now time.Time) ([]job.Job, error) {
	w := where{args: []any{column.Micros(now), column.Micros(now.Add(c.Lease)), c.Owner}}
	from := `FROM jobs WHERE ` + claimable + ` AND due_at <= $1 AND ` + w.oneOf("kind", c.Kinds) + ` ORDER BY due_at ` + w.limit(c.N)
	var claimed []job.Job
	err := s.write(ctx, "claim jobs", func(ctx context.Context, tx Conn) error {
		var err error
		claimed, err = listOn(ctx, tx, scanJob,
			`UPDATE jobs SET state = 'running', claim = claim + 1, tries = tries + 1, owner = $3, due_at = $2, changed_at = $1
			 WHERE `+s.d.Pick(from)+` RETURNING `+jobFields, w.args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.openJobs(ctx, claimed)
}

// nextJob is when the next job of some kinds is due, 0 for never.
func (s *SQL) nextJob(ctx context.Context, kinds []string) (int64, error) {
	var w where
	kind := w.oneOf("kind", kinds)
	return find(ctx, s, nil, scanInt64, `SELECT due_at FROM jobs WHERE `+claimable+` AND `+kind+` ORDER BY due_at LIMIT 1`, w.args...)
}

// oneOf is the condition that a column has one of some values.
func (w *where) oneOf(name string, values []string) string {
	var places []string
	for _, v := range values {
		w.args = append(w.args, v)
		places = append(places, w.last())
	}
	return name + " IN (" + strings.Join(places, ", ") + ")"
}

// RenewJob implements job.Store.
func (s *SQL) RenewJob(ctx context.Context, j job.Job, lease time.Duration) (job.State, error) {
	return s.heldJob(ctx, "extend a job's lease",
		`UPDATE jobs SET due_at = $4 WHERE tenant = $1 AND id = $2 AND claim = $3 AND state NOT IN ('done', 'failed') RETURNING state`,
		j.Tenant, j.ID, j.Claim, column.Micros(s.d.Clock().Add(lease)))
}

// SaveJob implements job.Store. What was paused or cancelled is not held any more.
func (s *SQL) SaveJob(ctx context.Context, j job.Job, saved job.Saved) (job.State, error) {
	if saved.To != "" && saved.To != job.Done && saved.To != job.Failed {
		return "", fault.New(fault.InvalidInput, "job_state_unknown", "a step cannot make a job %q", saved.To)
	}
	var fail []byte
	if saved.Error != nil {
		var err error
		if fail, err = column.JSON(saved.Error); err != nil {
			return "", err
		}
	}
	progress, err := s.sealing.Seal(ctx, progressOf(j), saved.Progress)
	if err != nil {
		return "", err
	}
	now := s.d.Clock()
	return s.heldJob(ctx, "save a job",
		`UPDATE jobs SET progress = $4, cursor = $5, error = $6, tries = 0, changed_at = $8,
		   finished_at = CASE WHEN state <> 'cancelled' AND $7 <> '' THEN $8 ELSE finished_at END,
		   due_at = CASE WHEN state IN ('queued', 'running') AND $7 = '' THEN $9 ELSE $8 END,
		   state = CASE WHEN state <> 'cancelled' AND $7 <> '' THEN $7 WHEN state = 'queued' THEN 'running' ELSE state END
		 WHERE tenant = $1 AND id = $2 AND claim = $3 AND state NOT IN ('done', 'failed') RETURNING state`,
		j.Tenant, j.ID, j.Claim, column.Bytes(progress), saved.Cursor, fail, string(saved.To),
		column.Micros(now), column.Micros(now.Add(saved.Due)))
}

// heldJob changes a job under its claim.
func (s *SQL) heldJob(ctx context.Context, doing, query string, args ...any) (job.State, error) {
	var state string
	err := s.write(ctx, doing, func(ctx context.Context, tx Conn) error {
		var err error
		state, err = scanString(tx.QueryRowContext(ctx, query, args...))
		if errors.Is(err, sql.ErrNoRows) {
			return job.ErrFenced
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return job.State(state), nil
}

func scanJob(r scanner) (job.Job, error) {
	var j job.Job
	var spec, progress, fail []byte
	var created, changed, finished int64
	err := r.Scan(&j.Tenant, &j.ID, &j.Kind, &spec, &j.State, &progress, &j.Cursor, &fail, &j.Claim, &j.Tries, &created, &changed, &finished)
	if err != nil {
		return j, err
	}
	j.Spec, j.Progress = spec, progress
	j.CreatedAt, j.ChangedAt, j.FinishedAt = column.Time(created), column.Time(changed), column.Time(finished)
	if len(fail) > 0 {
		j.Error = &fault.Error{}
		err = column.FromJSON(fail, j.Error)
	}
	return j, err
}
