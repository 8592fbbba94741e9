package store

import (
	"context"
	"math"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// eraseExecutions is how many executions of a deleted tenant go at once.
const eraseExecutions = 100

// DeleteTenant implements tenant.Store. The key goes with the mark: from here on
// nothing that it sealed can be opened.
func (s *SQL) DeleteTenant(ctx context.Context, was tenant.Tenant) error {
	return s.write(ctx, "delete a tenant", func(ctx context.Context, tx Conn) error {
		used, err := listOn(ctx, tx, scanString,
			`SELECT DISTINCT p.name FROM publishers b JOIN plugins p ON p.publisher = b.id JOIN plugin_versions v ON v.plugin = p.id
			 JOIN installations i ON i.version_id = v.id WHERE b.tenant = $1 AND i.tenant <> $1 AND i.state <> 'removed'
			 ORDER BY p.name LIMIT 3`, was.ID)
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return conflict(tenant.CodePublisher, "the tenant %q has published plugins that other tenants have installed, such as %q", was.Name, used[0]).
				WithHint("remove those installations first: the plugins would go with the tenant")
		}
		n, err := execOn(ctx, tx, `UPDATE tenants SET state = 'deleting' WHERE id = $1 AND state = 'paused'`, was.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return tenantChanged(ctx, tx, was)
		}
		return shred(ctx, tx, was.ID)
	})
}

// shred deletes a tenant's key and its tokens.
func shred(ctx context.Context, tx Conn, tenant string) error {
	if _, err := execOn(ctx, tx, `DELETE FROM tenant_keys WHERE tenant = $1`, tenant); err != nil {
		return err
	}
	_, err := execOn(ctx, tx, `DELETE FROM tokens WHERE tenant = $1`, tenant)
	return err
}

// Erase implements retention.Store.
func (s *SQL) Erase(ctx context.Context, tenant string) (retention.Erased, error) {
	state, err := find(ctx, s, fault.NotFound("tenant", tenant), scanString, `SELECT state FROM tenants WHERE id = $1`, tenant)
	if err != nil {
		return retention.Erased{}, err
	}
	if state != "deleting" {
		return retention.Erased{}, conflict("tenant_not_deleting", "the tenant %q is %s, and only one that is being deleted is emptied", tenant, state)
	}
	if n, err := s.eraseExecutions(ctx, tenant); err != nil || n > 0 {
		return retention.Erased{Rows: n}, err
	}
	running, err := s.stopRuns(ctx, tenant)
	if err != nil || running > 0 {
		return retention.Erased{Waits: "runs in flight"}, err
	}
	if n, err := s.eraseRows(ctx, tenant); err != nil || n > 0 {
		return retention.Erased{Rows: n}, err
	}
	return s.erasePlugins(ctx, tenant)
}

// Bury implements retention.Store. The row stays for what the tenant has used,
// under its id.
func (s *SQL) Bury(ctx context.Context, tenant string) error {
	if err := s.eraseSamples(ctx, tenant); err != nil {
		return err
	}
	_, err := s.exec(ctx, "end the deletion of a tenant",
		`UPDATE tenants SET state = 'deleted', name = id, title = '' WHERE id = $1 AND state = 'deleting'`, tenant)
	return err
}

// eraseExecutions deletes some executions that do not run.
func (s *SQL) eraseExecutions(ctx context.Context, tenant string) (int, error) {
	some, err := list(ctx, s, scanHeld,
		`SELECT e.id, e.finished_at, `+ownBytes+`, `+soleBytes+` FROM executions e
		 WHERE e.tenant = $1 AND e.state + 0 <> 1 ORDER BY e.id LIMIT $2`, tenant, eraseExecutions)
	chosen := choose(some, 0)
	if err != nil || len(chosen) == 0 {
		return 0, err
	}
	n := 0
	err = s.write(ctx, "erase executions", func(ctx context.Context, tx Conn) error {
		// No key is kept, and no body for those who might name it again: nobody will.
		p := purge{d: s.d, tx: tx, tenant: tenant, keys: math.MaxInt64, idle: math.MaxInt64}
		err := p.executions(ctx, chosen, `state + 0 <> 1`)
		n = p.got.Executions
		return err
	})
	return n, err
}

// stopRuns asks the runs in flight to end, and counts them.
func (s *SQL) stopRuns(ctx context.Context, tenant string) (int, error) {
	n, err := find(ctx, s, nil, scanInt, `SELECT count(*) FROM executions WHERE tenant = $1 AND state = 1`, tenant)
	if err != nil || n == 0 {
		return 0, err
	}
	_, err = s.exec(ctx, "cancel runs",
		`UPDATE executions SET cancel_requested = TRUE, changed_at = $2 WHERE tenant = $1 AND state = 1 AND NOT cancel_requested`,
		tenant, column.Micros(s.d.Clock()))
	return n, err
}

// eraseRows deletes what hangs off no execution: some of the first table that has
// any, and at last what is small all at once. A journal always has its execution.
func (s *SQL) eraseRows(ctx context.Context, tenant string) (int, error) {
	for _, t := range []string{
		"journal_bodies", "attempts", "events", "state_values", "jobs",
		"endpoints", "connections", "installations", "tokens",
	} {
		n, err := s.some(ctx, t, `FROM `+t+` WHERE tenant = $1 LIMIT $2`, tenant)
		if err != nil || n > 0 {
			return int(n), err
		}
	}
	n, err := s.some(ctx, "idempotency_keys", `FROM idempotency_keys WHERE scope = $1 LIMIT $2`, tenant)
	if err != nil || n > 0 {
		return int(n), err
	}
	for _, t := range []string{"tenant_keys", "checkpoints", "retained", "plugin_shares", "execution_tags", "journal_refs"} {
		n, err := s.exec(ctx, "erase "+t, `DELETE FROM `+t+` WHERE tenant = $1`, tenant)
		if err != nil || n > 0 {
			return int(n), err
		}
	}
	return 0, nil
}

// published are the plugins of a tenant's publishers.
const published = `SELECT p.id FROM plugins p JOIN publishers b ON b.id = p.publisher WHERE b.tenant = $1`

// erasePlugins deletes a tenant's publishers with their plugins, once nobody
// else needs them.
func (s *SQL) erasePlugins(ctx context.Context, tenant string) (retention.Erased, error) {
	versions, err := list(ctx, s, scanString, `SELECT id FROM plugin_versions WHERE plugin IN (`+published+`) ORDER BY id`, tenant)
	if err != nil {
		return retention.Erased{}, err
	}
	for _, v := range versions {
		installations, executions, err := s.Pinned(ctx, v)
		if err != nil || installations+executions > 0 {
			return retention.Erased{Waits: "other tenants that use its plugins"}, err
		}
	}
	rows := 0
	err = s.write(ctx, "erase plugins", func(ctx context.Context, tx Conn) error {
		rows = 0
		digests, err := listOn(ctx, tx, scanString, `SELECT DISTINCT digest FROM plugin_versions WHERE plugin IN (`+published+`)`, tenant)
		if err != nil {
			return err
		}
		for _, query := range []string{
			`DELETE FROM plugin_versions WHERE plugin IN (` + published + `)`,
			`DELETE FROM plugin_shares WHERE plugin IN (` + published + `)`,
			`DELETE FROM plugins WHERE id IN (` + published + `)`,
			`DELETE FROM publishers WHERE tenant = $1`,
		} {
			n, err := execOn(ctx, tx, query, tenant)
			if err != nil {
				return err
			}
			rows += int(n)
		}
		for _, d := range digests {
			// The same module may have been published by others.
			_, err := execOn(ctx, tx, `DELETE FROM blobs WHERE digest = $1 AND NOT EXISTS (SELECT 1 FROM plugin_versions v WHERE v.digest = $1)`, d)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return retention.Erased{Rows: rows}, err
}
