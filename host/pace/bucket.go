package pace

import "time"

const (
	// mostLeased is how many tokens are leased at once.
	mostLeased = 256
	// mostMissed is how often in a row what was leased may come too late. After that it is
	// used as it comes: a database that is so slow is no reason to send nothing.
	mostMissed = 3
)

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
	// took is how long leases take: the longest of late. missed is how many in a row have
	// taken so long that they were of no use.
	took   time.Duration
	missed int
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

// lead is from how far in the future tokens are to be, so that they are not too late when
// the answer is there: where much time is left for that, they are from now.
func (b *bucket) lead(ahead time.Duration) time.Duration {
	return min(max(0, 2*b.took-b.terms.late), ahead/2)
}

// lease is one that was granted.
type lease struct {
	// n tokens, the first at first; those of times before from are from then.
	n           int
	first, from time.Time
	// took is how long it took.
	took time.Duration
}

// put adds tokens that were leased.
func (b *bucket) put(now time.Time, l lease) {
	b.took = max(l.took, b.took*7/8)
	last := l.first.Add(time.Duration(l.n-1) * b.terms.interval)
	if l.n == 0 || now.Sub(last) <= b.terms.late || now.Sub(l.from) <= b.terms.late {
		b.missed = 0
	} else if b.missed++; b.missed > mostMissed {
		l.from = now
	}
	for i := range l.n {
		slot := l.first.Add(time.Duration(i) * b.terms.interval)
		if slot.Before(l.from) {
			slot = l.from
		}
		b.slots = append(b.slots, slot)
	}
	b.spent = true
}

// empty drops them.
func (b *bucket) empty() { b.slots, b.size = nil, 1 }
