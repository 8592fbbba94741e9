package postgres

import (
	"context"
	"hash/fnv"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/lane"
)

// Advisory locks are named by a class and a number.
const (
	lockTenants = 0x436C61 // Claims: one claimer at a time for a tenant.
	lockState   = 0x437374 // Completions: one at a time for a key of state.
	// stripes bounds how many locks a transaction takes. Two names that share a
	// stripe wait for each other, and that is all.
	stripes = 256
)

const takeLocks = `SELECT pg_advisory_xact_lock($1, n) FROM unnest($2::int[]) AS n`

// dueHeads are the oldest due executions of each tenant and lane.
const dueHeads = `SELECT x.tenant, l.lane, h.id
 FROM unnest($1::text[], $2::int[]) AS x (tenant, n) CROSS JOIN (VALUES (0), (1), (2)) AS l (lane)
 CROSS JOIN LATERAL (SELECT e.id, e.run_at FROM executions e WHERE e.state = 0 AND e.tenant = x.tenant AND e.lane = l.lane
   ORDER BY e.run_at, e.id LIMIT x.n) h
 ORDER BY x.tenant, l.lane, h.run_at, h.id`

// takeDue claims what was chosen and is still queued. "+ 0" keeps the planner
// from the index of what is queued, where it would pass a tenant's whole backlog
// to find one id.
const takeDue = `UPDATE executions e SET state = 1, claim = e.claim + 1, worker = $3, changed_at = $4
 FROM unnest($1::text[], $2::text[]) AS x (tenant, id)
 WHERE e.tenant = x.tenant AND e.id = x.id AND e.state + 0 = 0
 RETURNING e.tenant, e.id, e.claim, e.attempt, e.crashes, e.lane, e.run_at`

// Claim implements execution.Claims. For each tenant one claimer in the cluster
// counts what runs and claims the rest of the cap: only claims raise the count,
// so that it is never exceeded, and there is no counter that could drift. A
// worker without a lease is execution.ErrFenced.
func (s *Store) Claim(ctx context.Context, worker string, quotas []execution.Quota) ([]execution.Claimed, error) {
	quotas = merged(quotas)
	if len(quotas) == 0 {
		return nil, nil
	}
	var claimed []execution.Claimed
	err := again(func() error {
		return s.driver.transact(ctx, func(c *pgxpool.Conn) error {
			var err error
			claimed, err = s.claim(ctx, c, worker, quotas)
			return err
		})
	})
	if err != nil {
		return nil, store.Fault(s.driver, err, "claim executions")
	}
	s.order(claimed)
	return claimed, nil
}

// claim looks in one round trip and takes in a second.
func (s *Store) claim(ctx context.Context, c *pgxpool.Conn, worker string, quotas []execution.Quota) ([]execution.Claimed, error) {
	f, err := lookAt(ctx, c, worker, quotas)
	if err != nil {
		return nil, err
	}
	tenants, ids := f.choose(quotas, &s.turns)
	if len(ids) == 0 {
		return nil, nil
	}
	var claimed []execution.Claimed
	b := &pgx.Batch{}
	b.Queue(takeDue, tenants, ids, worker, column.Micros(s.driver.Clock())).Query(func(rows pgx.Rows) error {
		var err error
		claimed, err = pgx.CollectRows(rows, scanClaimed)
		return err
	})
	b.Queue("COMMIT")
	return claimed, send(ctx, c, b)
}

// order puts claims into lanes' order, oldest first, and moves the tenants on.
func (s *Store) order(claimed []execution.Claimed) {
	slices.SortFunc(claimed, func(a, b execution.Claimed) int {
		if a.Lane != b.Lane {
			return int(a.Lane) - int(b.Lane)
		}
		return a.QueuedAt.Compare(b.QueuedAt)
	})
	used := make(map[string]int)
	for _, c := range claimed {
		used[c.Tenant]++
	}
	for t, n := range used {
		s.turns.Advance(t, n)
	}
}

// found is what a claim looks at: how many run, and who is due.
type found struct {
	running map[string]int
	heads   map[string]*[lane.Count][]string
}

func lookAt(ctx context.Context, c *pgxpool.Conn, worker string, quotas []execution.Quota) (*found, error) {
	f := &found{running: make(map[string]int), heads: make(map[string]*[lane.Count][]string)}
	tenants := make([]string, len(quotas))
	ns := make([]int32, len(quotas))
	for i, q := range quotas {
		tenants[i], ns[i] = q.Tenant, int32(q.N)
		f.heads[q.Tenant] = &[lane.Count][]string{}
	}
	leased := false
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(takeLocks, lockTenants, stripesOf(tenants))
	// The lock keeps the reaper out until this has committed. It is not the
	// weaker KEY SHARE, which an UPDATE of other columns does not respect.
	b.Queue(`SELECT 1 FROM workers WHERE id = $1 AND NOT reaped FOR SHARE`, worker).Query(func(rows pgx.Rows) error {
		leased = rows.Next()
		rows.Close()
		return rows.Err()
	})
	b.Queue(`SELECT tenant, count(*) FROM executions WHERE state = 1 AND tenant = ANY($1) GROUP BY tenant`, tenants).Query(f.scanRunning)
	b.Queue(dueHeads, tenants, ns).Query(f.scanHeads)
	if err := send(ctx, c, b); err != nil {
		return nil, err
	}
	if !leased {
		return nil, execution.ErrFenced
	}
	return f, nil
}

// choose shares each tenant's room between its lanes.
func (f *found) choose(quotas []execution.Quota, turns *lane.Turns) (tenants, ids []string) {
	for _, q := range quotas {
		heads := f.heads[q.Tenant]
		n := max(0, min(q.N, q.Running-f.running[q.Tenant]))
		var waiting [lane.Count]int
		for l := range heads {
			waiting[l] = len(heads[l])
		}
		for l, k := range lane.Take(turns.At(q.Tenant), n, waiting) {
			for _, id := range heads[l][:k] {
				tenants, ids = append(tenants, q.Tenant), append(ids, id)
			}
		}
	}
	return tenants, ids
}

func (f *found) scanRunning(rows pgx.Rows) error {
	var tenant string
	var n int
	_, err := pgx.ForEachRow(rows, []any{&tenant, &n}, func() error {
		f.running[tenant] = n
		return nil
	})
	return err
}

func (f *found) scanHeads(rows pgx.Rows) error {
	var tenant, id string
	var l int
	_, err := pgx.ForEachRow(rows, []any{&tenant, &l, &id}, func() error {
		heads := f.heads[tenant]
		heads[l] = append(heads[l], id)
		return nil
	})
	return err
}

func scanClaimed(row pgx.CollectableRow) (execution.Claimed, error) {
	var c execution.Claimed
	var l int
	var runAt int64
	err := row.Scan(&c.Tenant, &c.Execution, &c.Claim, &c.Attempt, &c.Crashes, &l, &runAt)
	c.Attempt++
	c.Lane, c.QueuedAt = event.Lane(l), column.Time(runAt)
	return c, err
}

// merged adds up quotas of one tenant, whose rows must not be asked for twice,
// and drops those that ask for nothing.
func merged(quotas []execution.Quota) []execution.Quota {
	at := make(map[string]int, len(quotas))
	var out []execution.Quota
	for _, q := range quotas {
		if q.N <= 0 || q.Running <= 0 {
			continue
		}
		if i, ok := at[q.Tenant]; ok {
			out[i].N += q.N
			out[i].Running = min(out[i].Running, q.Running)
			continue
		}
		at[q.Tenant] = len(out)
		out = append(out, q)
	}
	return out
}

// stripesOf are the locks of some names, in the order in which all take them.
func stripesOf(names []string) []int32 {
	out := make([]int32, len(names))
	for i, n := range names {
		h := fnv.New32a()
		_, _ = h.Write([]byte(n))
		out[i] = int32(h.Sum32() % stripes)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
