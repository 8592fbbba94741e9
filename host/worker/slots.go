package worker

import "github.com/cofferdam-run/cofferdam/host/event"

// slots are how many executions may begin, and how many of them may be backfill. Free is
// below zero while those that have waited for their turn run beside others that have got
// their slots meanwhile: see Worker.turn.
type slots struct{ free, backfill int }

// give gives n slots that a lane had, or takes them if n is below zero.
func (s *slots) give(l event.Lane, n int) {
	s.free += n
	if l == event.Backfill {
		s.backfill += n
	}
}
