package postgres

import (
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
)

// Migrator is what migrates a store of this package.
func Migrator(s store.Store) schema.Migrator { return s.(*Store).migrator(s.(*Store).driver.db) }

// Reader reads a store's tables themselves.
func Reader(s store.Store) store.Conn { return s.(*Store).driver.Reader() }
