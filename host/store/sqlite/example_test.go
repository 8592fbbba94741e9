package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func ExampleOpen() {
	folder, err := os.MkdirTemp("", "cofferdam")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	ctx := context.Background()

	db, err := sqlite.Open(ctx, filepath.Join(folder, "cofferdam.db"), sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	if _, _, err := db.Migrate(ctx); err != nil {
		panic(err)
	}
	if err := db.InsertTenant(ctx, tenant.Tenant{ID: "ten_1", Name: "acme", State: tenant.Active}); err != nil {
		panic(err)
	}

	// The vendor sends everything twice.
	for _, id := range []string{"evt_1", "evt_2"} {
		e := event.Event{ID: id, Tenant: "ten_1", Kind: event.Webhook, Source: "end_1", DedupeKey: "delivery-7"}
		accepted, err := db.Accept(ctx, e, &event.Work{Execution: "exe_" + id})
		if err != nil {
			panic(err)
		}
		fmt.Println(accepted.Event, accepted.Execution, accepted.Duplicate)
	}
	// Output:
	// evt_1 exe_evt_1 false
	// evt_1 exe_evt_1 true
}
