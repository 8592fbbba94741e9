package fairshare

// Line is how many keys wait, Free how many slots are, and Keys how many keys
// are remembered.
func (s *Scheduler) Line() int { return s.look(func() int { return len(s.waiting.shares) }) }

func (s *Scheduler) Free() int { return s.look(func() int { return s.free }) }

func (s *Scheduler) Keys() int { return s.look(func() int { return len(s.keys) }) }

// Advance moves the present, as years of use would.
func (s *Scheduler) Advance(by int64) {
	s.look(func() int { s.now += by; return 0 })
}

// Waits says whether the ticket is in line.
func (t *Ticket) Waits() bool {
	return t.scheduler.look(func() int { return int(t.state) }) == int(waits)
}

func (s *Scheduler) look(f func() int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}
