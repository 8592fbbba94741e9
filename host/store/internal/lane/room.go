package lane

import (
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// Running is how many executions run under a cap, and how many of them are backfill.
type Running struct{ All, Backfill int }

// Left is the room that is left under the cap.
func (r Running) Left(most int) Room {
	return Room{All: max(most-r.All, 0), Backfill: max(most-execution.Reserve(most)-r.Backfill, 0)}
}

// Reserved is how many executions of the other lanes there is room for beside a claim of
// backfill that counts at another moment. That one takes cap - Reserve - backfill at most, and
// cap - all; this leaves Reserve - live, so that together they keep to the cap, as long as
// nothing but claims has more run, and what runs keeps its lane.
func (r Running) Reserved(most int) int {
	return max(min(execution.Reserve(most)-(r.All-r.Backfill), most-r.All), 0)
}

// Room is for how many executions there is room, and how many of them may be backfill.
type Room struct{ All, Backfill int }

// Of is for how many of a lane there is room.
func (r *Room) Of(lane int) int {
	if lane == int(event.Backfill) {
		return min(r.All, r.Backfill)
	}
	return r.All
}

func (r *Room) take(lane int) {
	r.All--
	if lane == int(event.Backfill) {
		r.Backfill--
	}
}

// Few is how much backfill a claim of all lanes takes itself: where places are free one at a
// time, somebody else would have each before it is claimed behind.
const Few = 4

// Most is more backfill than a claim ever takes.
const Most = 1 << 20

// Claim is how far a claim has come. Backfill is how much of that may be chosen yet, and AtOnce
// how much of it may be claimed with the rest; for the others see execution.Taken.
type Claim struct {
	Backfill, AtOnce int
	Behind           []execution.Quota
	Left, Full       []string
}

// Tenant is what a claim looks at of a tenant: what runs of it, where in the round it is, and
// the oldest due executions of its lanes, of backfill one more than there is room for.
type Tenant[H any] struct {
	Quota   execution.Quota
	Running Running
	Turn    int
	Heads   [Count][]H
}

// Room is how many executions of the tenant a claim may take.
func (t Tenant[H]) Room(c *Claim) Room {
	left := t.Running.Left(t.Quota.Running)
	return Room{All: min(t.Quota.N, left.All), Backfill: max(min(c.Backfill, left.Backfill), 0)}
}

// Chosen is what is to be claimed. For Capped see execution.Claimed.
type Chosen[H any] struct {
	Head   H
	Lane   int
	Capped bool
}

// Split parts what was chosen of a tenant into what is claimed at once, which it returns, and
// what is claimed behind it: backfill, unless there is little of it. Apart says that none of
// it may be claimed at once.
func Split[H any](c *Claim, q execution.Quota, chosen []Chosen[H], apart bool) []Chosen[H] {
	var now []Chosen[H]
	for _, head := range chosen {
		if head.Lane != int(event.Backfill) {
			now = append(now, head)
		}
	}
	backfill := len(chosen) - len(now)
	switch {
	case backfill == 0:
	case !apart && backfill <= c.AtOnce:
		c.AtOnce -= backfill
		return chosen
	default:
		c.Behind = append(c.Behind, execution.Quota{Tenant: q.Tenant, N: backfill, Running: q.Running})
	}
	return now
}

// Choose chooses what a claim takes of a tenant. Under gives the room that a head's installation
// has left under its own cap, nil where it has none; what is chosen takes its place there.
func Choose[H any](c *Claim, t Tenant[H], under func(H) *Room) []Chosen[H] {
	room, heads := t.Room(c), t.Heads
	var chosen []Chosen[H]
	backfill := 0
	Pick(t.Turn, room.All, func(l int) bool {
		for len(heads[l]) > 0 && room.Of(l) > 0 {
			h := heads[l][0]
			heads[l] = heads[l][1:]
			own := under(h)
			if own != nil {
				if own.Of(l) == 0 {
					continue
				}
				own.take(l)
			}
			room.take(l)
			if l == int(event.Backfill) {
				backfill++
			}
			chosen = append(chosen, Chosen[H]{Head: h, Lane: l, Capped: own != nil})
			return true
		}
		return false
	})
	c.Backfill -= backfill
	if room.All > 0 && len(heads[event.Backfill]) > 0 {
		if backfill == t.Running.Left(t.Quota.Running).Backfill {
			c.Full = append(c.Full, t.Quota.Tenant)
		} else {
			c.Left = append(c.Left, t.Quota.Tenant)
		}
	}
	return chosen
}
