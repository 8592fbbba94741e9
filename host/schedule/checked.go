package schedule

import (
	"encoding/json"
	"hash/fnv"
	"regexp"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// name is what names of schedules look like.
var name = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// checked fills in what may be left out, and refuses what cannot be.
func (s Schedule) checked() (Schedule, error) {
	if s.Name == "" {
		_, s.Name = s.call()
	}
	if !name.MatchString(s.Name) {
		return s, fault.New(fault.InvalidInput, "name_invalid", "the name %q cannot be", clip(s.Name)).At("/name").
			WithHint("A name has up to 63 letters, digits, _, . and -, and begins with a letter or a digit.")
	}
	if s.Overlap == "" {
		s.Overlap = Skip
	}
	if s.Missed == "" {
		s.Missed = CatchUpOne
	}
	return s, s.policies()
}

// timed finds the next instant, for the first time or because something of it has changed.
func (s Schedule) timed(now time.Time) (Schedule, error) {
	s.DelayS = delayOf(s.ID, s.JitterS)
	when, timer, err := s.When.settled(now)
	if err != nil {
		return s, err
	}
	s.When = when
	next := timer.after(now)
	if next.IsZero() && s.State != Ended {
		return s, past(when.At)
	}
	return s.at(next), nil
}

// policies refuses those that are unknown, or that go against each other.
func (s Schedule) policies() error {
	switch s.Overlap {
	case Skip, Queue, CancelOld:
	default:
		return fault.New(fault.InvalidInput, "overlap_unknown", "there is no overlap policy %q", clip(string(s.Overlap))).At("/overlap").
			WithHint("It is skip, queue or cancel_old.")
	}
	switch s.Missed {
	case CatchUpOne, CatchUpAll, CatchUpNone:
	default:
		return fault.New(fault.InvalidInput, "missed_unknown", "there is no policy %q for what was missed", clip(string(s.Missed))).At("/missed").
			WithHint("It is one, all or none.")
	}
	if s.Missed == CatchUpAll && s.Overlap != Queue {
		return fault.New(fault.InvalidInput, "missed_conflict", "all that was missed comes at once, and by %s each but one would come to nothing", s.Overlap).At("/missed").
			WithHint("Choose the overlap queue beside it, so that they run one after the other, or one instead of all.")
	}
	if longest := int64(maxJitter / time.Second); s.JitterS < 0 || s.JitterS > longest {
		return fault.New(fault.InvalidInput, "jitter_invalid", "the jitter is %d seconds", s.JitterS).At("/jitter_s").
			WithHint("It is from 0 to %d.", longest)
	}
	return nil
}

// delayOf draws a delay out of an id: from 0 to the jitter.
func delayOf(id string, jitterS int64) int64 {
	if jitterS <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	// The low bits of FNV alone follow the last characters too closely.
	x := h.Sum64()
	x ^= x >> 32
	x *= 0x9e3779b97f4a7c15
	return int64((x >> 33) % uint64(jitterS+1))
}

// same says that a schedule is as another one was.
func (s Schedule) same(o Schedule) bool {
	input := string(s.Input) == string(o.Input)
	s.Input, o.Input = nil, nil
	a, errA := json.Marshal(s)
	b, errB := json.Marshal(o)
	return input && errA == nil && errB == nil && string(a) == string(b)
}

func busy(idOrName string) *fault.Error {
	return fault.New(fault.Conflict, "schedule_changed", "the schedule %q changes all the time", clip(idOrName)).WithHint("Try again.")
}
