package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// The statements that write journals have two or three forms each. The short ones are for
// groups in which there is nothing but what most runs write, as each part of a statement costs
// the server its time, rows or not.
//
// The long ones begin with a table "live": the runs that may write, each with what it
// records. Their first twelve parameters are recordings.args. Large bodies that are there
// already are marked as used, under a lock that keeps a purge from them, in the order of
// their digests.
const (
	// recordings of runs, as the table x. For the SELECT see takeDue.
	recordingRows = ` unnest((SELECT $1::text[]), $2::text[], $3::bigint[], $4::bytea[], $5::int[], $6::bytea[]) `
	recordingCols = `tenant, id, claim, world, seq, body`

	pinWorlds = `, worlds AS (
  INSERT INTO journal (tenant, execution, seq, body) SELECT tenant, id, 0, world FROM live WHERE world IS NOT NULL
  ON CONFLICT (tenant, execution, seq) DO UPDATE SET body = excluded.body
)`
	keepRecordings = pinWorlds + `, segments AS (
  INSERT INTO journal (tenant, execution, seq, body) SELECT tenant, id, seq, body FROM live WHERE seq > 0
), large AS (
  SELECT l.tenant, l.id, f.digest, f.bytes FROM unnest($7::text[], $8::text[], $9::bigint[], $10::bytea[], $11::bytea[])
    AS f (tenant, id, claim, digest, bytes)
  JOIN live l ON l.tenant = f.tenant AND l.id = f.id AND l.claim = f.claim
), bodies AS (
  INSERT INTO journal_bodies (tenant, digest, bytes, used_at)
  SELECT DISTINCT ON (tenant COLLATE "C", digest) tenant, digest, bytes, $12::bigint FROM large ORDER BY tenant COLLATE "C", digest
  ON CONFLICT (tenant, digest) DO UPDATE SET used_at = excluded.used_at
), refs AS (
  INSERT INTO journal_refs (tenant, execution, digest) SELECT DISTINCT tenant, id, digest FROM large ON CONFLICT DO NOTHING
)
` + selectLive
	selectLive = ` SELECT tenant, id FROM live`
)

// The statements that begin runs touch no indexed column, so that Postgres rewrites no
// index. For "+ 0" and the SELECT see takeDue.
const (
	setBegun = `UPDATE executions e SET version_id = x.version_id, begun = e.claim,
   started_at = CASE WHEN e.started_at = 0 THEN $1 ELSE e.started_at END`
	unlessPinned = `, mode = CASE WHEN x.world IS NULL THEN e.mode ELSE '' END`
	whereLive    = ` WHERE e.tenant = x.tenant AND e.id = x.id AND e.claim = x.claim AND e.state + 0 = 1`

	// beginRuns is for runs that record nothing, and beginWorlds for those that pin a
	// world at most.
	beginRuns = setBegun + `
  FROM unnest((SELECT $2::text[]), $3::text[], $4::bigint[], $5::text[]) AS x (tenant, id, claim, version_id)` + whereLive + `
  RETURNING e.tenant, e.id`
	beginWorlds = `WITH live AS (
  ` + setBegun + unlessPinned + `
  FROM unnest((SELECT $2::text[]), $3::text[], $4::bigint[], $5::text[], $6::bytea[]) AS x (tenant, id, claim, version_id, world)` + whereLive + `
  RETURNING e.tenant, e.id, x.world
)` + pinWorlds + selectLive
	beginJournals = `WITH live AS (
  UPDATE executions e SET version_id = x.version_id, begun = e.claim,
   started_at = CASE WHEN e.started_at = 0 THEN $12 ELSE e.started_at END` + unlessPinned + `
  FROM unnest((SELECT $1::text[]), $2::text[], $3::bigint[], $4::bytea[], $5::int[], $6::bytea[], $13::text[])
    AS x (` + recordingCols + `, version_id)` + whereLive + `
  RETURNING e.tenant, e.id, e.claim, x.world, x.seq, x.body
)` + keepRecordings
)

// The statements that add segments lock the executions in the order in which others do: a
// claim that comes after waits for the commit, and sees the segments. Beginnings, which are
// locked before in the same transaction, have no order: where that makes a deadlock, Postgres
// ends one of the two, and it is made again.
const (
	lockLive = ` JOIN executions e ON e.tenant = x.tenant AND e.id = x.id AND e.claim = x.claim
  WHERE e.state + 0 = 1 ORDER BY e.tenant, e.id FOR NO KEY UPDATE OF e`

	// addSegments is for those that have no large bodies, and are about nothing that is
	// in the audit log.
	addSegments = `INSERT INTO journal (tenant, execution, seq, body)
 SELECT tenant, id, seq, body FROM (
  SELECT e.tenant, e.id, x.seq, x.body
  FROM unnest((SELECT $1::text[]), $2::text[], $3::bigint[], $4::int[], $5::bytea[]) AS x (tenant, id, claim, seq, body)` + lockLive + `
 ) AS live RETURNING tenant, execution`
	// addAll has what runs are about to do in the audit log, too. Entries of runs that may
	// not write are left out, as their segments are.
	addAll = `WITH live AS (
  SELECT e.tenant, e.id, e.claim, x.world, x.seq, x.body
  FROM` + recordingRows + `AS x (` + recordingCols + `)` + lockLive + `
), acts AS (
  INSERT INTO audit_pending (id, about, body)
  SELECT a.act, l.tenant, a.body FROM unnest($13::text[], $14::text[], $15::bigint[], $16::text[], $17::bytea[])
    AS a (tenant, id, claim, act, body)
  JOIN live l ON l.tenant = a.tenant AND l.id = a.id AND l.claim = a.claim
  ON CONFLICT (id) DO NOTHING
)` + keepRecordings
)

// These are for runs that the transaction has locked already: keepSegments for segments
// without large bodies.
const (
	keepSegments = `INSERT INTO journal (tenant, execution, seq, body)
 SELECT * FROM unnest((SELECT $1::text[]), $2::text[], $3::int[], $4::bytea[])`
	keepJournals = `WITH live AS (SELECT * FROM` + recordingRows + `AS x (` + recordingCols + `))` + keepRecordings
)

// queueBegins queues the beginnings of runs, of one of each execution.
func queueBegins(b *pgx.Batch, begins []*write, now int64) {
	if len(begins) == 0 {
		return
	}
	var r recordings
	var versions []string
	for _, w := range begins {
		r.add(w.claim, w.begins.World, w.begins.Journal)
		versions = append(versions, w.begins.VersionID)
	}
	var q *pgx.QueuedQuery
	switch {
	case r.segments > 0:
		q = b.Queue(beginJournals, append(r.args(now), versions)...)
	case r.pinned > 0:
		q = b.Queue(beginWorlds, now, r.tenants, r.ids, r.claims, versions, r.worlds)
	default:
		q = b.Queue(beginRuns, now, r.tenants, r.ids, r.claims, versions)
	}
	q.Query(scanLive(begins))
}

// queueAdds queues segments, of one of each execution.
func queueAdds(b *pgx.Batch, adds []*write, now int64) error {
	if len(adds) == 0 {
		return nil
	}
	var r recordings
	var acts intents
	for _, w := range adds {
		r.add(w.claim, nil, w.adds)
		if err := acts.add(w.claim, w.intent); err != nil {
			return err
		}
	}
	var q *pgx.QueuedQuery
	if len(acts.ids) > 0 || len(r.large.ids) > 0 {
		q = b.Queue(addAll, append(r.args(now), acts.args()...)...)
	} else {
		q = b.Queue(addSegments, r.tenants, r.ids, r.claims, r.seqs, r.bodies)
	}
	q.Query(scanLive(adds))
	return nil
}

// scanLive notes which of the writes the fence has let pass.
func scanLive(all []*write) func(pgx.Rows) error {
	byRun := make(map[runKey]*write, len(all))
	for _, w := range all {
		w.live = false // What was rolled back is made again.
		byRun[w.run()] = w
	}
	return func(rows pgx.Rows) error {
		var k runKey
		_, err := pgx.ForEachRow(rows, []any{&k.tenant, &k.execution}, func() error {
			byRun[k].live = true
			return nil
		})
		return err
	}
}

// recordings are what runs record, by column.
type recordings struct {
	tenants, ids []string
	claims       []int64
	worlds       [][]byte
	seqs         []int32
	bodies       [][]byte
	large        largeColumns
	// pinned is how many worlds there are, and segments how many segments.
	pinned, segments int
}

// largeColumns are large bodies by column.
type largeColumns struct {
	tenants, ids   []string
	claims         []int64
	digests, bytes [][]byte
}

// add adds what a run records: a world and a segment, each nil for none.
func (r *recordings) add(k claimKey, world []byte, s *journal.Segment) {
	r.tenants, r.ids, r.claims = append(r.tenants, k.tenant), append(r.ids, k.execution), append(r.claims, k.claim)
	r.worlds = append(r.worlds, world)
	if world != nil {
		r.pinned++
	}
	if s == nil {
		r.seqs, r.bodies = append(r.seqs, 0), append(r.bodies, nil)
		return
	}
	r.segments++
	r.seqs, r.bodies = append(r.seqs, int32(s.Seq)), append(r.bodies, s.Data)
	for _, d := range record.Digests(*s) {
		l := &r.large
		l.tenants, l.ids, l.claims = append(l.tenants, k.tenant), append(l.ids, k.execution), append(l.claims, k.claim)
		l.digests, l.bytes = append(l.digests, d[:]), append(l.bytes, s.Large[d])
	}
}

func (r *recordings) args(now int64) []any {
	l := r.large
	return []any{
		r.tenants, r.ids, r.claims, r.worlds, r.seqs, r.bodies,
		l.tenants, l.ids, l.claims, l.digests, l.bytes, now,
	}
}

// intents are entries of the audit log by column.
type intents struct {
	tenants, executions []string
	claims              []int64
	ids                 []string
	bodies              [][]byte
}

// add adds the entry of an intent, which may be nil.
func (a *intents) add(k claimKey, i *audit.Intent) error {
	if i == nil {
		return nil
	}
	text, err := i.Entry.Text()
	if err != nil {
		return err
	}
	a.tenants, a.executions, a.claims = append(a.tenants, k.tenant), append(a.executions, k.execution), append(a.claims, k.claim)
	a.ids, a.bodies = append(a.ids, i.Entry.ID), append(a.bodies, text)
	return nil
}

func (a *intents) args() []any { return []any{a.tenants, a.executions, a.claims, a.ids, a.bodies} }

// queueJournal queues what the runs that passed have recorded.
func queueJournal(b *pgx.Batch, runs []*completion, now int64) {
	var r recordings
	for _, run := range runs {
		if c := run.item.Value; run.item.Err == nil && (c.World != nil || c.Journal != nil) {
			r.add(claimKey{c.Tenant, c.Execution, c.Claim}, c.World, c.Journal)
		}
	}
	switch {
	case len(r.ids) == 0:
	case r.pinned > 0 || len(r.large.ids) > 0:
		b.Queue(keepJournals, r.args(now)...)
	default:
		b.Queue(keepSegments, r.tenants, r.ids, r.seqs, r.bodies)
	}
}
