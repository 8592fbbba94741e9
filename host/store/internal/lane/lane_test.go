package lane_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/host/store/internal/lane"
)

// take counts what Pick takes of each lane, when so many are due.
func take(turn, n int, due [lane.Count]int) (got [lane.Count]int) {
	lane.Pick(turn, n, func(l int) bool {
		if got[l] == due[l] {
			return false
		}
		got[l]++
		return true
	})
	return got
}

func TestPick(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		turn, n int
		due     [lane.Count]int
		want    [lane.Count]int
	}{
		"a whole round is shared five, two, one":   {0, 8, [3]int{99, 99, 99}, [3]int{5, 2, 1}},
		"one turn goes to interactive first":       {0, 1, [3]int{1, 1, 1}, [3]int{1, 0, 0}},
		"the fourth turn is backfill's":            {3, 1, [3]int{9, 9, 9}, [3]int{0, 0, 1}},
		"an empty lane's turns go to the others":   {0, 8, [3]int{0, 0, 99}, [3]int{0, 0, 8}},
		"an unused turn goes to the first lane":    {3, 1, [3]int{1, 1, 0}, [3]int{1, 0, 0}},
		"no more than what is due":                 {0, 64, [3]int{2, 1, 3}, [3]int{2, 1, 3}},
		"nothing due":                              {5, 8, [3]int{}, [3]int{}},
		"a round goes on where the last claim was": {7, 2, [3]int{9, 9, 9}, [3]int{2, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := take(tt.turn, tt.n, tt.due); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Every eight turns of a tenant give each lane with enough due work its share,
// however the turns are cut into claims.
func TestEveryRoundGivesEachLaneItsShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var turns lane.Turns
		var total [lane.Count]int
		used := 0
		for used < 64 {
			n := rapid.IntRange(1, 64-used).Draw(t, "n")
			for l, k := range take(turns.At("a"), n, [3]int{64, 64, 64}) {
				total[l] += k
			}
			turns.Advance("a", n)
			used += n
		}
		if want := [3]int{40, 16, 8}; total != want {
			t.Fatalf("got %v, want %v", total, want)
		}
	})
}

func TestPickUsesAllTurnsThatWorkIsDueFor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var due [lane.Count]int
		sum := 0
		for l := range due {
			due[l] = rapid.IntRange(0, 20).Draw(t, "due")
			sum += due[l]
		}
		n := rapid.IntRange(0, 40).Draw(t, "n")
		got := take(rapid.IntRange(0, 7).Draw(t, "turn"), n, due)
		taken := 0
		for l := range got {
			if got[l] > due[l] {
				t.Fatalf("lane %d: got %d of %d due", l, got[l], due[l])
			}
			taken += got[l]
		}
		if want := min(n, sum); taken != want {
			t.Fatalf("took %d, want %d", taken, want)
		}
	})
}
