package postgres

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
)

// beginRuns touches no indexed column, so that Postgres rewrites no index.
// For "+ 0" see takeDue.
const beginRuns = `UPDATE executions e SET version_id = x.version_id,
   started_at = CASE WHEN e.started_at = 0 THEN $5 ELSE e.started_at END
 FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS x (tenant, id, claim, version_id)
 WHERE e.tenant = x.tenant AND e.id = x.id AND e.claim = x.claim AND e.state + 0 = 1 RETURNING e.tenant, e.id, e.claim`

// beginning is a call of Begin in a group.
type beginning struct {
	claimed execution.Claimed
	version string
	begun   bool
}

// Begin implements execution.Runs.
func (s *Store) Begin(ctx context.Context, c execution.Claimed, versionID string) error {
	b := &beginning{claimed: c, version: versionID}
	if err := s.begins.Do(ctx, b); err != nil {
		return store.Fault(s.driver, err, "begin a run")
	}
	if !b.begun {
		return execution.ErrFenced
	}
	return nil
}

// Complete implements execution.Runs.
func (s *Store) Complete(ctx context.Context, c execution.Completion) error {
	if err := check.Completion(c); err != nil {
		return err
	}
	return store.Fault(s.driver, s.completions.Do(ctx, c), "complete a run")
}

func (s *Store) begin(ctx context.Context, items []*group.Item[*beginning]) {
	alone(items, s.driver, func(items []*group.Item[*beginning]) error {
		return again(func() error { return s.beginAll(ctx, items) })
	})
}

func (s *Store) beginAll(ctx context.Context, items []*group.Item[*beginning]) error {
	byClaim := make(map[claimKey]*beginning, len(items))
	var tenants, ids, versions []string
	var claims []int64
	for _, it := range items {
		b := it.Value
		byClaim[claimKey{b.claimed.Tenant, b.claimed.Execution, b.claimed.Claim}] = b
		tenants, ids = append(tenants, b.claimed.Tenant), append(ids, b.claimed.Execution)
		claims, versions = append(claims, b.claimed.Claim), append(versions, b.version)
	}
	rows, err := s.driver.pool.Query(ctx, beginRuns, tenants, ids, claims, versions, column.Micros(s.driver.Clock()))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k claimKey
		if err := rows.Scan(&k.tenant, &k.execution, &k.claim); err != nil {
			return err
		}
		byClaim[k].begun = true
	}
	return rows.Err()
}

// claimKey names a claim.
type claimKey struct {
	tenant, execution string
	claim             int64
}
