// Package queue decides whose executions a worker claims next: fairly by
// tenant, whatever anyone has queued.
//
// The [Ring] holds the tenants that are thought to have work. It is asked for
// quotas, the store claims exactly those, and what came of it goes back:
//
//	ring := queue.NewRing()
//	ring.Refresh(backlogs)          // once a second, and
//	ring.Hint(tenant)               // when something was queued
//	quotas := ring.Take(free, freeForBackfill)
//	taken, err := store.Claim(ctx, worker, quotas, freeForBackfill)
//	ring.Result(quotas, taken)      // or ring.Return(quotas) after an error
//	ring.Done(tenant, lane)         // for each claimed execution that ended
//
// It is deficit round robin (Shreedhar and Varghese, 1995) with a cost of one
// per execution: in its turn a tenant gets as many as its weight says, then
// goes to the end of the ring. A tenant that floods is one tenant in the ring
// like any other. A tenant at its cap of executions in flight leaves the ring
// until one has ended; one whose claim came back short leaves it until a hint
// or a scan finds it again. One that has nothing due but backfill is set aside
// while there is no room for that, or until one of its own has ended.
//
// The Ring is a hint about the truth, which is in the database: it holds no
// work, and forgetting all of it costs the time until the next scan.
package queue

import (
	"container/list"
	"slices"
	"sync"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// forgetAfter is how many scans in a row a tenant can be absent and idle before
// its limits are forgotten: a minute of scans. It bounds the memory by the
// tenants that are active.
const forgetAfter = 60

// Ring chooses tenants and quotas. It is safe for concurrent use, knows no
// clock, and does no I/O.
type Ring struct {
	mu      sync.Mutex
	tenants map[string]*entry
	// turns are the tenants that may be served, the next one first, and aside those that
	// wait for room for backfill: the one whose turn is not over first, and then the one that
	// waits longest.
	turns, aside list.List
	scans        uint64
}

// entry is what the Ring knows of a tenant.
type entry struct {
	tenant string
	// cap and weight are 1 until a scan has told the real ones: a cap of one in
	// flight breaks no cap that a tenant can have.
	cap, weight int
	// asked is in quotas whose result is not known; flying is claimed and not done.
	asked, flying int
	// deficit is what is left of its turn.
	deficit int
	// turn is its place in the ring, nil when it has none; aside is its place among those
	// that are set aside, which have none.
	turn, aside *list.Element
	// backfill says that nothing else is thought to be due, and full that it has as much of
	// that in flight as it may.
	backfill, full bool
	// parked says that it has no place only because it is at its cap.
	parked bool
	// hinted says that there was a hint since the last Take, so that a claim
	// that was under way cannot have seen everything.
	hinted bool
	seen   uint64
}

// NewRing returns an empty Ring.
func NewRing() *Ring { return &Ring{tenants: map[string]*entry{}} }

// Hint says that a tenant may have new work.
func (r *Ring) Hint(tenant string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(tenant)
	e.hinted, e.backfill = true, false
	r.join(e)
}

// Refresh takes the result of a scan: who has work, with their limits. Tenants
// that are in the ring and not in the scan stay: a hint may be newer than the
// scan, and a claim that comes back short removes them. Those that are set aside
// and not in the scan have nothing left that they could wait with.
func (r *Ring) Refresh(backlogs []execution.Backlog) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scans++
	for _, b := range backlogs {
		e := r.entry(b.Tenant)
		e.cap, e.weight = max(b.Running, 1), max(b.Weight, 1)
		e.seen, e.backfill = r.scans, b.Lane == event.Backfill && !e.hinted
		if e.aside == nil || !e.backfill {
			r.join(e)
		}
	}
	for tenant, e := range r.tenants {
		if e.aside != nil && e.seen != r.scans {
			r.leave(e)
		}
		idle := e.turn == nil && e.asked == 0 && e.flying == 0
		if idle && r.scans-e.seen >= forgetAfter {
			delete(r.tenants, tenant)
		}
	}
}

// Take chooses up to n executions, of which at most so many may be backfill: one Quota
// for each tenant whose turn it is. What is due of a tenant is in the store, which gives the
// room for backfill to whom it comes to first. Each Take is answered by Result or by Return.
func (r *Ring) Take(n, backfill int) []execution.Quota {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n <= 0 {
		return nil
	}
	r.fetch(backfill)
	var quotas []execution.Quota
	place := map[*entry]int{}
	for n > 0 && r.turns.Len() > 0 {
		e := r.turns.Front().Value.(*entry)
		room := e.cap - e.asked - e.flying
		if room <= 0 {
			r.leave(e)
			e.parked = true
			continue
		}
		if e.backfill && backfill <= 0 {
			r.setAside(e)
			continue
		}
		if e.deficit <= 0 {
			e.deficit = e.weight
		}
		k := min(n, room, e.deficit)
		if e.backfill {
			k = min(k, backfill)
			backfill -= k
		}
		n -= k
		e.deficit -= k
		e.asked += k
		e.hinted = false
		// A turn that n cut short goes on at the next Take.
		if e.deficit == 0 {
			r.turns.MoveToBack(e.turn)
		}
		i, ok := place[e]
		if !ok {
			i = len(quotas)
			place[e] = i
			quotas = append(quotas, execution.Quota{Tenant: e.tenant, Running: e.cap})
		}
		quotas[i].N += k
	}
	return quotas
}

// Result tells what the quotas of a Take have brought. Each of the claimed is
// in flight until its Done.
func (r *Ring) Result(quotas []execution.Quota, taken execution.Taken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := map[string]int{}
	for _, c := range taken.Claimed {
		got[c.Tenant]++
		r.entry(c.Tenant).flying++
	}
	for _, q := range quotas {
		e := r.entry(q.Tenant)
		e.asked = max(e.asked-q.N, 0)
		if got[q.Tenant] == q.N || e.hinted {
			r.unpark(e)
			continue
		}
		e.backfill = slices.Contains(taken.Left, q.Tenant)
		if e.backfill {
			r.unpark(e)
			continue
		}
		r.leave(e)
		e.parked, e.full = false, slices.Contains(taken.Full, q.Tenant)
	}
}

// Return gives back quotas that could not be used. Their tenants stay in the ring.
func (r *Ring) Return(quotas []execution.Quota) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range quotas {
		e := r.entry(q.Tenant)
		e.asked = max(e.asked-q.N, 0)
		r.unpark(e)
	}
}

// Done says that one of a tenant's claimed executions has ended, and its lane.
func (r *Ring) Done(tenant string, lane event.Lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(tenant)
	e.flying = max(e.flying-1, 0)
	if e.full && lane == event.Backfill {
		e.backfill = true
		r.join(e)
	}
	r.unpark(e)
}

func (r *Ring) entry(tenant string) *entry {
	e, ok := r.tenants[tenant]
	if !ok {
		e = &entry{tenant: tenant, cap: 1, weight: 1, seen: r.scans}
		r.tenants[tenant] = e
	}
	return e
}

// join gives a tenant a place at the end of the ring, if it has none. If it is
// at its cap, Take will park it when its turn comes.
func (r *Ring) join(e *entry) {
	e.parked, e.full = false, false
	if e.aside != nil {
		r.leave(e)
	}
	if e.turn == nil {
		e.deficit = 0
		e.turn = r.turns.PushBack(e)
	}
}

// leave takes a tenant out of the ring, and from those aside. What was left of its
// turn is lost: a tenant cannot save up turns that it had no use for.
func (r *Ring) leave(e *entry) {
	if e.turn != nil {
		r.turns.Remove(e.turn)
		e.turn = nil
	}
	if e.aside != nil {
		r.aside.Remove(e.aside)
		e.aside = nil
	}
	e.deficit = 0
}

// setAside takes a tenant out of the ring until there is room for backfill. If its turn is
// not over it goes on then, before those of others that are aside.
func (r *Ring) setAside(e *entry) {
	r.turns.Remove(e.turn)
	e.turn = nil
	if e.deficit > 0 {
		e.aside = r.aside.PushFront(e)
	} else {
		e.aside = r.aside.PushBack(e)
	}
}

// fetch brings tenants back that were set aside, as many as there is room for.
func (r *Ring) fetch(backfill int) {
	for range min(backfill, r.aside.Len()) {
		e := r.aside.Remove(r.aside.Front()).(*entry)
		e.aside = nil
		e.turn = r.turns.PushBack(e)
	}
}

func (r *Ring) unpark(e *entry) {
	if e.parked && e.asked+e.flying < e.cap {
		r.join(e)
	}
}
