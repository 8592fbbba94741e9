package abi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"
)

const (
	subscriptionSize = 48
	// maxSubscriptions bounds the copy of them, 200 KB, and the time that one call
	// takes. There are three descriptors to wait for, and one clock is enough.
	maxSubscriptions = 4096
	eventSize        = 32

	eventClock   = 0
	eventFdWrite = 2

	clockAbsolute = 1 // subclockflags: the timeout is a point in time.
)

// subscription is what poll_oneoff is asked to wait for.
type subscription []byte

func (s subscription) kind() byte       { return s[8] }
func (s subscription) clockID() uint32  { return binary.LittleEndian.Uint32(s[16:]) }
func (s subscription) timeout() uint64  { return binary.LittleEndian.Uint64(s[24:]) }
func (s subscription) isAbsolute() bool { return binary.LittleEndian.Uint16(s[40:])&clockAbsolute != 0 }
func (s subscription) fd() uint32       { return binary.LittleEndian.Uint32(s[16:]) }

// pollOneoff is how guests sleep. Descriptors are ready at once, or wrong at
// once; only when there is none does the shortest clock become the question
// "sleep".
func pollOneoff(ctx context.Context, g *Guest, m api.Memory, s []uint64) errno {
	in, out, count, result := uint32(s[0]), uint32(s[1]), uint32(s[2]), uint32(s[3])
	if count > m.Size()/subscriptionSize {
		return errnoFault // Also: count times its size would overflow.
	}
	if count == 0 || count > maxSubscriptions {
		return errnoInval
	}
	raw, ok := m.Read(in, count*subscriptionSize)
	if !ok {
		return errnoFault
	}
	g.spend(ctx, len(raw))
	// The events may lie over the subscriptions: read these first.
	subscriptions := append([]byte(nil), raw...)
	events, ok := m.Read(out, count*eventSize)
	if !ok {
		return errnoFault
	}
	shortest, hasClock, hasFd := g.survey(subscriptions)
	verdict := errnoSuccess
	if hasClock && !hasFd {
		verdict = g.sleep(ctx, shortest)
	}
	n := g.report(subscriptions, events, shortest, verdict)
	return stored(m.WriteUint32Le(result, n))
}

// survey returns the shortest wait that the clocks ask for.
func (g *Guest) survey(subscriptions []byte) (shortest time.Duration, hasClock, hasFd bool) {
	shortest = math.MaxInt64
	for ; len(subscriptions) > 0; subscriptions = subscriptions[subscriptionSize:] {
		s := subscription(subscriptions)
		if s.kind() != eventClock {
			hasFd = true
			continue
		}
		hasClock = true
		shortest = min(shortest, g.wait(s))
	}
	if hasFd {
		shortest = 0 // Only clocks that are due already are reported beside a descriptor.
	}
	return shortest, hasClock, hasFd
}

// wait is how long a clock has to go.
func (g *Guest) wait(s subscription) time.Duration {
	timeout := s.timeout()
	if s.isAbsolute() {
		now := g.clock.monotonic()
		if s.clockID() == clockRealtime {
			now = g.clock.wall()
		}
		timeout -= min(now, timeout)
	}
	return time.Duration(min(timeout, math.MaxInt64))
}

// sleep asks for time to pass. Whatever is answered, the guest's clock is past
// the wait after it: the clock stands still by itself, and a guest whose sleep
// is refused, or answered with an early time, would wait for ever. A wait of
// less than a millisecond, the question's unit, is such a step of the clock only:
// language runtimes make them while they spin, and no one is served by asking.
func (g *Guest) sleep(ctx context.Context, d time.Duration) errno {
	if d <= 0 {
		return errnoSuccess
	}
	until := g.clock.now.Add(d)
	if d < time.Millisecond {
		g.clock.advance(until)
		return errnoSuccess
	}
	milliseconds := (int64(d)-1)/int64(time.Millisecond) + 1
	response := g.question(ctx, "sleep", fmt.Appendf(nil, `{"ms":%d}`, milliseconds))
	g.clock.advance(until)
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(response, &answer); err != nil {
		g.end(fmt.Errorf("decode the answer of sleep: %w", err))
	}
	if len(answer.Error) > 0 && string(answer.Error) != "null" {
		return errnoAccess
	}
	return errnoSuccess
}

// report writes the events that have come and returns their number.
func (g *Guest) report(subscriptions, events []byte, waited time.Duration, verdict errno) uint32 {
	n := uint32(0)
	for ; len(subscriptions) > 0; subscriptions = subscriptions[subscriptionSize:] {
		s := subscription(subscriptions)
		e := errnoSuccess
		switch {
		case s.kind() == eventClock && s.clockID() > clockMonotonic:
			e = errnoInval
		case s.kind() == eventClock:
			if !s.isAbsolute() && g.wait(s) > waited || s.isAbsolute() && g.wait(s) > 0 {
				continue
			}
			e = verdict
		case s.fd() > stderr || s.kind() > eventFdWrite:
			e = errnoBadF
		}
		event := events[n*eventSize : (n+1)*eventSize]
		clear(event)
		copy(event, s[:8]) // The guest's own tag.
		binary.LittleEndian.PutUint16(event[8:], uint16(e))
		event[10] = s.kind()
		n++
	}
	return n
}
