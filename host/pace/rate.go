package pace

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Rate is how many requests there may be.
type Rate struct {
	// PerSecond is how many come to be allowed in a second, and Burst how many that were
	// not made can be made up for at once. Zero is as many as come in a tenth of a second,
	// and one at least.
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst,omitempty"`
}

// The bounds of a Rate: one in a day, and more than one connection ever has.
const (
	leastPerSecond = 1.0 / 86400
	mostPerSecond  = 100_000
	mostBurst      = 100_000
)

// mostLate is how long after its time a token may be used.
const mostLate = 100 * time.Millisecond

// IsZero says that there is none.
func (r Rate) IsZero() bool { return r == Rate{} }

// Check says what is wrong with a rate, as an InvalidInput fault.
func (r Rate) Check() error {
	if !(r.PerSecond >= leastPerSecond && r.PerSecond <= mostPerSecond) {
		return fault.New(fault.InvalidInput, "invalid_rate", "%g requests in a second are no rate: it is from 1 in a day to %d in a second", r.PerSecond, mostPerSecond).
			At("/rate/per_second").WithHint("Say what the other side allows, or a little less.")
	}
	if r.Burst < 0 || r.Burst > mostBurst {
		return fault.New(fault.InvalidInput, "invalid_rate", "the burst is %d: it is from 0, for the default, to %d", r.Burst, mostBurst).At("/rate/burst")
	}
	return nil
}

// ParseRate reads "10/s", "600/m" or "5000/h".
func ParseRate(text string) (Rate, error) {
	count, unit, _ := strings.Cut(text, "/")
	per := map[string]float64{"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	n, err := strconv.ParseFloat(count, 64)
	if err != nil || per == 0 || math.IsNaN(n) || math.IsInf(n, 0) {
		return Rate{}, fault.New(fault.InvalidInput, "invalid_rate", "%.32q is no rate", text).
			WithHint("Write how many requests in which time: 10/s, 600/m, 5000/h or 10000/d.")
	}
	r := Rate{PerSecond: n / per}
	return r, r.Check()
}

// String is how people write it.
func (r Rate) String() string {
	if r.IsZero() {
		return "none"
	}
	n, unit := r.PerSecond, "s"
	switch {
	case n*3600 < 1:
		n, unit = n*86400, "d"
	case n*60 < 1:
		n, unit = n*3600, "h"
	case n < 1:
		n, unit = n*60, "m"
	}
	return strconv.FormatFloat(math.Round(n*1000)/1000, 'f', -1, 64) + "/" + unit + ", burst " + strconv.Itoa(r.burst())
}

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return max(1, int(r.PerSecond/10))
}

// terms are what a Rate comes to.
type terms struct {
	// interval is between tokens, late is how long after its time one may be used, and
	// burst is what is left of the rate's: the late ones are made up for.
	interval, late time.Duration
	burst          int
}

func (r Rate) terms() terms {
	t := terms{interval: time.Duration(float64(time.Second) / r.PerSecond)}
	burst := r.burst()
	t.late = min(mostLate, max(t.interval, time.Duration(min(burst-1, 1000))*t.interval)/2)
	held := 0
	if burst > 1 {
		held = int((t.late + t.interval - 1) / t.interval)
	}
	t.burst = max(1, burst-held)
	return t
}
