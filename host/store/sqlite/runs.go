package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/finish"
	"github.com/cofferdam-run/cofferdam/host/store/internal/kv"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Begin implements execution.Runs.
func (s *Store) Begin(ctx context.Context, c execution.Claimed, b execution.Beginning) error {
	if err := check.Segment(b.Journal); err != nil {
		return err
	}
	b, err := s.sealing.Beginning(ctx, c, b)
	if err != nil {
		return err
	}
	err = s.driver.Write(ctx, func(ctx context.Context, tx store.Conn) error {
		now := column.Micros(s.driver.Clock())
		err := fenced(tx.ExecContext(ctx,
			`UPDATE executions SET version_id = $4, started_at = CASE WHEN started_at = 0 THEN $5 ELSE started_at END,
			   mode = CASE WHEN $6 THEN '' ELSE mode END, begun = claim
			 WHERE tenant = $1 AND id = $2 AND claim = $3 AND state = 1`,
			c.Tenant, c.Execution, c.Claim, b.VersionID, now, b.World != nil))
		if err != nil {
			return err
		}
		return keep(ctx, tx, record.Of{Tenant: c.Tenant, Execution: c.Execution}, kept{b.World, b.Journal}, now)
	})
	return store.Fault(s.driver, err, "begin a run")
}

// Append implements execution.Runs.
func (s *Store) Append(ctx context.Context, c execution.Claimed, g journal.Segment) error {
	if err := check.Segment(&g); err != nil {
		return err
	}
	sealed, err := s.sealing.Segment(ctx, c.Tenant, c.Execution, &g)
	if err != nil {
		return err
	}
	intent := audit.IntentOf(ctx) // The group's context has none.
	err = s.driver.Write(ctx, func(ctx context.Context, tx store.Conn) error {
		// One statement is half of fence and row, and most segments have nothing else.
		err := fenced(tx.ExecContext(ctx,
			`INSERT OR FAIL INTO journal (tenant, execution, seq, body)
			 SELECT tenant, id, $4, $5 FROM executions WHERE tenant = $1 AND id = $2 AND claim = $3 AND state = 1`,
			c.Tenant, c.Execution, c.Claim, sealed.Seq, sealed.Data))
		if err != nil {
			return err
		}
		if err := store.AddIntent(ctx, tx, intent); err != nil {
			return err
		}
		return record.Large(ctx, tx, record.Of{Tenant: c.Tenant, Execution: c.Execution}, *sealed, column.Micros(s.driver.Clock()))
	})
	if err == nil {
		intent.Committed()
	}
	return store.Fault(s.driver, err, "add to a journal")
}

// fenced is the error of a statement under a claim: ErrFenced where it found no run.
func fenced(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return execution.ErrFenced
}

// kept is what a run records at its beginning or end, each nil for none.
type kept struct {
	world   []byte
	segment *journal.Segment
}

func keep(ctx context.Context, tx store.Conn, of record.Of, k kept, now int64) error {
	if k.world != nil {
		if err := record.World(ctx, tx, of, k.world); err != nil {
			return err
		}
	}
	if k.segment == nil {
		return nil
	}
	return record.Segment(ctx, tx, of, *k.segment, now)
}

// Complete implements execution.Runs.
func (s *Store) Complete(ctx context.Context, c execution.Completion) error {
	if err := check.Completion(c); err != nil {
		return err
	}
	err := s.sealing.Retried(ctx, c.Tenant, func() error {
		sealed, err := s.sealing.Completion(ctx, c)
		if err != nil {
			return err
		}
		return s.driver.Write(ctx, func(ctx context.Context, tx store.Conn) error {
			return s.complete(ctx, tx, sealed)
		})
	})
	return store.Fault(s.driver, err, "complete a run")
}

func (s *Store) complete(ctx context.Context, tx store.Conn, c sealing.Completion) error {
	var row int64
	var installation string
	var before finish.Before
	err := tx.QueryRowContext(ctx,
		`SELECT rowid, installation, cancel_requested, attempt, tags FROM executions WHERE tenant = $1 AND id = $2 AND claim = $3 AND state = 1`,
		c.Tenant, c.Execution, c.Claim).Scan(&row, &installation, &before.CancelRequested, &before.Attempt, &before.Tags)
	if errors.Is(err, sql.ErrNoRows) {
		return execution.ErrFenced
	}
	if err != nil {
		return err
	}
	now := s.driver.Clock()
	r, err := finish.Of(c.Completion, before, now)
	if err != nil {
		return err
	}
	table, err := changedState(ctx, tx, c, installation)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx,
		`UPDATE OR FAIL executions SET state = $2, reason = $3, run_at = $4, finished_at = $5, attempt = attempt + $6,
		   version_id = CASE WHEN $7 = '' THEN version_id ELSE $7 END, output = $8, error = $9, fingerprint = $10,
		   tags = COALESCE($11, tags), worker = $13, changed_at = $12,
		   crashes = CASE WHEN $2 = 0 OR $2 = 2 AND begun <> claim THEN crashes ELSE 0 END WHERE rowid = $1`,
		row, r.State, r.Reason, r.RunAt, r.FinishedAt, r.Counted, r.VersionID, r.Output, r.Error, r.Fingerprint,
		r.Tags, column.Micros(now), r.WaitsFor)
	if err != nil {
		return err
	}
	if c.Attempt != nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO attempts (tenant, execution, claim, body) VALUES ($1, $2, $3, $4)`,
			c.Tenant, c.Execution, c.Claim, c.Attempt)
		if err != nil {
			return err
		}
	}
	err = keep(ctx, tx, record.Of{Tenant: c.Tenant, Execution: c.Execution}, kept{c.World, c.Journal}, column.Micros(now))
	if err != nil {
		return err
	}
	if used, ok := finish.Used(c.Completion, r, installation, now); ok {
		if err := addUsed(ctx, tx, used); err != nil {
			return err
		}
	}
	if !finish.Applies(c.Completion) {
		return nil
	}
	return s.effects(ctx, tx, c, effects{installation, table})
}

// effects are those of a completion: whose they are, and the state that it changes.
type effects struct {
	installation string
	state        *kv.Table
}

// effects applies what a success or a checkpoint brings.
func (s *Store) effects(ctx context.Context, tx store.Conn, c sealing.Completion, e effects) error {
	if err := storeState(ctx, tx, c, e.state); err != nil {
		return err
	}
	if err := storeRecords(ctx, tx, finish.Records(c, e.installation, s.driver.Clock()), c.Execution); err != nil {
		return err
	}
	for _, t := range c.Tags {
		_, err := tx.ExecContext(ctx,
			`INSERT INTO execution_tags (tenant, name, value, execution) VALUES ($1, CAST($2 AS BLOB), CAST($3 AS BLOB), $4) ON CONFLICT DO NOTHING`,
			c.Tenant, t.Name, t.Value, c.Execution)
		if err != nil {
			return err
		}
	}
	if c.Checkpoint == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx,
		`INSERT INTO checkpoints (tenant, installation, poll, cursor_value) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (tenant, installation, poll) DO UPDATE SET cursor_value = excluded.cursor_value`,
		c.Tenant, c.Checkpoint.Installation, c.Checkpoint.Poll, column.Bytes(c.Checkpoint.Cursor))
	return err
}

// changedState is the state that a run has read or written, with what it changes. It
// writes nothing: of a conflict, which is no rare thing, nothing has to be undone.
func changedState(ctx context.Context, tx store.Conn, c sealing.Completion, installation string) (*kv.Table, error) {
	table := &kv.Table{}
	if !finish.Applies(c.Completion) {
		return table, nil
	}
	keys := kv.Keys(c.Tenant, installation, c.State)
	for _, k := range keys {
		cell := kv.Cell{Key: k}
		err := tx.QueryRowContext(ctx, `SELECT value, version FROM state_values WHERE tenant = $1 AND installation = $2 AND key = CAST($3 AS BLOB)`,
			k.Tenant, k.Installation, k.Name).Scan(&cell.Value, &cell.Version)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		table.Load(cell)
	}
	var version int64
	if len(c.State.Writes) > 0 {
		if err := tx.QueryRowContext(ctx, `SELECT value + 1 FROM sequences WHERE name = 'state'`).Scan(&version); err != nil {
			return nil, err
		}
	}
	return table, table.Apply(kv.Of{Tenant: c.Tenant, Installation: installation, Keys: c.Keys}, c.State, version)
}

func storeState(ctx context.Context, tx store.Conn, c sealing.Completion, table *kv.Table) error {
	put, del, err := table.Written()
	if err != nil {
		return err
	}
	if len(c.State.Writes) > 0 {
		if _, err := tx.ExecContext(ctx, `UPDATE sequences SET value = value + 1 WHERE name = 'state'`); err != nil {
			return err
		}
	}
	for _, k := range del {
		_, err := tx.ExecContext(ctx, `DELETE FROM state_values WHERE tenant = $1 AND installation = $2 AND key = CAST($3 AS BLOB)`,
			k.Tenant, k.Installation, k.Name)
		if err != nil {
			return err
		}
	}
	for _, c := range put {
		_, err := tx.ExecContext(ctx,
			`INSERT INTO state_values (tenant, installation, key, value, version) VALUES ($1, $2, CAST($3 AS BLOB), $4, $5)
			 ON CONFLICT (tenant, installation, key) DO UPDATE SET value = excluded.value, version = excluded.version`,
			c.Key.Tenant, c.Key.Installation, c.Key.Name, c.Value, c.Version)
		if err != nil {
			return err
		}
	}
	return nil
}
