package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/lane"
)

// Claim implements execution.Claims. The one writer sees every claim, so that
// what runs can be counted. A worker without a lease is execution.ErrFenced.
func (s *Store) Claim(ctx context.Context, worker string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	taken, err := s.claim(ctx, claimer{worker: worker, first: event.Interactive, far: lane.Claim{Backfill: backfill, AtOnce: lane.Few}}, quotas)
	if err == nil {
		s.turns.Used(taken)
	}
	return taken, err
}

// ClaimBackfill implements execution.Claims.
func (s *Store) ClaimBackfill(ctx context.Context, worker string, quotas []execution.Quota) (execution.Taken, error) {
	return s.claim(ctx, claimer{worker: worker, first: event.Backfill, far: lane.Claim{Backfill: lane.Most, AtOnce: lane.Most}}, quotas)
}

func (s *Store) claim(ctx context.Context, c claimer, quotas []execution.Quota) (execution.Taken, error) {
	quotas = lane.Merged(quotas)
	if len(quotas) == 0 {
		return execution.Taken{}, nil
	}
	c.turns = &s.turns
	var taken execution.Taken
	err := s.driver.Write(ctx, func(ctx context.Context, tx store.Conn) error {
		c := c // It may be tried again.
		c.tx, c.now = tx, column.Micros(s.driver.Clock())
		claimed, err := c.claim(ctx, quotas)
		taken = execution.Taken{Claimed: claimed, Behind: c.far.Behind, Left: c.far.Left, Full: c.far.Full}
		return err
	})
	if err != nil {
		return execution.Taken{}, store.Fault(s.driver, err, "claim executions")
	}
	lane.Order(taken.Claimed)
	return taken, nil
}

// claimer claims in one transaction.
type claimer struct {
	tx     store.Conn
	worker string
	now    int64
	turns  *lane.Turns
	// first is the first lane that it looks at: backfill is claimed by those that look at
	// nothing else.
	first event.Lane
	// far is how far it has come.
	far lane.Claim
	// room is what is left of the caps of installations, by tenant, for tenants that have
	// any.
	room map[string]map[string]*lane.Room
}

// What a claim asks of a tenant's lane, and of one of its installations.
const (
	dueOfTenant = dueFields + `INDEXED BY executions_ready
 WHERE state = 0 AND tenant = $1 AND lane = $2 ORDER BY run_at, id LIMIT $3`
	dueOfInstallation = dueFields + `INDEXED BY executions_of
 WHERE state = 0 AND tenant = $1 AND installation = $4 AND lane = $2 ORDER BY run_at, id LIMIT $3`
	dueFields = `SELECT rowid, id, claim, attempt, crashes, run_at, installation, order_key FROM executions `
)

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
	if err := c.caps(ctx, quotas, running.installations); err != nil {
		return nil, err
	}
	var claimed []execution.Claimed
	for _, q := range quotas {
		got, err := c.tenant(ctx, q, running.tenants[q.Tenant])
		if err != nil {
			return nil, err
		}
		claimed = append(claimed, got...)
	}
	return claimed, nil
}

// flying counts what runs, by tenant and installation.
type flying struct {
	tenants       map[string]lane.Running
	installations map[[2]string]lane.Running
}

// running counts what runs: the index has as many entries as the process has slots.
func (c *claimer) running(ctx context.Context) (flying, error) {
	f := flying{map[string]lane.Running{}, map[[2]string]lane.Running{}}
	rows, err := c.tx.QueryContext(ctx,
		`SELECT tenant, installation, count(*), SUM(lane = 2) FROM executions WHERE state = 1 GROUP BY tenant, installation`)
	if err != nil {
		return f, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var of [2]string
		var n lane.Running
		if err := rows.Scan(&of[0], &of[1], &n.All, &n.Backfill); err != nil {
			return f, err
		}
		tenant := f.tenants[of[0]]
		f.tenants[of[0]] = lane.Running{All: tenant.All + n.All, Backfill: tenant.Backfill + n.Backfill}
		f.installations[of] = n
	}
	return f, rows.Err()
}

// caps finds the tenants of which installations have caps.
func (c *claimer) caps(ctx context.Context, quotas []execution.Quota, running map[[2]string]lane.Running) error {
	tenants := make([]string, len(quotas))
	for i, q := range quotas {
		tenants[i] = q.Tenant
	}
	names, err := json.Marshal(tenants)
	if err != nil {
		return err
	}
	c.room = map[string]map[string]*lane.Room{}
	rows, err := c.tx.QueryContext(ctx,
		`SELECT i.tenant, i.id, i.running FROM installations i WHERE i.running > 0 AND i.tenant IN (SELECT value FROM json_each($1))`, string(names))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var tenant, installation string
		var most int
		if err := rows.Scan(&tenant, &installation, &most); err != nil {
			return err
		}
		if c.room[tenant] == nil {
			c.room[tenant] = map[string]*lane.Room{}
		}
		room := running[[2]string{tenant, installation}].Left(most)
		c.room[tenant][installation] = &room
	}
	return rows.Err()
}

// due is an execution that could be claimed.
type due struct {
	row          int64
	installation string
	execution.Claimed
}

// tenant claims up to a quota of one tenant.
func (c *claimer) tenant(ctx context.Context, q execution.Quota, running lane.Running) ([]execution.Claimed, error) {
	t := lane.Tenant[due]{Quota: q, Running: running, Turn: c.turns.At(q.Tenant)}
	room := t.Room(&c.far)
	if room.All == 0 {
		return nil, nil
	}
	room.Backfill++ // One more tells whether there was room for all.
	var err error
	if t.Heads, err = c.heads(ctx, q.Tenant, room); err != nil {
		return nil, err
	}
	chosen := lane.Choose(&c.far, t, func(d due) *lane.Room { return c.room[q.Tenant][d.installation] })
	var claimed []execution.Claimed
	for _, chosen := range lane.Split(&c.far, q, chosen, false) {
		d := chosen.Head
		if err := c.take(ctx, d.row); err != nil {
			return nil, err
		}
		d.Capped = chosen.Capped
		claimed = append(claimed, d.Claimed)
	}
	return claimed, nil
}

// heads are the oldest due executions of each lane. In a tenant that has caps on
// installations it hops from one installation to the next that has something queued, and
// looks at no more of each than it has room for: what one cannot run is never passed
// through.
func (c *claimer) heads(ctx context.Context, tenant string, room lane.Room) (heads [lane.Count][]due, err error) {
	under, capped := c.room[tenant]
	if !capped {
		for l := range heads {
			if heads[l], err = c.due(ctx, share{tenant: tenant, lane: l, n: room.Of(l)}); err != nil {
				return heads, err
			}
		}
		return heads, nil
	}
	for installation := ""; ; {
		err := c.tx.QueryRowContext(ctx,
			`SELECT installation FROM executions INDEXED BY executions_of WHERE state = 0 AND tenant = $1 AND installation > $2 ORDER BY installation LIMIT 1`,
			tenant, installation).Scan(&installation)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return heads, err
		}
		for l := range heads {
			n := room.Of(l)
			if own, capped := under[installation]; capped {
				n = min(n, own.Of(l))
			}
			found, err := c.due(ctx, share{tenant, installation, l, n})
			if err != nil {
				return heads, err
			}
			heads[l] = append(heads[l], found...)
		}
	}
	for l := range heads {
		slices.SortFunc(heads[l], func(a, b due) int {
			return cmp.Or(a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.Execution, b.Execution))
		})
	}
	return heads, nil
}

// share is what may be claimed of a tenant's lane, or of an installation's.
type share struct {
	tenant, installation string
	lane, n              int
}

// due are the oldest due executions of a share.
func (c *claimer) due(ctx context.Context, s share) ([]due, error) {
	if s.n == 0 || s.lane < int(c.first) {
		return nil, nil
	}
	query, args := dueOfTenant, []any{s.tenant, s.lane, s.n}
	if s.installation != "" {
		query, args = dueOfInstallation, append(args, s.installation)
	}
	rows, err := c.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []due
	for rows.Next() {
		d := due{Claimed: execution.Claimed{Tenant: s.tenant, Lane: event.Lane(s.lane)}}
		var runAt int64
		if err := rows.Scan(&d.row, &d.Execution, &d.Claim, &d.Attempt, &d.Crashes, &runAt, &d.installation, &d.OrderKey); err != nil {
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
