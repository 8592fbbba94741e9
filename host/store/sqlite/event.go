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

// insertEvent stores an event unless its key was accepted before.
const insertEvent = `INSERT INTO events
 (tenant, id, installation, kind, name, source, dedupe_key, request, body, received_at, execution, emitter)
 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $1 AND state IN ('active', 'paused'))
 ON CONFLICT (tenant, source, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING`

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

func (s *Store) acceptRow(ctx context.Context, row sealing.Event, w *event.Work) (a event.Accepted, err error) {
	err = s.driver.Write(ctx, func(ctx context.Context, tx store.Conn) error {
		var err error
		a, err = accept(ctx, tx, row, w, column.Micros(s.driver.Clock()))
		return err
	})
	return a, err
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

func accept(ctx context.Context, tx store.Conn, e sealing.Event, w *event.Work, now int64) (event.Accepted, error) {
	a := event.Accepted{Event: e.ID}
	if w != nil {
		a.Execution = w.Execution
	}
	inRow := e
	if e.Digest != nil {
		inRow.Body = nil
	}
	stored, err := storeEvent(ctx, tx, inRow, a.Execution, "")
	if err != nil {
		return event.Accepted{}, err
	}
	if !stored {
		return earlier(ctx, tx, e.Event)
	}
	if e.Digest != nil {
		if err := keepApart(ctx, tx, e, now); err != nil {
			return event.Accepted{}, err
		}
	}
	if w == nil {
		return a, nil
	}
	const into, values = `INSERT INTO executions (tenant, id, installation, event, kind, name, lane, run_at, created_at, changed_at`, `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8`
	args := []any{e.Tenant, w.Execution, e.Installation, e.ID, string(e.Kind), e.Name, int(w.Lane), now}
	if w.OrderKey != "" {
		_, err = tx.ExecContext(ctx, into+`, order_key`+values+`, $9)`, append(args, w.OrderKey)...)
		return a, err
	}
	_, err = tx.ExecContext(ctx, into+values+`)`, args...)
	return a, err
}

// storeEvent inserts an event, and says whether it was new.
func storeEvent(ctx context.Context, tx store.Conn, e sealing.Event, execution, emitter string) (bool, error) {
	r, err := tx.ExecContext(ctx, insertEvent, e.Tenant, e.ID, e.Installation, string(e.Kind), e.Name,
		e.Source, column.Bytes([]byte(e.DedupeKey)), e.Headers, column.Bytes(e.Body), column.Micros(e.ReceivedAt), execution, emitter)
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
