package lane_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
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

// Whatever is due, no cap is exceeded, backfill leaves its reserve of each, nothing is left
// that there was room for, and what is said of what is left is true.
func TestChooseFillsTheRoom(t *testing.T) {
	t.Parallel()
	type head struct {
		lane, n int
		capped  bool
	}
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 12)
		of := lane.Tenant[head]{
			Quota: execution.Quota{Tenant: "a", N: small.Draw(t, "n"), Running: rapid.IntRange(1, 20).Draw(t, "cap")},
			Turn:  rapid.IntRange(0, 7).Draw(t, "turn"),
		}
		of.Running.All = small.Draw(t, "running")
		of.Running.Backfill = rapid.IntRange(0, of.Running.All).Draw(t, "of them backfill")
		left := map[head]bool{}
		for l := range of.Heads {
			for n := range rapid.IntRange(0, 10).Draw(t, "due") {
				h := head{l, n, rapid.Bool().Draw(t, "of the capped installation")}
				of.Heads[l] = append(of.Heads[l], h)
				left[h] = true
			}
		}
		claim := lane.Claim{Backfill: rapid.IntRange(-1, 12).Draw(t, "the worker's room for backfill")}
		room, own := of.Room(&claim), lane.Running{}.Left(rapid.IntRange(1, 6).Draw(t, "an installation's cap"))
		most := of.Quota.Running - execution.Reserve(of.Quota.Running)
		if room.All > of.Quota.N || room.Backfill > max(claim.Backfill, 0) || of.Running.All+room.All > max(of.Quota.Running, of.Running.All) ||
			of.Running.Backfill+room.Backfill > max(most, of.Running.Backfill) {
			t.Fatalf("of %+v there is room for %+v", of, room)
		}
		before := claim.Backfill
		for _, c := range lane.Choose(&claim, of, func(h head) *lane.Room {
			if h.capped {
				return &own
			}
			return nil
		}) {
			delete(left, c.Head)
			room.All--
			if c.Head.lane == int(event.Backfill) {
				room.Backfill--
				before--
			}
		}
		if room.All < 0 || room.Backfill < 0 || own.All < 0 || own.Backfill < 0 || claim.Backfill != before {
			t.Errorf("there is %+v left for the tenant, %+v for the installation, and %d of %d for the worker", room, own, claim.Backfill, before)
		}
		waits := false
		for h := range left {
			if room.Of(h.lane) > 0 && (!h.capped || own.Of(h.lane) > 0) {
				t.Errorf("%+v is left, though there is room for %+v and %+v", h, room, own)
			}
			waits = waits || h.lane == int(event.Backfill) && (!h.capped || own.Of(h.lane) > 0)
		}
		if said := len(claim.Left) + len(claim.Full); said > 1 || waits && room.All > 0 && said == 0 {
			t.Errorf("of %v that is left it says %v and %v", left, claim.Left, claim.Full)
		}
		if len(claim.Left) > 0 && claim.Backfill > 0 {
			t.Errorf("it says %v, though the worker has room for %d", claim.Left, claim.Backfill)
		}
	})
}

// One claim of backfill counts at some moment, and is done at the end; claims of the other
// lanes take what is reserved for them before and after that, and runs end.
func TestClaimsBesideOneOfBackfillKeepToTheCap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 40).Draw(t, "cap")
		var r lane.Running
		r.All = rapid.IntRange(0, most).Draw(t, "running")
		r.Backfill = rapid.IntRange(0, min(r.All, most-execution.Reserve(most))).Draw(t, "of them backfill")
		steps := rapid.IntRange(1, 8).Draw(t, "steps")
		counts, takes := rapid.IntRange(0, steps-1).Draw(t, "when it counts"), 0
		for step := range steps {
			if step == counts {
				room := r.Left(most)
				takes = room.Of(int(event.Backfill))
			}
			if rapid.Bool().Draw(t, "one of another lane ends") && r.All > r.Backfill {
				r.All--
			}
			if rapid.Bool().Draw(t, "one of backfill ends") && r.Backfill > 0 {
				r.All--
				r.Backfill--
			}
			r.All += rapid.IntRange(0, r.Reserved(most)).Draw(t, "claimed of other lanes")
		}
		if r.All+takes > most {
			t.Fatalf("%d run, and %d of backfill are claimed beside them: the cap is %d", r.All, takes, most)
		}
	})
}

func TestSplit(t *testing.T) {
	t.Parallel()
	all := []lane.Chosen[int]{{Head: 1, Lane: 0}, {Head: 2, Lane: 2}, {Head: 3, Lane: 1}, {Head: 4, Lane: 2}}
	quota, behind := execution.Quota{Tenant: "a", N: 9, Running: 8}, []execution.Quota{{Tenant: "a", N: 2, Running: 8}}
	for name, test := range map[string]struct {
		atOnce    int
		apart     bool
		now, left int
		behind    []execution.Quota
	}{
		"more than a few are behind":  {1, false, 2, 1, behind},
		"a few are claimed at once":   {2, false, 4, 0, nil},
		"what is left is for others":  {5, false, 4, 3, nil},
		"a few are behind where busy": {5, true, 2, 5, behind},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := lane.Claim{AtOnce: test.atOnce}
			now := lane.Split(&c, quota, all, test.apart)
			if len(now) != test.now || c.AtOnce != test.left || !slices.Equal(c.Behind, test.behind) {
				t.Errorf("%d are claimed now, %v behind, and %d more may be: want %+v", len(now), c.Behind, c.AtOnce, test)
			}
		})
	}
	if now := lane.Split(&lane.Claim{}, quota, all[:1], true); len(now) != 1 {
		t.Errorf("%d are claimed of one without backfill", len(now))
	}
}
