package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Holders implements shadow.Store.
func (s *SQL) Holders(ctx context.Context, plugin, after string, limit int) ([]string, error) {
	var w where
	w.and("plugin = ?", plugin)
	w.given("tenant > ?", after)
	query := w.String() + " ORDER BY tenant " + w.limit(limit)
	return list(ctx, s, scanString, `SELECT DISTINCT tenant FROM installations `+query, w.args...)
}

// Ended implements shadow.Store.
func (s *SQL) Ended(ctx context.Context, tenant string, f shadow.Filter, limit int) ([]shadow.Ended, error) {
	w := ended(tenant, f)
	query := w.String() + " ORDER BY finished_at DESC, id DESC " + w.limit(limit)
	return list(ctx, s, scanEnded, `SELECT id, finished_at, installation FROM executions `+query, w.args...)
}

// CountEnded implements shadow.Store.
func (s *SQL) CountEnded(ctx context.Context, tenant string, f shadow.Filter) (int, error) {
	w := ended(tenant, f)
	return find(ctx, s, nil, scanInt, `SELECT count(*) FROM executions `+w.String(), w.args...)
}

// eraseSamples deletes the shadow runs of all tenants whose reports show something of
// one tenant's, finished or not.
func (s *SQL) eraseSamples(ctx context.Context, tenant string) error {
	ids, err := list(ctx, s, scanString, `SELECT id FROM jobs WHERE tenant = '' AND kind = $1`, shadow.Kind)
	if err != nil {
		return err
	}
	for _, id := range ids {
		j, err := s.Job(ctx, "", id)
		if isGone(err) || err == nil && !bytes.Contains(j.Progress, []byte(tenant)) {
			continue
		}
		if err == nil {
			_, err = s.exec(ctx, "delete a shadow run", `DELETE FROM jobs WHERE tenant = '' AND id = $1`, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isGone says that somebody else has deleted it.
func isGone(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.CodeNotFound
}

// ended is the condition of a filter, in the order of the index on what has finished.
func ended(tenant string, f shadow.Filter) where {
	var w where
	w.and("tenant = ?", tenant)
	w.conds = append(w.conds, "state >= 3") // As the partial index has it.
	w.and("finished_at >= ?", column.Micros(f.Since))
	w.and("finished_at < ?", column.Micros(f.Until))
	w.and("version_id = ?", f.VersionID)
	if f.Before.ID != "" {
		w.args = append(w.args, column.Micros(f.Before.FinishedAt))
		w.and("(finished_at, id) < ("+w.last()+", ?)", f.Before.ID)
	}
	return w
}

func scanEnded(r scanner) (shadow.Ended, error) {
	var e shadow.Ended
	var finished int64
	err := r.Scan(&e.ID, &finished, &e.Installation)
	e.FinishedAt = column.Time(finished)
	return e, err
}

// recordedBytes is how much Recorded reads at once: two executions' at their largest.
const recordedBytes = 64 << 20

// Recorded implements shadow.Store: with as many statements as Trace and Journal take
// for one execution.
func (s *SQL) Recorded(ctx context.Context, tenant string, ids []string) (map[string]shadow.Recorded, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ids, err := s.within(ctx, tenant, ids, recordedBytes)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	names, err := texts(ids)
	if err != nil {
		return nil, err
	}
	found, err := s.executions(ctx, `WHERE tenant = $1 AND `+s.each("id"), tenant, names)
	if err != nil {
		return nil, err
	}
	caused := make([]string, len(found))
	for i, x := range found {
		caused[i] = x.Event
	}
	eventNames, err := texts(caused)
	if err != nil {
		return nil, err
	}
	events, err := s.events(ctx, true, `WHERE tenant = $1 AND `+s.each("id")+` AND kind <> 'purged'`, tenant, eventNames)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]event.Event, len(events))
	for _, e := range events {
		byID[e.ID] = e
	}
	all := make(map[string]shadow.Recorded, len(found))
	for _, x := range found {
		if e, ok := byID[x.Event]; ok {
			all[x.ID] = shadow.Recorded{Trace: execution.Trace{Execution: x, Event: e}}
		}
	}
	return all, s.runsOf(ctx, tenant, names, all)
}

// each is the condition that a column has one of the texts in $2.
func (s *SQL) each(col string) string { return s.d.In(col, s.d.Each("$2")) }

// within are as many of the executions as hold no more than some bytes together.
func (s *SQL) within(ctx context.Context, tenant string, ids []string, most int64) ([]string, error) {
	names, err := texts(ids)
	if err != nil {
		return nil, err
	}
	sizes, err := list(ctx, s, scanSize,
		`SELECT execution, sum(n) FROM (
		   SELECT execution, length(body) AS n FROM journal WHERE tenant = $1 AND `+s.each("execution")+`
		   UNION ALL SELECT r.execution, length(b.bytes) FROM journal_refs r JOIN journal_bodies b ON b.tenant = r.tenant AND b.digest = r.digest
		     WHERE r.tenant = $1 AND `+s.each("r.execution")+`
		   UNION ALL SELECT x.id, coalesce(length(e.body), 0) FROM executions x JOIN events e ON e.tenant = x.tenant AND e.id = x.event
		     WHERE x.tenant = $1 AND `+s.each("x.id")+`) sizes GROUP BY execution`, tenant, names)
	if err != nil {
		return nil, err
	}
	var small []string
	for _, size := range sizes {
		if size.bytes > most {
			continue // It is read alone.
		}
		most -= size.bytes
		small = append(small, size.execution)
	}
	return small, nil
}

// size is how many bytes an execution holds.
type size struct {
	execution string
	bytes     int64
}

func scanSize(r scanner) (size, error) {
	var v size
	err := r.Scan(&v.execution, &v.bytes)
	return v, err
}

// owned is a row of an execution's.
type owned[T any] struct {
	execution string
	v         T
}

// runsOf reads what the runs of executions have left: their attempts and journals.
func (s *SQL) runsOf(ctx context.Context, tenant, names string, all map[string]shadow.Recorded) error {
	traces, err := list(ctx, s, scanTrace,
		`SELECT execution, claim, body FROM attempts WHERE tenant = $1 AND `+s.each("execution")+` ORDER BY execution, claim`, tenant, names)
	if err != nil {
		return err
	}
	attempts, err := opened(traces, func(row traceRow) (owned[execution.Attempt], error) {
		a, err := s.attempt(ctx, tenant, row)
		return owned[execution.Attempt]{row.execution, a}, err
	})
	if err != nil {
		return err
	}
	segments, err := list(ctx, s, scanOwnedSegment,
		`SELECT execution, seq, body FROM journal WHERE tenant = $1 AND `+s.each("execution")+` ORDER BY execution, seq`, tenant, names)
	if err != nil {
		return err
	}
	// Read after the segments: what they name was written with them.
	bodies, err := list(ctx, s, scanOwnedBody,
		`SELECT r.execution, b.digest, b.bytes FROM journal_refs r JOIN journal_bodies b ON b.tenant = r.tenant AND b.digest = r.digest
		 WHERE r.tenant = $1 AND `+s.each("r.execution"), tenant, names)
	if err != nil {
		return err
	}
	for i := range segments {
		if err := s.sealing.OpenSegment(ctx, tenant, segments[i].execution, &segments[i].v); err != nil {
			return err
		}
	}
	large := map[string]map[journal.Digest][]byte{}
	for _, b := range bodies {
		if large[b.execution] == nil {
			large[b.execution] = map[journal.Digest][]byte{}
		}
		if err := s.sealing.OpenLarge(ctx, tenant, b.v.digest, &b.v.bytes); err != nil {
			return err
		}
		large[b.execution][b.v.digest] = b.v.bytes
	}
	for id, r := range all {
		r.Trace.Attempts = of(attempts, id)
		r.Journal.Segments = of(segments, id)
		if n := r.Journal.Segments; len(n) > 0 && n[0].Seq == record.WorldSeq {
			r.Journal.World, r.Journal.Segments = n[0].Data, n[1:]
		}
		if len(r.Journal.Segments) > 0 {
			r.Journal.Segments[0].Large = large[id]
		}
		all[id] = r
	}
	return nil
}

// of are an execution's rows among those of all, which are sorted by their execution.
func of[T any](rows []owned[T], execution string) []T {
	first, _ := slices.BinarySearchFunc(rows, execution, func(r owned[T], id string) int { return strings.Compare(r.execution, id) })
	var vs []T
	for _, r := range rows[first:] {
		if r.execution != execution {
			break
		}
		vs = append(vs, r.v)
	}
	return vs
}

func scanOwnedSegment(r scanner) (owned[journal.Segment], error) {
	var o owned[journal.Segment]
	err := r.Scan(&o.execution, &o.v.Seq, &o.v.Data)
	return o, err
}

func scanOwnedBody(r scanner) (owned[body], error) {
	var o owned[body]
	var digest []byte
	err := r.Scan(&o.execution, &digest, &o.v.bytes)
	copy(o.v.digest[:], digest)
	return o, err
}
