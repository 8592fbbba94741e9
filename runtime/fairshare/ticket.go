package fairshare

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
)

// errInside is a mistake of the caller's.
var errInside = errors.New("enter with a ticket that has not exited")

// leastPause is what a slice counts at least, in fuel: about what the pause at its
// end takes. A guest that ends its slices early would else get its pauses for free.
const leastPause = 1000

// state is where a ticket is.
type state byte

const (
	// outside is before Enter and after Exit.
	outside state = iota
	// running has a slot.
	running
	// waits is in line for one.
	waits
	// away is in a host call, or was cancelled in line.
	away
)

// Ticket is one guest's place. Its methods are called by the goroutine that runs
// the guest, and allocate nothing.
type Ticket struct {
	scheduler *Scheduler
	// granted gets one value for each slot that was waited for.
	granted chan struct{}

	// The rest is guarded by Scheduler.mu.
	state          state
	share          *share
	previous, next *Ticket

	crowd crowd
}

// Enter waits for a slot, as one of key's. A weight below 1 is 1, and the last one
// given holds for all of the key's tickets. After an error, which is ctx's or says
// that the ticket is inside already, it is where it was.
func (t *Ticket) Enter(ctx context.Context, key string, weight int) error {
	s := t.scheduler
	s.mu.Lock()
	if t.state != outside {
		s.mu.Unlock()
		return errInside
	}
	t.share = s.hold(key, weight)
	in := s.arrive(t)
	s.mu.Unlock()
	if in {
		return nil
	}
	if err := t.wait(ctx); err != nil {
		t.Exit(0)
		return fmt.Errorf("wait for a processor: %w", err)
	}
	return nil
}

// Pause counts what was burnt since the last time, and gives the slot to another
// if it is its turn; it then returns when it is this one's again. Else it lets
// those run who are no guests, if they wait for a processor. After an error, which
// is ctx's, the ticket has no slot: only Exit is left.
func (t *Ticket) Pause(ctx context.Context, burnt int64) error {
	s := t.scheduler
	s.mu.Lock()
	if t.share == nil {
		s.mu.Unlock()
		return nil
	}
	s.charge(t.share, max(burnt, leastPause))
	if t.state != running || !s.waiting.due(t.share.time) {
		full := s.free == 0
		s.mu.Unlock()
		if full || t.crowd.waits() {
			goruntime.Gosched()
		}
		return nil
	}
	s.line(t)
	s.give()
	s.mu.Unlock()
	if err := t.wait(ctx); err != nil {
		return fmt.Errorf("wait for a processor: %w", err)
	}
	return nil
}

// Leave gives up the slot while the guest waits for something else.
func (t *Ticket) Leave() {
	t.scheduler.mu.Lock()
	defer t.scheduler.mu.Unlock()
	t.leave()
}

// Rejoin waits for a slot after Leave. After an error, which is ctx's, the ticket
// has none.
func (t *Ticket) Rejoin(ctx context.Context) error {
	s := t.scheduler
	s.mu.Lock()
	in := t.state != away || s.arrive(t)
	s.mu.Unlock()
	if in {
		return nil
	}
	if err := t.wait(ctx); err != nil {
		return fmt.Errorf("wait for a processor again: %w", err)
	}
	return nil
}

// Exit counts what was burnt last and ends the use of the ticket, wherever it is;
// it can then be used for another Enter. A ticket that is outside stays so.
func (t *Ticket) Exit(burnt int64) {
	s := t.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.state == outside {
		return
	}
	s.charge(t.share, burnt)
	t.leave()
	t.share.held--
	t.share, t.state = nil, outside
}

func (t *Ticket) leave() {
	if t.state != running {
		return
	}
	t.state = away
	t.share.present--
	t.scheduler.give()
}

// wait returns when the ticket has a slot, or else, with ctx's error, when it is
// neither in line nor has one.
func (t *Ticket) wait(ctx context.Context) error {
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
	}
	s := t.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.state == running {
		// Both came at once. The slot goes to the next, and the word of it is taken.
		<-t.granted
		t.leave()
	} else {
		s.unline(t)
		t.state = away
		t.share.present--
	}
	return ctx.Err()
}
