package postgres_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
)

func TestEveryRoundTripOfTheAuditLogMayFail(t *testing.T) {
	t.Parallel()
	var plan faults.Plan
	storetest.FailingAudit(t, func(tb testing.TB, now func() time.Time) store.Store {
		tb.Helper()
		address, stop, err := faults.Postgres(tb.Context(), postgrestest.DSN(tb), &plan)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(stop)
		return open(tb, address, now)
	}, &plan)
}

func BenchmarkAudit(b *testing.B) {
	storetest.AuditBenchmark(b, func(tb testing.TB, now func() time.Time) store.Store {
		tb.Helper()
		return open(tb, postgrestest.DSN(tb), now)
	})
}
