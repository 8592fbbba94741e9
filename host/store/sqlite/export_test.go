package sqlite

import (
	"context"
	"io/fs"
	"testing/fstest"

	"github.com/cofferdam-run/cofferdam/host/store"
)

// MigrateBefore migrates to the schema before this program's.
func MigrateBefore(ctx context.Context, s store.Store) error {
	m := s.(*Store).migrator()
	all, err := fs.Glob(m.Files, "*.sql")
	if err != nil {
		return err
	}
	before := fstest.MapFS{}
	for _, name := range all[:len(all)-1] {
		text, err := fs.ReadFile(m.Files, name)
		if err != nil {
			return err
		}
		before[name] = &fstest.MapFile{Data: text}
	}
	m.Files = before
	_, _, err = m.Up(ctx)
	return err
}

// Pragma sets something on the writer's connection, to bring trouble about.
func Pragma(ctx context.Context, s store.Store, pragma string) error {
	d := s.(*Store).driver
	// A pragma does not work in a transaction, so it runs between groups.
	_, err := d.tx.conn.ExecContext(ctx, "PRAGMA "+pragma)
	return err
}
