package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
)

// acceptEvents stores a group of events with their executions, in the order of
// their keys: two groups that share keys then wait for each other instead of
// blocking each other. It returns those of tenants that exist, and whether each
// was new.
const acceptEvents = `WITH x AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[], $9::bytea[],
    $10::bigint[], $11::text[], $12::int[]) AS x (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, lane)
  ` + whereTenants + `
), e AS (
  INSERT INTO events (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, emitter)
  SELECT tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, '' FROM x` + keptOnce + `
), w AS (
  INSERT INTO executions (tenant, id, installation, event, kind, name, lane, run_at, created_at, changed_at)
  SELECT x.tenant, x.execution, x.installation, x.id, x.kind, x.name, x.lane, $13, $13, $13
  FROM x JOIN e ON e.tenant = x.tenant AND e.id = x.id WHERE x.execution <> ''
)` + selectNew

// acceptMore is acceptEvents for a group in which there are large bodies or order keys.
// The bodies are kept apart, each once for a tenant, and locked in one order; the
// executions go in by their order keys, as the schema wants it, and those of one key in
// the order in which they came.
const acceptMore = `WITH x AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[], $9::bytea[],
    $10::bigint[], $11::text[], $12::int[], $14::bytea[], $15::text[])
    AS x (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, lane, digest, order_key)
  ` + whereTenants + `
), e AS (
  INSERT INTO events (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, emitter, body_digest)
  SELECT tenant, id, installation, kind, name, source, dedupe_key, request, CASE WHEN digest IS NULL THEN body END, received_at, execution, '', digest
  FROM x` + keptOnce + `
), w AS (
  INSERT INTO executions (tenant, id, installation, event, kind, name, lane, run_at, created_at, changed_at, order_key)
  SELECT x.tenant, x.execution, x.installation, x.id, x.kind, x.name, x.lane, $13, $13, $13, x.order_key
  FROM x JOIN e ON e.tenant = x.tenant AND e.id = x.id WHERE x.execution <> '' ORDER BY x.order_key, x.received_at, x.execution
), b AS (
  INSERT INTO event_bodies (tenant, digest, used_at, bytes)
  SELECT DISTINCT ON (x.tenant, x.digest) x.tenant, x.digest, $13, x.body
  FROM x JOIN e ON e.tenant = x.tenant AND e.id = x.id WHERE x.digest IS NOT NULL ORDER BY x.tenant, x.digest
  ON CONFLICT (tenant, digest) DO UPDATE SET used_at = excluded.used_at WHERE event_bodies.used_at < excluded.used_at - $16::bigint
)` + selectNew

const (
	whereTenants = `WHERE EXISTS (SELECT 1 FROM tenants t WHERE t.id = x.tenant AND t.state IN ('active', 'paused'))`
	keptOnce     = `
  ORDER BY tenant, source, dedupe_key
  ON CONFLICT (tenant, source, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
  RETURNING tenant, id`
	selectNew = `
SELECT x.tenant, x.id, e.id IS NOT NULL FROM x LEFT JOIN e ON e.tenant = x.tenant AND e.id = x.id`
)

// earlierEvents finds the events that have the keys.
const earlierEvents = `SELECT x.n, e.id, e.execution
 FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[]) AS x (n, tenant, source, dedupe_key)
 JOIN events e ON e.tenant = x.tenant AND e.source = x.source AND e.dedupe_key = x.dedupe_key`

// acceptance is a call of Accept in a group.
type acceptance struct {
	event     sealing.Event
	execution string
	lane      event.Lane
	orderKey  string
	accepted  event.Accepted
	// known and stored say what became of it: its tenant exists, and it was new.
	known, stored bool
}

// Accept implements event.Store.
func (s *Store) Accept(ctx context.Context, e event.Event, w *event.Work) (event.Accepted, error) {
	if err := check.Event(e); err != nil {
		return event.Accepted{}, err
	}
	if err := check.Work(w); err != nil {
		return event.Accepted{}, err
	}
	row, err := s.sealing.Apart(ctx, e)
	if err != nil {
		return event.Accepted{}, err
	}
	a, err := s.acceptRow(ctx, row, w)
	if err != nil {
		return event.Accepted{}, store.Fault(s.driver, err, "accept an event")
	}
	return a, nil
}

func (s *Store) acceptRow(ctx context.Context, row sealing.Event, w *event.Work) (event.Accepted, error) {
	a := newAcceptance(row, w)
	if err := s.accepts.Do(ctx, a); err != nil { // It may be under way still: a is not to be read.
		return event.Accepted{}, err
	}
	return a.accepted, nil
}

func newAcceptance(row sealing.Event, w *event.Work) *acceptance {
	a := &acceptance{event: row}
	if w != nil {
		a.execution, a.lane, a.orderKey = w.Execution, w.Lane, w.OrderKey
	}
	return a
}

// accept runs a group. If the group fails for what one of the calls brought,
// each is made alone, so that the others do not suffer.
func (s *Store) accept(ctx context.Context, items []*group.Item[*acceptance]) {
	slices.SortFunc(items, func(a, b *group.Item[*acceptance]) int {
		x, y := a.Value.event, b.Value.event
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Source, y.Source), cmp.Compare(x.DedupeKey, y.DedupeKey))
	})
	for rest := items; len(rest) > 0; {
		var now []*group.Item[*acceptance]
		now, rest = within(rest, groupBytes, func(a *acceptance) int { return len(a.event.Body) })
		alone(now, s.driver, func(items []*group.Item[*acceptance]) error {
			return again(func() error { return s.acceptAll(ctx, items) })
		})
	}
	for _, it := range items {
		if it.Err == nil && !it.Value.known {
			it.Err = fault.NotFound("tenant", it.Value.event.Tenant)
		}
	}
}

func (s *Store) acceptAll(ctx context.Context, items []*group.Item[*acceptance]) error {
	byID := make(map[[2]string]*acceptance, len(items))
	var c eventColumns
	executions := make([]string, len(items))
	lanes := make([]int32, len(items))
	digests, keys, more := make([][]byte, len(items)), make([]string, len(items)), false
	for i, it := range items {
		a := it.Value
		byID[[2]string{a.event.Tenant, a.event.ID}] = a
		c.add(a.event)
		executions[i], lanes[i] = a.execution, int32(a.lane)
		digests[i], keys[i] = a.event.Digest, a.orderKey
		more = more || a.event.Digest != nil || a.orderKey != ""
	}
	query, args := acceptEvents, append(c.args(), executions, lanes, column.Micros(s.driver.Clock()))
	if more {
		query, args = acceptMore, append(args, digests, keys, store.Named.Microseconds())
	}
	rows, err := s.driver.pool.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id [2]string
		var stored bool
		if err := rows.Scan(&id[0], &id[1], &stored); err != nil {
			return err
		}
		a := byID[id]
		a.known, a.stored = true, stored
		a.accepted = event.Accepted{Event: a.event.ID, Execution: a.execution}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return s.findEarlier(ctx, items)
}

// findEarlier finds what the duplicates are duplicates of. It is a statement of
// its own, because the first one does not see what it has waited for.
func (s *Store) findEarlier(ctx context.Context, items []*group.Item[*acceptance]) error {
	var ns []int32
	var tenants, sources []string
	var keys [][]byte
	for i, it := range items {
		if a := it.Value; a.known && !a.stored {
			ns = append(ns, int32(i))
			tenants, sources = append(tenants, a.event.Tenant), append(sources, a.event.Source)
			keys = append(keys, []byte(a.event.DedupeKey))
		}
	}
	if ns == nil {
		return nil
	}
	rows, err := s.driver.pool.Query(ctx, earlierEvents, ns, tenants, sources, keys)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int32
		a := event.Accepted{Duplicate: true}
		if err := rows.Scan(&n, &a.Event, &a.Execution); err != nil {
			return err
		}
		items[n].Value.accepted = a
	}
	return rows.Err()
}

// eventColumns are events by column.
type eventColumns struct {
	tenant, id, installation, kind, name, source []string
	key, request, body                           [][]byte
	received                                     []int64
}

func (c *eventColumns) add(e sealing.Event) {
	c.tenant, c.id = append(c.tenant, e.Tenant), append(c.id, e.ID)
	c.installation, c.kind = append(c.installation, e.Installation), append(c.kind, string(e.Kind))
	c.name, c.source = append(c.name, e.Name), append(c.source, e.Source)
	c.key, c.request = append(c.key, column.Bytes([]byte(e.DedupeKey))), append(c.request, e.Headers)
	c.body, c.received = append(c.body, column.Bytes(e.Body)), append(c.received, column.Micros(e.ReceivedAt))
}

func (c *eventColumns) args() []any {
	return []any{c.tenant, c.id, c.installation, c.kind, c.name, c.source, c.key, c.request, c.body, c.received}
}

// alone runs a group, and if it fails for what one call brought, each call alone.
func alone[T any](items []*group.Item[T], d *driver, run func([]*group.Item[T]) error) {
	err := run(items)
	if err == nil {
		return
	}
	if len(items) == 1 || d.Problem(err) == store.Unreachable || d.Problem(err) == store.ReadOnly || d.Problem(err) == store.Full {
		for _, it := range items {
			it.Err = err
		}
		return
	}
	for _, it := range items {
		// What run has said of the call stays, such as that it was fenced off.
		if err := run([]*group.Item[T]{it}); err != nil {
			it.Err = err
		}
	}
}
