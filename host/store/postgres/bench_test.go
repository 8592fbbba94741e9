package postgres_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
)

func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, func(tb testing.TB, now func() time.Time) store.Store {
		tb.Helper()
		return open(tb, postgrestest.DSN(tb), now)
	})
}
