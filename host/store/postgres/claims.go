package postgres

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"

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
	lockTenants  = 0x436C61 // Claims: one claimer at a time for a tenant.
	lockBackfill = 0x436C62 // Claims of backfill, likewise; shared by those claims that may take all that is free.
	lockState    = 0x437374 // Completions: one at a time for a key of state.
	lockLines    = 0x436F72 // Lines of work in order: see executions_lock_line in the schema.
	// stripes bounds how many locks a transaction takes. Two names that share a
	// stripe wait for each other, and that is all.
	stripes = 256
)

const (
	takeLocks  = `SELECT pg_advisory_xact_lock($1, n) FROM unnest($2::int[]) AS n`
	shareLocks = `SELECT pg_advisory_xact_lock_shared($1, n) FROM unnest($2::int[]) AS n`
	// tryLocks names those that somebody else has.
	tryLocks = `SELECT n FROM unnest($2::int[]) AS n WHERE NOT pg_try_advisory_xact_lock_shared($1, n)`
)

// runningOf counts what runs of tenants.
const runningOf = `SELECT tenant, count(*), count(*) FILTER (WHERE lane = 2) FROM executions
 WHERE state = 1 AND tenant = ANY((SELECT $1::text[])::text[]) GROUP BY tenant`

// dueHeads are the oldest due executions of each tenant and lane, of backfill no more than
// tell whether there was room for all. For the columns after the id see cappedHeads.
const dueHeads = `SELECT x.tenant, l.lane, h.id, '' AS installation, 0 AS most, 0 AS running, 0 AS backfill
 FROM unnest((SELECT $1::text[]), $2::int[]) AS x (tenant, n) CROSS JOIN (VALUES (0), (1), (2)) AS l (lane)
 CROSS JOIN LATERAL (SELECT e.id, e.run_at FROM executions e WHERE e.state = 0 AND e.tenant = x.tenant AND e.lane = l.lane
   ORDER BY e.run_at, e.id LIMIT CASE WHEN l.lane = 2 THEN LEAST(x.n, $3::int) ELSE x.n END) h
 WHERE l.lane >= $4
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
 WHERE l.lane >= $3
 ORDER BY r.tenant, l.lane, h.run_at, h.id`

// takeDue claims what was chosen and is still queued, in the lanes that are claimed: what was
// backfill may be live by now, and counts as such. "+ 0" keeps the planner
// from the index of what is queued, where it would pass a tenant's whole backlog
// to find one id. The SELECT keeps the number of rows from it: for a few it would make
// a new plan each time, which costs as much as the statement, where the one for any
// number does.
const takeDue = `UPDATE executions e SET state = 1, claim = e.claim + 1, worker = $3, changed_at = $4
 FROM unnest((SELECT $1::text[]), $2::text[], $5::int[]) AS x (tenant, id, lane)
 WHERE e.tenant = x.tenant AND e.id = x.id AND e.state + 0 = 0 AND e.lane BETWEEN $6 AND x.lane
 RETURNING e.tenant, e.id, e.claim, e.attempt, e.crashes, e.lane, e.run_at, e.order_key`

// Claim implements execution.Claims. For each tenant one claimer in the cluster
// counts what runs and claims the rest of the cap: only claims raise the count,
// so that it is never exceeded, and there is no counter that could drift. A
// worker without a lease is execution.ErrFenced.
//
// Backfill is claimed by one claimer in the cluster, too, beside that one. While it
// does so, the other takes no more than what backfill never does. It waits for it if that
// is nothing of all tenants, and for those of whom something was left the last time.
func (s *Store) Claim(ctx context.Context, worker string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	c := claimer{worker: worker, first: event.Interactive, quotas: quotas, backfill: backfill, atOnce: lane.Few}
	c.waits = s.busy.takeAny(quotas)
	taken, err := s.claimed(ctx, c)
	if errors.Is(err, errBusy) {
		c.waits = true
		taken, err = s.claimed(ctx, c)
	}
	if err != nil {
		return execution.Taken{}, err
	}
	s.busy.add(taken.Busy)
	s.turns.Used(taken)
	return taken, nil
}

// ClaimBackfill implements execution.Claims.
func (s *Store) ClaimBackfill(ctx context.Context, worker string, quotas []execution.Quota) (execution.Taken, error) {
	return s.claimed(ctx, claimer{worker: worker, first: event.Backfill, quotas: quotas, backfill: lane.Most, atOnce: lane.Most})
}

// claimer is a claim of a worker.
type claimer struct {
	worker string
	// first is the first lane that it looks at: backfill is claimed by those that look at
	// nothing else.
	first  event.Lane
	quotas []execution.Quota
	// backfill and atOnce begin a lane.Claim.
	backfill, atOnce int
	// waits says that it waits for claims of backfill.
	waits bool
}

// waiters are tenants of whom something was left for a claim of backfill: without waiting for
// such claims it might always be.
type waiters struct {
	mu  sync.Mutex
	all map[string]struct{}
}

func (w *waiters) add(tenants []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range tenants {
		if w.all == nil {
			w.all = make(map[string]struct{})
		}
		w.all[t] = struct{}{}
	}
}

// takeAny takes those that have quotas, and says whether there were any.
func (w *waiters) takeAny(quotas []execution.Quota) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.all)
	for _, q := range quotas {
		delete(w.all, q.Tenant)
	}
	return len(w.all) < before
}

// errBusy means that nothing was taken, though there may be room: that is known once it was
// waited for a claim of backfill.
var errBusy = errors.New("a claim of backfill is under way")

func (s *Store) claimed(ctx context.Context, c claimer) (execution.Taken, error) {
	if c.quotas = lane.Merged(c.quotas); len(c.quotas) == 0 {
		return execution.Taken{}, nil
	}
	var taken execution.Taken
	err := again(func() error {
		return s.driver.transact(ctx, func(conn *pgxpool.Conn) error {
			var err error
			taken, err = s.claim(ctx, conn, c)
			return err
		})
	})
	switch {
	case errors.Is(err, errBusy):
		return execution.Taken{}, err
	case err != nil:
		return execution.Taken{}, store.Fault(s.driver, err, "claim executions")
	}
	lane.Order(taken.Claimed)
	return taken, nil
}

// claim looks in one round trip and takes in a second. Tenants that have caps on
// installations are looked at in one between.
func (s *Store) claim(ctx context.Context, conn *pgxpool.Conn, c claimer) (execution.Taken, error) {
	f, err := c.look(ctx, conn)
	if err != nil {
		return execution.Taken{}, err
	}
	taken, err := f.choose(c, &s.turns)
	if err != nil || len(f.ids) == 0 {
		return taken, err
	}
	b := &pgx.Batch{}
	b.Queue(takeDue, f.tenants, f.ids, c.worker, column.Micros(s.driver.Clock()), f.lanes, int(c.first)).Query(func(rows pgx.Rows) error {
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
	caps    map[capKey]*installationCap
	// busy are the locks of tenants of which backfill is being claimed.
	busy []int32
	// tenants, ids and lanes are of the executions that were chosen, and capped are those
	// that were under a cap of their installation.
	tenants, ids []string
	lanes        []int32
	capped       map[string]bool
}

// head is a due execution. Its installation is empty in a tenant without caps.
type head struct{ id, installation string }

// capKey names an installation.
type capKey struct{ tenant, installation string }

// installationCap is an installation's own cap, how many run under it, and for how many
// there is room yet.
type installationCap struct {
	most    int
	running lane.Running
	room    lane.Room
}

func (c claimer) look(ctx context.Context, conn *pgxpool.Conn) (*found, error) {
	f := &found{
		running: make(map[string]lane.Running), heads: make(map[string]*[lane.Count][]head),
		caps: make(map[capKey]*installationCap), capped: make(map[string]bool),
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
	c.lock(b, f, stripesOf(tenants))
	// The lock keeps the reaper out until this has committed. It is not the
	// weaker KEY SHARE, which an UPDATE of other columns does not respect.
	b.Queue(`SELECT 1 FROM workers WHERE id = $1 AND NOT reaped FOR SHARE`, c.worker).Query(func(rows pgx.Rows) error {
		leased = rows.Next()
		rows.Close()
		return rows.Err()
	})
	b.Queue(runningOf, tenants).Query(f.scanRunning)
	b.Queue(dueHeads, tenants, ns, min(max(c.backfill, 0), lane.Most)+1, int(c.first)).Query(f.scanHeads)
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

// lock takes the locks of tenants. Claims that share a lock of backfill have all of their
// tenants' before, so that they wait for nobody who waits for it.
func (c claimer) lock(b *pgx.Batch, f *found, stripes []int32) {
	switch {
	case c.first == event.Backfill:
		b.Queue(takeLocks, lockBackfill, stripes)
	case c.waits:
		b.Queue(takeLocks, lockTenants, stripes)
		b.Queue(shareLocks, lockBackfill, stripes)
	default:
		b.Queue(takeLocks, lockTenants, stripes)
		b.Queue(tryLocks, lockBackfill, stripes).Query(func(rows pgx.Rows) error {
			var err error
			f.busy, err = pgx.CollectRows(rows, pgx.RowTo[int32])
			return err
		})
	}
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
	b.Queue(cappedHeads, tenants, ns, int(c.first)).Query(f.scanHeads)
	return send(ctx, conn, b)
}

// choose shares each tenant's room between its lanes. Of tenants of which somebody else claims
// backfill it takes none of that, and of the rest what there is room for whatever they take.
func (f *found) choose(c claimer, turns *lane.Turns) (execution.Taken, error) {
	var left []string
	claim := lane.Claim{Backfill: c.backfill, AtOnce: c.atOnce}
	for _, q := range c.quotas {
		t := lane.Tenant[head]{Quota: q, Running: f.running[q.Tenant], Turn: turns.At(q.Tenant), Heads: *f.heads[q.Tenant]}
		chosen := lane.Choose(&claim, t, func(h head) *lane.Room {
			if own, capped := f.caps[capKey{q.Tenant, h.installation}]; capped {
				return &own.room
			}
			return nil
		})
		busy := slices.Contains(f.busy, stripeOf(q.Tenant))
		now := lane.Split(&claim, q, chosen, busy)
		if busy {
			sure := f.reserved(q, now)
			if len(sure) < len(now) {
				left = append(left, q.Tenant)
			}
			now = sure
		}
		for _, h := range now {
			f.tenants, f.ids, f.lanes = append(f.tenants, q.Tenant), append(f.ids, h.Head.id), append(f.lanes, int32(h.Lane))
			f.capped[h.Head.id] = h.Capped
		}
	}
	if len(f.ids) == 0 && len(left) > 0 {
		return execution.Taken{}, errBusy
	}
	return execution.Taken{Behind: claim.Behind, Busy: left, Left: claim.Left, Full: claim.Full}, nil
}

// reserved is what of a tenant's choice there is room for whatever a claim of backfill takes
// meanwhile.
func (f *found) reserved(q execution.Quota, chosen []lane.Chosen[head]) (sure []lane.Chosen[head]) {
	left, of := f.running[q.Tenant].Reserved(q.Running), map[string]int{}
	for _, c := range chosen {
		if left == 0 {
			break
		}
		if c.Capped {
			own := f.caps[capKey{q.Tenant, c.Head.installation}]
			if of[c.Head.installation] == own.running.Reserved(own.most) {
				continue
			}
			of[c.Head.installation]++
		}
		sure = append(sure, c)
		left--
	}
	return sure
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
			f.caps[capKey{tenant, h.installation}] = &installationCap{most: most, running: running, room: running.Left(most)}
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
		out[i] = stripeOf(n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func stripeOf(name string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int32(h.Sum32() % stripes)
}
