package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// Lookouts are the stores of what is watched, and of what is seen besides.
type Lookouts interface {
	alert.Watches
	alert.Failings
	// Heard and Queued are alert.Sights'.
	Heard(ctx context.Context, tenant, source string, since time.Time) (time.Time, error)
	OldestDue(ctx context.Context, tenant string) (time.Time, error)
}

const watchColumns = `SELECT tenant, object, within_us, since, told_at, looked_at, created_at FROM watches `

// PutWatch implements alert.Watches.
func (s *SQL) PutWatch(ctx context.Context, w alert.Watch) error {
	n, err := s.exec(ctx, "put a watch",
		`INSERT INTO watches (tenant, object, within_us, since, told_at, looked_at, created_at)
		 SELECT id, $2, $3, $4, 0, $5, $6 FROM tenants WHERE id = $1
		 ON CONFLICT (tenant, object) DO UPDATE SET within_us = excluded.within_us`,
		w.Tenant, w.Object, w.WithinS*1e6, column.Micros(w.Since), column.Micros(w.LookedAt), column.Micros(w.CreatedAt))
	if err == nil && n == 0 {
		return fault.NotFound("tenant", w.Tenant)
	}
	return err
}

// Watch implements alert.Watches.
func (s *SQL) Watch(ctx context.Context, tenant, object string) (alert.Watch, error) {
	return find(ctx, s, fault.NotFound("watch", object), scanWatch, watchColumns+`WHERE tenant = $1 AND object = $2`, tenant, object)
}

// Watches implements alert.Watches.
func (s *SQL) Watches(ctx context.Context, tenant string) ([]alert.Watch, error) {
	return list(ctx, s, scanWatch, watchColumns+`WHERE tenant = $1 ORDER BY object`, tenant)
}

// DeleteWatch implements alert.Watches.
func (s *SQL) DeleteWatch(ctx context.Context, tenant, object string) error {
	n, err := s.exec(ctx, "delete a watch", `DELETE FROM watches WHERE tenant = $1 AND object = $2`, tenant, object)
	if err == nil && n == 0 {
		return fault.NotFound("watch", object)
	}
	return err
}

// DueWatches implements alert.Watches.
func (s *SQL) DueWatches(ctx context.Context, now time.Time, limit int) ([]alert.Watch, error) {
	return list(ctx, s, scanWatch,
		watchColumns+`WHERE looked_at + CASE WHEN within_us > 54000000000 THEN 900000000 WHEN within_us < 3600000000 THEN 60000000 ELSE within_us / 60 END <= $1
		 AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = watches.tenant AND t.state IN ('active', 'paused'))
		 ORDER BY looked_at, tenant, object LIMIT $2`, column.Micros(now), limit)
}

// SaveWatch implements alert.Watches.
func (s *SQL) SaveWatch(ctx context.Context, w alert.Watch) error {
	_, err := s.exec(ctx, "save a watch", `UPDATE watches SET since = $3, told_at = $4, looked_at = $5 WHERE tenant = $1 AND object = $2`,
		w.Tenant, w.Object, column.Micros(w.Since), column.Micros(w.ToldAt), column.Micros(w.LookedAt))
	return err
}

func scanWatch(r scanner) (alert.Watch, error) {
	var w alert.Watch
	var within, since, told, looked, created int64
	err := r.Scan(&w.Tenant, &w.Object, &within, &since, &told, &looked, &created)
	w.WithinS = within / 1e6
	w.Since, w.ToldAt, w.LookedAt, w.CreatedAt = column.Time(since), column.Time(told), column.Time(looked), column.Time(created)
	return w, err
}

// Heard implements alert.Sights. What is looked through are the tenant's events since then,
// by their ids.
func (s *SQL) Heard(ctx context.Context, tenant, source string, since time.Time) (time.Time, error) {
	at, err := find(ctx, s, nil, scanInt64, `SELECT COALESCE(MAX(received_at), 0) FROM events WHERE tenant = $1 AND id >= $2 AND source = $3`,
		tenant, ident.Bound(ident.Event, since), source)
	return column.Time(at), err
}

// OldestDue implements alert.Sights. Each lane has its first at the beginning of an index.
func (s *SQL) OldestDue(ctx context.Context, tenant string) (time.Time, error) {
	const lane = `SELECT MIN(run_at) AS at FROM executions WHERE tenant = $1 AND state = 0 AND lane = `
	at, err := find(ctx, s, nil, scanInt64,
		`SELECT COALESCE(MIN(at), 0) FROM (`+lane+`0 UNION ALL `+lane+`1 UNION ALL `+lane+`2) first`, tenant)
	return column.Time(at), err
}

// dead is an execution that has died.
type dead struct {
	seq, finished             int64
	tenant, id, inst, printed string
}

// Stirring implements alert.Failings.
func (s *SQL) Stirring(ctx context.Context, quiet time.Time) (bool, error) {
	some, err := list(ctx, s, scanInt,
		`SELECT 1 FROM (SELECT 1 AS one) stirring WHERE EXISTS (SELECT 1 FROM outbox WHERE source = 'dead') OR EXISTS (SELECT 1 FROM failings WHERE told_at = 0)
		 OR EXISTS (SELECT 1 FROM failings WHERE last_at <= $1)`, column.Micros(quiet))
	return len(some) > 0, err
}

// GatherDead implements alert.Failings. One that was given another chance meanwhile has died
// all the same.
func (s *SQL) GatherDead(ctx context.Context, limit int) (int, error) {
	rows, err := list(ctx, s, scanDead,
		`SELECT o.seq, o.tenant, o.object, e.installation, e.fingerprint, e.finished_at FROM (SELECT * FROM outbox WHERE source = 'dead' ORDER BY seq LIMIT $1) o
		 LEFT JOIN executions e ON e.tenant = o.tenant AND e.id = o.object ORDER BY o.seq`, limit)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	err = s.write(ctx, "count what has died", func(ctx context.Context, tx Conn) error {
		groups := map[alert.Failing]*notice.Failing{}
		for _, d := range rows {
			gone, err := execOn(ctx, tx, `DELETE FROM outbox WHERE seq = $1`, d.seq)
			if err != nil {
				return err
			}
			if gone > 0 && d.inst != "" {
				d.addTo(groups, s.d.Clock())
			}
		}
		for of, f := range groups {
			_, err := execOn(ctx, tx,
				`INSERT INTO failings (tenant, installation, fingerprint, first_at, last_at, count, sample, told_at)
				 SELECT id, $2, $3, $4, $5, $6, $7, 0 FROM tenants WHERE id = $1
				 ON CONFLICT (tenant, installation, fingerprint) DO UPDATE SET count = failings.count + excluded.count, sample = excluded.sample,
				   last_at = CASE WHEN failings.last_at < excluded.last_at THEN excluded.last_at ELSE failings.last_at END`,
				of.Tenant, of.Installation, of.Fingerprint, column.Micros(f.FirstAt), column.Micros(f.LastAt), f.Count, f.Execution)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(rows), nil
}

// addTo counts an execution. One that is not dead any more died about now.
func (d dead) addTo(groups map[alert.Failing]*notice.Failing, now time.Time) {
	at := column.Time(d.finished)
	if at.IsZero() {
		at = now
	}
	key := alert.Failing{Tenant: d.tenant, Failing: notice.Failing{Installation: d.inst, Fingerprint: d.printed}}
	f := groups[key]
	if f == nil {
		f = &notice.Failing{FirstAt: at, LastAt: at}
		groups[key] = f
	}
	f.Count, f.Execution = f.Count+1, d.id
	if at.Before(f.FirstAt) {
		f.FirstAt = at
	}
	if at.After(f.LastAt) {
		f.LastAt = at
	}
}

func scanDead(r scanner) (dead, error) {
	var d dead
	var inst, printed *string
	var finished *int64
	err := r.Scan(&d.seq, &d.tenant, &d.id, &inst, &printed, &finished)
	if inst != nil { // It is there still.
		d.inst, d.printed, d.finished = *inst, *printed, *finished
	}
	return d, err
}

const failingColumns = `SELECT tenant, installation, fingerprint, first_at, last_at, count, sample FROM failings `

// UntoldFailings implements alert.Failings.
func (s *SQL) UntoldFailings(ctx context.Context, limit int) ([]alert.Failing, error) {
	return list(ctx, s, scanFailing, failingColumns+`WHERE told_at = 0 ORDER BY last_at LIMIT $1`, limit)
}

// QuietFailings implements alert.Failings.
func (s *SQL) QuietFailings(ctx context.Context, since time.Time, limit int) ([]alert.Failing, error) {
	return list(ctx, s, scanFailing, failingColumns+`WHERE told_at > 0 AND last_at <= $1 ORDER BY last_at LIMIT $2`, column.Micros(since), limit)
}

// FailingTold implements alert.Failings.
func (s *SQL) FailingTold(ctx context.Context, f alert.Failing, at time.Time) error {
	_, err := s.exec(ctx, "keep what was told", `UPDATE failings SET told_at = $4 WHERE tenant = $1 AND installation = $2 AND fingerprint = $3`,
		f.Tenant, f.Installation, f.Fingerprint, column.Micros(at))
	return err
}

// EndFailing implements alert.Failings.
func (s *SQL) EndFailing(ctx context.Context, f alert.Failing) error {
	_, err := s.exec(ctx, "forget what has ended", `DELETE FROM failings WHERE tenant = $1 AND installation = $2 AND fingerprint = $3 AND count = $4`,
		f.Tenant, f.Installation, f.Fingerprint, f.Count)
	return err
}

func scanFailing(r scanner) (alert.Failing, error) {
	var f alert.Failing
	var first, last int64
	err := r.Scan(&f.Tenant, &f.Installation, &f.Fingerprint, &first, &last, &f.Count, &f.Execution)
	f.FirstAt, f.LastAt = column.Time(first), column.Time(last)
	return f, err
}
