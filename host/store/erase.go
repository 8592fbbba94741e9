package store

import (
	"context"
	"errors"
	"math"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// eraseExecutions is how many executions of a deleted tenant go at once.
const eraseExecutions = 100

// Erase implements retention.Store.
func (s *SQL) Erase(ctx context.Context, tenant string) (retention.Erased, error) {
	got, err := s.eraseStep(ctx, tenant)
	if err == nil && got.Rows == 0 {
		err = s.NoteWait(ctx, tenant, got.Waits)
	}
	return got, err
}

func (s *SQL) eraseStep(ctx context.Context, tenant string) (retention.Erased, error) {
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

// erasing runs a step in one transaction with the account of what it has deleted, and
// returns how many rows those were.
func (s *SQL) erasing(ctx context.Context, id, doing string, fn func(ctx context.Context, tx Conn, rows map[string]int64) error) (int, error) {
	total := 0
	err := s.write(ctx, doing, func(ctx context.Context, tx Conn) error {
		rows := map[string]int64{}
		if err := fn(ctx, tx, rows); err != nil {
			return err
		}
		total = 0
		for _, n := range rows {
			total += int(n)
		}
		if total == 0 {
			return errUnchanged
		}
		return s.account(ctx, tx, id, func(r *tenant.Report) {
			for table, n := range rows {
				if n > 0 {
					r.Erased[table] += n
				}
			}
		})
	})
	if errors.Is(err, errUnchanged) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return total, nil
}

// account changes the report of a deletion, whose row it locks. One that a server of the
// version before has begun has none yet, and is counted from here.
func (s *SQL) account(ctx context.Context, tx Conn, id string, change func(r *tenant.Report)) error {
	_, err := execOn(ctx, tx,
		`INSERT INTO deletions (tenant, name, state, was, asked_at, asked_by, due_at, destroyed_at)
		 SELECT id, name, 'erasing', 'paused', $2, '', $2, $2 FROM tenants WHERE id = $1 ON CONFLICT (tenant) DO NOTHING`,
		id, column.Micros(s.d.Clock()))
	if err != nil {
		return err
	}
	var doc []byte
	if err := tx.QueryRowContext(ctx, `UPDATE deletions SET waits = '' WHERE tenant = $1 RETURNING report`, id).Scan(&doc); err != nil {
		return err
	}
	var r tenant.Report
	if len(doc) > 0 {
		if err := column.FromJSON(doc, &r); err != nil {
			return err
		}
	}
	if r.Erased == nil {
		r.Erased = map[string]int64{}
	}
	change(&r)
	if doc, err = column.JSON(r); err != nil {
		return err
	}
	_, err = execOn(ctx, tx, `UPDATE deletions SET report = $2 WHERE tenant = $1`, id, doc)
	return err
}

// Bury implements retention.Store. The row stays for what the tenant has used,
// under its id.
func (s *SQL) Bury(ctx context.Context, id string) error {
	if err := s.eraseSamples(ctx, id); err != nil {
		return err
	}
	remains, err := s.remains(ctx, id)
	if err != nil {
		return err
	}
	err = s.write(ctx, "end the deletion of a tenant", func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx, `UPDATE tenants SET state = 'deleted', name = id, title = '' WHERE id = $1 AND state = 'deleting'`, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return errUnchanged
		}
		if err := s.account(ctx, tx, id, func(r *tenant.Report) { r.Remains = remains(*r) }); err != nil {
			return err
		}
		now := s.d.Clock()
		if _, err := execOn(ctx, tx, `UPDATE deletions SET state = 'done', finished_at = $2 WHERE tenant = $1`, id, column.Micros(now)); err != nil {
			return err
		}
		return s.noteEnd(ctx, tx, audit.Entry{At: now, Tenant: id, Action: "tenant.erase", Object: id})
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// eraseExecutions deletes some executions that do not run.
func (s *SQL) eraseExecutions(ctx context.Context, tenant string) (int, error) {
	some, err := s.held(ctx, `WHERE e.tenant = $1 AND e.state + 0 <> 1 ORDER BY e.id LIMIT $2`, tenant, eraseExecutions)
	chosen := choose(some, 0)
	if err != nil || len(chosen) == 0 {
		return 0, err
	}
	n := 0
	_, err = s.erasing(ctx, tenant, "erase executions", func(ctx context.Context, tx Conn, rows map[string]int64) error {
		// No key is kept, and no body for those who might name it again: nobody will.
		p := purge{d: s.d, tx: tx, tenant: tenant, keys: math.MaxInt64, idle: math.MaxInt64, rows: rows}
		err := p.executions(ctx, chosen, `state + 0 <> 1`)
		n = p.got.Executions
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
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
		"journal_bodies", "attempts", "events", "event_bodies", "state_values", "jobs",
		"outbox", "deliveries", "destinations", "watches", "failings",
		"schedules", "endpoints", "pace_flights", "paces", "oauth_flows", "connect_sessions", "authorizations", "notices", "connections", "oauth_apps", "installations", "tokens", "token_keys",
	} {
		if n, err := s.eraseSome(ctx, tenant, t, `FROM `+t+` WHERE tenant = $1 LIMIT $2`); err != nil || n > 0 {
			return n, err
		}
	}
	if n, err := s.eraseSome(ctx, tenant, "idempotency_keys", `FROM idempotency_keys WHERE scope = $1 LIMIT $2`); err != nil || n > 0 {
		return n, err
	}
	for _, t := range []string{"tenant_keys", "checkpoints", "retained", "plugin_shares", "execution_tags", "journal_refs"} {
		if n, err := s.eraseTable(ctx, tenant, t, `tenant = $1`, tenant); err != nil || n > 0 {
			return n, err
		}
	}
	return 0, nil
}

// eraseSome deletes some rows of a table; which is as for some.
func (s *SQL) eraseSome(ctx context.Context, tenant, table, which string) (int, error) {
	found, err := list(ctx, s, scanInt, `SELECT 1 `+which, tenant, 1)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return s.eraseTable(ctx, tenant, table, s.d.Pick(which), tenant, purgeRows)
}

// eraseTable deletes the rows of a table that meet a condition.
func (s *SQL) eraseTable(ctx context.Context, tenant, table, cond string, args ...any) (int, error) {
	return s.erasing(ctx, tenant, "erase "+table, func(ctx context.Context, tx Conn, rows map[string]int64) error {
		n, err := execOn(ctx, tx, `DELETE FROM `+table+` WHERE `+cond, args...)
		rows[table] = n
		return err
	})
}

// published are the plugins of a tenant's publishers.
const published = `SELECT p.id FROM plugins p JOIN publishers b ON b.id = p.publisher WHERE b.tenant = $1`

// erasePlugins deletes a tenant's publishers with their plugins, once nobody
// else needs them.
func (s *SQL) erasePlugins(ctx context.Context, id string) (retention.Erased, error) {
	versions, err := list(ctx, s, scanString, `SELECT id FROM plugin_versions WHERE plugin IN (`+published+`) ORDER BY id`, id)
	if err != nil {
		return retention.Erased{}, err
	}
	for _, v := range versions {
		installations, executions, err := s.Pinned(ctx, v)
		if err != nil || installations+executions > 0 {
			return retention.Erased{Waits: waitsForPlugins}, err
		}
	}
	rows, err := s.erasing(ctx, id, "erase plugins", func(ctx context.Context, tx Conn, rows map[string]int64) error {
		digests, err := listOn(ctx, tx, scanString, `SELECT DISTINCT digest FROM plugin_versions WHERE plugin IN (`+published+`) ORDER BY digest`, id)
		if err != nil {
			return err
		}
		for _, of := range []struct{ table, cond string }{
			{"plugin_versions", `plugin IN (` + published + `)`},
			{"plugin_shares", `plugin IN (` + published + `)`},
			{"plugins", `id IN (` + published + `)`},
			{"publisher_keys", `publisher IN (SELECT id FROM publishers WHERE tenant = $1)`},
			{"publishers", `tenant = $1`},
		} {
			n, err := execOn(ctx, tx, `DELETE FROM `+of.table+` WHERE `+of.cond, id)
			if err != nil {
				return err
			}
			rows[of.table] = n
		}
		for _, d := range digests {
			// The same module may have been published by others.
			n, err := execOn(ctx, tx, `DELETE FROM blobs WHERE digest = $1 AND NOT EXISTS (SELECT 1 FROM plugin_versions v WHERE v.digest = $1)`, d)
			if err != nil {
				return err
			}
			rows["blobs"] += n
		}
		if len(digests) == 0 {
			return nil
		}
		return s.account(ctx, tx, id, func(r *tenant.Report) { r.Modules = digests })
	})
	return retention.Erased{Rows: rows}, err
}
