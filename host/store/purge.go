package store

import (
	"context"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// purge deletes executions and what hangs off them, in one transaction.
type purge struct {
	d      Driver
	tx     Conn
	tenant string
	// keys is the time before which dedupe keys are forgotten with their events, and
	// idle that before which a large body was used last if it may go.
	keys, idle int64
	got        retention.Purged
	// rows counts what was deleted by table.
	rows map[string]int64
}

// count notes that rows of a table are gone.
func (p *purge) count(table string, n int64) {
	if n > 0 && p.rows != nil {
		p.rows[table] += n
	}
}

// executions deletes those of the chosen that meet a condition, whose parameters
// begin with $3. All transactions lock executions before what hangs off them.
func (p *purge) executions(ctx context.Context, chosen []held, cond string, args ...any) error {
	byID := make(map[string]held, len(chosen))
	ids := make([]string, len(chosen))
	for i, h := range chosen {
		byID[h.id], ids[i] = h, h.id
	}
	all, err := texts(ids)
	if err != nil {
		return err
	}
	gone, err := listOn(ctx, p.tx, scanGone,
		`DELETE FROM executions WHERE tenant = $1 AND `+p.in("id")+` AND `+cond+` RETURNING id, event`,
		append([]any{p.tenant, all}, args...)...)
	if err != nil || len(gone) == 0 {
		return err
	}
	ids = ids[:0]
	events := make([]string, len(gone))
	slots := make(map[int64]int64)
	for i, g := range gone {
		ids, events[i] = append(ids, g.id), g.event
		slots[slotOf(byID[g.id].finished)] += byID[g.id].own
		p.got.Bytes += byID[g.id].own
	}
	p.got.Executions += len(gone)
	p.count("executions", int64(len(gone)))
	if err := p.hanging(ctx, ids, events); err != nil {
		return err
	}
	return p.uncount(ctx, slots)
}

// hanging deletes what hangs off executions.
func (p *purge) hanging(ctx context.Context, executions, events []string) error {
	of, err := texts(executions)
	if err != nil {
		return err
	}
	caused, err := texts(events)
	if err != nil {
		return err
	}
	if err := p.bodies(ctx, of); err != nil {
		return err
	}
	for _, table := range []string{"journal_refs", "journal", "attempts", "execution_tags"} {
		n, err := execOn(ctx, p.tx, `DELETE FROM `+table+` WHERE tenant = $1 AND `+p.in("execution"), p.tenant, of)
		if err != nil {
			return err
		}
		p.count(table, n)
	}
	// An event stays with its latest execution.
	if err := p.events(ctx, p.in("id")+` AND `+p.d.In("execution", p.d.Each("$3")), caused, of); err != nil {
		return err
	}
	// What an event caused in turn keeps it.
	return p.events(ctx, p.in("emitter")+` AND emitter <> '' AND execution = ''`, of)
}

// bodies deletes the large bodies that only these executions have recorded. Who
// names one of them meanwhile marks it as used, and this looks again once it has
// the row.
func (p *purge) bodies(ctx context.Context, executions string) error {
	each := p.d.Each("$2")
	sizes, err := listOn(ctx, p.tx, scanInt64,
		`DELETE FROM journal_bodies WHERE tenant = $1 AND used_at < $3 AND `+
			p.d.In("digest", `SELECT r.digest FROM journal_refs r WHERE r.tenant = $1 AND `+p.d.In("r.execution", each))+
			` AND NOT EXISTS (SELECT 1 FROM journal_refs o WHERE o.tenant = $1 AND o.digest = journal_bodies.digest AND NOT (`+
			p.d.In("o.execution", each)+`)) RETURNING CAST(length(bytes) AS BIGINT)`,
		p.tenant, executions, p.idle)
	for _, n := range sizes {
		p.got.Bytes += n
	}
	p.count("journal_bodies", int64(len(sizes)))
	return err
}

// events deletes events, or leaves of those whose keys are to be known still
// nothing else. The parameters of which begin with $2.
func (p *purge) events(ctx context.Context, which string, ids ...any) error {
	args := append([]any{p.tenant}, ids...)
	keys := "$" + strconv.Itoa(len(args)+1)
	digests, err := listOn(ctx, p.tx, scanBytes,
		`SELECT DISTINCT body_digest FROM events WHERE tenant = $1 AND `+which+` AND body_digest IS NOT NULL ORDER BY body_digest`, args...)
	if err != nil {
		return err
	}
	_, err = execOn(ctx, p.tx,
		`UPDATE events SET kind = 'purged', name = '', request = NULL, body = NULL, body_digest = NULL
		 WHERE tenant = $1 AND `+which+` AND dedupe_key IS NOT NULL AND received_at >= `+keys, append(args, p.keys)...)
	if err != nil {
		return err
	}
	n, err := execOn(ctx, p.tx, `DELETE FROM events WHERE tenant = $1 AND `+which+` AND kind <> 'purged'`, args...)
	p.got.Events += int(n)
	p.count("events", n)
	if err != nil {
		return err
	}
	return p.dropApart(ctx, digests)
}

// dropApart deletes large bodies that no event has any more, unless one was named of late.
func (p *purge) dropApart(ctx context.Context, digests [][]byte) error {
	for _, d := range digests {
		sizes, err := listOn(ctx, p.tx, scanInt64,
			`DELETE FROM event_bodies WHERE tenant = $1 AND digest = $2 AND used_at < $3
			   AND NOT EXISTS (SELECT 1 FROM events v WHERE v.tenant = $1 AND v.body_digest = $2)
			 RETURNING CAST(length(bytes) AS BIGINT)`, p.tenant, d, p.idle)
		if err != nil {
			return err
		}
		for _, n := range sizes {
			p.got.Bytes += n
		}
		p.count("event_bodies", int64(len(sizes)))
	}
	return nil
}

// uncount takes bytes from the slots that they were counted in.
func (p *purge) uncount(ctx context.Context, slots map[int64]int64) error {
	for n, bytes := range slots {
		_, err := execOn(ctx, p.tx,
			`UPDATE retained SET bytes = CASE WHEN bytes > $3 THEN bytes - $3 ELSE 0 END WHERE tenant = $1 AND slot = $2`,
			p.tenant, n, bytes)
		if err != nil {
			return err
		}
	}
	return nil
}

// in is the condition that a column is one of $2.
func (p *purge) in(col string) string { return p.d.In(col, p.d.Each("$2")) }

// texts is the parameter of a list of texts.
func texts(all []string) (string, error) {
	b, err := column.JSON(all)
	return string(b), err
}

// gone is an execution that was deleted, with the event that caused it.
type gone struct{ id, event string }

func scanGone(r scanner) (gone, error) {
	var g gone
	err := r.Scan(&g.id, &g.event)
	return g, err
}
