package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/token"
)

const tokenColumns = `SELECT id, name, tenant, scopes, created_at, expires_at, revoked_at FROM tokens ` //nolint:gosec // Columns, no credential.

// InsertToken implements token.Store.
func (s *SQL) InsertToken(ctx context.Context, t token.Token, hash []byte) error {
	scopes, err := column.JSON(t.Scopes)
	if err != nil {
		return err
	}
	return s.insert(ctx, "insert a token", conflict("token_exists", "there is such a token already"), nil,
		`INSERT INTO tokens (id, name, tenant, scopes, hash, created_at, expires_at, revoked_at)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		t.ID, t.Name, t.Tenant, scopes, hash, column.Micros(t.CreatedAt), column.Micros(t.ExpiresAt), column.Micros(t.RevokedAt))
}

// TokenByHash implements token.Store.
func (s *SQL) TokenByHash(ctx context.Context, hash []byte) (token.Token, error) {
	return find(ctx, s, fault.NotFound("token", "with this secret"), scanToken, tokenColumns+`WHERE hash = $1`, hash)
}

// Tokens implements token.Store.
func (s *SQL) Tokens(ctx context.Context, tenant string) ([]token.Token, error) {
	return list(ctx, s, scanToken, tokenColumns+`WHERE tenant = $1 ORDER BY id`, tenant)
}

// RevokeToken implements token.Store. A token that is revoked already keeps its time.
func (s *SQL) RevokeToken(ctx context.Context, tenant, id string, at time.Time) error {
	n, err := s.exec(ctx, "revoke a token",
		`UPDATE tokens SET revoked_at = CASE WHEN revoked_at = 0 THEN $3 ELSE revoked_at END
		 WHERE id = $2 AND (tenant = $1 OR $1 = '')`, tenant, id, column.Micros(at))
	if err == nil && n == 0 {
		return fault.NotFound("token", id)
	}
	return err
}

// CountTokens implements token.Store.
func (s *SQL) CountTokens(ctx context.Context) (int, error) {
	return find(ctx, s, nil, scanInt, `SELECT count(*) FROM tokens WHERE tenant = ''`)
}

func scanToken(r scanner) (token.Token, error) {
	var t token.Token
	var scopes []byte
	var created, expires, revoked int64
	if err := r.Scan(&t.ID, &t.Name, &t.Tenant, &scopes, &created, &expires, &revoked); err != nil {
		return t, err
	}
	t.CreatedAt, t.ExpiresAt, t.RevokedAt = column.Time(created), column.Time(expires), column.Time(revoked)
	err := column.FromJSON(scopes, &t.Scopes)
	return t, err
}

func scanInt(r scanner) (int, error) {
	var n int
	err := r.Scan(&n)
	return n, err
}
