package abi

import "time"

// Moment is what a guest's clocks show.
type Moment struct {
	Wall      time.Time
	Monotonic time.Duration
}

// clock is the guest's time. It stands still between answers, which makes runs
// repeatable and takes the timer away from side channels.
type clock struct {
	start, now time.Time
	base       time.Duration // What the monotonic clock shows at start.
}

// monotonicStart is what the monotonic clock shows first. Not zero: Go's runtime
// takes zero for a broken clock.
const monotonicStart = time.Second

// lastYear is where the clock stops, well before 64-bit nanoseconds end in 2262:
// a guest can add up sleeps.
const lastYear = 2200

// newClock starts a clock that never shows less than what was seen before.
func newClock(start time.Time, seen Moment) clock {
	start = recordable(start)
	if start.IsZero() || start.Before(time.Unix(0, 0)) {
		start = time.Unix(0, 0)
	}
	if seen.Wall.After(start) {
		start = seen.Wall
	}
	return clock{start: start, now: start, base: max(seen.Monotonic, monotonicStart)}
}

// advance moves the clock to t; never back, and never for the zero time.
func (c *clock) advance(t time.Time) {
	t = recordable(t)
	if t.After(c.now) && t.Year() < lastYear {
		c.now = t
	}
}

// recordable is a time as it comes back from a record: without this machine's
// monotonic reading, by which two times lie some nanoseconds nearer or farther.
func recordable(t time.Time) time.Time { return t.Round(0) }

func (c *clock) wall() uint64 { return uint64(c.now.UnixNano()) }

func (c *clock) monotonic() uint64 { return uint64(c.now.Sub(c.start) + c.base) }
