package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/lane"
)

// Claim implements execution.Claims. The one writer sees every claim, so that
// what runs can be counted. A worker without a lease is execution.ErrFenced.
func (s *Store) Claim(ctx context.Context, worker string, quotas []execution.Quota) ([]execution.Claimed, error) {
	var claimed []execution.Claimed
	err := s.driver.Write(ctx, func(ctx context.Context, tx store.Conn) error {
		c := claimer{tx: tx, worker: worker, now: column.Micros(s.driver.Clock()), turns: &s.turns}
		var err error
		claimed, err = c.claim(ctx, quotas)
		return err
	})
	if err != nil {
		return nil, store.Fault(s.driver, err, "claim executions")
	}
	return claimed, nil
}

// claimer claims in one transaction.
type claimer struct {
	tx     store.Conn
	worker string
	now    int64
	turns  *lane.Turns
}

func (c *claimer) claim(ctx context.Context, quotas []execution.Quota) ([]execution.Claimed, error) {
	var one int
	err := c.tx.QueryRowContext(ctx, `SELECT 1 FROM workers WHERE id = $1 AND NOT reaped`, c.worker).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, execution.ErrFenced
	}
	if err != nil {
		return nil, err
	}
	running, err := c.running(ctx)
	if err != nil {
		return nil, err
	}
	var claimed []execution.Claimed
	for _, q := range quotas {
		n := min(q.N, q.Running-running[q.Tenant])
		if n <= 0 {
			continue
		}
		got, err := c.tenant(ctx, q.Tenant, n)
		if err != nil {
			return nil, err
		}
		// A tenant may be named twice.
		running[q.Tenant] += len(got)
		claimed = append(claimed, got...)
	}
	return claimed, nil
}

// running counts what runs, by tenant: the index has as many entries as the
// process has slots.
func (c *claimer) running(ctx context.Context) (map[string]int, error) {
	rows, err := c.tx.QueryContext(ctx, `SELECT tenant, count(*) FROM executions WHERE state = 1 GROUP BY tenant`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	running := make(map[string]int)
	for rows.Next() {
		var tenant string
		var n int
		if err := rows.Scan(&tenant, &n); err != nil {
			return nil, err
		}
		running[tenant] = n
	}
	return running, rows.Err()
}

// due is an execution that could be claimed.
type due struct {
	row int64
	execution.Claimed
}

// tenant claims up to n executions of one tenant.
func (c *claimer) tenant(ctx context.Context, tenant string, n int) ([]execution.Claimed, error) {
	var heads [lane.Count][]due
	var waiting [lane.Count]int
	for l := range heads {
		var err error
		if heads[l], err = c.heads(ctx, tenant, l, n); err != nil {
			return nil, err
		}
		waiting[l] = len(heads[l])
	}
	var claimed []execution.Claimed
	for l, k := range lane.Take(c.turns.At(tenant), n, waiting) {
		for _, d := range heads[l][:k] {
			if err := c.take(ctx, d.row); err != nil {
				return nil, err
			}
			claimed = append(claimed, d.Claimed)
		}
	}
	c.turns.Advance(tenant, len(claimed))
	return claimed, nil
}

// heads are the oldest due executions of a lane.
func (c *claimer) heads(ctx context.Context, tenant string, l, n int) ([]due, error) {
	rows, err := c.tx.QueryContext(ctx,
		`SELECT rowid, id, claim, attempt, crashes, run_at FROM executions INDEXED BY executions_ready
		 WHERE state = 0 AND tenant = $1 AND lane = $2 ORDER BY run_at, id LIMIT $3`, tenant, l, n)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []due
	for rows.Next() {
		d := due{Claimed: execution.Claimed{Tenant: tenant, Lane: event.Lane(l)}}
		var runAt int64
		if err := rows.Scan(&d.row, &d.Execution, &d.Claim, &d.Attempt, &d.Crashes, &runAt); err != nil {
			return nil, err
		}
		d.Claim++
		d.Attempt++
		d.QueuedAt = column.Time(runAt)
		found = append(found, d)
	}
	return found, rows.Err()
}

func (c *claimer) take(ctx context.Context, row int64) error {
	_, err := c.tx.ExecContext(ctx,
		`UPDATE executions SET state = 1, claim = claim + 1, worker = $2, changed_at = $3 WHERE rowid = $1`, row, c.worker, c.now)
	return err
}
