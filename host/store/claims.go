package store

import (
	"context"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// rememberReaped is how long a worker that lost its lease is remembered, so that
// it is told when it comes back.
const rememberReaped = 24 * time.Hour

// Backlogs implements execution.Claims. It hops from tenant to tenant on the
// index of what is queued, so that it costs the number of tenants and not the
// length of their backlogs. One look into the index finds a tenant and its first
// lane, as one text. The tenants are looked up one by one, because a join may be
// planned as a comparison of all with all.
func (s *SQL) Backlogs(ctx context.Context) ([]execution.Backlog, error) {
	return list(ctx, s, scanBacklog,
		`WITH RECURSIVE hop(lane_tenant) AS (
		   SELECT (SELECT CAST(e.lane AS TEXT) || e.tenant FROM executions e WHERE e.state = 0 ORDER BY e.tenant, e.lane LIMIT 1)
		   UNION ALL
		   SELECT (SELECT CAST(e.lane AS TEXT) || e.tenant FROM executions e WHERE e.state = 0 AND e.tenant > substr(hop.lane_tenant, 2)
		     ORDER BY e.tenant, e.lane LIMIT 1)
		   FROM hop WHERE hop.lane_tenant IS NOT NULL
		 ), b(tenant, lane) AS (SELECT substr(lane_tenant, 2), CAST(substr(lane_tenant, 1, 1) AS INTEGER) FROM hop)
		 SELECT b.tenant, b.lane, (SELECT t.running FROM tenants t WHERE t.id = b.tenant), (SELECT t.weight FROM tenants t WHERE t.id = b.tenant)
		 FROM b WHERE (SELECT t.state FROM tenants t WHERE t.id = b.tenant) = 'active' ORDER BY b.tenant`)
}

// Promote implements execution.Claims.
func (s *SQL) Promote(ctx context.Context, limit int) (tenants []string, next time.Time, err error) {
	now := column.Micros(s.d.Clock())
	due, err := s.nextDue(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	if due <= now {
		if tenants, err = s.promote(ctx, now, limit); err != nil {
			return nil, time.Time{}, err
		}
		if due, err = s.nextDue(ctx); err != nil {
			return nil, time.Time{}, err
		}
	}
	if due == column.Never {
		return tenants, time.Time{}, nil
	}
	return tenants, column.Time(due), nil
}

// Heartbeat implements execution.Claims. A worker that had lost its lease is
// told so once, and registered anew by the same call.
func (s *SQL) Heartbeat(ctx context.Context, worker string, lease time.Duration) ([]string, error) {
	var lost bool
	var cancelled []string
	err := s.write(ctx, "extend a worker's lease", func(ctx context.Context, tx Conn) error {
		lost = false
		now := s.d.Clock()
		n, err := execOn(ctx, tx, `UPDATE workers SET lease_until = $2 WHERE id = $1 AND NOT reaped`, worker, column.Micros(now.Add(lease)))
		if err != nil {
			return err
		}
		if n == 0 {
			if lost, err = register(ctx, tx, worker, now, lease); err != nil {
				return err
			}
		}
		cancelled, err = listOn(ctx, tx, scanString,
			`SELECT id FROM executions WHERE state = 1 AND worker = $1 AND cancel_requested`, worker)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case lost:
		return nil, execution.ErrFenced
	default:
		return cancelled, nil
	}
}

// Reap implements execution.Claims.
func (s *SQL) Reap(ctx context.Context) ([]string, error) {
	expired, err := list(ctx, s, scanString,
		`SELECT id FROM workers WHERE lease_until < $1 AND NOT reaped ORDER BY id`, column.Micros(s.d.Clock()))
	if err != nil {
		return nil, err
	}
	var tenants []string
	for _, w := range expired {
		queued, err := s.reap(ctx, w)
		if err != nil {
			return nil, err
		}
		tenants = append(tenants, queued...)
	}
	slices.Sort(tenants)
	return slices.Compact(tenants), s.forget(ctx)
}

// Retire implements execution.Claims. A worker that holds claims is a Conflict
// fault, and keeps its lease.
func (s *SQL) Retire(ctx context.Context, worker string) error {
	return s.write(ctx, "retire a worker", func(ctx context.Context, tx Conn) error {
		// The row goes first: its lock keeps claims away while they are counted.
		if _, err := execOn(ctx, tx, `DELETE FROM workers WHERE id = $1`, worker); err != nil {
			return err
		}
		n, err := scanInt(tx.QueryRowContext(ctx, `SELECT count(*) FROM executions WHERE state = 1 AND worker = $1`, worker))
		if err == nil && n > 0 {
			return conflict("worker_busy", "the worker %q holds %d executions", worker, n).
				WithHint("complete them or hand them back first, or let its lease run out")
		}
		return err
	})
}

// register adds a worker, or adds it again, and says whether it was reaped before.
func register(ctx context.Context, tx Conn, worker string, now time.Time, lease time.Duration) (bool, error) {
	n, err := scanInt(tx.QueryRowContext(ctx, `SELECT count(*) FROM workers WHERE id = $1`, worker))
	if err != nil {
		return false, err
	}
	_, err = execOn(ctx, tx,
		`INSERT INTO workers (id, lease_until, reaped, created_at) VALUES ($1, $2, FALSE, $3)
		 ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, reaped = FALSE`,
		worker, column.Micros(now.Add(lease)), column.Micros(now))
	return n > 0, err
}

// nextDue is when the first waiting execution is due.
func (s *SQL) nextDue(ctx context.Context) (int64, error) {
	at, err := list(ctx, s, scanInt64, `SELECT run_at FROM executions WHERE state = 2 ORDER BY run_at LIMIT 1`)
	if err != nil {
		return 0, err
	}
	return slices.Min(append(at, column.Never)), nil
}

func (s *SQL) promote(ctx context.Context, now int64, limit int) ([]string, error) {
	var tenants []string
	err := s.write(ctx, "promote waiting executions", func(ctx context.Context, tx Conn) error {
		var err error
		tenants, err = listOn(ctx, tx, scanString,
			`UPDATE executions SET state = 0, reason = '', changed_at = $1 WHERE state = 2 AND run_at <= $1 AND `+
				s.d.Pick(`FROM executions WHERE state = 2 AND run_at <= $1 ORDER BY run_at LIMIT $2`)+` RETURNING tenant`, now, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(tenants)
	return slices.Compact(tenants), nil
}

// reap takes the claims of one worker back. The worker's row is marked first:
// whoever claims for it reads that row under a lock, so that nothing is claimed
// behind the reaper's back.
func (s *SQL) reap(ctx context.Context, worker string) ([]string, error) {
	var tenants []string
	err := s.write(ctx, "reap a worker", func(ctx context.Context, tx Conn) error {
		tenants = nil
		now := column.Micros(s.d.Clock())
		n, err := execOn(ctx, tx,
			`UPDATE workers SET reaped = TRUE WHERE id = $1 AND NOT reaped AND lease_until < $2`, worker, now)
		if err != nil || n == 0 {
			// It came back, or another node was first.
			return err
		}
		tenants, err = listOn(ctx, tx, scanString,
			`UPDATE executions SET
			   state = CASE WHEN cancel_requested THEN 5 ELSE 0 END,
			   finished_at = CASE WHEN cancel_requested THEN $2 ELSE finished_at END,
			   worker = '', crashes = crashes + CASE WHEN begun = claim THEN 1 ELSE 0 END, changed_at = $2
			 WHERE state = 1 AND worker = $1 RETURNING tenant`, worker, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return tenants, nil
}

// forget drops workers that were reaped long ago.
func (s *SQL) forget(ctx context.Context) error {
	before := column.Micros(s.d.Clock().Add(-rememberReaped))
	old, err := list(ctx, s, scanString, `SELECT id FROM workers WHERE reaped AND lease_until < $1`, before)
	if err != nil || len(old) == 0 {
		return err
	}
	_, err = s.exec(ctx, "forget reaped workers", `DELETE FROM workers WHERE reaped AND lease_until < $1`, before)
	return err
}

func scanBacklog(r scanner) (execution.Backlog, error) {
	var b execution.Backlog
	var lane event.Lane
	err := r.Scan(&b.Tenant, &lane, &b.Running, &b.Weight)
	b.Backfill = lane == event.Backfill
	return b, err
}

func scanInt64(r scanner) (int64, error) {
	var n int64
	err := r.Scan(&n)
	return n, err
}
