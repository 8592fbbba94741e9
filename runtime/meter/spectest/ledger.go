package spectest

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// ledger is the other side of one instance's fuel.
type ledger interface {
	Open(budget, stack int64) uint64
	Refuel(ctx context.Context, f uint64) (uint64, error)
	Charge(ctx context.Context, g, units uint64) (uint64, error)
	Settle(g uint64) (int64, error)
	SettleTrap(g uint64) (int64, error)
	Ended() error
}

// newAccount returns the real one, with a clock that stands still.
func newAccount() ledger {
	return meter.NewAccount(meter.Options{Now: func() time.Time { return time.Unix(1, 0) }})
}

// stingy grants slices of a few units, so that scripts of short functions take
// the slow paths everywhere.
type stingy struct {
	random                           *rand.Rand
	budget, granted, charged, passed int64
	// used is what was used when the stack was out.
	used  int64
	ended error
}

// newStingy returns a ledger whose slices the seed decides.
func newStingy(seed uint64) func() ledger {
	return func() ledger { return &stingy{random: rand.New(rand.NewPCG(seed, 0))} }
}

func (s *stingy) Open(budget, stack int64) uint64 {
	*s = stingy{random: s.random, budget: budget}
	s.granted = min(budget, stack, s.random.Int64N(4))
	return uint64(stack<<32 + s.granted)
}

func (s *stingy) Refuel(_ context.Context, f uint64) (uint64, error) {
	fuel := int64(int32(uint32(f)))
	stack := (int64(f) - fuel) >> 32
	burnt := s.granted - fuel
	switch left := s.budget - burnt - s.charged; {
	case left < 0:
		s.ended = meter.ErrExhausted
	case stack < 0:
		s.ended, s.used = meter.ErrStack, burnt+s.charged
	default:
		const checkpoint = 1 << 20
		s.passed = max(0, (burnt-1)/checkpoint*checkpoint)
		slice := int64(1) << s.random.IntN(12)
		grant := min(s.random.Int64N(slice), left, 2*stack, s.passed+checkpoint-burnt) - fuel
		s.granted += grant
		return f + uint64(grant), nil
	}
	return 0, s.ended
}

func (s *stingy) Charge(_ context.Context, g, units uint64) (uint64, error) {
	fuel := int64(int32(uint32(g)))
	s.charged += int64(units)
	left := s.budget - (s.granted - fuel) - s.charged
	if left < 0 {
		s.ended = meter.ErrExhausted
	}
	excess := max(0, fuel-left)
	s.granted -= excess
	return g - uint64(excess), s.ended
}

func (s *stingy) Settle(g uint64) (int64, error) {
	return s.settle(s.granted - int64(int32(uint32(g))))
}

func (s *stingy) SettleTrap(g uint64) (int64, error) {
	return s.settle(max(s.granted-int64(int32(uint32(g))), s.passed))
}

func (s *stingy) Ended() error { return s.ended }

func (s *stingy) settle(burnt int64) (int64, error) {
	if s.used > 0 {
		return s.used, s.ended
	}
	if s.ended == nil && burnt+s.charged > s.budget {
		s.ended = meter.ErrExhausted
	}
	return burnt + s.charged, s.ended
}
