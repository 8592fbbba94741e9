package meter_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// guest spends fuel as rewritten code does: it takes a cost off F, asks for more
// when that made it negative, and spills.
type guest struct {
	account *meter.Account
	g, f    uint64
	refuels int
}

func fuelOf(g uint64) int64 { return int64(int32(uint32(g))) }

func (g *guest) open(budget, stack int64) {
	g.g = g.account.Open(budget, stack)
	g.f = g.g
}

func (g *guest) spend(ctx context.Context, cost, weight uint64) error {
	g.f -= cost + weight<<32
	if int32(uint32(g.f)) >= 0 && int64(g.f) >= 0 {
		return nil
	}
	g.refuels++
	f, err := g.account.Refuel(ctx, g.f)
	if err != nil {
		return err
	}
	g.g += f - g.f
	g.f = f
	return nil
}

func (g *guest) spill() { g.g = g.f }

// clock is one that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{at: time.Unix(0, 0)} }

func newAccount() *meter.Account { return meter.NewAccount(meter.Options{Now: newClock().now}) }

func TestAccountCountsWhatIsSpent(t *testing.T) {
	t.Parallel()
	const cost, rounds = 977, 40_000
	const total = cost * rounds
	tests := map[string]struct {
		budget   int64
		want     int64
		wantErr  error
		returned bool
	}{
		"below the budget":     {budget: total + 1, want: total},
		"exactly the budget":   {budget: total, want: total},
		"one above the budget": {budget: total - 1, want: total - 1, wantErr: meter.ErrExhausted},
		"half the budget":      {budget: total / 2, want: total / 2, wantErr: meter.ErrExhausted},
		"a budget of nothing":  {budget: 0, want: 0, wantErr: meter.ErrExhausted},
		"less than nothing":    {budget: -5, want: 0, wantErr: meter.ErrExhausted},
		"the largest budget":   {budget: meter.MaxBudget, want: total},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &guest{account: newAccount()}
			g.open(test.budget, 0)
			for range rounds {
				if g.spend(t.Context(), cost, 0) != nil {
					break
				}
			}
			g.spill()
			got, err := g.account.Settle(g.g)
			if got != test.want || !errors.Is(err, test.wantErr) {
				t.Errorf("Settle() = %d, %v, want %d, %v", got, err, test.want, test.wantErr)
			}
			if !errors.Is(g.account.Ended(), test.wantErr) {
				t.Errorf("Ended() = %v, want %v", g.account.Ended(), test.wantErr)
			}
		})
	}
}

func TestAccountFailsAReturnAboveTheBudget(t *testing.T) {
	t.Parallel()
	a := newAccount()
	g := a.Open(100, 1000)
	// A leaf is not checked: it returns with less than nothing.
	if used, err := a.Settle(g - 101); used != 100 || !errors.Is(err, meter.ErrExhausted) {
		t.Errorf("Settle() = %d, %v, want 100, %v", used, err, meter.ErrExhausted)
	}
	g = a.Open(100, 1000)
	if used, err := a.Settle(g - 100); used != 100 || err != nil {
		t.Errorf("Settle() = %d, %v, want 100, nil", used, err)
	}
}

func TestAccountDoesNotRefuelShortCalls(t *testing.T) {
	t.Parallel()
	g := &guest{account: newAccount()}
	g.open(1<<40, meter.MaxStack)
	for range 1000 {
		if err := g.spend(t.Context(), 50, 0); err != nil {
			t.Fatal(err)
		}
	}
	if g.refuels != 0 {
		t.Errorf("50,000 units took %d refuels, want 0", g.refuels)
	}
}

func TestAccountLimitsDepth(t *testing.T) {
	t.Parallel()
	for _, stack := range []int64{0, 1, 7, 1000, meter.MaxStack} {
		g := &guest{account: newAccount()}
		g.open(1<<40, stack)
		if stack > 0 {
			if err := g.spend(t.Context(), 1, uint64(stack)); err != nil {
				t.Errorf("a frame of %d units on as many: %v", stack, err)
			}
		}
		err := g.spend(t.Context(), 1, 1)
		if !errors.Is(err, meter.ErrStack) {
			t.Errorf("a frame of 1 unit on none: %v, want %v", err, meter.ErrStack)
		}
		if used, err := g.account.SettleTrap(g.g); used > 2 || !errors.Is(err, meter.ErrStack) {
			t.Errorf("SettleTrap() = %d, %v, want at most 2, %v", used, err, meter.ErrStack)
		}
	}
}

func TestAccountGivesBackDepth(t *testing.T) {
	t.Parallel()
	g := &guest{account: newAccount()}
	g.open(1<<40, 10)
	for range 100_000 {
		if err := g.spend(t.Context(), 37, 10); err != nil {
			t.Fatal(err)
		}
		g.f += 10 << 32 // The return.
	}
	g.spill()
	if used, err := g.account.Settle(g.g); used != 3_700_000 || err != nil {
		t.Errorf("Settle() = %d, %v, want 3700000, nil", used, err)
	}
}

func TestAccountCharges(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		budget  int64
		units   []uint64
		want    int64
		wantErr error
	}{
		"within the budget":         {budget: 1000, units: []uint64{10, 20, 30}, want: 60},
		"all of it":                 {budget: 60, units: []uint64{10, 20, 30}, want: 60},
		"one too many":              {budget: 59, units: []uint64{10, 20, 30}, want: 59, wantErr: meter.ErrExhausted},
		"nothing":                   {budget: 0, units: []uint64{0}, want: 0},
		"more than fits into G":     {budget: 1 << 50, units: []uint64{1 << 40, 1 << 41}, want: 3 << 40},
		"more than an int64":        {budget: meter.MaxBudget, units: []uint64{1<<64 - 1}, want: meter.MaxBudget, wantErr: meter.ErrExhausted},
		"a sum more than an int64":  {budget: meter.MaxBudget, units: []uint64{1 << 61, 1 << 61, 1 << 61}, want: meter.MaxBudget, wantErr: meter.ErrExhausted},
		"all of the largest budget": {budget: meter.MaxBudget, units: []uint64{1 << 61, 1 << 61}, want: meter.MaxBudget},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount()
			g := a.Open(test.budget, meter.MaxStack)
			for _, units := range test.units {
				next, err := a.Charge(t.Context(), g, units)
				if err != nil {
					break
				}
				g = next
			}
			got, err := a.Settle(g)
			if got != test.want || !errors.Is(err, test.wantErr) {
				t.Errorf("Settle() = %d, %v, want %d, %v", got, err, test.want, test.wantErr)
			}
		})
	}
}

func TestAccountTakesBackWhatTheBudgetNoLongerHas(t *testing.T) {
	t.Parallel()
	a := newAccount()
	g := a.Open(1000, 7000)
	g, err := a.Charge(t.Context(), g, 900)
	if err != nil || fuelOf(g) != 100 || g>>32 != 7000 {
		t.Fatalf("Charge() = %#x, %v, want 100 units left at depth 7000", g, err)
	}
	if _, err := a.Refuel(t.Context(), g-101); !errors.Is(err, meter.ErrExhausted) {
		t.Errorf("Refuel() after 1001 units of 1000 = %v, want %v", err, meter.ErrExhausted)
	}
}

func TestAccountPausesForWhatIsCharged(t *testing.T) {
	t.Parallel()
	var burnt []int64
	a := meter.NewAccount(meter.Options{Now: newClock().now, Pause: func(_ context.Context, n int64) error {
		burnt = append(burnt, n)
		return nil
	}})
	g := a.Open(1<<40, meter.MaxStack)
	for range 100 {
		var err error
		if g, err = a.Charge(t.Context(), g, 16_384); err != nil {
			t.Fatal(err)
		}
	}
	if len(burnt) < 10 {
		t.Errorf("100 charges of 16,384 units were interrupted %d times, want at least 10", len(burnt))
	}
	used, _ := a.Settle(g)
	if a.Paused() > used || a.Paused() < used-200_000 {
		t.Errorf("Paused() = %d of %d used", a.Paused(), used)
	}
}

func TestAccountTellsPauseOfAllUse(t *testing.T) {
	t.Parallel()
	told := int64(0)
	account := meter.NewAccount(meter.Options{Now: newClock().now, Pause: func(_ context.Context, n int64) error {
		told += n
		return nil
	}})
	g := &guest{account: account}
	for range 3 {
		told = 0
		g.open(1<<40, meter.MaxStack)
		for range 10_000 {
			if err := g.spend(t.Context(), 333, 0); err != nil {
				t.Fatal(err)
			}
		}
		g.spill()
		used, _ := account.Settle(g.g)
		if told != account.Paused() || used-told < 0 || used-told > 1_000_000 {
			t.Errorf("Pause was told of %d, Paused() = %d, of %d used", told, account.Paused(), used)
		}
	}
}

func TestAccountEndsWhenPauseFails(t *testing.T) {
	t.Parallel()
	killed := errors.New("killed")
	a := meter.NewAccount(meter.Options{Now: newClock().now, Pause: func(context.Context, int64) error { return killed }})
	g := a.Open(1<<40, meter.MaxStack)
	if _, err := a.Refuel(t.Context(), g-200_000); !errors.Is(err, killed) {
		t.Errorf("Refuel() = %v, want %v", err, killed)
	}
	// What ended it stays the reason.
	if _, err := a.Refuel(t.Context(), g); !errors.Is(err, killed) {
		t.Errorf("a second Refuel() = %v, want %v", err, killed)
	}
	if _, err := a.Charge(t.Context(), g, 1); !errors.Is(err, killed) {
		t.Errorf("Charge() after it = %v, want %v", err, killed)
	}
	if used, err := a.SettleTrap(g); used != 200_000 || !errors.Is(err, killed) {
		t.Errorf("SettleTrap() = %d, %v, want 200000, %v", used, err, killed)
	}
	if g = a.Open(1<<40, meter.MaxStack); a.Ended() != nil {
		t.Errorf("Ended() of the next call = %v, want nil", a.Ended())
	}
	if used, err := a.Settle(g - 1); used != 1 || err != nil {
		t.Errorf("Settle() of the next call = %d, %v, want 1, nil", used, err)
	}
}

// TestAccountCountsTheSameInAnySlices is the promise that all others stand on.
func TestAccountCountsTheSameInAnySlices(t *testing.T) {
	t.Parallel()
	type outcome struct {
		used  int64
		ended error
		at    int
	}
	run := func(seed, slices uint64, budget int64, trap bool) outcome {
		clock := newClock()
		step := rand.New(rand.NewPCG(slices, 1))
		// A clock that jumps about makes slices of all lengths.
		now := func() time.Time {
			clock.at = clock.at.Add(time.Duration(step.Int64N(int64(time.Duration(1) << step.Int64N(31)))))
			return clock.at
		}
		program := rand.New(rand.NewPCG(seed, 2))
		g := &guest{account: meter.NewAccount(meter.Options{Now: now})}
		g.open(budget, 1<<20)
		for at := range 2000 + program.IntN(1000) {
			err := g.spend(t.Context(), uint64(program.Int64N(5000)), 0)
			if err == nil && program.IntN(50) == 0 {
				g.spill()
			}
			if err == nil && program.IntN(300) == 0 {
				g.spill()
				if g.g, err = g.account.Charge(t.Context(), g.g, program.Uint64N(100_000)); err == nil {
					g.f = g.g
				}
			}
			if err != nil {
				used, err := g.account.SettleTrap(g.g)
				return outcome{used, err, at}
			}
		}
		settle := g.account.SettleTrap
		if !trap {
			g.spill()
			settle = g.account.Settle
		}
		used, err := settle(g.g)
		return outcome{used, err, -1}
	}
	for seed := range uint64(40) {
		full := run(seed, 0, 1<<40, false).used
		for _, budget := range []int64{1 << 40, full, full - 1, full / 2, full / 3} {
			for _, trap := range []bool{false, true} {
				want := run(seed, 1, budget, trap)
				for slices := range uint64(20) {
					if got := run(seed, slices, budget, trap); got != want {
						t.Fatalf("program %d of budget %d: got %+v in slices %d, want %+v", seed, budget, got, slices, want)
					}
				}
			}
		}
	}
}

func TestAccountCountsATrapAtACheckpoint(t *testing.T) {
	t.Parallel()
	for _, spent := range []int64{1, 1 << 20, 1<<20 + 1, 2 << 20, 2<<20 + 1, 5<<20 - 1} {
		g := &guest{account: newAccount()}
		g.open(1<<40, meter.MaxStack)
		for range spent {
			if err := g.spend(t.Context(), 1, 0); err != nil {
				t.Fatal(err)
			}
		}
		got, err := g.account.SettleTrap(g.g)
		if want := (spent - 1) >> 20 << 20; got != want || err != nil {
			t.Errorf("%d units without a spill: SettleTrap() = %d, %v, want %d, nil", spent, got, err, want)
		}
		g.spill()
		if got, err := g.account.SettleTrap(g.g); got != spent || err != nil {
			t.Errorf("%d units spilled: SettleTrap() = %d, %v, want %d, nil", spent, got, err, spent)
		}
	}
}

func TestAccountFitsSlicesToTime(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		perUnit time.Duration // Picoseconds.
		want    int64
	}{
		"0.5 ns a unit": {perUnit: 500, want: 400_000},
		"2 ns a unit":   {perUnit: 2_000, want: 100_000},
		"10 ns a unit":  {perUnit: 10_000, want: 20_000},
		"27 ns a unit":  {perUnit: 27_000, want: 10_000},
		"no time":       {perUnit: 0, want: 1_000_000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock, last := newClock(), int64(0)
			account := meter.NewAccount(meter.Options{Now: clock.now, Pause: func(_ context.Context, n int64) error {
				last = n
				return nil
			}})
			g := &guest{account: account}
			g.open(1<<40, meter.MaxStack)
			for range 200_000 {
				clock.at = clock.at.Add(100 * test.perUnit / 1000)
				if err := g.spend(t.Context(), 100, 0); err != nil {
					t.Fatal(err)
				}
				if g.refuels == 15 {
					break
				}
			}
			if last < test.want*9/10 || last > test.want*11/10 {
				t.Errorf("the 15th slice has %d units, want about %d", last, test.want)
			}
		})
	}
}

func TestAccountLearnsNothingFromSleep(t *testing.T) {
	t.Parallel()
	clock, last := newClock(), int64(0)
	account := meter.NewAccount(meter.Options{Now: clock.now, Pause: func(_ context.Context, n int64) error {
		last = n
		return nil
	}})
	g := &guest{account: account}
	g.open(1<<40, meter.MaxStack)
	for g.refuels < 8 {
		clock.at = clock.at.Add(200 * time.Nanosecond)
		before := g.refuels
		if err := g.spend(t.Context(), 100, 0); err != nil {
			t.Fatal(err)
		}
		if g.refuels > before { // A host call at the start of every slice.
			account.Slept()
			clock.at = clock.at.Add(time.Second)
		}
	}
	if last != 100_000+100 && last != 100_000 {
		t.Errorf("a guest that sleeps in each slice got one of %d units, want 100000", last)
	}
}

//nolint:paralleltest // Allocations of other tests would be counted.
func TestAccountAllocatesNothing(t *testing.T) {
	a, ctx := newAccount(), t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		g := a.Open(1<<40, meter.MaxStack)
		g, _ = a.Refuel(ctx, g-200_000)
		g, _ = a.Charge(ctx, g, 1<<20)
		_, _ = a.Settle(g)
	})
	if allocs != 0 {
		t.Errorf("a call makes %v allocations, want 0", allocs)
	}
}

// FuzzAccount feeds an account whatever a G can be, in any order.
func FuzzAccount(f *testing.F) {
	f.Add(int64(1<<62), int64(1<<30), []byte{0, 1, 2, 3})
	f.Add(int64(0), int64(0), []byte{0xff})
	f.Add(int64(-1), int64(-1), []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81})
	f.Fuzz(func(t *testing.T, budget, stack int64, script []byte) {
		clock := newClock()
		a := meter.NewAccount(meter.Options{Now: clock.now, Pause: func(_ context.Context, n int64) error {
			if n < 0 {
				t.Errorf("Pause was told of %d units", n)
			}
			return nil
		}})
		g := a.Open(budget, stack)
		if fuelOf(g) < 0 || int64(g) < 0 {
			t.Fatalf("Open(%d, %d) = %#x, which is not healthy", budget, stack, g)
		}
		for i := 0; i+9 <= len(script); i += 9 {
			clock.at = clock.at.Add(time.Duration(script[i]))
			word := uint64(0)
			for _, b := range script[i+1 : i+9] {
				word = word<<8 | uint64(b)
			}
			switch script[i] % 3 {
			case 0: // A cost.
				word = g - word>>34
				fallthrough
			case 1: // Anything at all.
				next, err := a.Refuel(t.Context(), word)
				if err == nil && (fuelOf(next) < 0 || fuelOf(next) < fuelOf(word) || int64(next) < 0) {
					t.Fatalf("Refuel(%#x) = %#x", word, next)
				}
				if err == nil && fuelOf(word) < 0 && fuelOf(next) > 2*int64(next>>32) {
					t.Fatalf("Refuel(%#x) = %#x, which has more fuel than its stack costs", word, next)
				}
				g = next
			case 2:
				next, err := a.Charge(t.Context(), g, word)
				if err == nil && (fuelOf(next) > fuelOf(g) || fuelOf(next) < 0 && fuelOf(g) >= 0 || next>>32 != g>>32 && fuelOf(g) >= 0) {
					t.Fatalf("Charge(%#x, %d) = %#x", g, word, next)
				}
				if err == nil {
					g = next
				}
			}
		}
		limit := min(max(budget, 0), meter.MaxBudget)
		for _, settle := range []func(uint64) (int64, error){a.SettleTrap, a.Settle} {
			if used, err := settle(g); used < 0 || used > limit || errors.Is(err, meter.ErrExhausted) && used != limit {
				t.Errorf("settled at %d, %v, of a budget of %d", used, err, limit)
			}
		}
	})
}

func BenchmarkAccount(b *testing.B) {
	a := meter.NewAccount(meter.Options{Now: time.Now})
	b.Run("open and settle", func(b *testing.B) {
		for b.Loop() {
			_, _ = a.Settle(a.Open(1<<40, meter.MaxStack) - 50)
		}
	})
	b.Run("refuel", func(b *testing.B) {
		ctx := b.Context()
		g := a.Open(1<<60, meter.MaxStack)
		for b.Loop() {
			g, _ = a.Refuel(ctx, g-2_000_000)
		}
	})
}

// A loop that never writes G can go on for longer than G's half can hold.
func TestATrapAfterBillionsOfUnitsIsStillCounted(t *testing.T) {
	t.Parallel()
	for _, spent := range []int64{1 << 31, 3 << 31, 10_000_000_000} {
		a := meter.NewAccount(meter.Options{Now: func() time.Time { return time.Unix(0, 0) }})
		g := a.Open(1<<40, meter.MaxStack)
		f := g
		for burnt := int64(0); burnt < spent; {
			step := int64(int32(uint32(f))) + 1 // One more than there is.
			f -= uint64(step)
			burnt += step
			granted, err := a.Refuel(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			g += granted - f // What the slow path does.
			f = granted
		}
		used, err := a.SettleTrap(g)
		if err != nil || used > spent || used < spent-2<<20 {
			t.Errorf("%d units: got %d, %v, want at most 2^21 less", spent, used, err)
		}
	}
}
