package queue_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/queue"
)

// work is a store of queued executions: just enough of Claims to drive a Ring.
type work struct {
	mu              sync.Mutex
	queued, running map[string]lanes
	limits          map[string]execution.Backlog
}

// lanes are how many executions there are, by lane.
type lanes [3]int

func (l lanes) sum() int { return l[event.Interactive] + l[event.Live] + l[event.Backfill] }

func newWork(limits ...execution.Backlog) *work {
	w := &work{queued: map[string]lanes{}, running: map[string]lanes{}, limits: map[string]execution.Backlog{}}
	for _, l := range limits {
		w.limits[l.Tenant] = l
	}
	return w
}

func change(of map[string]lanes, tenant string, lane event.Lane, by int) {
	l := of[tenant]
	l[lane] += by
	of[tenant] = l
}

func (w *work) add(tenant string, lane event.Lane, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.queued, tenant, lane, n)
}

func (w *work) done(c execution.Claimed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.running, c.Tenant, c.Lane, -1)
}

func (w *work) backlogs() []execution.Backlog {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []execution.Backlog
	for _, t := range slices.Sorted(maps.Keys(w.queued)) {
		if w.queued[t].sum() > 0 {
			all = append(all, w.limits[t])
		}
	}
	return all
}

func (w *work) take(taken *execution.Taken, tenant string, lane event.Lane, n int) {
	change(w.queued, tenant, lane, -n)
	change(w.running, tenant, lane, n)
	for range n {
		taken.Claimed = append(taken.Claimed, execution.Claimed{Tenant: tenant, Lane: lane})
	}
}

// room is how much backfill a tenant may have more.
func (w *work) room(q execution.Quota) int {
	return max(q.Running-execution.Reserve(q.Running)-w.running[q.Tenant][event.Backfill], 0)
}

func (w *work) claim(quotas []execution.Quota, backfill int) (taken execution.Taken) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range quotas {
		room := max(min(q.N, q.Running-w.running[q.Tenant].sum()), 0)
		live := min(room, w.queued[q.Tenant][event.Live])
		w.take(&taken, q.Tenant, event.Live, live)
		room -= live
		behind := max(min(room, w.queued[q.Tenant][event.Backfill], w.room(q), backfill), 0)
		backfill -= behind
		if behind > 0 {
			taken.Behind = append(taken.Behind, execution.Quota{Tenant: q.Tenant, N: behind, Running: q.Running})
		}
		switch {
		case room == behind || w.queued[q.Tenant][event.Backfill] == behind:
		case w.room(q) == behind:
			taken.Full = append(taken.Full, q.Tenant)
		default:
			taken.Left = append(taken.Left, q.Tenant)
		}
	}
	return taken
}

func (w *work) claimBackfill(quotas []execution.Quota) (taken execution.Taken) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range quotas {
		room := max(min(q.N, q.Running-w.running[q.Tenant].sum(), w.room(q)), 0)
		n := min(room, w.queued[q.Tenant][event.Backfill])
		w.take(&taken, q.Tenant, event.Backfill, n)
		if n == room && n < q.N && w.room(q) == 0 && w.queued[q.Tenant][event.Backfill] > 0 {
			taken.Full = append(taken.Full, q.Tenant)
		}
	}
	return taken
}

// serve has a ring choose, and claims that, backfill behind the rest.
func (w *work) serve(ring *queue.Ring, slots, backfill int) []execution.Claimed {
	quotas := ring.Take(slots, backfill)
	taken := w.claim(quotas, backfill)
	ring.Result(quotas, taken)
	behind := w.claimBackfill(taken.Behind)
	ring.Behind(taken.Behind, behind)
	return append(taken.Claimed, behind.Claimed...)
}

func backlog(tenant string, running, weight int) execution.Backlog {
	return execution.Backlog{Tenant: tenant, Running: running, Weight: weight}
}

func TestTakeSharesOneRoundByWeight(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("a", 100, 1), backlog("b", 100, 3), backlog("c", 2, 3)})
	want := []execution.Quota{
		{Tenant: "a", N: 3, Running: 100},
		{Tenant: "b", N: 7, Running: 100},
		{Tenant: "c", N: 2, Running: 2},
	}
	if diff := cmp.Diff(want, ring.Take(12, 12)); diff != "" {
		t.Errorf("quotas of one Take (-want +got):\n%s", diff)
	}
}

func TestTakeGoesOnWhereTheLastOneWasCut(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("a", 100, 3), backlog("b", 100, 3)})
	var got []string
	for range 12 {
		for _, q := range ring.Take(1, 1) {
			got = append(got, q.Tenant)
		}
	}
	want := []string{"a", "a", "a", "b", "b", "b", "a", "a", "a", "b", "b", "b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestHintOfATenantThatNoScanHasSeenAsksForOne(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Hint("new")
	want := []execution.Quota{{Tenant: "new", N: 1, Running: 1}}
	if diff := cmp.Diff(want, ring.Take(8, 8)); diff != "" {
		t.Errorf("quotas (-want +got):\n%s", diff)
	}
}

func TestShortClaimLeavesTheRingUntilAHintOrAScan(t *testing.T) {
	t.Parallel()
	for name, wake := range map[string]func(*queue.Ring){
		"hint": func(r *queue.Ring) { r.Hint("a") },
		"scan": func(r *queue.Ring) { r.Refresh([]execution.Backlog{backlog("a", 4, 1)}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ring := queue.NewRing()
			ring.Refresh([]execution.Backlog{backlog("a", 4, 1)})
			ring.Result(ring.Take(4, 4), execution.Taken{Claimed: []execution.Claimed{{Tenant: "a"}}})
			if got := ring.Take(4, 4); len(got) != 0 {
				t.Fatalf("after a short claim Take gave %v, want nothing", got)
			}
			wake(ring)
			want := []execution.Quota{{Tenant: "a", N: 3, Running: 4}}
			if diff := cmp.Diff(want, ring.Take(4, 4)); diff != "" {
				t.Errorf("quotas after it was woken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHintDuringAClaimIsNotLost(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("a", 4, 1)})
	quotas := ring.Take(4, 4)
	ring.Hint("a") // queued after the claim has looked
	ring.Result(quotas, execution.Taken{})
	if got := ring.Take(4, 4); len(got) != 1 {
		t.Errorf("Take gave %v, want the tenant that was hinted while its claim was under way", got)
	}
}

func TestCapHoldsUntilDone(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("a", 2, 1)})
	ring.Result(ring.Take(8, 8), execution.Taken{Claimed: []execution.Claimed{{Tenant: "a"}, {Tenant: "a"}}})
	if got := ring.Take(8, 8); len(got) != 0 {
		t.Fatalf("at its cap Take gave %v, want nothing", got)
	}
	ring.Done("a", false)
	want := []execution.Quota{{Tenant: "a", N: 1, Running: 2}}
	if diff := cmp.Diff(want, ring.Take(8, 8)); diff != "" {
		t.Errorf("quotas after one was done (-want +got):\n%s", diff)
	}
}

func TestReturnedQuotasCanBeTakenAgain(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("a", 2, 1)})
	first := ring.Take(8, 8)
	if got := ring.Take(8, 8); len(got) != 0 {
		t.Fatalf("while the claim is under way Take gave %v, want nothing", got)
	}
	ring.Return(first)
	if diff := cmp.Diff(first, ring.Take(8, 8)); diff != "" {
		t.Errorf("quotas after Return (-want +got):\n%s", diff)
	}
}

func TestScansForgetTenantsThatAreGone(t *testing.T) {
	t.Parallel()
	ring := queue.NewRing()
	ring.Refresh([]execution.Backlog{backlog("a", 9, 9)})
	ring.Result(ring.Take(9, 9), execution.Taken{})
	for range 100 {
		ring.Refresh(nil)
	}
	ring.Hint("a")
	want := []execution.Quota{{Tenant: "a", N: 1, Running: 1}}
	if diff := cmp.Diff(want, ring.Take(9, 9)); diff != "" {
		t.Errorf("quotas of a tenant whose limits were forgotten (-want +got):\n%s", diff)
	}
}

// jain is Jain's index of fairness: 1 when all shares are equal, 1/n when one has all.
func jain(shares []float64) float64 {
	var sum, squares float64
	for _, s := range shares {
		sum += s
		squares += s * s
	}
	return sum * sum / (float64(len(shares)) * squares)
}

func TestSharesFollowWeightsWhateverIsQueued(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 20).Draw(t, "tenants")
		slots := rapid.IntRange(1, 64).Draw(t, "slots")
		var limits []execution.Backlog
		total := 0
		for i := range n {
			weight := rapid.IntRange(1, 8).Draw(t, "weight")
			total += weight
			limits = append(limits, backlog(fmt.Sprint("t", i), 1000, weight))
		}
		store, ring := newWork(limits...), queue.NewRing()
		lane := rapid.SampledFrom([]event.Lane{event.Live, event.Backfill}).Draw(t, "lane")
		const rounds = 40
		for i, l := range limits {
			// The first floods; the others have just enough to stay backlogged.
			extra := rounds * l.Weight * 2
			if i == 0 {
				extra = 1_000_000
			}
			store.add(l.Tenant, lane, extra)
		}
		ring.Refresh(store.backlogs())
		served := map[string]int{}
		for done := 0; done < rounds*total; {
			claimed := store.serve(ring, min(slots, rounds*total-done), slots)
			for _, c := range claimed {
				served[c.Tenant]++
				done++
				store.done(c)
				ring.Done(c.Tenant, c.Lane == event.Backfill)
			}
			if len(claimed) == 0 {
				t.Fatalf("nothing was claimed although all have work: served %v", served)
			}
		}
		var shares []float64
		for _, l := range limits {
			shares = append(shares, float64(served[l.Tenant])/float64(l.Weight))
		}
		if got := jain(shares); got < 0.999 {
			t.Errorf("Jain's index of served/weight is %.4f, want at least 0.999: %v", got, served)
		}
	})
}

func TestFlooderDelaysOthersByARoundAtMost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		others := rapid.IntRange(1, 50).Draw(t, "others")
		flood := backlog("flood", 1_000_000, rapid.IntRange(1, 8).Draw(t, "flooder's weight"))
		limits := []execution.Backlog{flood, backlog("victim", 16, 1)}
		round := flood.Weight + 1
		for i := range others {
			limits = append(limits, backlog(fmt.Sprint("other", i), 16, 1))
			round++
		}
		store, ring := newWork(limits...), queue.NewRing()
		store.add("flood", event.Live, 1_000_000)
		for i := range others {
			store.add(fmt.Sprint("other", i), event.Live, rapid.IntRange(0, 30).Draw(t, "backlog"))
		}
		ring.Refresh(store.backlogs())
		step := func(n int) (tenants []string) {
			for _, c := range store.serve(ring, n, n) {
				store.done(c)
				ring.Done(c.Tenant, c.Lane == event.Backfill)
				tenants = append(tenants, c.Tenant)
			}
			return tenants
		}
		for range rapid.IntRange(0, 40).Draw(t, "steps before") {
			step(rapid.IntRange(1, 8).Draw(t, "slots"))
		}
		store.add("victim", event.Live, 1)
		ring.Hint("victim")
		for before := 0; ; {
			got := step(1)
			if slices.Contains(got, "victim") {
				return
			}
			if before += len(got); before > round {
				t.Fatalf("%d executions started before the victim's, a round is %d", before, round)
			}
		}
	})
}

// TestHammer queues, claims and finishes from many goroutines, in two lanes, and claims
// backfill beside the rest, which fails at times: nothing is lost, nobody exceeds a cap, and no
// scan is needed for work that was hinted.
func TestHammer(t *testing.T) {
	t.Parallel()
	const tenants, each, runners, slots, backfill = 20, 300, 8, 16, 5
	var limits []execution.Backlog
	for i := range tenants {
		limits = append(limits, backlog(fmt.Sprint("t", i), 1+i%4, 1+i%3))
	}
	store, ring := newWork(limits...), queue.NewRing()
	ring.Refresh(limits)

	wake := make(chan struct{}, 1)
	nudge := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	started := make(chan execution.Claimed, slots)
	var free, room, finished atomic.Int64
	var behind atomic.Bool
	free.Store(slots)
	room.Store(backfill)
	var wg, claims sync.WaitGroup
	for _, l := range limits {
		wg.Go(func() {
			for n := range each {
				store.add(l.Tenant, event.Live+event.Lane(n%2), 1)
				ring.Hint(l.Tenant)
				nudge()
			}
		})
	}
	for range runners {
		wg.Go(func() {
			for c := range started {
				store.done(c)
				ring.Done(c.Tenant, c.Lane == event.Backfill)
				free.Add(1)
				if c.Lane == event.Backfill {
					room.Add(1)
				}
				finished.Add(1)
				nudge()
			}
		})
	}
	claimBehind := func(quotas []execution.Quota, held int64, fails bool) {
		defer nudge()
		defer behind.Store(false)
		var claimed []execution.Claimed
		if fails {
			ring.Return(quotas)
		} else {
			taken := store.claimBackfill(quotas)
			ring.Behind(quotas, taken)
			claimed = taken.Claimed
		}
		free.Add(held - int64(len(claimed)))
		room.Add(held - int64(len(claimed)))
		for _, c := range claimed {
			started <- c
		}
	}
	for n := 0; finished.Load() < tenants*each; n++ {
		left := int(room.Load())
		if left < 0 {
			t.Error("there was no room for as much backfill")
		}
		if behind.Load() {
			left = 0
		}
		quotas := ring.Take(int(free.Load()), left)
		if len(quotas) == 0 {
			<-wake
			continue
		}
		taken := store.claim(quotas, left)
		ring.Result(quotas, taken)
		free.Add(-int64(len(taken.Claimed)))
		if held := int64(0); len(taken.Behind) > 0 {
			for _, q := range taken.Behind {
				held += int64(q.N)
			}
			free.Add(-held)
			room.Add(-held)
			behind.Store(true)
			claims.Go(func() { claimBehind(taken.Behind, held, n%7 == 0) })
		}
		for _, c := range taken.Claimed {
			started <- c
		}
	}
	claims.Wait()
	close(started)
	wg.Wait()
	for _, l := range limits {
		if store.queued[l.Tenant].sum() != 0 || store.running[l.Tenant].sum() != 0 {
			t.Errorf("%s has %v queued and %v running left, want none", l.Tenant, store.queued[l.Tenant], store.running[l.Tenant])
		}
	}
}
