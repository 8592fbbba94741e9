package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
)

// insertEvent stores an event unless its key was accepted before. It is one row of
// values: with a SELECT in their place, a table with a trigger has its rows copied to a
// table in between. OR FAIL leaves it to whoever runs it to undo what it did before it
// failed: SQLite would keep each page as it was for that, before it is changed.
const insertEvent = `INSERT OR FAIL INTO events
 (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, emitter)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
 ON CONFLICT (tenant, source, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING`

// insertExecution queues the execution of an event, insertInLine one that has a key.
const (
	insertExecution = `INSERT OR FAIL INTO executions (tenant, id, installation, event, kind, name, lane, run_at, created_at, changed_at)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)`
	insertInLine = `INSERT OR FAIL INTO executions (tenant, id, installation, event, kind, name, lane, run_at, created_at, changed_at, order_key)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8, $9)`
)

// acceptance is an event to accept, as its statements have it, and what became of it.
type acceptance struct {
	row      sealing.Event
	event    []any
	work     *event.Work
	accepted event.Accepted
}

// Accept implements event.Store. All that needs no database is done here: the writer has
// nothing to do but to write.
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
	a := newAcceptance(row, w)
	if err := s.driver.group.Do(ctx, call{accept: a}); err != nil {
		return event.Accepted{}, store.Fault(s.driver, err, "accept an event")
	}
	return a.accepted, nil
}

func newAcceptance(row sealing.Event, w *event.Work) *acceptance {
	a := &acceptance{row: row, work: w}
	execution, inRow := "", row
	if w != nil {
		execution = w.Execution
	}
	if row.Digest != nil {
		inRow.Body = nil
	}
	a.event = eventArgs(inRow, execution, "")
	return a
}

// accepting accepts the events of one transaction: the tenants are looked up once.
type accepting struct {
	tx   store.Conn
	now  int64
	open map[string]bool
}

// accept stores an event with its execution, unless its key was accepted before.
func (in *accepting) accept(ctx context.Context, a *acceptance) error {
	open, err := in.isOpen(ctx, a.row.Tenant)
	if err != nil {
		return err
	}
	stored := false
	if open {
		if stored, err = changed(in.tx.ExecContext(ctx, insertEvent, a.event...)); err != nil {
			return err
		}
	}
	if !stored {
		a.accepted, err = earlier(ctx, in.tx, a.row.Event)
		return err
	}
	a.accepted = event.Accepted{Event: a.row.ID}
	if a.row.Digest != nil {
		if err := keepApart(ctx, in.tx, a.row, in.now); err != nil {
			return err
		}
	}
	return in.queue(ctx, a)
}

// isOpen says whether a tenant takes events. Nobody else writes in this transaction.
func (in *accepting) isOpen(ctx context.Context, tenant string) (bool, error) {
	if open, known := in.open[tenant]; known {
		return open, nil
	}
	open, err := isOpen(ctx, in.tx, tenant)
	if err == nil {
		in.open[tenant] = open
	}
	return open, err
}

// queue stores the execution of an event, if it causes one.
func (in *accepting) queue(ctx context.Context, a *acceptance) error {
	w, e := a.work, a.row
	if w == nil {
		return nil
	}
	a.accepted.Execution = w.Execution
	args := []any{e.Tenant, w.Execution, e.Installation, e.ID, string(e.Kind), e.Name, int64(w.Lane), in.now}
	query := insertExecution
	if w.OrderKey != "" {
		query, args = insertInLine, append(args, w.OrderKey)
	}
	_, err := in.tx.ExecContext(ctx, query, args...)
	return err
}

// keepApart stores a large body, if it is not there yet, and has the event name it.
func keepApart(ctx context.Context, tx store.Conn, e sealing.Event, now int64) error {
	_, err := tx.ExecContext(ctx,
		`INSERT INTO event_bodies (tenant, digest, used_at, bytes) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (tenant, digest) DO UPDATE SET used_at = excluded.used_at WHERE used_at < excluded.used_at - $5`,
		e.Tenant, e.Digest, now, e.Body, store.Named.Microseconds())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE events SET body_digest = $3 WHERE tenant = $1 AND id = $2`, e.Tenant, e.ID, e.Digest)
	return err
}

// storeRecords inserts what an execution has emitted. Of records with one key the first is
// kept, and none of a tenant that is being deleted.
func storeRecords(ctx context.Context, tx store.Conn, records []sealing.Event, emitter string) error {
	if len(records) == 0 {
		return nil
	}
	if open, err := isOpen(ctx, tx, records[0].Tenant); err != nil || !open {
		return err
	}
	for _, e := range records {
		if _, err := tx.ExecContext(ctx, insertEvent, eventArgs(e, "", emitter)...); err != nil {
			return err
		}
	}
	return nil
}

// isOpen says whether a tenant takes events.
func isOpen(ctx context.Context, tx store.Conn, tenant string) (open bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM tenants WHERE id = $1 AND state IN ('active', 'paused'))`, tenant).Scan(&open)
	return open, err
}

func eventArgs(e sealing.Event, execution, emitter string) []any {
	return []any{
		e.Tenant, e.ID, e.Installation, string(e.Kind), e.Name, e.Source, column.Bytes([]byte(e.DedupeKey)),
		e.Headers, column.Bytes(e.Body), column.Micros(e.ReceivedAt), execution, emitter,
	}
}

// changed says whether a statement has changed a row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// earlier finds the event that has the key of one that was not stored.
func earlier(ctx context.Context, tx store.Conn, e event.Event) (event.Accepted, error) {
	a := event.Accepted{Duplicate: true}
	err := tx.QueryRowContext(ctx, `SELECT id, execution FROM events WHERE tenant = $1 AND source = $2 AND dedupe_key = $3`,
		e.Tenant, e.Source, column.Bytes([]byte(e.DedupeKey))).Scan(&a.Event, &a.Execution)
	if errors.Is(err, sql.ErrNoRows) {
		return event.Accepted{}, fault.NotFound("tenant", e.Tenant)
	}
	return a, err
}
