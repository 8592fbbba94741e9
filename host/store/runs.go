package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// State implements execution.Runs.
func (s *SQL) State(tenant, installation string) state.Reader {
	return reader{s: s, tenant: tenant, installation: installation}
}

// Cursor implements execution.Runs.
func (s *SQL) Cursor(ctx context.Context, tenant, installation, poll string) ([]byte, error) {
	var cursor []byte
	err := s.d.Reader().QueryRowContext(ctx,
		`SELECT cursor_value FROM checkpoints WHERE tenant = $1 AND installation = $2 AND poll = $3`,
		tenant, installation, poll).Scan(&cursor)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, Fault(s.d, err, "read a checkpoint")
	}
	err = s.sealing.OpenCursor(ctx, tenant, installation, poll, &cursor)
	return cursor, err
}

// Polls implements archive.Source.
func (s *SQL) Polls(ctx context.Context, tenant, installation, after string, limit int) ([]string, error) {
	return list(ctx, s, scanString,
		`SELECT poll FROM checkpoints WHERE tenant = $1 AND installation = $2 AND poll > $3 ORDER BY poll LIMIT $4`, tenant, installation, after, limit)
}

// reader is the state of one installation.
type reader struct {
	s                    *SQL
	tenant, installation string
}

// Get implements state.Reader.
func (r reader) Get(ctx context.Context, key string) (state.Entry, error) {
	e, err := scanEntry(r.s.d.Reader().QueryRowContext(ctx,
		`SELECT key, value, version FROM state_values WHERE tenant = $1 AND installation = $2 AND key = $3`,
		r.tenant, r.installation, []byte(key)))
	if errors.Is(err, sql.ErrNoRows) {
		return state.Entry{Key: key}, nil
	}
	if err != nil {
		return e, Fault(r.s.d, err, "read state")
	}
	return r.open(ctx, e)
}

// List implements state.Reader.
func (r reader) List(ctx context.Context, prefix, after string, limit int) ([]state.Entry, error) {
	var w where
	w.and("tenant = ?", r.tenant)
	w.and("installation = ?", r.installation)
	if prefix != "" {
		w.and("key >= ?", []byte(prefix))
	}
	if end := prefixEnd(prefix); end != nil {
		w.and("key < ?", end)
	}
	if after != "" {
		w.and("key > ?", []byte(after))
	}
	w.args = append(w.args, limit)
	query := `SELECT key, value, version FROM state_values ` + w.String() + ` ORDER BY key LIMIT ` + w.last()
	entries, err := list(ctx, r.s, scanEntry, query, w.args...)
	if err != nil {
		return nil, err
	}
	return opened(entries, func(e state.Entry) (state.Entry, error) { return r.open(ctx, e) })
}

// open opens an entry's value.
func (r reader) open(ctx context.Context, e state.Entry) (state.Entry, error) {
	value := []byte(e.Value)
	err := r.s.sealing.Open(ctx, sealing.State(r.tenant, r.installation, e.Key, e.Version), &value)
	e.Value = value
	return e, err
}

// prefixEnd is the first key after all those that begin with prefix, nil if
// there is none.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

func scanEntry(r scanner) (state.Entry, error) {
	var e state.Entry
	var key, value []byte
	err := r.Scan(&key, &value, &e.Version)
	e.Key, e.Value = string(key), value
	return e, err
}
