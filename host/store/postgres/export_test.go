package postgres

import (
	"context"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
)

// Migrator is what migrates a store of this package.
func Migrator(s store.Store) schema.Migrator { return s.(*Store).migrator(s.(*Store).driver.db) }

// Reader reads a store's tables themselves.
func Reader(s store.Store) store.Conn { return s.(*Store).driver.Reader() }

// AcceptAll accepts events as one group.
func AcceptAll(ctx context.Context, s store.Store, all []*storetest.Arrival) {
	own := s.(*Store)
	items := make([]*group.Item[*acceptance], len(all))
	for i, a := range all {
		row, err := own.sealing.Apart(ctx, a.Event)
		if err != nil {
			panic(err)
		}
		items[i] = &group.Item[*acceptance]{Value: newAcceptance(row, a.Work)}
	}
	own.accept(ctx, slices.Clone(items))
	for i, a := range all {
		a.Accepted, a.Err = items[i].Value.accepted, store.Fault(own.driver, items[i].Err, "accept an event")
	}
}
