package postgres_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
)

func TestEveryRoundTripMayFail(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.Failing(t, func(tb testing.TB, now func() time.Time) store.Store {
		tb.Helper()
		address, stop, err := faults.Postgres(tb.Context(), postgrestest.DSN(tb), &plan)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(stop)
		return open(tb, address, now)
	}, &plan)
}
