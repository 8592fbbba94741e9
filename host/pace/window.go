package pace

import (
	"fmt"
	"time"
)

// parts are what a window is made of: it moves on by one of them.
const parts = 10

// window counts how requests of the last while have ended.
type window struct {
	answered, failed [parts]int
	// at is the part that is counted in, by its number since the epoch.
	at int64
}

// add counts a request, and returns how many there were, and how many have failed.
func (w *window) add(now time.Time, span time.Duration, failed bool) (all, bad int) {
	at := now.UnixNano() / int64(span/parts)
	for ; w.at < at && at-w.at < parts; w.at++ {
		i := (w.at + 1) % parts
		w.answered[i], w.failed[i] = 0, 0
	}
	if w.at < at {
		*w = window{at: at}
	}
	if i := w.at % parts; failed {
		w.failed[i]++
	} else {
		w.answered[i]++
	}
	for i := range parts {
		all, bad = all+w.answered[i]+w.failed[i], bad+w.failed[i]
	}
	return all, bad
}

// BreakerConfig says when breakers open.
type BreakerConfig struct {
	// Of the requests of the last Window, counted in one process, Share have failed, and
	// there were so many Requests at least. Defaults to half of 10 in 30 s. A negative
	// Share has none open.
	Window   time.Duration
	Requests int
	Share    float64
	// First is for how long a breaker is open before it is tried. Each time that fails it
	// is twice as long, up to Most. Defaults to 5 s and 5 min; each is made longer by up to
	// a quarter, by chance.
	First, Most time.Duration
	// Patience is how long the request that tries may take before another may. Defaults to
	// 1 min.
	Patience time.Duration
}

// WithDefaults returns c with the defaults of what it does not say.
func (c BreakerConfig) WithDefaults() BreakerConfig {
	c.Window = orDefault(c.Window, 30*time.Second)
	c.Requests = orDefault(c.Requests, 10)
	c.Share = orDefault(c.Share, 0.5)
	c.First, c.Most = orDefault(c.First, 5*time.Second), orDefault(c.Most, 5*time.Minute)
	c.Patience = orDefault(c.Patience, time.Minute)
	return c
}

// opens says whether so many failures open a breaker, and why.
func (c BreakerConfig) opens(all, bad int) (why string, ok bool) {
	if c.Share < 0 || all < c.Requests || float64(bad) < c.Share*float64(all) {
		return "", false
	}
	return fmt.Sprintf("%d of %d requests within %s failed", bad, all, c.Window), true
}

// delay is how long a breaker is open for the n-th time in a row, from 1.
func (c BreakerConfig) delay(n int) time.Duration {
	d := c.First
	for range min(n-1, 32) {
		d = min(2*d, c.Most)
	}
	return d + spread(d/4)
}

// orDefault gives n, or the default where n was not set.
func orDefault[T int | float64 | time.Duration](n, def T) T {
	if n == 0 {
		return def
	}
	return n
}
