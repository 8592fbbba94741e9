// Package lane shares a tenant's turns between its lanes. Of eight turns five
// go to interactive work first, two to live and one to backfill; a turn whose
// lane has nothing due goes to the first lane that has. So no lane starves, and
// no turn is wasted, but for the places that backfill leaves free (see
// execution.Reserve), and for turns of backfill that find their places taken once they
// are claimed behind the others (see Split).
package lane

import (
	"cmp"
	"slices"
	"sync"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

// Count is the number of lanes.
const Count = 3

// round is whose turn comes first, by the number of the turn.
const round = "01020100"

// Pick has n turns taken, from the one that begins at turn. Take takes the next due
// execution of a lane, and says whether there was one.
func Pick(turn, n int, take func(lane int) bool) {
	for i := range n {
		if !take(int(round[(turn+i)%len(round)]-'0')) && !first(take) {
			return
		}
	}
}

// first takes from the first lane that has one.
func first(take func(lane int) bool) bool {
	for l := range Count {
		if take(l) {
			return true
		}
	}
	return false
}

// Turns remembers where in the round each tenant is. The zero value is ready.
type Turns struct {
	mu sync.Mutex
	at map[string]uint8
}

// At returns the tenant's next turn.
func (t *Turns) At(tenant string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(t.at[tenant])
}

// Used moves tenants on by the turns that a claim has used, or has given to backfill.
func (t *Turns) Used(taken execution.Taken) {
	used := make(map[string]int)
	for _, c := range taken.Claimed {
		used[c.Tenant]++
	}
	for _, q := range taken.Behind {
		used[q.Tenant] += q.N
	}
	for tenant, n := range used {
		t.Advance(tenant, n)
	}
}

// Advance moves the tenant on by n turns that it used.
func (t *Turns) Advance(tenant string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := (int(t.at[tenant]) + n) % len(round)
	if next == 0 {
		// Absent is the beginning, which keeps the map to tenants in mid-round.
		delete(t.at, tenant)
		return
	}
	if t.at == nil {
		t.at = make(map[string]uint8)
	}
	t.at[tenant] = uint8(next)
}

// Order puts claims into the order of their lanes, the oldest of a lane first.
func Order(claimed []execution.Claimed) {
	slices.SortStableFunc(claimed, func(a, b execution.Claimed) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), a.QueuedAt.Compare(b.QueuedAt))
	})
}

// Merged adds up quotas of one tenant, which must not be asked for twice, and drops
// those that ask for nothing.
func Merged(quotas []execution.Quota) []execution.Quota {
	at := make(map[string]int, len(quotas))
	var out []execution.Quota
	for _, q := range quotas {
		if q.N <= 0 || q.Running <= 0 {
			continue
		}
		if i, ok := at[q.Tenant]; ok {
			out[i].N += q.N
			out[i].Running = min(out[i].Running, q.Running)
			continue
		}
		at[q.Tenant] = len(out)
		out = append(out, q)
	}
	return out
}
