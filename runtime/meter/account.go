package meter

import (
	"context"
	"errors"
	"time"
)

// What ends a call.
var (
	// ErrExhausted ends a call that has used more fuel than its budget.
	ErrExhausted = errors.New("fuel is exhausted")
	// ErrStack ends a call whose functions are nested too deeply.
	ErrStack = errors.New("stack is exhausted")
)

// The bounds of what Open takes. Sums of them, of a slice and of what a guest can
// make of G stay within an int64.
const (
	MaxBudget int64 = 1 << 62
	MaxStack  int64 = 1 << 30
)

const (
	// checkpoint is the distance of the counts at which a slice always ends. What is
	// counted at a trap is short by no more.
	checkpoint = 1 << 20

	sliceTarget = 200 * time.Microsecond
	sliceMin    = 10_000
	sliceMax    = 1_000_000
	// sliceFirst is how a call begins at most: long enough that most calls never
	// ask for more, short enough for code of which nothing is known: at 27 ns a
	// unit, the slowest seen, 2.7 ms.
	sliceFirst = 100_000
	// sliceStep is how many times a slice may be as long as the one before it: one
	// that the operating system interrupted says little about the next.
	sliceStep = 4
)

// Options are what an Account needs of its surroundings.
type Options struct {
	// Now is a monotonic clock. It is read twice in each slice but the first.
	Now func() time.Time
	// Pause is called at the end of each slice with what was used since the last
	// one ended, and may take its time. An error ends the call. Defaults to nothing.
	Pause func(ctx context.Context, burnt int64) error
}

// Account is the fuel of one call at a time: what it was granted, against a
// budget. A rewritten module keeps the rest in its global [Global], which is
// packed: stack units left in the upper half, and in the lower one, signed, the
// fuel that is left of what was granted; as a sum, so that a negative lower half
// takes one from the upper.
//
// There is never more fuel in G than frames cost for which there is stack. So the
// fuel is out whenever the stack is, and a guest that asks only whether its fuel is
// out is told of its stack in time.
//
// How long slices are never changes what is counted, nor whether a call is
// exhausted. An Account is not safe for concurrent use: a guest has one thread.
type Account struct {
	now   func() time.Time
	pause func(ctx context.Context, burnt int64) error

	budget int64
	// granted went into G; charged is what was counted beside it.
	granted, charged int64
	// passed is the last checkpoint, as a count of what was burnt of granted.
	passed int64
	// paused is how much of the use Pause was told.
	paused int64

	// slice is the next slice, learnt from those before it, and from earlier calls.
	slice int64
	// begun is when the slice began; zero when its time says nothing.
	begun time.Time

	ended error
	// used is the count at which the account ended the call.
	used int64
}

// NewAccount returns an Account that is ready for Open.
func NewAccount(o Options) *Account {
	if o.Pause == nil {
		o.Pause = func(context.Context, int64) error { return nil }
	}
	return &Account{now: o.Now, pause: o.Pause, slice: sliceFirst}
}

// Open begins a call and returns what G must be set to before it: a first grant
// is in it. The budget is in units of fuel and the stack in units of depth; both
// are taken to the nearest bound when they are out of [0, MaxBudget] and
// [0, MaxStack].
func (a *Account) Open(budget, stack int64) (g uint64) {
	*a = Account{now: a.now, pause: a.pause, slice: a.slice, budget: min(max(budget, 0), MaxBudget)}
	stack = min(max(stack, 0), MaxStack)
	a.granted = min(a.slice, sliceFirst, a.budget, stack*frameFuel)
	return uint64(stack<<32 + a.granted)
}

// Refuel grants the next slice to a guest that has nothing left of the last one:
// it returns f with the grant in it. An error ends the call: ErrExhausted,
// ErrStack, or Pause's.
func (a *Account) Refuel(ctx context.Context, f uint64) (uint64, error) {
	fuel, stack := unpack(f)
	burnt := a.granted - fuel
	if err := a.admit(burnt, stack); err != nil {
		return 0, err
	}
	if burnt > checkpoint {
		// Strictly below what was burnt: at exactly a checkpoint, whether there is a
		// refuel depends on where slices end.
		a.passed = (burnt - 1) / checkpoint * checkpoint
	}
	a.adapt(burnt + a.charged - a.paused)
	if err := a.breathe(ctx, burnt); err != nil {
		return 0, err
	}
	grant := max(0, min(a.next(burnt), stack*frameFuel)-fuel)
	a.granted += grant
	a.begun = a.now()
	return f + uint64(grant), nil
}

// Charge counts units beside what is burnt of G, which g is, and returns the new
// G: it has no more than is left of the budget then, or what was granted before
// would be used beyond it. An error ends the call: ErrExhausted, or Pause's.
func (a *Account) Charge(ctx context.Context, g, units uint64) (uint64, error) {
	fuel, stack := unpack(g)
	burnt := a.granted - fuel
	if err := a.admit(burnt, stack); err != nil {
		return 0, err
	}
	if left := a.budget - burnt - a.charged; units > uint64(left) {
		return 0, a.end(ErrExhausted, a.budget)
	}
	a.charged += int64(units)
	excess := max(0, fuel-(a.budget-burnt-a.charged))
	a.granted -= excess
	if burnt+a.charged-a.paused >= a.slice {
		// Of this slice, what is timed is not what is counted.
		a.begun = time.Time{}
		if err := a.breathe(ctx, burnt); err != nil {
			return 0, err
		}
	}
	return g - uint64(excess), nil
}

// Used returns what a call has used up to now, g being what it has in G at a call
// or a return of one of its functions. It is never more than what will be settled.
func (a *Account) Used(g uint64) int64 {
	if a.ended != nil {
		return a.used
	}
	fuel, _ := unpack(g)
	return min(max(a.granted-fuel, 0)+a.charged, a.budget)
}

// Settle returns what a call has used that has returned, and left g. It is
// ErrExhausted when that is more than the budget, and then the budget is used.
func (a *Account) Settle(g uint64) (used int64, err error) {
	fuel, _ := unpack(g)
	return a.settle(a.granted - fuel)
}

// SettleTrap returns what a call has used that was ended by a trap or a host
// function and left g, which does not know what was burnt since it was last
// written: the count is then that of the last checkpoint, when this is larger.
// Short of the truth by 2^20 units and what lies between two checks, it is the
// same each time.
func (a *Account) SettleTrap(g uint64) (used int64, err error) {
	fuel, _ := unpack(g)
	burnt := a.granted - fuel
	// G has grown by what was granted since it was written. Once that is more than
	// its half can hold, the count is too high by 2^32 or a multiple: the truth is
	// never far above the last checkpoint.
	if over := burnt - a.passed - 2*checkpoint; over > 0 {
		burnt -= (over + 1<<32 - 1) >> 32 << 32
	}
	return a.settle(max(burnt, a.passed))
}

// Ended is why the account ended the call, or nil when it has not.
func (a *Account) Ended() error { return a.ended }

// Paused is how much of the use was given to Pause; what is used beyond it has
// yet to be shared out.
func (a *Account) Paused() int64 { return a.paused }

// Slept says that the guest did not run all the time since its slice began, so
// that its speed cannot be told from it.
func (a *Account) Slept() { a.begun = time.Time{} }

func (a *Account) settle(burnt int64) (int64, error) {
	if a.ended != nil {
		return a.used, a.ended
	}
	used := max(burnt, 0) + a.charged
	if used > a.budget {
		return a.budget, a.end(ErrExhausted, a.budget)
	}
	return used, nil
}

// admit says whether a guest may go on that has burnt so much of what it was
// granted. Exhausted is what has used more than the budget, not what has used it
// up: that would depend on where slices end.
func (a *Account) admit(burnt, stack int64) error {
	switch {
	case a.ended != nil:
		return a.ended
	case burnt > a.budget-a.charged:
		// As much as it had, wherever in the call this was noticed.
		return a.end(ErrExhausted, a.budget)
	case stack < 0:
		return a.end(ErrStack, max(burnt, 0)+a.charged)
	}
	return nil
}

func (a *Account) end(reason error, used int64) error {
	a.ended, a.used = reason, used
	return reason
}

// breathe lets others run.
func (a *Account) breathe(ctx context.Context, burnt int64) error {
	used := max(burnt, 0) + a.charged
	share := max(used-a.paused, 0)
	a.paused += share
	if err := a.pause(ctx, share); err != nil {
		return a.end(err, used)
	}
	return nil
}

// next returns how much fuel there is to be until the next refuel: a slice, but
// not past the budget nor past a checkpoint.
func (a *Account) next(burnt int64) int64 {
	stop := int64(checkpoint)
	if burnt > stop {
		stop = (burnt + checkpoint - 1) / checkpoint * checkpoint
	}
	return min(a.slice, a.budget-a.charged-burnt, stop-burnt)
}

// adapt learns the length of a slice from the one that ended.
func (a *Account) adapt(units int64) {
	if a.begun.IsZero() || units <= 0 {
		return
	}
	took := max(a.now().Sub(a.begun), 1)
	// No slice has more than 2^32 units, a charge above one is not timed; times the
	// target in nanoseconds that is below 2^50.
	fit := min(units, 1<<32) * int64(sliceTarget) / int64(took)
	fit = min(max(fit, a.slice/sliceStep), a.slice*sliceStep)
	a.slice = min(max(fit, sliceMin), sliceMax)
}

// unpack takes G apart.
func unpack(g uint64) (fuel, stack int64) {
	fuel = int64(int32(uint32(g)))
	return fuel, (int64(g) - fuel) >> 32
}
