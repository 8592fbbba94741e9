package main

import (
	"math"
	"slices"
	"sync"
	"time"
)

// pulse knows from a server's lines what is in flight, and how long it takes until
// that runs again after a kill. It is safe for concurrent use.
type pulse struct {
	hunter *hunter
	// completed is told when an execution was completed, unless it is nil.
	completed func(at time.Time)

	mu     sync.Mutex
	claims int
	// running are the executions that were claimed and not completed.
	running map[string]bool
	// broken is when what runs no more was killed.
	broken map[string]time.Time
	// claimed and resumed are the times from a kill to when the server that came next
	// has claimed what was in flight, and to when that ran; late counts what that
	// server did not live to run.
	claimed, resumed []time.Duration
	late             int
}

func newPulse(h *hunter) *pulse {
	return &pulse{hunter: h, running: map[string]bool{}, broken: map[string]time.Time{}}
}

// hear takes a line of the server that lives.
func (p *pulse) hear(l line) {
	p.hunter.happened(moment(l.words[0]))
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(l.words) < 2:
	case l.words[0] == "claimed":
		p.claims++
		if since, ok := p.broken[l.words[1]]; ok {
			p.claimed = append(p.claimed, l.at.Sub(since))
		}
		p.running[l.words[1]] = true
	case l.words[0] == "begun":
		if since, ok := p.broken[l.words[1]]; ok {
			p.resumed = append(p.resumed, l.at.Sub(since))
			delete(p.broken, l.words[1])
		}
	case l.words[0] == "completed":
		if p.completed != nil {
			p.completed(l.at)
		}
		delete(p.running, l.words[1])
	}
}

// stops is told of a kill after the last line was heard. Of what an earlier one has
// interrupted, and nobody has claimed, it cannot be said how long it would have taken.
func (p *pulse) stops(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late += len(p.broken)
	clear(p.broken)
	for id := range p.running {
		p.broken[id] = at
	}
	clear(p.running)
}

// results puts what was measured into a report.
func (p *pulse) results(r *report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.claimed)
	slices.Sort(p.resumed)
	r.claims, r.late = p.claims, p.late
	r.claimed, r.resumed = slices.Clone(p.claimed), slices.Clone(p.resumed)
}

// quantile is that of values in their order, 0 without any.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}
