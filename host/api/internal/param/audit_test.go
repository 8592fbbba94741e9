package param_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
)

func TestFirstLeaf(t *testing.T) {
	t.Parallel()
	for cursor, want := range map[string]int64{"": 0, "0": 1, "41": 42, "x": -1, "-1": -1, "9223372036854775807": -1, "1.5": -1} {
		got, err := param.Leaves{Cursor: cursor}.First()
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v, want %d", cursor, got, err, want)
		}
	}
}
