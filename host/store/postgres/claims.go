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
	lockLines   = 0x436F72 // Lines of work in order: see executions_lock_line in the schema.
	// stripes bounds how many locks a transaction takes. Two names that share a
	// stripe wait for each other, and that is all.
	stripes = 256
)

// mostBackfill is more than a claim ever takes.
const mostBackfill = 1 << 20

const takeLocks = `SELECT pg_advisory_xact_lock($1, n) FROM unnest($2::int[]) AS n`

// runningOf counts what runs of tenants.
const runningOf = `SELECT tenant, count(*), count(*) FILTER (WHERE lane = 2) FROM executions
 WHERE state = 1 AND tenant = ANY((SELECT $1::text[])::text[]) GROUP BY tenant`

// dueHeads are the oldest due executions of each tenant and lane, of backfill no more than
// tell whether there was room for all. For the columns after the id see cappedHeads.
const dueHeads = `SELECT x.tenant, l.lane, h.id, '' AS installation, 0 AS most, 0 AS running, 0 AS backfill
 FROM unnest((SELECT $1::text[]), $2::int[]) AS x (tenant, n) CROSS JOIN (VALUES (0), (1), (2)) AS l (lane)
 CROSS JOIN LATERAL (SELECT e.id, e.run_at FROM executions e WHERE e.state = 0 AND e.tenant = x.tenant AND e.lane = l.lane
   ORDER BY e.run_at, e.id LIMIT CASE WHEN l.lane = 2 THEN LEAST(x.n, $3::int) ELSE x.n END) h
 ORDER BY x.tenant, l.lane, h.run_at, h.id`

// cappedTenants are those that have caps on installations.
const cappedTenants = `SELECT DISTINCT i.tenant FROM installations i WHERE i.running > 0 AND i.tenant = ANY($1)`

// cappedHeads are those of tenants that have caps on installations. It hops from one
// installation to the next that has something queued, and looks at no more of each than
// it has room for: what one cannot run is never passed through. Most is the installation's
// cap, zero for none, and running and backfill are how many of it run.
const cappedHeads = `WITH RECURSIVE x AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::int[]) AS x (tenant, n)
 ), hop (tenant, n, installation) AS (
   SELECT x.tenant, x.n, (SELECT e.installation FROM executions e WHERE e.state = 0 AND e.tenant = x.tenant
     ORDER BY e.installation LIMIT 1) FROM x
   UNION ALL
   SELECT hop.tenant, hop.n, (SELECT e.installation FROM executions e WHERE e.state = 0 AND e.tenant = hop.tenant AND e.installation > hop.installation
     ORDER BY e.installation LIMIT 1) FROM hop WHERE hop.installation IS NOT NULL
 ), r AS MATERIALIZED (
   SELECT hop.tenant, hop.n, hop.installation, COALESCE(i.running, 0) AS most, COALESCE(c.running, 0) AS running, COALESCE(c.backfill, 0) AS backfill
   FROM hop LEFT JOIN installations i ON i.tenant = hop.tenant AND i.id = hop.installation AND i.running > 0
   LEFT JOIN LATERAL (SELECT count(*)::int AS running, (count(*) FILTER (WHERE e.lane = 2))::int AS backfill
     FROM executions e WHERE e.state = 1 AND e.tenant = i.tenant AND e.installation = i.id) c ON true
   WHERE hop.installation IS NOT NULL
 )
 SELECT r.tenant, l.lane, h.id, r.installation, r.most, r.running, r.backfill FROM r CROSS JOIN (VALUES (0), (1), (2)) AS l (lane)
 CROSS JOIN LATERAL (SELECT e.id, e.run_at FROM executions e WHERE e.state = 0 AND e.tenant = r.tenant AND e.installation = r.installation AND e.lane = l.lane
   ORDER BY e.run_at, e.id LIMIT CASE WHEN r.most = 0 THEN r.n ELSE LEAST(r.n, GREATEST(r.most - r.running, 0)) END) h
 ORDER BY r.tenant, l.lane, h.run_at, h.id`

// takeDue claims what was chosen and is still queued. "+ 0" keeps the planner
// from the index of what is queued, where it would pass a tenant's whole backlog
// to find one id. The SELECT keeps the number of rows from it: for a few it would make
// a new plan each time, which costs as much as the statement, where the one for any
// number does.
const takeDue = `UPDATE executions e SET state = 1, claim = e.claim + 1, worker = $3, changed_at = $4
 FROM unnest((SELECT $1::text[]), $2::text[]) AS x (tenant, id)
 WHERE e.tenant = x.tenant AND e.id = x.id AND e.state + 0 = 0
 RETURNING e.tenant, e.id, e.claim, e.attempt, e.crashes, e.lane, e.run_at, e.order_key`

// Claim implements execution.Claims. For each tenant one claimer in the cluster
// counts what runs and claims the rest of the cap: only claims raise the count,
// so that it is never exceeded, and there is no counter that could drift. A
// worker without a lease is execution.ErrFenced.
func (s *Store) Claim(ctx context.Context, worker string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	quotas = lane.Merged(quotas)
	if len(quotas) == 0 {
		return execution.Taken{}, nil
	}
	var taken execution.Taken
	err := again(func() error {
		return s.driver.transact(ctx, func(conn *pgxpool.Conn) error {
			var err error
			taken, err = s.claim(ctx, conn, claimer{worker: worker, quotas: quotas, backfill: backfill})
			return err
		})
	})
	if err != nil {
		return execution.Taken{}, store.Fault(s.driver, err, "claim executions")
	}
	lane.Order(taken.Claimed)
	s.turns.Used(taken.Claimed)
	return taken, nil
}

// claimer is a claim of a worker.
type claimer struct {
	worker   string
	quotas   []execution.Quota
	backfill int
}

// claim looks in one round trip and takes in a second. Tenants that have caps on
// installations are looked at in one between.
func (s *Store) claim(ctx context.Context, conn *pgxpool.Conn, c claimer) (execution.Taken, error) {
	f, err := c.look(ctx, conn)
	if err != nil {
		return execution.Taken{}, err
	}
	claim := lane.Claim{Backfill: c.backfill}
	tenants, ids := f.choose(&claim, c.quotas, &s.turns)
	taken := execution.Taken{Left: claim.Left, Full: claim.Full}
	if len(ids) == 0 {
		return taken, nil
	}
	b := &pgx.Batch{}
	b.Queue(takeDue, tenants, ids, c.worker, column.Micros(s.driver.Clock())).Query(func(rows pgx.Rows) error {
		var err error
		taken.Claimed, err = pgx.CollectRows(rows, scanClaimed)
		return err
	})
	b.Queue("COMMIT")
	if err := send(ctx, conn, b); err != nil {
		return execution.Taken{}, err
	}
	for i := range taken.Claimed {
		taken.Claimed[i].Capped = f.capped[taken.Claimed[i].Execution]
	}
	return taken, nil
}

// found is what a claim looks at: how many run, who is due, and what room is left under
// the caps of installations.
type found struct {
	running map[string]lane.Running
	heads   map[string]*[lane.Count][]head
	room    map[capKey]*lane.Room
	// capped are the executions that were chosen under a cap.
	capped map[string]bool
}

// head is a due execution. Its installation is empty in a tenant without caps.
type head struct{ id, installation string }

// capKey names an installation.
type capKey struct{ tenant, installation string }

func (c claimer) look(ctx context.Context, conn *pgxpool.Conn) (*found, error) {
	f := &found{
		running: make(map[string]lane.Running), heads: make(map[string]*[lane.Count][]head),
		room: make(map[capKey]*lane.Room), capped: make(map[string]bool),
	}
	tenants := make([]string, len(c.quotas))
	ns := make([]int32, len(c.quotas))
	for i, q := range c.quotas {
		tenants[i], ns[i] = q.Tenant, int32(q.N)
		f.heads[q.Tenant] = &[lane.Count][]head{}
	}
	leased := false
	var capped []string
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(takeLocks, lockTenants, stripesOf(tenants))
	// The lock keeps the reaper out until this has committed. It is not the
	// weaker KEY SHARE, which an UPDATE of other columns does not respect.
	b.Queue(`SELECT 1 FROM workers WHERE id = $1 AND NOT reaped FOR SHARE`, c.worker).Query(func(rows pgx.Rows) error {
		leased = rows.Next()
		rows.Close()
		return rows.Err()
	})
	b.Queue(runningOf, tenants).Query(f.scanRunning)
	b.Queue(dueHeads, tenants, ns, min(max(c.backfill, 0), mostBackfill)+1).Query(f.scanHeads)
	b.Queue(cappedTenants, tenants).Query(func(rows pgx.Rows) error {
		var err error
		capped, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := send(ctx, conn, b); err != nil {
		return nil, err
	}
	if !leased {
		return nil, execution.ErrFenced
	}
	return f, c.lookCapped(ctx, conn, f, capped)
}

// lookCapped looks anew at the heads of tenants that have caps on installations.
func (c claimer) lookCapped(ctx context.Context, conn *pgxpool.Conn, f *found, tenants []string) error {
	if len(tenants) == 0 {
		return nil
	}
	ns := make([]int32, len(tenants))
	for _, q := range c.quotas {
		if i := slices.Index(tenants, q.Tenant); i >= 0 {
			ns[i] = int32(q.N)
			f.heads[q.Tenant] = &[lane.Count][]head{}
		}
	}
	b := &pgx.Batch{}
	b.Queue(cappedHeads, tenants, ns).Query(f.scanHeads)
	return send(ctx, conn, b)
}

// choose shares each tenant's room between its lanes.
func (f *found) choose(claim *lane.Claim, quotas []execution.Quota, turns *lane.Turns) (tenants, ids []string) {
	for _, q := range quotas {
		t := lane.Tenant[head]{Quota: q, Running: f.running[q.Tenant], Turn: turns.At(q.Tenant), Heads: *f.heads[q.Tenant]}
		under := func(h head) *lane.Room { return f.room[capKey{q.Tenant, h.installation}] }
		for _, c := range lane.Choose(claim, t, under) {
			tenants, ids = append(tenants, q.Tenant), append(ids, c.Head.id)
			f.capped[c.Head.id] = c.Capped
		}
	}
	return tenants, ids
}

func (f *found) scanRunning(rows pgx.Rows) error {
	var tenant string
	var n lane.Running
	_, err := pgx.ForEachRow(rows, []any{&tenant, &n.All, &n.Backfill}, func() error {
		f.running[tenant] = n
		return nil
	})
	return err
}

func (f *found) scanHeads(rows pgx.Rows) error {
	for rows.Next() {
		var tenant string
		var l, most int
		var running lane.Running
		var h head
		if err := rows.Scan(&tenant, &l, &h.id, &h.installation, &most, &running.All, &running.Backfill); err != nil {
			return err
		}
		if most > 0 {
			room := running.Left(most)
			f.room[capKey{tenant, h.installation}] = &room
		}
		heads := f.heads[tenant]
		heads[l] = append(heads[l], h)
	}
	return rows.Err()
}

func scanClaimed(row pgx.CollectableRow) (execution.Claimed, error) {
	var c execution.Claimed
	var l int
	var runAt int64
	err := row.Scan(&c.Tenant, &c.Execution, &c.Claim, &c.Attempt, &c.Crashes, &l, &runAt, &c.OrderKey)
	c.Attempt++
	c.Lane, c.QueuedAt = event.Lane(l), column.Time(runAt)
	return c, err
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
