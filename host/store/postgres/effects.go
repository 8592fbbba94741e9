package postgres

import (
	"cmp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/finish"
	"github.com/cofferdam-run/cofferdam/host/store/internal/kv"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
)

// endRuns updates the executions, which the transaction has locked. What was handed back,
// or waits and has not begun, has not shown that workers survive it. For the SELECT see
// takeDue.
const endRuns = `UPDATE executions e SET state = x.state, reason = x.reason, run_at = x.run_at, finished_at = x.finished_at,
   attempt = e.attempt + x.counted, version_id = CASE WHEN x.version_id = '' THEN e.version_id ELSE x.version_id END,
   output = x.output, error = x.error, fingerprint = x.fingerprint, tags = COALESCE(x.tags, e.tags), worker = x.waits_for, changed_at = $14,
   crashes = CASE WHEN x.state = 0 OR x.state = 2 AND e.begun <> e.claim THEN e.crashes ELSE 0 END
 FROM unnest((SELECT $1::text[]), $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::int[], $8::text[],
   $9::bytea[], $10::bytea[], $11::text[], $12::bytea[], $13::text[])
   AS x (tenant, id, state, reason, run_at, finished_at, counted, version_id, output, error, fingerprint, tags, waits_for)
 WHERE e.tenant = x.tenant AND e.id = x.id`

const keepAttempts = `INSERT INTO attempts (tenant, execution, claim, body)
 SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[])`

const keepTags = `INSERT INTO execution_tags (tenant, name, value, execution)
 SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[]) ON CONFLICT DO NOTHING`

// keepRecords keeps the first record of each key.
const keepRecords = `INSERT INTO events (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, emitter)
 SELECT tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, '', emitter FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[], $9::bytea[],
   $10::bigint[], $11::text[]) AS x (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, emitter)
 ON CONFLICT (tenant, source, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING`

const keepCheckpoints = `INSERT INTO checkpoints (tenant, installation, poll, cursor_value)
 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
 ON CONFLICT (tenant, installation, poll) DO UPDATE SET cursor_value = excluded.cursor_value`

const putState = `INSERT INTO state_values (tenant, installation, key, value, version)
 SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bigint[])
 ON CONFLICT (tenant, installation, key) DO UPDATE SET value = excluded.value, version = excluded.version`

const deleteState = `DELETE FROM state_values s USING unnest($1::text[], $2::text[], $3::bytea[]) AS x (tenant, installation, key)
 WHERE s.tenant = x.tenant AND s.installation = x.installation AND s.key = x.key`

// queueRows queues the executions' rows and their attempts.
func queueRows(b *pgx.Batch, runs []*completion, now int64) {
	var tenants, ids, reasons, versions, prints, connections []string
	var states, counted []int32
	var runAt, finished []int64
	var outputs, errs, tags [][]byte
	var traces attemptColumns
	for _, r := range runs {
		if r.item.Err != nil {
			continue
		}
		c := r.item.Value
		tenants, ids = append(tenants, c.Tenant), append(ids, c.Execution)
		states, reasons = append(states, int32(r.row.State)), append(reasons, r.row.Reason)
		runAt, finished = append(runAt, r.row.RunAt), append(finished, r.row.FinishedAt)
		counted, versions = append(counted, int32(r.row.Counted)), append(versions, r.row.VersionID)
		outputs, errs = append(outputs, r.row.Output), append(errs, r.row.Error)
		prints, tags = append(prints, r.row.Fingerprint), append(tags, r.row.Tags)
		connections = append(connections, r.row.WaitsFor)
		traces.add(c)
	}
	if len(ids) == 0 {
		return
	}
	b.Queue(endRuns, tenants, ids, states, reasons, runAt, finished, counted, versions, outputs, errs, prints, tags, connections, now)
	if len(traces.ids) > 0 {
		b.Queue(keepAttempts, traces.tenants, traces.ids, traces.claims, traces.bodies)
	}
}

// attemptColumns are attempts by column.
type attemptColumns struct {
	tenants, ids []string
	claims       []int64
	bodies       [][]byte
}

func (a *attemptColumns) add(c sealing.Completion) {
	if c.Attempt == nil {
		return
	}
	a.tenants, a.ids = append(a.tenants, c.Tenant), append(a.ids, c.Execution)
	a.claims, a.bodies = append(a.claims, c.Claim), append(a.bodies, c.Attempt)
}

func queueState(b *pgx.Batch, table *kv.Table) error {
	put, del, err := table.Written()
	if err != nil {
		return err
	}
	if len(del) > 0 {
		var tenants, installations []string
		var keys [][]byte
		for _, k := range del {
			tenants, installations, keys = append(tenants, k.Tenant), append(installations, k.Installation), append(keys, []byte(k.Name))
		}
		b.Queue(deleteState, tenants, installations, keys)
	}
	if len(put) > 0 {
		var tenants, installations []string
		var keys, values [][]byte
		var versions []int64
		for _, c := range put {
			tenants, installations, keys = append(tenants, c.Key.Tenant), append(installations, c.Key.Installation), append(keys, []byte(c.Key.Name))
			values, versions = append(values, c.Value), append(versions, c.Version)
		}
		b.Queue(putState, tenants, installations, keys, values, versions)
	}
	return nil
}

// queueEffects queues records, tags and checkpoints, each in the order of its
// keys, so that transactions wait for each other in one direction.
func queueEffects(b *pgx.Batch, runs []*completion, now time.Time) {
	var records []emitted
	var tags tagColumns
	cursors := make(map[kv.Key][]byte)
	for _, r := range runs {
		if !r.applies() {
			continue
		}
		c := r.item.Value
		for _, e := range finish.Records(c, r.installation, now) {
			records = append(records, emitted{e, c.Execution})
		}
		tags.add(c)
		if p := c.Checkpoint; p != nil {
			cursors[kv.Key{Tenant: c.Tenant, Installation: p.Installation, Name: p.Poll}] = p.Cursor
		}
	}
	queueRecords(b, records)
	if len(tags.tenants) > 0 {
		b.Queue(keepTags, tags.tenants, tags.names, tags.values, tags.executions)
	}
	queueCheckpoints(b, cursors)
}

// emitted is a record and the execution that it came from.
type emitted struct {
	sealing.Event
	by string
}

func queueRecords(b *pgx.Batch, records []emitted) {
	if len(records) == 0 {
		return
	}
	slices.SortStableFunc(records, func(x, y emitted) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Source, y.Source), cmp.Compare(x.DedupeKey, y.DedupeKey))
	})
	var c eventColumns
	var by []string
	for _, e := range records {
		c.add(e.Event)
		by = append(by, e.by)
	}
	b.Queue(keepRecords, append(c.args(), by)...)
}

// tagColumns are tags by column.
type tagColumns struct {
	tenants, executions []string
	names, values       [][]byte
}

func (t *tagColumns) add(c sealing.Completion) {
	for _, tag := range c.Tags {
		t.tenants, t.executions = append(t.tenants, c.Tenant), append(t.executions, c.Execution)
		t.names, t.values = append(t.names, []byte(tag.Name)), append(t.values, []byte(tag.Value))
	}
}

func queueCheckpoints(b *pgx.Batch, cursors map[kv.Key][]byte) {
	if len(cursors) == 0 {
		return
	}
	keys := make([]kv.Key, 0, len(cursors))
	for k := range cursors {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, kv.Compare)
	var tenants, installations, polls []string
	var values [][]byte
	for _, k := range keys {
		tenants, installations, polls = append(tenants, k.Tenant), append(installations, k.Installation), append(polls, k.Name)
		values = append(values, column.Bytes(cursors[k]))
	}
	b.Queue(keepCheckpoints, tenants, installations, polls, values)
}
