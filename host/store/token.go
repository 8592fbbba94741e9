package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// tokenColumns begins a query of tokens.
const tokenColumns = `SELECT id, name, tenant, scopes, created_at, expires_at, revoked_at, used_at, rotated_at, overlap_until FROM tokens ` //nolint:gosec // Names.

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
func (s *SQL) TokenByHash(ctx context.Context, hash []byte, at time.Time) (token.Token, error) {
	return find(ctx, s, fault.NotFound("token", "with this secret"), scanToken,
		tokenColumns+`WHERE hash = $1 OR (previous_hash = $1 AND overlap_until > $2)`, hash, column.Micros(at))
}

// Tokens implements token.Store.
func (s *SQL) Tokens(ctx context.Context, tenant string) ([]token.Token, error) {
	return list(ctx, s, scanToken, tokenColumns+`WHERE tenant = $1 ORDER BY id`, tenant)
}

// RotateToken implements token.Store.
func (s *SQL) RotateToken(ctx context.Context, t token.Token, hash []byte) error {
	n, err := s.exec(ctx, "rotate a token",
		`UPDATE tokens SET previous_hash = hash, hash = $3, rotated_at = $4, overlap_until = $5, expires_at = $6
		 WHERE id = $2 AND tenant = $1 AND revoked_at = 0`,
		t.Tenant, t.ID, hash, column.Micros(t.RotatedAt), column.Micros(t.OverlapUntil), column.Micros(t.ExpiresAt))
	if err == nil && n == 0 {
		return fault.NotFound("token", t.ID)
	}
	return err
}

// UseTokens implements token.Store.
func (s *SQL) UseTokens(ctx context.Context, used map[string]time.Time) error {
	return s.write(ctx, "note the use of tokens", func(ctx context.Context, tx Conn) error {
		for _, id := range slices.Sorted(maps.Keys(used)) { // In one order everywhere: no deadlock.
			if _, err := execOn(ctx, tx, `UPDATE tokens SET used_at = $2 WHERE id = $1 AND used_at < $2`, id, column.Micros(used[id])); err != nil {
				return err
			}
		}
		return nil
	})
}

// TokenKey implements token.Keys.
func (s *SQL) TokenKey(ctx context.Context, tenant string) (token.Key, error) {
	return find(ctx, s, fault.NotFound("key that signs tokens of tenant", tenant), scanTokenKey,
		`SELECT tenant, version, sealed FROM token_keys WHERE tenant = $1`, tenant)
}

// InsertTokenKey implements token.Keys.
func (s *SQL) InsertTokenKey(ctx context.Context, k token.Key) (token.Key, error) {
	err := s.insert(ctx, "insert a key that signs tokens", nil, fault.NotFound("tenant", k.Tenant),
		`INSERT INTO token_keys (tenant, id, version, sealed)
		 SELECT $1, $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM tenants WHERE id = $1 AND state IN ('deleting', 'deleted', 'reserved'))
		 ON CONFLICT (tenant) DO NOTHING`, k.Tenant, k.Version, k.Sealed)
	if err != nil {
		return token.Key{}, err
	}
	return s.TokenKey(ctx, k.Tenant)
}

// ReplaceTokenKey implements token.Keys.
func (s *SQL) ReplaceTokenKey(ctx context.Context, k token.Key) (bool, error) {
	n, err := s.exec(ctx, "replace a key that signs tokens",
		`UPDATE token_keys SET version = $2, sealed = $3 WHERE tenant = $1 AND version = $2 - 1`, k.Tenant, k.Version, k.Sealed)
	return n == 1, err
}

func scanTokenKey(r scanner) (token.Key, error) {
	var k token.Key
	err := r.Scan(&k.Tenant, &k.Version, &k.Sealed)
	return k, err
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
	var created, expires, revoked, used, rotated, overlap int64
	if err := r.Scan(&t.ID, &t.Name, &t.Tenant, &scopes, &created, &expires, &revoked, &used, &rotated, &overlap); err != nil {
		return t, err
	}
	t.CreatedAt, t.ExpiresAt, t.RevokedAt = column.Time(created), column.Time(expires), column.Time(revoked)
	t.UsedAt, t.RotatedAt, t.OverlapUntil = column.Time(used), column.Time(rotated), column.Time(overlap)
	err := column.FromJSON(scopes, &t.Scopes)
	return t, err
}

func scanInt(r scanner) (int, error) {
	var n int
	err := r.Scan(&n)
	return n, err
}
