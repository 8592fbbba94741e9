package postgres

import (
	"context"
	"io/fs"
	"testing/fstest"

	"github.com/cofferdam-run/cofferdam/host/store"
)

// MigrateBefore migrates to the schema before this program's.
func MigrateBefore(ctx context.Context, s store.Store) error {
	m := s.(*Store).migrator(s.(*Store).driver.db)
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
