package sqlite_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/host/store/storetest"
)

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, open) }
