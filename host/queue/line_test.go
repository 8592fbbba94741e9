package queue_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/queue"
)

// backfill is a backlog of nothing else.
func backfill(tenant string, running, weight int) execution.Backlog {
	return execution.Backlog{Tenant: tenant, Running: running, Weight: weight, Backfill: true}
}

func TestTakeLeavesBackfillItsRoom(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("a", 9, 3), backfill("b", 9, 3), backlog("c", 9, 3), backfill("d", 9, 3)})
	want := []execution.Quota{{Tenant: "b", N: 2, Running: 9}, {Tenant: "a", N: 5, Running: 9}, {Tenant: "c", N: 3, Running: 9}}
	if diff := cmp.Diff(want, ring.Take(10, 2)); diff != "" {
		t.Errorf("quotas (-want +got):\n%s", diff)
	}
}

func TestBackfillWithoutRoomIsSetAside(t *testing.T) {
	t.Parallel()
	all := []execution.Quota{{Tenant: "a", N: 4, Running: 9}}
	for name, test := range map[string]struct {
		// then is what happens after a tenant was set aside.
		then     func(*queue.Ring)
		backfill int
		want     []execution.Quota
	}{
		"until there is room":               {func(*queue.Ring) {}, 3, []execution.Quota{{Tenant: "a", N: 3, Running: 9}}},
		"until a hint":                      {func(r *queue.Ring) { r.Hint("a") }, 0, all},
		"until a scan finds something else": {func(r *queue.Ring) { r.Refresh([]execution.Backlog{backlog("a", 9, 1)}) }, 0, all},
		"over scans that find the same":     {func(r *queue.Ring) { r.Refresh([]execution.Backlog{backfill("a", 9, 1)}) }, 0, nil},
		"until a scan does not find it":     {func(r *queue.Ring) { r.Refresh(nil) }, 9, nil},
		"however often nothing is taken":    {func(r *queue.Ring) { r.Take(4, 0); r.Take(0, 9) }, 1, []execution.Quota{{Tenant: "a", N: 1, Running: 9}}},
		"where there is less than none":     {func(*queue.Ring) {}, -1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ring := queue.NewRing()
			ring.Refresh([]execution.Backlog{backfill("a", 9, 1)})
			if got := ring.Take(4, 0); len(got) != 0 {
				t.Fatalf("without room for backfill Take gave %v, want nothing", got)
			}
			test.then(ring)
			if diff := cmp.Diff(test.want, ring.Take(4, test.backfill)); diff != "" {
				t.Errorf("quotas (-want +got):\n%s", diff)
			}
		})
	}
}

// A scan that began before something was queued does not know of it.
func TestHintDuringAScanIsNotLost(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Hint("a")
	ring.Refresh([]execution.Backlog{backfill("a", 9, 1)})
	if got := ring.Take(1, 0); len(got) != 1 {
		t.Errorf("Take gave %v, want the tenant that was hinted", got)
	}
}

func TestShortClaimThatLeavesBackfill(t *testing.T) {
	t.Parallel()
	one := []execution.Claimed{{Tenant: "a", Lane: event.Backfill}}
	for name, test := range map[string]struct {
		taken execution.Taken
		then  func(*queue.Ring)
		// room and none say whether the tenant is asked then with room for backfill, and without.
		room, none bool
	}{
		"nothing is left":                      {execution.Taken{Claimed: one}, func(*queue.Ring) {}, false, false},
		"the worker had no room":               {execution.Taken{Claimed: one, Left: []string{"a"}}, func(*queue.Ring) {}, true, false},
		"it has all that it may":               {execution.Taken{Claimed: one, Full: []string{"a"}}, func(*queue.Ring) {}, false, false},
		"it has, until one has ended":          {execution.Taken{Claimed: one, Full: []string{"a"}}, func(r *queue.Ring) { r.Done("a", true) }, true, false},
		"it has, and another lane's has ended": {execution.Taken{Claimed: one, Full: []string{"a"}}, func(r *queue.Ring) { r.Done("a", false) }, false, false},
		"it has, and there is a hint":          {execution.Taken{Claimed: one, Full: []string{"a"}}, func(r *queue.Ring) { r.Hint("a") }, true, true},
	} {
		for backfill, want := range map[int]bool{4: test.room, 0: test.none} {
			t.Run(fmt.Sprint(name, ", room for ", backfill), func(t *testing.T) {
				t.Parallel()
				ring := queue.NewRing()
				ring.Refresh([]execution.Backlog{backlog("a", 9, 1)})
				ring.Result(ring.Take(4, 4), test.taken)
				test.then(ring)
				if got := ring.Take(4, backfill); (len(got) == 1) != want {
					t.Errorf("Take gave %v, want one quota: %v", got, want)
				}
			})
		}
	}
}

// However little room for backfill there is at a time, turns are as long as weights say.
func TestBackfillHasTurnsByWeight(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		slots   int
		between func(*queue.Ring)
	}{
		"one place after another": {8, func(*queue.Ring) {}},
		"with no slot between":    {8, func(r *queue.Ring) { r.Take(0, 1) }},
		"with no room between":    {8, func(r *queue.Ring) { r.Take(8, 0) }},
		"with neither between":    {8, func(r *queue.Ring) { r.Take(0, 1); r.Take(8, 0) }},
		"with one slot at a time": {1, func(*queue.Ring) {}},
		"with a scan that is late": {8, func(r *queue.Ring) {
			r.Refresh([]execution.Backlog{backfill("c", 99, 2), backfill("a", 99, 3), backfill("b", 99, 1)})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ring := queue.NewRing()
			ring.Refresh([]execution.Backlog{backfill("a", 99, 3), backfill("b", 99, 1), backfill("c", 99, 2)})
			var got string
			for range 12 {
				quotas := ring.Take(test.slots, 1)
				for _, q := range quotas {
					got += q.Tenant
					ring.Result(quotas, execution.Taken{Claimed: []execution.Claimed{{Tenant: q.Tenant, Lane: event.Backfill}}})
				}
				test.between(ring)
			}
			if want := "aaabccaaabcc"; got != want {
				t.Errorf("turns %s, want %s", got, want)
			}
		})
	}
}

// Who has the place is hinted as soon as its run ends, as where its installation has a cap,
// and before the one that waits is asked for.
func TestPlacesForBackfillGoAround(t *testing.T) {
	t.Parallel()
	limits := []execution.Backlog{backfill("a", 9, 1), backfill("b", 9, 1), backfill("c", 9, 4)}
	store, ring := newWork(limits...), queue.NewRing()
	ring.Refresh(limits)
	for _, l := range limits {
		store.add(l.Tenant, event.Backfill, 100)
	}
	// What is left of a turn in which nobody knows what it is for is lost, so c has no more.
	var got string
	for range 12 {
		var ran execution.Claimed
		for room := 1; ; {
			quotas := ring.Take(9, room)
			if len(quotas) == 0 {
				break
			}
			taken := store.claim(quotas, room)
			ring.Result(quotas, taken)
			behind := store.claimBackfill(taken.Behind)
			ring.Behind(taken.Behind, behind)
			for _, c := range behind.Claimed {
				got += c.Tenant
				ran, room = c, 0
			}
		}
		store.done(ran)
		ring.Hint(ran.Tenant)
		ring.Hint("c") // Live events come all the time.
		ring.Done(ran.Tenant, ran.Lane == event.Backfill)
	}
	if want := "abcabcabcabc"; got != want {
		t.Errorf("the place went to %s, want %s", got, want)
	}
}

// What ends while a claim is under way that finds its tenant full is not lost.
func TestFreedDuringAClaimIsNotLost(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backfill("a", 9, 1)})
	ring.Result(ring.Take(1, 1), execution.Taken{Claimed: []execution.Claimed{{Tenant: "a", Lane: event.Backfill}}})
	quotas := ring.Take(1, 1)
	ring.Done("a", true)
	ring.Result(quotas, execution.Taken{Full: []string{"a"}})
	if got := ring.Take(1, 1); len(got) != 1 {
		t.Errorf("Take gave %v, want the tenant of which one has ended", got)
	}
}

// A claim of backfill may end after others of its tenant, and bring less than was asked for.
func TestBehind(t *testing.T) {
	t.Parallel()
	one := []execution.Claimed{{Tenant: "a", Lane: event.Backfill}}
	behind := []execution.Quota{{Tenant: "a", N: 2, Running: 4}}
	for name, test := range map[string]struct {
		then func(*queue.Ring)
		// want is what a is asked for then, of the four that it may have in flight.
		want int
	}{
		"it is asked for until there is an answer": {func(r *queue.Ring) { r.Hint("a") }, 2},
		"what it has brought is in flight":         {func(r *queue.Ring) { r.Behind(behind, execution.Taken{Claimed: one}); r.Hint("a") }, 3},
		"what it has not is not asked for again":   {func(r *queue.Ring) { r.Behind(behind, execution.Taken{Claimed: one}) }, 0},
		"an error is no answer":                    {func(r *queue.Ring) { r.Return(behind) }, 4},
		"its tenant has all that it may":           {func(r *queue.Ring) { r.Behind(behind, execution.Taken{Claimed: one, Full: []string{"a"}}) }, 0},
		"it has, until one has ended": {func(r *queue.Ring) {
			r.Behind(behind, execution.Taken{Claimed: one, Full: []string{"a"}})
			r.Done("a", true)
		}, 4},
		"it has, and one has ended in the meantime": {func(r *queue.Ring) { r.Done("a", true); r.Behind(behind, execution.Taken{Full: []string{"a"}}) }, 4},
		"it has, and its other work is due":         {func(r *queue.Ring) { r.Hint("a"); r.Behind(behind, execution.Taken{Claimed: one, Full: []string{"a"}}) }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ring := queue.NewRing()
			ring.Refresh([]execution.Backlog{backlog("a", 4, 1)})
			ring.Result(ring.Take(3, 3), execution.Taken{Behind: behind})
			test.then(ring)
			got := 0
			for _, q := range ring.Take(4, 4) {
				got += q.N
			}
			if got != test.want {
				t.Errorf("it is asked for %d, want %d", got, test.want)
			}
		})
	}
}

// A tenant that has only backfill gets its turns beside one that floods with live work, as long
// as there is room.
func TestLiveFloodDoesNotStarveBackfill(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("live", 1000, 1), backfill("late", 1000, 1)})
	served := map[string]int{}
	for range 100 {
		for _, q := range ring.Take(1, 1) {
			served[q.Tenant]++
		}
	}
	if served["live"] != 50 || served["late"] != 50 {
		t.Errorf("turns are %v, want half of them each", served)
	}
}

// Where there is room for some at a time, too, everybody has a share by weight.
func TestBackfillIsSharedWhateverRoomThereIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var limits []execution.Backlog
		total := 0
		for i := range rapid.IntRange(2, 12).Draw(t, "tenants") {
			limits = append(limits, backfill(fmt.Sprint("t", i), 1000, rapid.IntRange(1, 4).Draw(t, "weight")))
			total += limits[i].Weight
		}
		store, ring := newWork(limits...), queue.NewRing()
		for _, l := range limits {
			store.add(l.Tenant, event.Backfill, 1_000_000)
		}
		ring.Refresh(limits)
		served, most := map[string]int{}, 60*total
		for done := 0; done < most; {
			room := rapid.IntRange(1, 5).Draw(t, "room")
			claimed := store.serve(ring, rapid.IntRange(1, 8).Draw(t, "slots"), room)
			for _, c := range claimed {
				served[c.Tenant]++
				store.done(c)
				ring.Done(c.Tenant, c.Lane == event.Backfill)
			}
			if len(claimed) == 0 {
				t.Fatalf("nothing was claimed although there is room: served %v", served)
			}
			done += len(claimed)
		}
		var shares []float64
		for _, l := range limits {
			shares = append(shares, float64(served[l.Tenant])/float64(l.Weight))
		}
		if got := jain(shares); got < 0.95 {
			t.Errorf("Jain's index of served/weight is %.4f, want at least 0.95: %v of %v", got, served, limits)
		}
	})
}
