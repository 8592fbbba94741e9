package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// The statements that write journals begin with a table "live": the runs that may
// write, each with what it records. Their first twelve parameters are
// recordings.args. Large bodies that are there already are marked as used, under
// a lock that keeps a purge from them, in the order of their digests.
const (
	// recordings of runs, as the table x.
	recordingRows = ` unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::int[], $6::bytea[]) `
	recordingCols = `tenant, id, claim, world, seq, body`

	keepRecordings = `, worlds AS (
  INSERT INTO journal (tenant, execution, seq, body) SELECT tenant, id, 0, world FROM live WHERE world IS NOT NULL
  ON CONFLICT (tenant, execution, seq) DO UPDATE SET body = excluded.body
), segments AS (
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
SELECT tenant, id, claim FROM live`
)

// beginRuns touches no indexed column, so that Postgres rewrites no index.
// For "+ 0" see takeDue.
const beginRuns = `WITH live AS (
  UPDATE executions e SET version_id = x.version_id, started_at = CASE WHEN e.started_at = 0 THEN $12 ELSE e.started_at END,
    mode = CASE WHEN x.world IS NULL THEN e.mode ELSE '' END, begun = e.claim
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::int[], $6::bytea[], $13::text[])
    AS x (` + recordingCols + `, version_id)
  WHERE e.tenant = x.tenant AND e.id = x.id AND e.claim = x.claim AND e.state + 0 = 1
  RETURNING e.tenant, e.id, e.claim, x.world, x.seq, x.body
)` + keepRecordings

// addSegments locks the executions in the order in which all transactions do: a
// claim that comes after waits for the commit, and sees the segments.
const addSegments = liveRuns + keepRecordings

// addSegmentsAndActs has what runs are about to do in the audit log, too. Entries of
// runs that may not write are left out, as their segments are.
const addSegmentsAndActs = liveRuns + `, acts AS (
  INSERT INTO audit_pending (id, about, body)
  SELECT a.act, l.tenant, a.body FROM unnest($13::text[], $14::text[], $15::bigint[], $16::text[], $17::bytea[])
    AS a (tenant, id, claim, act, body)
  JOIN live l ON l.tenant = a.tenant AND l.id = a.id AND l.claim = a.claim
  ON CONFLICT (id) DO NOTHING
)` + keepRecordings

const liveRuns = `WITH live AS (
  SELECT e.tenant, e.id, e.claim, x.world, x.seq, x.body
  FROM` + recordingRows + `AS x (` + recordingCols + `)
  JOIN executions e ON e.tenant = x.tenant AND e.id = x.id AND e.claim = x.claim
  WHERE e.state + 0 = 1 ORDER BY e.tenant, e.id FOR NO KEY UPDATE OF e
)`

// keepJournals is for runs that the transaction has locked already.
const keepJournals = `WITH live AS (SELECT * FROM` + recordingRows + `AS x (` + recordingCols + `))` + keepRecordings

// recordings are what runs record, by column.
type recordings struct {
	tenants, ids []string
	claims       []int64
	worlds       [][]byte
	seqs         []int32
	bodies       [][]byte
	large        largeColumns
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
	if s == nil {
		r.seqs, r.bodies = append(r.seqs, 0), append(r.bodies, nil)
		return
	}
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
	if len(r.ids) > 0 {
		b.Queue(keepJournals, r.args(now)...)
	}
}
