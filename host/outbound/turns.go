package outbound

import (
	"cmp"
	"maps"
	"slices"
)

// inTurns lists rounds one after the other, each with that owner first who was served
// longest ago.
func inTurns(rounds map[int][]Ref, served map[string]int64) []Ref {
	var all []Ref
	for _, n := range slices.Sorted(maps.Keys(rounds)) {
		slices.SortStableFunc(rounds[n], func(a, b Ref) int { return cmp.Compare(served[a.Owner], served[b.Owner]) })
		all = append(all, rounds[n]...)
	}
	return all
}
