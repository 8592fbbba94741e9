package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const visitColumns = `SELECT tenant, id, digest, state, body, sealed, version, created_at, expires_at FROM connect_sessions `

// notDeleting is the condition that the tenant $1 is there to stay.
const notDeleting = `NOT EXISTS (SELECT 1 FROM tenants WHERE id = $1 AND state IN ('deleting', 'deleted'))`

// InsertVisit implements connect.Store.
func (s *SQL) InsertVisit(ctx context.Context, r connect.Row) error {
	return s.insert(ctx, "insert a connect session", nil, fault.NotFound("tenant", r.Tenant),
		`INSERT INTO connect_sessions (tenant, id, digest, state, body, sealed, version, created_at, expires_at)
		 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE `+notDeleting,
		r.Tenant, r.ID, r.Digest, string(r.State), r.Body, column.Bytes(r.Sealed), r.Version, column.Micros(r.CreatedAt), column.Micros(r.ExpiresAt))
}

// Visit implements connect.Store.
func (s *SQL) Visit(ctx context.Context, tenant, id string) (connect.Row, error) {
	return find(ctx, s, fault.NotFound("connect session", id), scanVisit, visitColumns+`WHERE tenant = $1 AND id = $2`, tenant, id)
}

// VisitByID implements connect.Store.
func (s *SQL) VisitByID(ctx context.Context, id string) (connect.Row, error) {
	return find(ctx, s, fault.NotFound("connect session", id), scanVisit, visitColumns+`WHERE id = $1`, id)
}

// VisitByDigest implements connect.Store.
func (s *SQL) VisitByDigest(ctx context.Context, digest []byte) (connect.Row, error) {
	return find(ctx, s, fault.NotFound("connect session", "of this link"), scanVisit, visitColumns+`WHERE digest = $1`, digest)
}

// Visits implements connect.Store.
func (s *SQL) Visits(ctx context.Context, tenant, after string, limit int) ([]connect.Row, error) {
	return list(ctx, s, scanVisit, visitColumns+`WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`, tenant, after, limit)
}

// UpdateVisit implements connect.Store.
func (s *SQL) UpdateVisit(ctx context.Context, r connect.Row) error {
	return s.write(ctx, "update a connect session", func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE connect_sessions SET state = $4, body = $5, sealed = $6, version = $3 WHERE tenant = $1 AND id = $2 AND version = $3 - 1`,
			r.Tenant, r.ID, r.Version, string(r.State), r.Body, column.Bytes(r.Sealed))
		if err != nil || n == 1 {
			return err
		}
		return stale(ctx, tx, "connect session", r.ID, `SELECT version FROM connect_sessions WHERE tenant = $1 AND id = $2`, r.Tenant, r.ID)
	})
}

// HeldVisits implements connect.Store.
func (s *SQL) HeldVisits(ctx context.Context, before time.Time, limit int) ([]connect.Row, error) {
	return list(ctx, s, scanVisit, visitColumns+`WHERE expires_at < $1 AND sealed IS NOT NULL
		 AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = connect_sessions.tenant AND t.state IN ('deleting', 'deleted'))
		 ORDER BY expires_at LIMIT $2`, column.Micros(before), limit)
}

// PurgeVisits implements connect.Store.
func (s *SQL) PurgeVisits(ctx context.Context, sessions, flows time.Time) error {
	if _, err := s.exec(ctx, "forget connect sessions", `DELETE FROM connect_sessions WHERE expires_at < $1`, column.Micros(sessions)); err != nil {
		return err
	}
	_, err := s.exec(ctx, "forget flows", `DELETE FROM oauth_flows WHERE expires_at < $1`, column.Micros(flows))
	return err
}

func scanVisit(r scanner) (connect.Row, error) {
	var v connect.Row
	var created, expires int64
	err := r.Scan(&v.Tenant, &v.ID, &v.Digest, &v.State, &v.Body, &v.Sealed, &v.Version, &created, &expires)
	v.CreatedAt, v.ExpiresAt = column.Time(created), column.Time(expires)
	return v, err
}
