package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
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
	w := &write{claim: keyOf(c), begins: &b}
	if err := s.writes.Do(ctx, w); err != nil { // It may be under way still: w is not to be read.
		return store.Fault(s.driver, err, "begin a run")
	}
	if !w.live {
		return execution.ErrFenced
	}
	return nil
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
	w := &write{claim: keyOf(c), adds: sealed, intent: audit.IntentOf(ctx)}
	if err := s.writes.Do(ctx, w); err != nil {
		return store.Fault(s.driver, err, "add to a journal")
	}
	if !w.live {
		return execution.ErrFenced
	}
	w.intent.Committed()
	return nil
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
		return s.completions.Do(ctx, sealed)
	})
	return store.Fault(s.driver, err, "complete a run")
}

// write is a call of Begin or Append in a group.
type write struct {
	claim claimKey
	// One of the two is set.
	begins *execution.Beginning
	adds   *journal.Segment
	// intent is of what is added, and may be nil.
	intent *audit.Intent
	// live says that the fence let it pass.
	live bool
}

// carried is about how many bytes it has the server take.
func (w *write) carried() int {
	if w.begins != nil {
		return len(w.begins.World) + record.Bytes(w.begins.Journal)
	}
	return record.Bytes(w.adds)
}

func (w *write) run() runKey { return runKey{w.claim.tenant, w.claim.execution} }

// write runs a group, in one round trip and one transaction. What is fenced off is left
// out of it; the rest is not affected.
func (s *Store) write(ctx context.Context, items []*group.Item[*write]) {
	for len(items) > 0 {
		now, later := firsts(items, (*write).run)
		now, rest := within(now, groupBytes, (*write).carried)
		items = slices.Concat(rest, later)
		alone(now, s.driver, func(items []*group.Item[*write]) error {
			return again(func() error { return s.writeAll(ctx, items) })
		})
	}
}

func (s *Store) writeAll(ctx context.Context, items []*group.Item[*write]) error {
	var begins, adds []*write
	for _, it := range items {
		if w := it.Value; w.begins != nil {
			begins = append(begins, w)
		} else {
			adds = append(adds, w)
		}
	}
	now := column.Micros(s.driver.Clock())
	b := &pgx.Batch{}
	queueBegins(b, begins, now)
	if err := queueAdds(b, adds, now); err != nil {
		return err
	}
	// What is sent at once is a transaction, whose commit the last answer is for.
	return s.driver.transact(ctx, func(c *pgxpool.Conn) error { return send(ctx, c, b) })
}

// runKey names an execution, and claimKey a claim of it.
type (
	runKey   struct{ tenant, execution string }
	claimKey struct {
		tenant, execution string
		claim             int64
	}
)

func keyOf(c execution.Claimed) claimKey { return claimKey{c.Tenant, c.Execution, c.Claim} }
