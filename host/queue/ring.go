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
//	behind, err := store.ClaimBackfill(ctx, worker, taken.Behind)
//	ring.Behind(taken.Behind, behind) // or ring.Return(taken.Behind)
//	ring.Done(tenant, ofBackfill)   // for each claimed execution that ended
//
// It is deficit round robin (Shreedhar and Varghese, 1995) with a cost of one
// per execution: in its turn a tenant gets as many as its weight says, then
// goes to the end of the ring. A tenant that floods is one tenant in the ring
// like any other. A tenant at its cap of executions in flight leaves the ring
// until one has ended; one whose claim came back short leaves it until a hint
// or a scan finds it again.
//
// A tenant that has nothing due but backfill, for which there is no room, waits in
// a line, and what is hinted of it meanwhile costs it nothing of its place there.
// Who comes from the line has the room first. One that has as much backfill in
// flight as it may leaves the ring until some of that has ended.
//
// The Ring is a hint about the truth, which is in the database: it holds no
// work, and forgetting all of it costs the time until the next scan.
package queue

import (
	"container/list"
	"slices"
	"sync"

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
	// turns are the tenants that may be served, the next one first, and line those that wait
	// for room for backfill, some of which may be served for something else.
	turns, line list.List
	scans       uint64
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
	// turn and waits are its places in the ring and in the line, nil when it has none.
	turn, waits *list.Element
	// backfill says that nothing else is thought to be due, and called that it came from the
	// line and has not been asked for since.
	backfill, called bool
	// full says that it has as much backfill in flight as it may, and freed that some has
	// ended since the last Take.
	full, freed bool
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
// scan, and a claim that comes back short removes them. Those that are not in the
// scan have nothing that could wait in the line.
func (r *Ring) Refresh(backlogs []execution.Backlog) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scans++
	for _, b := range backlogs {
		e := r.entry(b.Tenant)
		e.cap, e.weight = max(b.Running, 1), max(b.Weight, 1)
		e.seen, e.backfill = r.scans, b.Backfill && !e.hinted
		switch {
		case !e.backfill:
			r.join(e)
		case e.turn == nil:
			r.wait(e)
		}
	}
	for tenant, e := range r.tenants {
		if e.seen != r.scans {
			r.unwait(e)
		}
		idle := e.turn == nil && e.asked == 0 && e.flying == 0
		if idle && r.scans-e.seen >= forgetAfter {
			delete(r.tenants, tenant)
		}
	}
}

// Take chooses up to n executions, of which at most so many may be backfill: one Quota
// for each tenant whose turn it is. What is due of a tenant is in the store, which gives the
// room for backfill to whom it comes to first: that are those that have waited for it. Each
// Take is answered by Result or by Return.
func (r *Ring) Take(n, backfill int) []execution.Quota {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n <= 0 {
		return nil
	}
	r.call(backfill)
	var first, rest []*entry
	taken := map[*entry]int{}
	for n > 0 && r.turns.Len() > 0 {
		e := r.turns.Front().Value.(*entry)
		room := e.cap - e.asked - e.flying
		switch {
		case room <= 0:
			r.leave(e)
			e.parked = true
			continue
		case e.backfill && backfill <= 0:
			r.step(e)
			continue
		}
		if e.deficit <= 0 {
			e.deficit = e.weight
		}
		k := min(n, room, e.deficit)
		if e.backfill {
			k = min(k, backfill)
		}
		among := &rest
		if e.backfill || e.called {
			among = &first
			backfill -= min(k, backfill)
		}
		if taken[e] == 0 {
			*among = append(*among, e)
		}
		n -= k
		e.deficit -= k
		e.asked += k
		taken[e] += k
		e.hinted, e.called, e.freed = false, false, false
		// A turn that n cut short goes on at the next Take.
		if e.deficit == 0 {
			r.turns.MoveToBack(e.turn)
		}
	}
	var quotas []execution.Quota
	for _, e := range append(first, rest...) {
		quotas = append(quotas, execution.Quota{Tenant: e.tenant, N: taken[e], Running: e.cap})
	}
	return quotas
}

// Result tells what the quotas of a Take have brought. Each of the claimed is
// in flight until its Done. What of backfill is behind is asked for still, until Behind
// or Return.
func (r *Ring) Result(quotas []execution.Quota, taken execution.Taken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.fly(taken.Claimed)
	for _, q := range taken.Behind {
		got[q.Tenant] += q.N
		r.entry(q.Tenant).asked += q.N
	}
	for _, q := range quotas {
		e := r.entry(q.Tenant)
		e.asked = max(e.asked-q.N, 0)
		if got[q.Tenant] == q.N || e.hinted || slices.Contains(taken.Busy, q.Tenant) {
			r.unpark(e)
			continue
		}
		full := slices.Contains(taken.Full, q.Tenant)
		e.backfill = slices.Contains(taken.Left, q.Tenant) || full && e.freed
		r.leave(e)
		if e.backfill {
			r.wait(e)
			continue
		}
		r.unwait(e)
		e.parked, e.full = false, full
	}
}

// Behind tells what a claim of backfill has brought, of which a Result has told.
func (r *Ring) Behind(quotas []execution.Quota, taken execution.Taken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fly(taken.Claimed)
	for _, q := range quotas {
		e := r.entry(q.Tenant)
		e.asked = max(e.asked-q.N, 0)
		switch full := slices.Contains(taken.Full, q.Tenant); {
		case e.turn != nil || e.waits != nil: // It is asked again anyway.
		case full && e.freed:
			e.backfill = true
			r.wait(e)
		case full:
			e.full = true
		}
		r.unpark(e)
	}
}

// Return gives back quotas that could not be used. Their tenants are in the ring then.
func (r *Ring) Return(quotas []execution.Quota) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range quotas {
		e := r.entry(q.Tenant)
		e.asked = max(e.asked-q.N, 0)
		r.join(e)
	}
}

// Done says that one of a tenant's claimed executions has ended, and whether it was
// backfill.
func (r *Ring) Done(tenant string, backfill bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(tenant)
	e.flying = max(e.flying-1, 0)
	if backfill {
		e.freed = true
		if e.full {
			e.backfill = true
			r.wait(e)
		}
	}
	r.unpark(e)
}

// fly has what was claimed be in flight, and counts it by tenant.
func (r *Ring) fly(claimed []execution.Claimed) map[string]int {
	n := map[string]int{}
	for _, c := range claimed {
		n[c.Tenant]++
		r.entry(c.Tenant).flying++
	}
	return n
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
	if e.turn == nil {
		e.turn = r.turns.PushBack(e)
	}
}

// leave takes a tenant out of the ring. What was left of its turn is lost: a
// tenant cannot save up turns that it had no use for.
func (r *Ring) leave(e *entry) {
	if e.turn != nil {
		r.turns.Remove(e.turn)
		e.turn = nil
	}
	e.deficit = 0
}

// step has a tenant step out of the ring and into the line. What is left of its turn it has
// when it comes back, before others that wait.
func (r *Ring) step(e *entry) {
	deficit := e.deficit
	r.leave(e)
	r.wait(e)
	e.called = false
	if e.deficit = deficit; deficit > 0 {
		r.line.MoveToFront(e.waits)
	}
}

// wait gives a tenant a place at the end of the line, if it has none.
func (r *Ring) wait(e *entry) {
	e.parked, e.full = false, false
	if e.waits == nil {
		e.waits = r.line.PushBack(e)
	}
}

// call brings tenants from the line into the ring, as many as there is room for.
func (r *Ring) call(backfill int) {
	for range min(backfill, r.line.Len()) {
		e := r.line.Front().Value.(*entry)
		r.unwait(e)
		e.called = true
		r.join(e)
	}
}

func (r *Ring) unwait(e *entry) {
	if e.waits != nil {
		r.line.Remove(e.waits)
		e.waits = nil
	}
}

func (r *Ring) unpark(e *entry) {
	if e.parked && e.asked+e.flying < e.cap {
		r.join(e)
	}
}
