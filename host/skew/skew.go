// Package skew says how another machine's clock stands to this one's, from questions that
// were asked over a network.
//
// An answer that says what time it is was made at some moment between the question and the
// answer's coming: a quick one says it well, one that waited for a processor, a connection
// or a lock hardly at all. Both bounds of each answer are kept, and moved apart as time
// passes by what two clocks of quartz may drift, so that a slow answer spoils nothing that
// a quick one has said. This is the intersection that Marzullo and Owicki describe
// ("Maintaining the Time in a Distributed System", 1983), for one server, with the round
// trips of Cristian ("Probabilistic clock synchronization", 1989).
//
//	asked := time.Now()
//	at := askTheServer()
//	c.Learn(at, asked, time.Now())
//	earliest, latest, _ := c.Here(at.Add(time.Second))
package skew

import (
	"sync"
	"time"
)

// drift is the share of the time that has passed by which two clocks may have moved apart:
// 100 in a million each.
const drift = 5000

// Clock is another machine's. The zero Clock is one of which nothing is known. It is safe
// for concurrent use.
type Clock struct {
	mu sync.Mutex
	// at is a time that it read between least and most.
	at, least, most time.Time
}

// Learn takes note of a time that it read at some moment from asked to answered, by this
// machine's clock. Where that cannot be if what was known is true, what was known is void:
// a clock was set, or another machine answers.
func (c *Clock) Learn(at, asked, answered time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	least, most, known := c.here(at)
	apart := at.Sub(c.at).Abs() / drift
	least, most = least.Add(-apart), most.Add(apart)
	if known && !least.After(answered) && !most.Before(asked) {
		if least.After(asked) {
			asked = least
		}
		if most.Before(answered) {
			answered = most
		}
	}
	c.at, c.least, c.most = at, asked, answered
}

// Here is from when to when, by this machine's clock, it is that the other reads at, unless
// the two drift apart until then. It is not known before something was learnt.
func (c *Clock) Here(at time.Time) (least, most time.Time, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here(at)
}

// Ahead is how much later the other reads than this machine's clock: the middle of what it
// may be. It is zero before something was learnt.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return 0
	}
	return c.at.Sub(c.least.Add(c.most.Sub(c.least) / 2))
}

func (c *Clock) here(at time.Time) (least, most time.Time, known bool) {
	passed := at.Sub(c.at)
	return c.least.Add(passed), c.most.Add(passed), !c.at.IsZero()
}
