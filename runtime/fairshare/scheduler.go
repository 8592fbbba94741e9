// Package fairshare divides the processors between tenants by weight. A guest
// runs in slices and cannot be interrupted within one; at the end of each it asks
// here whether it is somebody else's turn.
//
//	s := fairshare.New(0)
//	t := s.NewTicket() // One per sandbox, used again for each call.
//	err := t.Enter(ctx, tenant, weight)
//	err = t.Pause(ctx, burnt) // At the end of each slice; yields to all others, too.
//	t.Leave()                 // Before a host call that waits ...
//	err = t.Rejoin(ctx)       // ... and after it.
//	t.Exit(burnt)
//
// # Virtual time
//
// Each key has a virtual time, which moves by what its guests burn, divided by its
// weight. A slot goes to the waiting key that is furthest behind, and within a key
// to the ticket that has waited longest. So keys that always want more than they
// get share in proportion to their weights, to within a slice per slot.
//
// Nobody saves up: who comes, or comes back, starts no further behind than the
// key that a slot was last given to. Nobody owes for what no one else wanted: when
// nothing waits, all that run are level. A key that owes is remembered though it
// is idle, or many short calls would count less than one long one.
package fairshare

import (
	goruntime "runtime"
	"sync"
)

const (
	// scale is the virtual time of a unit of fuel at weight 1. At MaxWeight the
	// shortest slice, of 10,000 units, is still 156.
	scale = 1 << 10
	// maxBurnt bounds one charge: about an hour of a processor.
	maxBurnt = 1 << 42
	// maxDebt is how far a key can be ahead, and rebase the time at which all times
	// are put back: 2^60 + 2^61 + scale*maxBurnt is below 2^63.
	maxDebt = 1 << 61
	rebase  = 1 << 60
	// keptKeys are remembered, idle or not, so that a key that comes and goes costs
	// no allocation.
	keptKeys = 1024
)

// MaxWeight is the largest weight; Enter takes larger ones as this.
const MaxWeight = 1 << 16

// Scheduler lets a number of tickets in at once. It is safe for concurrent use.
type Scheduler struct {
	mu      sync.Mutex
	free    int
	now     int64 // Virtual time.
	waiting queue
	keys    map[string]*share
	sweepAt int
}

// share is one key's part. Its fields are guarded by Scheduler.mu.
type share struct {
	time   int64
	weight int64
	// held is the number of tickets between Enter and Exit; present, of those that
	// run or wait.
	held, present int
	// first and last are the tickets that wait, in the order they came; position is
	// the share's in Scheduler.waiting while there are any.
	first, last *Ticket
	position    int
	// since orders shares of the same time by when they began to wait.
	since uint64
}

// New returns a Scheduler of so many slots. Zero or less means GOMAXPROCS: a guest
// that runs has a processor to itself.
func New(slots int) *Scheduler {
	if slots <= 0 {
		slots = goruntime.GOMAXPROCS(0)
	}
	return &Scheduler{free: slots, keys: map[string]*share{}, sweepAt: keptKeys}
}

// NewTicket returns a ticket that is outside.
func (s *Scheduler) NewTicket() *Ticket {
	return &Ticket{scheduler: s, granted: make(chan struct{}, 1)}
}

// hold returns the key's share, for one more ticket.
func (s *Scheduler) hold(key string, weight int) *share {
	k := s.keys[key]
	if k == nil {
		if len(s.keys) >= s.sweepAt {
			s.sweep()
		}
		k = &share{time: s.now}
		s.keys[key] = k
	}
	k.weight = int64(min(max(weight, 1), MaxWeight))
	k.held++
	return k
}

// sweep forgets idle keys that owe nothing: as newcomers they would be no worse off.
func (s *Scheduler) sweep() {
	for name, k := range s.keys {
		if k.held == 0 && k.time <= s.now {
			delete(s.keys, name)
		}
	}
	s.sweepAt = max(keptKeys, 2*len(s.keys))
}

// arrive gives t a slot, or puts it in line and says false.
func (s *Scheduler) arrive(t *Ticket) bool {
	k := t.share
	if k.present == 0 {
		k.time = max(k.time, s.now)
	}
	k.present++
	if s.free == 0 {
		s.line(t)
		return false
	}
	s.free--
	t.state = running
	return true
}

// line puts t at the end of its key's line.
func (s *Scheduler) line(t *Ticket) {
	k := t.share
	t.state, t.previous, t.next = waits, k.last, nil
	if k.last != nil {
		k.last.next, k.last = t, t
		return
	}
	k.first, k.last = t, t
	s.waiting.push(k)
}

// unline takes t out of its key's line.
func (s *Scheduler) unline(t *Ticket) {
	k := t.share
	if t.previous == nil {
		k.first = t.next
	} else {
		t.previous.next = t.next
	}
	if t.next == nil {
		k.last = t.previous
	} else {
		t.next.previous = t.previous
	}
	t.previous, t.next = nil, nil
	if k.first == nil {
		s.waiting.remove(k)
	}
}

// give hands a slot that is free to the ticket whose turn it is.
func (s *Scheduler) give() {
	if len(s.waiting.shares) == 0 {
		s.free++
		return
	}
	k := s.waiting.shares[0]
	s.now = max(s.now, k.time)
	t := k.first
	s.unline(t)
	if k.first != nil {
		// Behind the others of its time, who would else see it take every slot.
		s.waiting.again(k)
	}
	t.state = running
	t.granted <- struct{}{}
}

// charge moves the key's time by what it burnt.
func (s *Scheduler) charge(k *share, burnt int64) {
	cost := min(max(burnt, 0), maxBurnt) * scale / k.weight
	// A key that lags while none of its tickets waits wants no more than it gets.
	k.time = min(max(k.time+cost, s.now), s.now+maxDebt)
	if len(s.waiting.shares) == 0 {
		s.now = max(s.now, k.time)
	} else if k.first != nil {
		s.waiting.fix(k)
	}
	if s.now > rebase {
		s.rebase()
	}
}

// rebase takes the present from all times. The bound is for those that have long
// been away: who waits is never far behind.
func (s *Scheduler) rebase() {
	for _, k := range s.keys {
		k.time = max(k.time-s.now, -rebase)
	}
	s.now = 0
}
