package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// InsertFlow implements connect.Store.
func (s *SQL) InsertFlow(ctx context.Context, f connect.FlowRow) error {
	return s.insert(ctx, "insert a flow", nil, fault.NotFound("tenant", f.Tenant),
		`INSERT INTO oauth_flows (tenant, id, sealed, expires_at) SELECT $1, $2, $3, $4 WHERE `+notDeleting,
		f.Tenant, f.ID, f.Sealed, column.Micros(f.ExpiresAt))
}

// FlowTenant implements connect.Store.
func (s *SQL) FlowTenant(ctx context.Context, id string) (string, bool, error) {
	found, err := list(ctx, s, scanString, `SELECT tenant FROM oauth_flows WHERE id = $1`, id)
	if err != nil || len(found) == 0 {
		return "", false, err
	}
	return found[0], true, nil
}

// TakeFlow implements connect.Store.
func (s *SQL) TakeFlow(ctx context.Context, id string) (connect.FlowRow, bool, error) {
	f := connect.FlowRow{ID: id}
	// Anybody may ask for one that is not there, which is no reason to write.
	if _, there, err := s.FlowTenant(ctx, id); err != nil || !there {
		return connect.FlowRow{}, false, err
	}
	var expires int64
	err := s.write(ctx, "take a flow", func(ctx context.Context, tx Conn) error {
		err := tx.QueryRowContext(ctx, `DELETE FROM oauth_flows WHERE id = $1 RETURNING tenant, sealed, expires_at`, id).Scan(&f.Tenant, &f.Sealed, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return connect.FlowRow{}, false, nil
	}
	f.ExpiresAt = column.Time(expires)
	return f, err == nil, err
}
