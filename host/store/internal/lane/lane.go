// Package lane shares a tenant's turns between its lanes. Of eight turns five
// go to interactive work first, two to live and one to backfill; a turn whose
// lane has nothing due goes to the first lane that has. So no lane starves, and
// no turn is wasted.
package lane

import "sync"

// Count is the number of lanes.
const Count = 3

// round is whose turn comes first, by the number of the turn.
const round = "01020100"

// Take says how many of n turns each lane gets, from the turn that begins at
// turn, when due executions wait in each.
func Take(turn, n int, due [Count]int) [Count]int {
	var got [Count]int
	for i := range n {
		l := int(round[(turn+i)%len(round)] - '0')
		if got[l] == due[l] {
			l = first(got, due)
		}
		if l == Count {
			break
		}
		got[l]++
	}
	return got
}

// first returns the first lane that has more due than got.
func first(got, due [Count]int) int {
	for l := range Count {
		if got[l] < due[l] {
			return l
		}
	}
	return Count
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
