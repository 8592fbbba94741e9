package sqlite

import (
	"context"
	"errors"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
)

// Migrator is what migrates a store of this package.
func Migrator(s store.Store) schema.Migrator { return s.(*Store).migrator() }

// Pragma sets something on the writer's connection, to bring trouble about.
func Pragma(ctx context.Context, s store.Store, pragma string) error {
	d := s.(*Store).driver
	// A pragma does not work in a transaction, so it runs between groups.
	_, err := d.tx.conn.ExecContext(ctx, "PRAGMA "+pragma)
	return err
}

// Reader reads a store's tables themselves.
func Reader(s store.Store) store.Conn { return s.(*Store).driver.Reader() }

// AcceptAll accepts events as one group. Nobody else may write meanwhile.
func AcceptAll(ctx context.Context, s store.Store, all []*storetest.Arrival) {
	own := s.(*Store)
	items := make([]*group.Item[call], len(all))
	for i, a := range all {
		items[i] = &group.Item[call]{}
		row, err := own.sealing.Apart(ctx, a.Event)
		if err != nil {
			panic(err)
		}
		items[i].Value.accept = newAcceptance(row, a.Work)
	}
	groups := slices.Clone(items)
	own.driver.commit(ctx, groups)
	for i, a := range all {
		a.Accepted, a.Err = items[i].Value.accept.accepted, store.Fault(own.driver, items[i].Err, "accept an event")
	}
}

// Troubled has each group of a store begun anew: a call that fails, once it has written,
// comes with it. It is for a store that nobody uses yet.
func Troubled(s store.Store) {
	d := s.(*Store).driver
	d.group.Close()
	d.group = group.New(context.Background(), group.Config{Workers: 1, Size: groupSize}, func(ctx context.Context, items []*group.Item[call]) {
		trouble := &group.Item[call]{Value: call{write: func(ctx context.Context, tx store.Conn) error {
			_, err := tx.ExecContext(ctx, `UPDATE sequences SET value = value + 1 WHERE name = 'ready'`)
			return errors.Join(err, errors.New("trouble"))
		}}}
		d.commit(ctx, append(slices.Clone(items), trouble))
	})
}

// BesideOneThatEnds makes a write in a group in which one before it ends the transaction, as
// a SELECT does that finds the disk full, and returns what the write is told.
func BesideOneThatEnds(ctx context.Context, s store.Store, write func(ctx context.Context, tx store.Conn) error) error {
	d := s.(*Store).driver
	ends := func(ctx context.Context, tx store.Conn) error {
		_ = d.tx.run(ctx, "ROLLBACK") // The second time there is none to roll back.
		return tx.QueryRowContext(ctx, "SELECT 1 FROM nowhere").Scan(new(int))
	}
	items := []*group.Item[call]{{Value: call{write: ends}}, {Value: call{write: write}}}
	d.commit(ctx, items)
	return items[1].Err
}

// Log is how many pages the log has, and how many of them are in the file.
func Log(ctx context.Context, s store.Store) (log, done int, err error) {
	conn, err := s.(*Store).driver.writeDB.Conn(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = conn.Close() }()
	return checkpoint(ctx, conn, "NOOP")
}
