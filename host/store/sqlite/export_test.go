package sqlite

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
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
