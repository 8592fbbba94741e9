package pace

import "time"

// mostLeased is how many tokens are leased at once.
const mostLeased = 256

// bucket has the tokens that a process has leased, by its own clock.
type bucket struct {
	// slots are from when on each may be used, the first first.
	slots []time.Time
	// size is how many are leased at a time.
	size int
	// spent says that all that were leased last were used.
	spent bool
	// terms are what they were leased by.
	terms terms
}

// take takes a token that can be used until a time.
func (b *bucket) take(now time.Time, ahead time.Duration, t terms) (time.Time, bool) {
	if b.terms != t {
		b.slots, b.size, b.terms = nil, 1, t // The rate was changed.
	}
	gone := 0
	for gone < len(b.slots) && now.Sub(b.slots[gone]) > t.late {
		gone++
	}
	if gone > 0 {
		b.slots, b.spent = b.slots[gone:], false
		b.size = max(1, b.size/2)
	}
	if len(b.slots) == 0 || b.slots[0].Sub(now) > ahead {
		return time.Time{}, false
	}
	slot := b.slots[0]
	b.slots = b.slots[1:]
	return slot, true
}

// want is how many to lease: twice as many as last time where those were used up, as long
// as they come soon.
func (b *bucket) want(asking int) int {
	if b.spent {
		b.size *= 2
	}
	b.size = min(b.size, max(1, int(50*time.Millisecond/b.terms.interval)))
	return min(max(b.size, asking), mostLeased)
}

// put adds tokens that were leased: those of times that are over are from now.
func (b *bucket) put(now, first time.Time, n int) {
	for i := range n {
		slot := first.Add(time.Duration(i) * b.terms.interval)
		if slot.Before(now) {
			slot = now
		}
		b.slots = append(b.slots, slot)
	}
	b.spent = true
}

// empty drops them.
func (b *bucket) empty() { b.slots, b.size = nil, 1 }
