package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const (
	// slot is what the bytes of finished executions are added up by: as long as a
	// round of purging is from the next.
	slot = 10 * time.Minute
	// late is how long after a slot's end its last executions are committed: a
	// group's statements take 45 s at most.
	late = time.Minute
	// countRows is how many executions are counted by one query.
	countRows = 500
	// purgeBytes is about the most that one transaction deletes, unless it is one
	// execution: SQLite walks all pages of what it frees.
	purgeBytes = 8 << 20
	// bodyIdle is how long a large body stays after its last use: much longer than
	// a transaction that names it again takes.
	bodyIdle = time.Hour
	// Named is how often it is written down that a large body of an event was named again:
	// SQLite writes the body anew with it. A purge waits longer.
	Named = 30 * time.Minute
	// purgeRows is the most rows that one transaction deletes of a table.
	purgeRows = 500
)

// ownBytes are those of an execution e and of what only it has. Sums of a BIGINT
// are none on Postgres.
const ownBytes = `CAST(COALESCE(length(e.output), 0) + COALESCE(length(e.error), 0) + COALESCE(length(e.tags), 0)
 + COALESCE((SELECT SUM(length(a.body)) FROM attempts a WHERE a.tenant = e.tenant AND a.execution = e.id), 0)
 + COALESCE((SELECT SUM(length(j.body)) FROM journal j WHERE j.tenant = e.tenant AND j.execution = e.id), 0)
 + COALESCE((SELECT COALESCE(length(v.body), 0) + COALESCE(length(v.request), 0) FROM events v WHERE v.tenant = e.tenant AND v.id = e.event), 0)
 + COALESCE((SELECT SUM(COALESCE(length(v.body), 0)) FROM events v WHERE v.tenant = e.tenant AND v.emitter = e.id AND v.emitter <> ''), 0) AS BIGINT)`

// soleBytes are those of the large bodies that only an execution e has recorded.
const soleBytes = `CAST(COALESCE((SELECT SUM(length(b.bytes)) FROM journal_refs r
 JOIN journal_bodies b ON b.tenant = r.tenant AND b.digest = r.digest
 WHERE r.tenant = e.tenant AND r.execution = e.id AND NOT EXISTS (
   SELECT 1 FROM journal_refs o WHERE o.tenant = r.tenant AND o.digest = r.digest AND o.execution <> r.execution)), 0) AS BIGINT)`

// soleApart are those of the large body of the event of an execution e that no other event has.
const soleApart = `CAST(COALESCE((SELECT SUM(length(b.bytes)) FROM events v
 JOIN event_bodies b ON b.tenant = v.tenant AND b.digest = v.body_digest
 WHERE v.tenant = e.tenant AND v.id = e.event AND NOT EXISTS (
   SELECT 1 FROM events o WHERE o.tenant = v.tenant AND o.body_digest = v.body_digest AND o.id <> v.id)), 0) AS BIGINT)`

// held is what an execution holds.
type held struct {
	id       string
	finished int64
	own      int64
	// sole is 0 where it was not asked for.
	sole int64
}

// TakeTurn implements retention.Store.
func (s *SQL) TakeTurn(ctx context.Context, t retention.Turn) (bool, error) {
	now := s.d.Clock()
	n, err := s.exec(ctx, "take a turn",
		`INSERT INTO turns (name, holder, held_until) VALUES ($1, $2, $3)
		 ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
		 WHERE turns.holder = excluded.holder OR turns.held_until <= $4`,
		t.Name, t.Holder, column.Micros(now.Add(t.For)), column.Micros(now))
	return n == 1, err
}

// Retained implements retention.Store. Each slot is counted once; large bodies,
// which executions share, are added up as they are.
func (s *SQL) Retained(ctx context.Context, tenant string) (int64, error) {
	if err := s.countSlots(ctx, tenant); err != nil {
		return 0, err
	}
	return find(ctx, s, nil, scanInt64,
		`SELECT CAST(COALESCE((SELECT SUM(bytes) FROM retained WHERE tenant = $1), 0)
		   + COALESCE((SELECT SUM(length(bytes)) FROM journal_bodies WHERE tenant = $1), 0)
		   + COALESCE((SELECT SUM(length(bytes)) FROM event_bodies WHERE tenant = $1), 0) AS BIGINT)`, tenant)
}

// held says what executions hold, the first of which are chosen to go.
func (s *SQL) held(ctx context.Context, which string, args ...any) ([]held, error) {
	return list(ctx, s, scanHeld, `SELECT e.id, e.finished_at, `+ownBytes+`, `+soleBytes+` + `+soleApart+` FROM executions e `+which, args...)
}

// countSlots counts the slots that are over and were not counted yet.
func (s *SQL) countSlots(ctx context.Context, tenant string) error {
	over := slotOf(column.Micros(s.d.Clock().Add(-late)))
	oldest, err := s.firstFinished(ctx, tenant, 0)
	if err != nil {
		return err
	}
	if err := s.dropSlots(ctx, tenant, slotOf(oldest)); err != nil {
		return err
	}
	counted, err := find(ctx, s, nil, scanInt64, `SELECT COALESCE(MAX(slot), -1) FROM retained WHERE tenant = $1`, tenant)
	for err == nil {
		var first int64
		first, err = s.firstFinished(ctx, tenant, (counted+1)*slot.Microseconds())
		if counted = slotOf(first); err != nil || counted >= over {
			break
		}
		err = s.countSlot(ctx, tenant, counted)
	}
	return err
}

// firstFinished is when the first execution finished since a time, or never.
func (s *SQL) firstFinished(ctx context.Context, tenant string, since int64) (int64, error) {
	return find(ctx, s, nil, scanInt64,
		`SELECT COALESCE((SELECT finished_at FROM executions WHERE tenant = $1 AND state >= 3 AND finished_at >= $2
		 ORDER BY finished_at, id LIMIT 1), $3)`, tenant, since, int64(column.Never))
}

// dropSlots forgets what is not there any more.
func (s *SQL) dropSlots(ctx context.Context, tenant string, before int64) error {
	n, err := find(ctx, s, nil, scanInt, `SELECT count(*) FROM retained WHERE tenant = $1 AND slot < $2`, tenant, before)
	if err != nil || n == 0 {
		return err
	}
	_, err = s.exec(ctx, "forget purged slots", `DELETE FROM retained WHERE tenant = $1 AND slot < $2`, tenant, before)
	return err
}

// countSlot adds up what the executions hold that finished in a slot.
func (s *SQL) countSlot(ctx context.Context, tenant string, n int64) error {
	var bytes int64
	last := held{finished: n * slot.Microseconds()}
	end := (n + 1) * slot.Microseconds()
	for {
		some, err := list(ctx, s, scanHeld,
			`SELECT e.id, e.finished_at, `+ownBytes+`, 0 FROM executions e
			 WHERE e.tenant = $1 AND e.state >= 3 AND e.finished_at >= $2 AND e.finished_at < $3 AND (e.finished_at > $2 OR e.id > $4)
			 ORDER BY e.finished_at, e.id LIMIT $5`, tenant, last.finished, end, last.id, countRows)
		if err != nil {
			return err
		}
		for _, h := range some {
			bytes += h.own
		}
		if len(some) < countRows {
			break
		}
		last = some[len(some)-1]
	}
	_, err := s.exec(ctx, "count what has finished",
		`INSERT INTO retained (tenant, slot, bytes) VALUES ($1, $2, $3)
		 ON CONFLICT (tenant, slot) DO UPDATE SET bytes = excluded.bytes`, tenant, n, bytes)
	return err
}

// Purge implements retention.Store.
func (s *SQL) Purge(ctx context.Context, tenant string, b retention.Batch) (retention.Purged, error) {
	before := column.Micros(b.Before)
	oldest, err := s.held(ctx, `WHERE e.tenant = $1 AND e.state >= 3 AND e.finished_at < $2 ORDER BY e.finished_at, e.id LIMIT $3`,
		tenant, before, b.Executions)
	if err != nil {
		return retention.Purged{}, err
	}
	chosen := choose(oldest, b.Bytes)
	if len(chosen) == 0 {
		return retention.Purged{}, nil
	}
	var got retention.Purged
	err = s.write(ctx, "purge executions", func(ctx context.Context, tx Conn) error {
		now := s.d.Clock()
		p := purge{
			d: s.d, tx: tx, tenant: tenant,
			keys: column.Micros(now.Add(-retention.KeyLife)), idle: column.Micros(now.Add(-bodyIdle)),
		}
		// "+ 0" keeps the planner to the key: what was chosen is looked up, and must
		// not have been redriven since.
		err := p.executions(ctx, chosen, `state + 0 >= 3 AND finished_at + 0 < $3`, before)
		got = p.got
		return err
	})
	if err != nil {
		return retention.Purged{}, err
	}
	return got, nil
}

// choose takes the first that hold so many bytes together, all for 0, and no
// more than one transaction should delete.
func choose(oldest []held, bytes int64) []held {
	var total int64
	for i, h := range oldest {
		total += h.own + h.sole
		switch {
		case total > purgeBytes && i > 0:
			return oldest[:i]
		case bytes > 0 && total >= bytes, total > purgeBytes:
			return oldest[:i+1]
		}
	}
	return oldest
}

// Forget implements retention.Store.
func (s *SQL) Forget(ctx context.Context, tenant string, keys, work time.Time) (retention.Purged, error) {
	var got retention.Purged
	for _, f := range []struct {
		table, which string
		before       time.Time
		n            *int
	}{
		{"events", `FROM events WHERE tenant = $1 AND kind = 'purged' AND received_at < $2 LIMIT $3`, keys, &got.Keys},
		{"events", `FROM events WHERE tenant = $1 AND execution = '' AND emitter = '' AND received_at < $2 LIMIT $3`, work, &got.Events},
		{"jobs", `FROM jobs WHERE tenant = $1 AND finished_at > 0 AND finished_at < $2 LIMIT $3`, work, &got.Jobs},
	} {
		n, err := s.some(ctx, f.table, f.which, tenant, column.Micros(f.before))
		if err != nil {
			return got, err
		}
		*f.n = int(n)
	}
	return got, s.forgetBodies(ctx, tenant)
}

// forgetBodies deletes the large bodies that no event has any more, and had of late.
func (s *SQL) forgetBodies(ctx context.Context, tenant string) error {
	_, err := s.some(ctx, "event_bodies",
		`FROM event_bodies WHERE tenant = $1 AND used_at < $2 AND NOT EXISTS (
		   SELECT 1 FROM events v WHERE v.tenant = $1 AND v.body_digest = event_bodies.digest) LIMIT $3`,
		tenant, column.Micros(s.d.Clock().Add(-bodyIdle)))
	return err
}

// Sweep implements retention.Store.
func (s *SQL) Sweep(ctx context.Context, before time.Time) (retention.Purged, error) {
	n, err := s.some(ctx, "idempotency_keys", `FROM idempotency_keys WHERE created_at < $1 LIMIT $2`, column.Micros(before))
	return retention.Purged{Answers: int(n)}, err
}

// some deletes some rows of a table: which is a SELECT from its FROM on, whose
// last parameter is their number. Where there are none it writes nothing.
func (s *SQL) some(ctx context.Context, table, which string, args ...any) (int64, error) {
	args = append(args, purgeRows)
	any1, err := list(ctx, s, scanInt, `SELECT 1 `+which, append(args[:len(args)-1:len(args)-1], 1)...)
	if err != nil || len(any1) == 0 {
		return 0, err
	}
	return s.exec(ctx, "purge "+table, `DELETE FROM `+table+` WHERE `+s.d.Pick(which), args...)
}

func slotOf(us int64) int64 { return us / slot.Microseconds() }

func scanHeld(r scanner) (held, error) {
	var h held
	err := r.Scan(&h.id, &h.finished, &h.own, &h.sole)
	return h, err
}
