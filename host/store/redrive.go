package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
)

// Cancel implements execution.Store.
func (s *SQL) Cancel(ctx context.Context, tenant, id string) (execution.State, error) {
	var state int
	err := s.write(ctx, "cancel an execution", func(ctx context.Context, tx Conn) error {
		// One statement, so that no claim or end can come between look and change.
		err := tx.QueryRowContext(ctx,
			`UPDATE executions SET
			   cancel_requested = (state = 1),
			   finished_at = CASE WHEN state = 1 THEN finished_at ELSE $3 END,
			   reason = CASE WHEN state = 1 THEN reason ELSE '' END,
			   state = CASE WHEN state = 1 THEN state ELSE 5 END,
			   changed_at = $3
			 WHERE tenant = $1 AND id = $2 AND state IN (0, 1, 2) RETURNING state`,
			tenant, id, column.Micros(s.d.Clock())).Scan(&state)
		if errors.Is(err, sql.ErrNoRows) {
			return s.stateOn(ctx, tx, tenant, id, &state)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return column.StateOf(state), nil
}

// Redrive implements execution.Store. What keeps its version keeps its world and
// so runs as it would have run on: it has no Mode.
func (s *SQL) Redrive(ctx context.Context, tenant, id string, r execution.Redriving) error {
	if err := check.Redriving(r); err != nil {
		return err
	}
	mode := cmp.Or(r.Mode, execution.Resume)
	if r.SameVersion {
		mode = ""
	}
	added, err := s.sealing.Segment(ctx, tenant, id, r.Journal)
	if err != nil {
		return err
	}
	return s.write(ctx, "redrive an execution", func(ctx context.Context, tx Conn) error {
		now := column.Micros(s.d.Clock())
		n, err := execOn(ctx, tx,
			`UPDATE executions SET state = 0, attempt = 0, crashes = 0, mode = $4, version_id = CASE WHEN $5 THEN version_id ELSE '' END,
			   lane = CASE WHEN $7 THEN $8 WHEN lane = $8 THEN $9 ELSE lane END,
			   cancel_requested = FALSE, reason = '', run_at = $3,
			   error = NULL, fingerprint = '', started_at = 0, finished_at = 0, changed_at = $3
			 WHERE tenant = $1 AND id = $2 AND state IN (4, 5) AND (claim = $6 OR $6 = 0)`,
			tenant, id, now, string(mode), r.SameVersion, r.Claim, r.Backfill, int(event.Backfill), int(event.Live))
		if err == nil && n == 1 {
			err = isLatest(ctx, tx, tenant, id)
		}
		switch {
		case err != nil:
			return err
		case n == 1 && added != nil:
			return record.Segment(ctx, tx, record.Of{Tenant: tenant, Execution: id}, *added, now)
		case n == 1:
			return nil
		}
		return s.notRedrivable(ctx, tx, tenant, id)
	})
}

// isLatest holds an execution's event, and refuses one that is not its latest: its work
// was redelivered, and would be done beside that.
func isLatest(ctx context.Context, tx Conn, tenant, id string) error {
	n, err := execOn(ctx, tx,
		`UPDATE events SET execution = execution
		 WHERE tenant = $1 AND id = (SELECT event FROM executions WHERE tenant = $1 AND id = $2) AND execution = $2`, tenant, id)
	if err == nil && n == 0 {
		return conflict(execution.CodeNotRedrivable, "the event of the execution %q was redelivered, and has a later execution", id).
			WithHint("look at that one, or redeliver the event again")
	}
	return err
}

// notRedrivable says why a redrive has changed nothing.
func (s *SQL) notRedrivable(ctx context.Context, tx Conn, tenant, id string) error {
	var state int
	if err := s.stateOn(ctx, tx, tenant, id, &state); err != nil {
		return err
	}
	if state == column.Dead || state == column.Cancelled {
		return conflict(execution.CodeNotRedrivable, "the execution %q has run since it was looked at", id).WithHint("look at it again")
	}
	return conflict(execution.CodeNotRedrivable, "the execution %q is %s, and only dead and cancelled ones can be redriven", id, column.StateOf(state))
}

// Release implements execution.Store.
func (s *SQL) Release(ctx context.Context, tenant, installation, reason string) (int, error) {
	query := `UPDATE executions SET state = 0, reason = '', run_at = $2, changed_at = $2
	 WHERE tenant = $1 AND state = 2 AND reason = $3`
	args := []any{tenant, column.Micros(s.d.Clock()), reason}
	if reason == execution.ReasonPaused {
		query += ` AND reason = 'paused'` // As the index on them has it.
	}
	if installation != "" {
		query += ` AND installation = $4`
		args = append(args, installation)
	}
	n, err := s.exec(ctx, "release waiting executions", query, args...)
	return int(n), err
}

// ReleasePlugin implements execution.Store.
func (s *SQL) ReleasePlugin(ctx context.Context, plugin string) ([]string, error) {
	var tenants []string
	err := s.write(ctx, "release what waits for a plugin", func(ctx context.Context, tx Conn) error {
		var err error
		tenants, err = listOn(ctx, tx, scanString,
			`UPDATE executions SET state = 0, reason = '', run_at = $2, changed_at = $2
			 WHERE state = 2 AND reason = 'paused' AND EXISTS (
			   SELECT 1 FROM installations i WHERE i.tenant = executions.tenant AND i.id = executions.installation AND i.plugin = $1)
			 RETURNING tenant`, plugin, column.Micros(s.d.Clock()))
		if err == nil && len(tenants) == 0 {
			return errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return nil, nil
	}
	slices.Sort(tenants)
	return slices.Compact(tenants), err
}

// InFlight implements execution.Store.
func (s *SQL) InFlight(ctx context.Context, f execution.Flights, limit int) ([]execution.Flight, error) {
	return list(ctx, s, scanFlight,
		`SELECT e.tenant, e.installation, e.id, e.kind, e.name, e.changed_at FROM executions e
		 WHERE e.state = 1 AND (e.begun = e.claim OR e.changed_at <= $4) AND ($1 = '' OR e.tenant = $1) AND ($2 = '' OR e.installation = $2)
		   AND ($3 = '' OR EXISTS (SELECT 1 FROM installations i WHERE i.tenant = e.tenant AND i.id = e.installation AND i.plugin = $3))
		 ORDER BY e.changed_at, e.id LIMIT $5`, f.Tenant, f.Installation, f.Plugin, column.Micros(f.At), limit)
}

func scanFlight(r scanner) (execution.Flight, error) {
	var f execution.Flight
	var since int64
	err := r.Scan(&f.Tenant, &f.Installation, &f.Execution, &f.Kind, &f.Name, &since)
	f.Since = column.Time(since)
	return f, err
}

// stateOn reads an execution's state in a transaction.
func (s *SQL) stateOn(ctx context.Context, tx Conn, tenant, id string, state *int) error {
	err := tx.QueryRowContext(ctx, `SELECT state FROM executions WHERE tenant = $1 AND id = $2`, tenant, id).Scan(state)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.NotFound("execution", id)
	}
	return err
}
