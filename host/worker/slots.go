package worker

import "github.com/cofferdam-run/cofferdam/host/event"

// slots are how many executions may begin, and how many of them may be backfill. Free is
// below zero while those that have waited for their turn run beside others that have got
// their slots meanwhile: see Worker.turn.
type slots struct{ free, backfill int }

func (s *slots) take(l event.Lane) { s.change(l, -1) }

func (s *slots) give(l event.Lane) { s.change(l, 1) }

func (s *slots) change(l event.Lane, by int) {
	s.free += by
	if l == event.Backfill {
		s.backfill += by
	}
}
