package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
)

// maxList is the most that one list returns.
const maxList = 200

// What is read of events. A large body stands apart, and whoever wants no bodies gets none.
const (
	eventFields  = `SELECT tenant, id, installation, kind, name, source, dedupe_key, request, received_at, `
	eventColumns = eventFields + `body, body_digest,
 (SELECT b.bytes FROM event_bodies b WHERE b.tenant = events.tenant AND b.digest = events.body_digest) FROM events `
	eventsWithoutBodies = eventFields + `NULL AS body, NULL AS digest, NULL AS apart FROM events `
)

// Event implements event.Store.
func (s *SQL) Event(ctx context.Context, tenant, id string) (event.Event, error) {
	row, err := find(ctx, s, fault.NotFound("event", id), scanEvent,
		eventColumns+`WHERE tenant = $1 AND id = $2 AND kind <> 'purged'`, tenant, id)
	if err != nil {
		return event.Event{}, err
	}
	return s.sealing.OpenEvent(ctx, row)
}

// Events implements event.Store.
func (s *SQL) Events(ctx context.Context, tenant string, f event.Filter) ([]event.Event, error) {
	var w where
	w.and("tenant = ? AND kind <> 'purged'", tenant)
	w.given("installation = ?", f.Installation)
	w.given("kind = ?", string(f.Kind))
	w.given("name = ?", f.Name)
	w.given("source = ?", f.Endpoint)
	w.given("id < ?", f.Before)
	query := w.String() + " ORDER BY id DESC " + w.limit(f.Limit)
	return s.events(ctx, !f.WithoutBodies, query, w.args...)
}

func (s *SQL) events(ctx context.Context, bodies bool, which string, args ...any) ([]event.Event, error) {
	columns := eventColumns
	if !bodies {
		columns = eventsWithoutBodies
	}
	rows, err := list(ctx, s, scanEvent, columns+which, args...)
	if err != nil {
		return nil, err
	}
	return opened(rows, func(row sealing.Event) (event.Event, error) { return s.sealing.OpenEvent(ctx, row) })
}

// opened opens rows once all are read: keys may have to be read for that.
func opened[Row, T any](rows []Row, open func(Row) (T, error)) ([]T, error) {
	all := make([]T, len(rows))
	for i, row := range rows {
		var err error
		if all[i], err = open(row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func scanEvent(r scanner) (sealing.Event, error) {
	var e sealing.Event
	var key, apart []byte
	var received int64
	err := r.Scan(&e.Tenant, &e.ID, &e.Installation, &e.Kind, &e.Name, &e.Source, &key, &e.Headers, &received, &e.Body, &e.Digest, &apart)
	if e.DedupeKey, e.ReceivedAt = string(key), column.Time(received); e.Digest != nil {
		e.Body = apart
	}
	return e, err
}

// where builds the condition of a list. The zero value is empty.
type where struct {
	conds []string
	args  []any
}

// String is the WHERE clause.
func (w *where) String() string { return "WHERE " + strings.Join(w.conds, " AND ") }

// and adds a condition, each ? of which is the argument.
func (w *where) and(cond string, arg any) {
	w.args = append(w.args, arg)
	w.conds = append(w.conds, strings.ReplaceAll(cond, "?", w.last()))
}

// given adds a condition unless the argument is empty.
func (w *where) given(cond, arg string) {
	if arg != "" {
		w.and(cond, arg)
	}
}

// last names the last argument.
func (w *where) last() string { return fmt.Sprintf("$%d", len(w.args)) }

// next adds an argument, and returns its number.
func (w *where) next(arg any) string {
	w.args = append(w.args, arg)
	return w.last()
}

// limit is the LIMIT clause, at most maxList.
func (w *where) limit(n int) string {
	if n <= 0 || n > maxList {
		n = maxList
	}
	w.args = append(w.args, n)
	return "LIMIT " + w.last()
}
