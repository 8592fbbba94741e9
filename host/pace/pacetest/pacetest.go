// Package pacetest has a vendor for tests of what is sent how often.
//
//	v := pacetest.New(50, false) // 50 in a second, by a bucket
//	srv := httptest.NewServer(v)
//	taken, refused := v.Counts()
package pacetest

import (
	"net/http"
	"sync"
	"time"
)

// Vendor answers 429 to what is more than its rate. It is safe for concurrent use.
type Vendor struct {
	// Rate is how many it takes in a second, and Window whether it counts those of the last
	// second, not by a bucket of as many.
	Rate   float64
	Window bool

	mu sync.Mutex
	// left is what its bucket has, or times are the last requests.
	left  float64
	last  time.Time
	times []time.Time
	// status is what it answers, if not 429.
	status          int
	taken, refused  int
	first, finished time.Time
}

// New returns a Vendor that answers 200.
func New(rate float64, window bool) *Vendor {
	return &Vendor{Rate: rate, Window: window, left: rate, status: http.StatusOK}
}

// ServeHTTP implements http.Handler.
func (v *Vendor) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.first.IsZero() {
		v.first, v.last = now, now
	}
	v.finished = now
	if !v.takes(now) {
		v.refused++
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	v.taken++
	w.WriteHeader(v.status)
}

// Answer has it answer with another status.
func (v *Vendor) Answer(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status = status
}

// Counts are the requests that it took, and those that it answered 429.
func (v *Vendor) Counts() (taken, refused int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.taken, v.refused
}

// Used is how long it was asked, from the first request to the last, and which share of its
// rate was used by what came after the first.
func (v *Vendor) Used() (took time.Duration, share float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	took = v.finished.Sub(v.first)
	return took, float64(v.taken-1) / took.Seconds() / v.Rate
}

func (v *Vendor) takes(now time.Time) bool {
	if v.Window {
		for len(v.times) > 0 && now.Sub(v.times[0]) > time.Second {
			v.times = v.times[1:]
		}
		if float64(len(v.times)) >= v.Rate {
			return false
		}
		v.times = append(v.times, now)
		return true
	}
	v.left = min(v.Rate, v.left+now.Sub(v.last).Seconds()*v.Rate)
	v.last = now
	if v.left < 1 {
		return false
	}
	v.left--
	return true
}
