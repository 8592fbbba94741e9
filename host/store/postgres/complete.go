package postgres

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/finish"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/kv"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
)

// lockRuns finds the runs that are still the latest of their executions, and
// keeps them so. All transactions lock executions in this order.
// For "+ 0" and the SELECT see takeDue.
const lockRuns = `SELECT e.tenant, e.id, e.claim, e.installation, e.cancel_requested, e.attempt, e.tags
 FROM unnest((SELECT $1::text[]), $2::text[], $3::bigint[]) AS x (tenant, id, claim)
 JOIN executions e ON e.tenant = x.tenant AND e.id = x.id AND e.claim = x.claim
 WHERE e.state + 0 = 1 ORDER BY e.tenant, e.id FOR UPDATE OF e`

// readState reads the cells that a group works on, after their locks were taken.
const readState = `SELECT s.tenant, s.installation, s.key, s.value, s.version
 FROM unnest($1::text[], $2::text[], $3::bytea[]) AS x (tenant, installation, key)
 JOIN state_values s ON s.tenant = x.tenant AND s.installation = x.installation AND s.key = x.key`

// completion is a call of Complete in a group.
type completion struct {
	item         *group.Item[sealing.Completion]
	row          finish.Row
	installation string
	before       finish.Before
	// live says that the fence let it pass.
	live bool
}

// complete runs a group of completions in one transaction. Those that are fenced
// off or in conflict are left out of it; the others are not affected.
func (s *Store) complete(ctx context.Context, items []*group.Item[sealing.Completion]) {
	for len(items) > 0 {
		now, later := firsts(items, func(c sealing.Completion) runKey { return runKey{c.Tenant, c.Execution} })
		now, rest := within(now, groupBytes, carried)
		// The rest first: it holds the earlier completions of its executions.
		items = slices.Concat(rest, later)
		alone(now, s.driver, func(items []*group.Item[sealing.Completion]) error {
			return again(func() error { return s.completeAll(ctx, items) })
		})
	}
}

func (s *Store) completeAll(ctx context.Context, items []*group.Item[sealing.Completion]) error {
	return s.driver.transact(ctx, func(c *pgxpool.Conn) error {
		now := s.driver.Clock()
		runs, err := s.fence(ctx, c, items)
		if err != nil {
			return err
		}
		for _, r := range runs {
			r.item.Err = execution.ErrFenced
			if r.live {
				r.row, r.item.Err = finish.Of(r.item.Value.Completion, r.before, now)
			}
		}
		var table kv.Table
		if err := applyState(ctx, c, runs, &table); err != nil {
			return err
		}
		return s.keep(ctx, c, runs, &table, now)
	})
}

// firsts takes the first call for each execution; a second one must see what the
// first has done.
func firsts[T any](items []*group.Item[T], of func(T) runKey) (now, later []*group.Item[T]) {
	seen := make(map[runKey]bool, len(items))
	for _, it := range items {
		k := of(it.Value)
		if seen[k] {
			later = append(later, it)
			continue
		}
		seen[k] = true
		now = append(now, it)
	}
	return now, later
}

// within takes the first items that carry at most so many bytes together, and
// one at least.
func within[T any](items []*group.Item[T], most int, carried func(T) int) (now, rest []*group.Item[T]) {
	total := 0
	for i, it := range items {
		if total += carried(it.Value); total > most && i > 0 {
			return items[:i], items[i:]
		}
	}
	return items, nil
}

// carried is about how many bytes a completion has the server take: those of its
// parts that a guest or a peer decides on.
func carried(c sealing.Completion) int {
	n := len(c.Output) + len(c.Error) + len(c.Attempt) + len(c.World) + record.Bytes(c.Journal)
	for i := range c.State.Writes {
		n += len(c.State.Writes[i].Key) + len(c.State.Writes[i].Value)
	}
	for i := range c.Records {
		n += len(c.Records[i].DedupeKey) + len(c.Records[i].Body)
	}
	for _, t := range c.Tags {
		n += len(t.Name) + len(t.Value)
	}
	if c.Checkpoint != nil {
		n += len(c.Checkpoint.Cursor)
	}
	return n
}

// fence begins the transaction and locks the runs that may end.
func (s *Store) fence(ctx context.Context, c *pgxpool.Conn, items []*group.Item[sealing.Completion]) ([]*completion, error) {
	runs := make([]*completion, len(items))
	byClaim := make(map[claimKey]*completion, len(items))
	var tenants, ids []string
	var claims []int64
	var lines []int32
	for i, it := range items {
		v := it.Value
		if event.IsOrderKey(v.OrderKey) {
			lines = append(lines, lineOf(v.OrderKey))
		}
		runs[i] = &completion{item: it}
		byClaim[claimKey{v.Tenant, v.Execution, v.Claim}] = runs[i]
		tenants, ids, claims = append(tenants, v.Tenant), append(ids, v.Execution), append(claims, v.Claim)
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(lockRuns, tenants, ids, claims).Query(func(rows pgx.Rows) error {
		var k claimKey
		var installation string
		var before finish.Before
		_, err := pgx.ForEachRow(rows, []any{
			&k.tenant, &k.execution, &k.claim, &installation, &before.CancelRequested, &before.Attempt, &before.Tags,
		}, func() error {
			r := byClaim[k]
			r.live, r.installation = true, installation
			r.before = before
			r.before.Tags = slices.Clone(before.Tags)
			return nil
		})
		return err
	})
	if lines != nil {
		// The schema takes them, too, but in the order of the rows.
		slices.Sort(lines)
		b.Queue(takeLocks, lockLines, slices.Compact(lines))
	}
	return runs, send(ctx, c, b)
}

// lineOf is which lock the schema has for the line of an order key: its first byte.
func lineOf(key string) int32 {
	b, _ := hex.DecodeString(key[:2]) // It is a key.
	return int32(b[0])
}

// applyState takes the locks of all keys that the runs have read or written,
// and then looks whether what they read still holds. Absent keys have no rows
// that could be locked, so the locks are on names.
func applyState(ctx context.Context, c *pgxpool.Conn, runs []*completion, table *kv.Table) error {
	var names, tenants, installations []string
	var keys [][]byte
	touches := 0
	for _, r := range runs {
		if !r.applies() {
			continue
		}
		for _, k := range kv.Keys(r.item.Value.Tenant, r.installation, r.item.Value.State) {
			names = append(names, k.Installation+"\x00"+k.Name)
			tenants, installations = append(tenants, k.Tenant), append(installations, k.Installation)
			keys = append(keys, []byte(k.Name))
		}
		touches++
	}
	if len(keys) == 0 {
		return nil
	}
	var versions []int64
	b := &pgx.Batch{}
	b.Queue(takeLocks, lockState, stripesOf(names))
	b.Queue(readState, tenants, installations, keys).Query(func(rows pgx.Rows) error { return loadState(rows, table) })
	b.Queue(`SELECT nextval('state_versions') FROM generate_series(1, $1::int)`, touches).Query(func(rows pgx.Rows) error {
		var err error
		versions, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	if err := send(ctx, c, b); err != nil {
		return err
	}
	slices.Sort(versions)
	for _, r := range runs {
		if r.applies() {
			v := r.item.Value
			r.item.Err = table.Apply(kv.Of{Tenant: v.Tenant, Installation: r.installation, Keys: v.Keys}, v.State, versions[0])
			versions = versions[1:]
		}
	}
	return nil
}

func loadState(rows pgx.Rows, table *kv.Table) error {
	var cell kv.Cell
	var name, value []byte
	_, err := pgx.ForEachRow(rows, []any{&cell.Key.Tenant, &cell.Key.Installation, &name, &value, &cell.Version}, func() error {
		cell.Key.Name, cell.Value = string(name), slices.Clone(value)
		table.Load(cell)
		return nil
	})
	return err
}

// applies says that the run's effects are to be kept.
func (r *completion) applies() bool {
	return r.item.Err == nil && finish.Applies(r.item.Value.Completion)
}

// keep stores the runs that passed, and commits.
func (s *Store) keep(ctx context.Context, c *pgxpool.Conn, runs []*completion, table *kv.Table, now time.Time) error {
	b := &pgx.Batch{}
	queueRows(b, runs, column.Micros(now))
	if err := queueState(b, table); err != nil {
		return err
	}
	queueEffects(b, runs, now)
	queueJournal(b, runs, column.Micros(now))
	queueUsage(b, runs, now)
	if b.Len() == 0 {
		return nil
	}
	b.Queue("COMMIT")
	return send(ctx, c, b)
}
