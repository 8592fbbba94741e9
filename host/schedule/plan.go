package schedule

import "time"

// plan is what becomes of the instants that are due.
type plan struct {
	// fires is the instant that fires now, or zero for none.
	fires time.Time
	// next is the instant after it, which may be due already, or zero for none.
	next time.Time
}

// planned decides by the policy for what was missed. Ticks that were held are not missed,
// and all of them fire.
func planned(s Schedule, t timer, now time.Time) plan {
	until := now.Add(-s.delay())
	if s.Held || s.Missed == CatchUpAll {
		last := latest(s.Next, t, until, heldMost)
		return plan{fires: last[0], next: t.after(last[0])}
	}
	last := latest(s.Next, t, until, 1)
	p := plan{fires: last[0], next: t.after(last[0])}
	if s.Missed == CatchUpNone && until.Sub(p.fires) > onTime {
		p.fires = time.Time{}
	}
	return p
}

// window is what latest looks through first.
const window = time.Hour

// latest lists the last n instants up to a time, in their order: not before first, which
// is one of them. What was due long ago is not counted from there, one after the other: a
// window before the time is, which grows until it has enough of them.
func latest(first time.Time, t timer, until time.Time, n int) []time.Time {
	for back := window; ; back *= 4 {
		from := until.Add(-back)
		whole := !from.After(first)
		found := []time.Time{}
		if whole {
			found, from = append(found, first), first
		}
		for at := t.after(from); !at.IsZero() && !at.After(until); at = t.after(at) {
			if found = append(found, at); len(found) > 2*n {
				found = append(found[:0], found[len(found)-n:]...)
			}
		}
		if whole || len(found) >= n {
			return found[max(0, len(found)-n):]
		}
	}
}
