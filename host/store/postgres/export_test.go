package postgres

import (
	"context"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Migrator is what migrates a store of this package.
func Migrator(s store.Store) schema.Migrator { return s.(*Store).migrator(s.(*Store).driver.db) }

// Driver is what a store tells errors apart with.
func Driver(s store.Store) store.Driver { return s.(*Store).driver }

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

// Write is a call of Begin or of Append, whichever is set.
type Write struct {
	execution.Claimed
	Begin  *execution.Beginning
	Append *journal.Segment
}

// Together makes calls as one group, and returns what each is told.
func Together(ctx context.Context, s store.Store, calls ...Write) []error {
	var items []*group.Item[*write]
	for _, c := range calls {
		items = append(items, &group.Item[*write]{Value: &write{claim: keyOf(c.Claimed), begins: c.Begin, adds: c.Append}})
	}
	s.(*Store).write(ctx, items)
	told := make([]error, len(items))
	for i, it := range items {
		if told[i] = it.Err; it.Err == nil && !it.Value.live {
			told[i] = execution.ErrFenced
		}
	}
	return told
}
