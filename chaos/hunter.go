package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// moment is when a server is killed.
type moment string

// The moments. The server says by its lines when it begins one that is inside of it.
const (
	// anytime is as chance has it.
	anytime moment = "anytime"
	// asked is when a request's first bytes have come to the ledger, and done when
	// its effect was had: in both, before anything was answered.
	asked moment = "asked"
	done  moment = "done"
	// accepted is when the vendor has been told that its delivery was taken.
	accepted moment = "accepted"
	// The others are inside of a commit, or right before or after it.
	accepting  moment = "accepting"
	claiming   moment = "claiming"
	appending  moment = "appending"
	completing moment = "completing"
)

// moments are drawn from. A third are anytime, and so are those that do not come in
// time; the middle of an effect is where most can go wrong.
func moments() []moment {
	return []moment{
		anytime, anytime, anytime, anytime, anytime, anytime,
		asked, asked, done, done, done, appending, appending, appending, completing, completing,
		accepted, accepting, claiming,
	}
}

func momentNames() []string {
	var names []string
	for _, m := range slices.Compact(moments()) {
		names = append(names, string(m))
	}
	return names
}

func (m *moment) set(name string) error {
	if !slices.Contains(moments(), moment(name)) {
		return fmt.Errorf("it may be %s", strings.Join(momentNames(), ", "))
	}
	*m = moment(name)
	return nil
}

// prey is a process.
type prey interface{ Signal(s os.Signal) error }

// hunter kills one server, once. It is safe for concurrent use.
type hunter struct {
	mu    sync.Mutex
	prey  prey
	until moment
	late  time.Duration
	// killed is when, and by which moment.
	killed time.Time
	by     moment
}

// wait has the server killed at the next such moment, a little late.
func (h *hunter) wait(m moment, late time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until, h.late = m, late
}

// happened is told of each moment; if it is the one that was waited for, it
// returns after the kill.
func (h *hunter) happened(m moment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == m {
		time.Sleep(h.late)
		h.strike(m)
	}
}

// kill kills it now, if nobody has.
func (h *hunter) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.strike(anytime)
}

// strike is called with mu held.
func (h *hunter) strike(m moment) {
	if h.prey == nil {
		return
	}
	h.killed, h.by = time.Now(), m
	_ = h.prey.Signal(os.Kill) // It may have ended by itself, which is noticed elsewhere.
	h.prey, h.until = nil, ""
}

// hunt has the hunter look at another server.
func (h *hunter) hunt(p prey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prey, h.until = p, ""
}

// last is when it killed last, and by which moment.
func (h *hunter) last() (time.Time, moment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.killed, h.by
}
