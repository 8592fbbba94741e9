package postgres_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
)

func TestEveryRoundTripMayFail(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.Failing(t, failing(&plan), &plan)
}

func TestEveryRoundTripOfAGroupMayFail(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.FailingGroups(t, failing(&plan), postgres.AcceptAll, &plan)
}

func TestADeletionGoesOnWhereverItDied(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.Deletions(t, failing(&plan), catalogue(), &plan, 13)
}

// failing opens stores of which a chosen round trip fails.
func failing(plan *faults.Plan) storetest.Open {
	return func(tb testing.TB, now func() time.Time) store.Store {
		tb.Helper()
		address, stop, err := faults.Postgres(tb.Context(), postgrestest.DSN(tb), plan)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(stop)
		return open(tb, address, now)
	}
}
