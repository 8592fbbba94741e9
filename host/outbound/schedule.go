package outbound

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Schedule is how long after each try that has failed the next is made: ten tries within 75
// hours and 35 minutes. It is that of
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
// under "Deliverability and reliability".
func Schedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

const (
	// throttleUsual is how long a destination is left alone that asks for it without saying
	// how long, and throttleMost the longest that it can say.
	throttleUsual = 30 * time.Second
	throttleMost  = time.Hour
)

// later is up to a tenth more than d, so that what has failed together does not come again
// together.
func later(d time.Duration) time.Duration {
	return d + rand.N(d/10+1) //nolint:gosec // Nobody gains by guessing it.
}

// throttle is how long an answer asks for nothing more to be sent.
func throttle(status int, header http.Header, now time.Time) time.Duration {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0
	}
	// https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, throttleMost)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(at.Sub(now), throttleMost))
	}
	if status == http.StatusServiceUnavailable {
		return 0 // It says that of itself, not of how much it is sent.
	}
	return throttleUsual
}

// settle says what follows from a try, which is the last of d's.
func (s *Sender) settle(d Delivery, r result) Settled {
	done := Settled{Delivery: d, To: Delivered, DisableAfter: s.c.DisableAfter}
	if r.taken() {
		return done
	}
	done.To, done.Gone, done.Throttle = Failed, r.attempt.Status == http.StatusGone, r.throttle
	if d.Source == FromTest {
		done.Gone, done.Throttle = false, 0
		return done
	}
	if done.Gone && d.Tries <= len(s.c.Schedule) {
		done.To = Waiting // It is sent at once when the destination is enabled.
		return done
	}
	if d.Tries <= len(s.c.Schedule) && !r.hopeless {
		done.To = Waiting
		done.In = max(s.c.Jitter(s.c.Schedule[d.Tries-1]), r.throttle)
	}
	return done
}
