package replay_test

import (
	"slices"
	"testing"
)

// TestTheQuotaIsTheSameInEachRun has a run come to its last call among those that
// are computed, after many that were answered from outside.
func TestTheQuotaIsTheSameInEachRun(t *testing.T) {
	t.Parallel()
	m := scripted(t)
	calls := slices.Concat(slices.Repeat([]string{`probe {}`}, 998), slices.Repeat([]string{`tag {"name":"n","value":"v"}`}, 5))
	wantSame(t, m, newLab(t).record(t, m, "action", script("", calls...), `{}`))
}
