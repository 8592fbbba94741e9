package execution_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 0, 1: 0, 2: 1, 3: 1, 4: 1, 5: 2, 8: 2, 16: 4, 32: 8, 33: 9} {
		if got := execution.Reserve(n); got != want {
			t.Errorf("of %d places it reserves %d, want %d", n, got, want)
		}
	}
}
