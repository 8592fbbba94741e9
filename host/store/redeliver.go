package store

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// An event names its latest execution. Whoever makes one, or gives one another chance,
// changes that row under the condition that it names still what was looked at: so two of
// them wait for each other, and the second looks again.

const (
	// skew is how far the time in an event's id may be from when it was received.
	skew = time.Minute
	// movedMost is how often a redelivery looks again at events that somebody else has
	// just given another execution.
	movedMost = 5
)

// errMoved means that an event's latest execution is not what it was.
var errMoved = errors.New("an event has got another execution meanwhile")

// Deliveries implements redeliver.Store. The first query bounds the second, which would
// else look for a few events among all that there are.
func (s *SQL) Deliveries(ctx context.Context, tenant string, spec redeliver.Spec, after string, limit int) (redeliver.Window, error) {
	w := redeliver.Window{End: after}
	bound := eventsAfter(tenant, spec, after)
	query := bound.String() + " ORDER BY id LIMIT " + bound.next(limit)
	ids, err := list(ctx, s, scanString, `SELECT id FROM events `+query, bound.args...)
	if err != nil || len(ids) == 0 {
		return w, err
	}
	w.End, w.More = ids[len(ids)-1], len(ids) == limit
	which := eventsAfter(tenant, spec, after)
	which.and("id <= ?", w.End)
	which.conds = append(which.conds, "kind <> 'purged'", "execution <> ''")
	which.given("source = ?", spec.Endpoint)
	which.given("installation = ?", spec.Installation)
	which.given("kind = ?", string(spec.Kind))
	if !spec.Since.IsZero() {
		which.and("received_at >= ?", column.Micros(spec.Since))
	}
	if !spec.Until.IsZero() {
		which.and("received_at < ?", column.Micros(spec.Until))
	}
	w.Found, err = list(ctx, s, scanFound,
		`SELECT id, COALESCE(length(body), 0)
		   + COALESCE((SELECT length(b.bytes) FROM event_bodies b WHERE b.tenant = events.tenant AND b.digest = events.body_digest), 0),
		   COALESCE((SELECT x.state FROM executions x WHERE x.tenant = events.tenant AND x.id = events.execution), -1)
		 FROM events `+which.String()+` ORDER BY id`, which.args...)
	return w, err
}

// eventsAfter is the condition of a range of ids, which begin with their time.
func eventsAfter(tenant string, spec redeliver.Spec, after string) where {
	var w where
	w.and("tenant = ?", tenant)
	w.given("id = ?", spec.Event)
	if from := ident.Bound(ident.Event, spec.Since.Add(-skew)); !spec.Since.IsZero() && from > after {
		w.and("id >= ?", from)
	} else {
		w.given("id > ?", after)
	}
	if !spec.Until.IsZero() {
		w.and("id < ?", ident.Bound(ident.Event, spec.Until.Add(skew)))
	}
	return w
}

func scanFound(r scanner) (redeliver.Found, error) {
	var f redeliver.Found
	var state int
	err := r.Scan(&f.Event, &f.Bytes, &state)
	if state >= 0 {
		f.Latest = column.StateOf(state)
	}
	return f, err
}

// EventsOf implements redeliver.Store.
func (s *SQL) EventsOf(ctx context.Context, tenant string, ids []string, bodies bool) ([]event.Event, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	names, err := texts(ids)
	if err != nil {
		return nil, err
	}
	return s.events(ctx, bodies, `WHERE tenant = $1 AND `+s.each("id")+` AND kind <> 'purged'`, tenant, names)
}

// Redeliver implements redeliver.Store.
func (s *SQL) Redeliver(ctx context.Context, tenant string, o redeliver.Order) (redelivered int, skipped redeliver.Skipped, err error) {
	if len(o.Each) == 0 {
		return 0, redeliver.Skipped{}, nil
	}
	for range movedMost {
		r := redelivering{s: s, tenant: tenant, o: o}
		err = s.write(ctx, "redeliver events", r.run)
		if err == nil {
			return r.redelivered, r.skipped, nil
		}
		if !errors.Is(err, errMoved) {
			return 0, redeliver.Skipped{}, err
		}
	}
	return 0, redeliver.Skipped{}, fault.New(fault.Conflict, "events_busy", "other redeliveries or redrives of the same events go on").
		WithHint("resume it once they have ended")
}

// redelivering is a transaction of a redelivery. Its statements say twice which events they
// are of, and look up executions one by one: a join alone may be planned as a scan of all that a
// tenant has, as a plan is made for any of them, and expects few.
type redelivering struct {
	s           *SQL
	tenant      string
	o           redeliver.Order
	redelivered int
	skipped     redeliver.Skipped
}

// redeliverable is an event that is to be redelivered, with its latest execution.
type redeliverable struct {
	id, latest string
	// by is the redelivery that has made the latest execution.
	by string
	// state is that of the latest execution, -1 for none.
	state int
	// made says that the order's execution exists, and gone that there is nobody to send the
	// event to, or no such event.
	made, gone bool
}

func scanRedeliverable(r scanner) (redeliverable, error) {
	var e redeliverable
	err := r.Scan(&e.id, &e.made, &e.gone, &e.latest, &e.state, &e.by)
	return e, err
}

func (r *redelivering) run(ctx context.Context, tx Conn) error {
	r.redelivered, r.skipped = 0, redeliver.Skipped{}
	each, err := column.JSON(r.o.Each)
	if err != nil {
		return err
	}
	found, err := listOn(ctx, tx, scanRedeliverable,
		`WITH o (event, execution) AS (`+r.s.d.Pairs("$2")+`)
		 SELECT o.event, (SELECT m.redelivery FROM executions m WHERE m.tenant = $1 AND m.id = o.execution AND m.redelivery = $3) IS NOT NULL,
		   i.id IS NULL, COALESCE(e.execution, ''),
		   COALESCE((SELECT x.state FROM executions x WHERE x.tenant = $1 AND x.id = e.execution), -1),
		   COALESCE((SELECT x.redelivery FROM executions x WHERE x.tenant = $1 AND x.id = e.execution), '')
		 FROM o LEFT JOIN events e ON e.tenant = $1 AND e.id = o.event AND `+r.s.d.In("e.id", "SELECT event FROM o")+`
		   AND e.kind <> 'purged' AND e.execution <> ''
		   AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = $1 AND t.state IN ('active', 'paused'))
		 LEFT JOIN installations i ON i.tenant = $1 AND i.id = e.installation AND i.state <> 'removed'
		 ORDER BY o.event`, r.tenant, string(each), r.o.Job)
	if err != nil {
		return err
	}
	if chosen := r.choose(found); len(chosen) > 0 {
		return r.make(ctx, tx, chosen)
	}
	return nil
}

// choose counts what becomes of events, and returns those that get an execution, each
// with its latest one.
func (r *redelivering) choose(found []redeliverable) map[string]string {
	chosen := make(map[string]string, len(found))
	for _, e := range found {
		switch {
		case e.made:
			r.redelivered++
		case e.by == r.o.Job:
			r.redelivered++ // Under the id that another version of this program gave it.
		case e.gone:
			r.skipped.Gone++
		case e.state >= column.Queued && e.state <= column.Waiting:
			r.skipped.Unfinished++
		case e.state == column.Succeeded && !r.o.Force:
			r.skipped.Succeeded++
		default:
			r.redelivered++
			chosen[e.id] = e.latest
		}
	}
	return chosen
}

// make has the events name their new executions, and then makes those: each with the order
// key of the one before, and by those keys, as the schema wants it; those of one key in the
// order of their events. Whether the ones before are still what they were is looked at once
// nobody else can change the events.
func (r *redelivering) make(ctx context.Context, tx Conn, chosen map[string]string) error {
	each := make(map[string]string, len(chosen))
	for id := range chosen {
		each[id] = r.o.Each[id]
	}
	executions, err := column.JSON(each)
	if err != nil {
		return err
	}
	latest, err := column.JSON(chosen)
	if err != nil {
		return err
	}
	before, err := texts(slices.Collect(maps.Values(chosen)))
	if err != nil {
		return err
	}
	taken, err := execOn(ctx, tx,
		`WITH o (event, execution) AS (`+r.s.d.Pairs("$2")+`)
		 UPDATE events SET execution = o.execution FROM o
		 WHERE events.tenant = $1 AND events.id = o.event AND `+r.s.d.In("events.id", "SELECT event FROM o")+`
		   AND `+r.s.d.In("events.execution", r.s.d.Each("$3"))+` AND events.kind <> 'purged'`,
		r.tenant, string(executions), before)
	if err != nil || int(taken) != len(chosen) {
		return cmp.Or(err, errMoved)
	}
	made, err := execOn(ctx, tx,
		`WITH l (event, execution) AS (`+r.s.d.Pairs("$2")+`), b AS MATERIALIZED (SELECT l.event, l.execution,
		   (SELECT x.order_key FROM executions x WHERE x.tenant = $1 AND x.id = l.execution) AS order_key,
		   (SELECT x.state FROM executions x WHERE x.tenant = $1 AND x.id = l.execution) AS state FROM l)
		 INSERT INTO executions (tenant, id, installation, event, kind, name, lane, redelivery, follows, run_at, created_at, changed_at, order_key)
		 SELECT e.tenant, e.execution, e.installation, e.id, e.kind, e.name, $3, $4, b.execution, $5, $5, $5, COALESCE(b.order_key, '')
		 FROM b JOIN events e ON e.tenant = $1 AND e.id = b.event AND `+r.s.d.In("e.id", "SELECT event FROM l")+`
		 WHERE COALESCE(b.state, $6) >= $7 ORDER BY COALESCE(b.order_key, ''), e.id`,
		r.tenant, string(latest), int(event.Backfill), r.o.Job, column.Micros(r.s.d.Clock()), column.Dead, r.least())
	if err != nil || int(made) != len(chosen) {
		return cmp.Or(err, errMoved)
	}
	return nil
}

// least is the first state of executions whose events are redelivered.
func (r *redelivering) least() int {
	if r.o.Force {
		return column.Succeeded
	}
	return column.Dead
}

// Redelivered implements redeliver.Store. The ids of what a job has made lie in the
// millisecond of its own.
func (s *SQL) Redelivered(ctx context.Context, tenant, job string, created time.Time, f redeliver.OutcomeFilter) ([]redeliver.Outcome, error) {
	var w where
	w.and("tenant = ?", tenant)
	w.and("id >= ?", ident.Bound(ident.Execution, created))
	w.and("id < ?", ident.Bound(ident.Execution, created.Add(time.Millisecond)))
	w.and("redelivery = ?", job)
	w.given("id > ?", f.After)
	if f.State != "" {
		n, err := column.State(f.State)
		if err != nil {
			return nil, fault.New(fault.InvalidInput, "state_unknown", "%s", err.Error()).At("state")
		}
		w.and("state = ?", n)
	}
	query := w.String() + " ORDER BY id " + w.limit(f.Limit)
	return list(ctx, s, scanOutcome, `SELECT event, id, state FROM executions `+query, w.args...)
}

func scanOutcome(r scanner) (redeliver.Outcome, error) {
	var o redeliver.Outcome
	var state int
	err := r.Scan(&o.Event, &o.Execution, &state)
	o.State = column.StateOf(state)
	return o, err
}

// executionsOf are the ids of an event's executions, the latest first.
func (s *SQL) executionsOf(ctx context.Context, tenant, id string) ([]string, error) {
	return list(ctx, s, scanString,
		`WITH RECURSIVE c (id) AS (SELECT execution FROM events WHERE tenant = $1 AND id = $2 AND execution <> ''
		   UNION ALL SELECT x.follows FROM executions x JOIN c ON x.tenant = $1 AND x.id = c.id WHERE x.follows <> '')
		 SELECT id FROM c LIMIT 1000`, tenant, id)
}

// redelivery says which job has made an execution, and which one it follows.
func (s *SQL) redelivery(ctx context.Context, tenant, id string) (*execution.Redelivered, error) {
	r, err := find(ctx, s, nil, scanRedelivery, `SELECT redelivery, follows FROM executions WHERE tenant = $1 AND id = $2 AND redelivery <> ''`, tenant, id)
	if err == nil && r.Job == "" {
		return nil, nil //nolint:nilnil // It is the event's own.
	}
	return &r, err
}

func scanRedelivery(r scanner) (execution.Redelivered, error) {
	var v execution.Redelivered
	err := r.Scan(&v.Job, &v.Follows)
	return v, err
}
