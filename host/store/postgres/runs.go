package postgres

import (
	"context"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/check"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/record"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// beginning is a call of Begin in a group.
type beginning struct {
	claim claimKey
	execution.Beginning
	// live says that the fence let it pass.
	live bool
}

// appending is a call of Append in a group.
type appending struct {
	claim   claimKey
	segment journal.Segment
	// intent may be nil.
	intent *audit.Intent
	// live says that the fence let it pass.
	live bool
}

// Begin implements execution.Runs.
func (s *Store) Begin(ctx context.Context, c execution.Claimed, b execution.Beginning) error {
	if err := check.Segment(b.Journal); err != nil {
		return err
	}
	b, err := s.sealing.Beginning(ctx, c, b)
	if err != nil {
		return err
	}
	call := &beginning{claim: keyOf(c), Beginning: b}
	if err := s.begins.Do(ctx, call); err != nil {
		return store.Fault(s.driver, err, "begin a run")
	}
	if !call.live {
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
	call := &appending{claim: keyOf(c), segment: *sealed, intent: audit.IntentOf(ctx)}
	if err := s.appends.Do(ctx, call); err != nil {
		return store.Fault(s.driver, err, "add to a journal")
	}
	if !call.live {
		return execution.ErrFenced
	}
	call.intent.Committed()
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

func (s *Store) begin(ctx context.Context, items []*group.Item[*beginning]) {
	for len(items) > 0 {
		now, later := firsts(items, func(b *beginning) [2]string { return [2]string{b.claim.tenant, b.claim.execution} })
		now, rest := within(now, groupBytes, func(b *beginning) int { return len(b.World) + record.Bytes(b.Journal) })
		items = slices.Concat(rest, later)
		alone(now, s.driver, func(items []*group.Item[*beginning]) error {
			return again(func() error { return s.beginAll(ctx, items) })
		})
	}
}

// add runs a group of Appends.
func (s *Store) add(ctx context.Context, items []*group.Item[*appending]) {
	for len(items) > 0 {
		var now []*group.Item[*appending]
		now, items = within(items, groupBytes, func(a *appending) int { return record.Bytes(&a.segment) })
		alone(now, s.driver, func(items []*group.Item[*appending]) error {
			return again(func() error { return s.addAll(ctx, items) })
		})
	}
}

func (s *Store) beginAll(ctx context.Context, items []*group.Item[*beginning]) error {
	var r recordings
	versions := make([]string, len(items))
	for i, it := range items {
		b := it.Value
		r.add(b.claim, b.World, b.Journal)
		versions[i] = b.VersionID
	}
	live, err := s.record(ctx, beginRuns, append(r.args(column.Micros(s.driver.Clock())), versions)...)
	for _, it := range items {
		it.Value.live = live[it.Value.claim]
	}
	return err
}

func (s *Store) addAll(ctx context.Context, items []*group.Item[*appending]) error {
	var r recordings
	var acts intents
	for _, it := range items {
		r.add(it.Value.claim, nil, &it.Value.segment)
		if err := acts.add(it.Value.claim, it.Value.intent); err != nil {
			return err
		}
	}
	statement, args := addSegments, r.args(column.Micros(s.driver.Clock()))
	if len(acts.ids) > 0 {
		statement, args = addSegmentsAndActs, append(args, acts.args()...)
	}
	live, err := s.record(ctx, statement, args...)
	for _, it := range items {
		it.Value.live = live[it.Value.claim]
	}
	return err
}

// record runs one of the statements that write journals, as a transaction of its
// own, and returns the claims that were live.
func (s *Store) record(ctx context.Context, statement string, args ...any) (map[claimKey]bool, error) {
	rows, err := s.driver.pool.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	live := make(map[claimKey]bool)
	for rows.Next() {
		var k claimKey
		if err := rows.Scan(&k.tenant, &k.execution, &k.claim); err != nil {
			return nil, err
		}
		live[k] = true
	}
	return live, rows.Err()
}

// claimKey names a claim.
type claimKey struct {
	tenant, execution string
	claim             int64
}

func keyOf(c execution.Claimed) claimKey { return claimKey{c.Tenant, c.Execution, c.Claim} }
