package fairshare_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/runtime/fairshare"
)

// guest is a goroutine that burns what the test tells it to.
type guest struct {
	key    string
	ticket *fairshare.Ticket
	slices chan int64
}

// stage runs guests one slice at a time: each that has a slot says so, and burns
// nothing until the test picks it. So the order of everything is the test's.
type stage struct {
	ctx       context.Context //nolint:containedctx // Of all its guests; the test's.
	cancel    context.CancelFunc
	scheduler *fairshare.Scheduler
	ready     chan *guest
	holding   []*guest
	burnt     map[string]int64
	guests    sync.WaitGroup
}

func newStage(ctx context.Context, slots int) *stage {
	ctx, cancel := context.WithCancel(ctx)
	return &stage{
		ctx: ctx, cancel: cancel, scheduler: fairshare.New(slots),
		ready: make(chan *guest, 1000), burnt: map[string]int64{},
	}
}

// enter starts a guest and returns when it has a slot or is in line.
func (s *stage) enter(key string, weight int) *guest {
	g := &guest{key: key, ticket: s.scheduler.NewTicket(), slices: make(chan int64)}
	s.guests.Go(func() {
		if g.ticket.Enter(s.ctx, key, weight) != nil {
			return
		}
		s.ready <- g
		for burnt := range g.slices {
			if g.ticket.Pause(s.ctx, burnt) != nil {
				break
			}
			s.ready <- g
		}
		g.ticket.Exit(0)
	})
	for !g.ticket.Waits() {
		select {
		case in := <-s.ready:
			s.holding = append(s.holding, in)
			return in
		default:
			goruntime.Gosched()
		}
	}
	return g
}

// slice lets the i-th of those that hold a slot burn something. Whoever has the
// slot afterwards holds it in its place.
func (s *stage) slice(i int, burnt int64) *guest {
	g := s.holding[i]
	s.burnt[g.key] += burnt
	g.slices <- burnt
	s.holding[i] = <-s.ready
	return s.holding[i]
}

// exit ends the i-th of those that hold a slot.
func (s *stage) exit(i int) {
	g := s.holding[i]
	waiting := s.scheduler.Line() > 0
	close(g.slices)
	if waiting {
		s.holding[i] = <-s.ready
		return
	}
	s.holding = append(s.holding[:i], s.holding[i+1:]...)
}

// end cancels what waits and ends the rest.
func (s *stage) end() {
	s.cancel()
	for _, g := range s.holding {
		close(g.slices)
	}
	s.guests.Wait()
}

func TestKeysShareByWeight(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		slots   int
		weights map[string]int
	}{
		"alike on one slot":        {1, map[string]int{"a": 1, "b": 1}},
		"three to one":             {1, map[string]int{"a": 3, "b": 1}},
		"three to one, four slots": {4, map[string]int{"a": 3, "b": 1}},
		"many":                     {2, map[string]int{"a": 1, "b": 2, "c": 3, "d": 10, "e": 100}},
		"nonsense is one":          {1, map[string]int{"a": 0, "b": -7, "c": 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const slices, units = 20_000, 100_000
			s := newStage(t.Context(), test.slots)
			defer s.end()
			sum := 0
			for key, weight := range test.weights {
				sum += max(weight, 1)
				for range test.slots {
					s.enter(key, weight)
				}
			}
			for i := range slices {
				s.slice(i%test.slots, units)
			}
			for key, weight := range test.weights {
				want := int64(slices*units) / int64(sum) * int64(max(weight, 1))
				if got := s.burnt[key]; got < want-5*units || got > want+5*units {
					t.Errorf("%s of weight %d burnt %d, want %d to within 5 slices of %d", key, weight, got, want, units)
				}
			}
		})
	}
}

// TestShareErrorIsBounded: a key that waits sees another overtake it by no more
// than a slice on each slot.
func TestShareErrorIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		const longest = 1_000_000
		slots := rapid.IntRange(1, 4).Draw(r, "slots")
		weights := rapid.SliceOfN(rapid.IntRange(1, 50), 2, 6).Draw(r, "weights")
		s := newStage(t.Context(), slots)
		defer s.end()
		for k, weight := range weights {
			for range slots + 1 { // So that each key always waits.
				s.enter(fmt.Sprint(k), weight)
			}
		}
		for range rapid.IntRange(0, 500).Draw(r, "slices") {
			s.slice(rapid.IntRange(0, slots-1).Draw(r, "slot"), rapid.Int64Range(1000, longest).Draw(r, "burnt"))
			for i, wi := range weights {
				for j, wj := range weights {
					ahead := s.burnt[fmt.Sprint(i)]/int64(wi) - s.burnt[fmt.Sprint(j)]/int64(wj)
					if bound := int64(slots*longest/wi) + 2; ahead > bound {
						r.Fatalf("key %d is %d units of weight 1 ahead of key %d, want at most %d", i, ahead, j, bound)
					}
				}
			}
		}
	})
}

func TestTicketsOfAKeyTakeTurns(t *testing.T) {
	t.Parallel()
	s := newStage(t.Context(), 1)
	defer s.end()
	var guests []*guest
	for range 5 {
		guests = append(guests, s.enter("a", 1))
	}
	for i := range 20 {
		if got, want := s.slice(0, 1000), guests[(i+1)%5]; got != want {
			t.Fatalf("slice %d went to another than the one that waited longest", i)
		}
	}
}

func TestShortCallsCountLikeLongOnes(t *testing.T) {
	t.Parallel()
	s := newStage(t.Context(), 1)
	defer s.end()
	s.enter("long", 1)
	s.enter("short", 1)
	ran := map[*guest]int{}
	for range 10_000 {
		ran[s.holding[0]]++
		if g := s.slice(0, 10_000); g.key == "short" && ran[g] >= 5 {
			// The call ends, and the next begins while the other runs.
			s.exit(0)
			s.enter("short", 1)
		}
	}
	// A newcomer in each call would get 5 times as much. Who is away for a moment
	// loses a slice of 10,000 for each call of 50,000.
	if got, want := s.burnt["short"], s.burnt["long"]; got < want*80/100 || got > want*105/100 {
		t.Errorf("short calls burnt %d, a long one %d", got, want)
	}
}

func TestNewcomersGetNoCredit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		slots int
		// before is what runs alone, and for how many slices.
		before map[string]int
		slices int
	}{
		"after one ran alone":         {1, map[string]int{"old": 1}, 10_000},
		"after two ran beside":        {2, map[string]int{"old": 2}, 10_000},
		"after two keys shared":       {1, map[string]int{"old": 1, "older": 1}, 10_000},
		"after one wanted no more":    {2, map[string]int{"old": 3, "single": 1}, 10_000},
		"after a slot was never used": {3, map[string]int{"old": 2}, 10_000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t.Context(), test.slots)
			defer s.end()
			for key, tickets := range test.before {
				for range tickets {
					s.enter(key, 1)
				}
			}
			for i := range test.slices {
				s.slice(i%len(s.holding), 100_000)
			}
			clear(s.burnt)
			for range test.slots + 1 {
				s.enter("new", 1)
			}
			for i := range 300 {
				s.slice(i%test.slots, 100_000)
			}
			// 100 to 150 of 300 slices are its share, by how many keys there are.
			if got := s.burnt["new"] / 100_000; got > 200 || got < 80 {
				t.Errorf("a newcomer got %d of 300 slices", got)
			}
			if got := s.burnt["old"] / 100_000; got < 80 {
				t.Errorf("who was there before got %d of 300 slices", got)
			}
		})
	}
}

func TestSleepersGetNoCredit(t *testing.T) {
	t.Parallel()
	s := newStage(t.Context(), 1)
	defer s.end()
	sleeper := s.scheduler.NewTicket()
	if err := sleeper.Enter(t.Context(), "sleeper", 1); err != nil {
		t.Fatal(err)
	}
	sleeper.Leave()
	s.enter("busy", 1)
	for range 1000 {
		s.slice(0, 100_000)
	}
	back := make(chan error)
	go func() { back <- sleeper.Rejoin(t.Context()) }()
	for !sleeper.Waits() {
		goruntime.Gosched()
	}
	// Its turn comes at the end of the slice, and is over after one of its own.
	s.holding[0].slices <- 100_000
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	again := make(chan error)
	go func() { again <- sleeper.Pause(t.Context(), 300_001) }()
	s.holding[0] = <-s.ready
	for i := range 2 {
		if got := s.slice(0, 100_000); got.key != "busy" {
			t.Fatalf("after the sleeper's 3 slices, %q got slice %d", got.key, i)
		}
	}
	s.holding[0].slices <- 200_000
	if err := <-again; err != nil {
		t.Fatal(err)
	}
	sleeper.Exit(0)
	s.holding[0] = <-s.ready
}

func TestAGuestThatWaitsElsewhereHoldsNoSlot(t *testing.T) {
	t.Parallel()
	s := fairshare.New(1)
	a, b := s.NewTicket(), s.NewTicket()
	if err := a.Enter(t.Context(), "a", 1); err != nil {
		t.Fatal(err)
	}
	a.Leave()
	a.Leave() // Twice gives up no more.
	if err := b.Enter(t.Context(), "b", 1); err != nil {
		t.Fatal(err)
	}
	if got := s.Free(); got != 0 {
		t.Errorf("%d slots are free, want 0", got)
	}
	b.Exit(10)
	if err := a.Rejoin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Rejoin(t.Context()); err != nil { // It has one.
		t.Fatal(err)
	}
	a.Exit(10)
	a.Exit(10)
	if got := s.Free(); got != 1 {
		t.Errorf("%d slots are free, want 1", got)
	}
	if err := a.Pause(t.Context(), 10); err != nil {
		t.Errorf("Pause outside: %v", err)
	}
}

func TestATicketEntersOnce(t *testing.T) {
	t.Parallel()
	s := fairshare.New(2)
	a := s.NewTicket()
	if err := a.Enter(t.Context(), "a", 1); err != nil {
		t.Fatal(err)
	}
	if err := a.Enter(t.Context(), "a", 1); err == nil {
		t.Error("a second Enter gave no error")
	}
	a.Exit(0)
	if got := s.Free(); got != 2 {
		t.Errorf("%d slots are free, want 2", got)
	}
}

func TestCancellationInLineLosesNoSlot(t *testing.T) {
	t.Parallel()
	waits := map[string]func(ctx context.Context, t *fairshare.Ticket) error{
		"entering": func(ctx context.Context, t *fairshare.Ticket) error { return t.Enter(ctx, "b", 1) },
		"rejoining": func(ctx context.Context, t *fairshare.Ticket) error {
			return t.Rejoin(ctx)
		},
		"pausing": func(ctx context.Context, t *fairshare.Ticket) error { return t.Pause(ctx, 1_000_000) },
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fairshare.New(1)
			a, b := s.NewTicket(), s.NewTicket()
			if name != "entering" {
				if err := b.Enter(t.Context(), "b", 1); err != nil {
					t.Fatal(err)
				}
			}
			if name == "rejoining" {
				b.Leave()
			}
			entered := make(chan error)
			go func() { entered <- a.Enter(t.Context(), "a", 1) }()
			if name == "pausing" {
				for !a.Waits() {
					goruntime.Gosched()
				}
			} else if err := <-entered; err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error)
			go func() { result <- wait(ctx, b) }()
			for !b.Waits() {
				goruntime.Gosched()
			}
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
			if name == "pausing" {
				if err := <-entered; err != nil {
					t.Fatal(err)
				}
			}
			if got := s.Line(); got != 0 {
				t.Errorf("%d keys wait, want 0", got)
			}
			b.Exit(5)
			a.Exit(5)
			if got := s.Free(); got != 1 {
				t.Errorf("%d slots are free, want 1", got)
			}
		})
	}
}

func TestIdleKeysAreForgotten(t *testing.T) {
	t.Parallel()
	s := fairshare.New(2)
	ticket := s.NewTicket()
	for i := range 50_000 {
		if err := ticket.Enter(t.Context(), fmt.Sprint(i), 1); err != nil {
			t.Fatal(err)
		}
		ticket.Exit(1000)
	}
	if got := s.Keys(); got > 2048 {
		t.Errorf("%d keys are remembered, want at most 2048", got)
	}
}

func TestTimeNeverRunsOut(t *testing.T) {
	t.Parallel()
	s := newStage(t.Context(), 1)
	defer s.end()
	s.enter("a", 1)
	s.enter("b", 3)
	s.scheduler.Advance(1<<60 - 5_000_000*1024)
	for range 100_000 {
		s.slice(0, 1_000_000)
	}
	if a, b := s.burnt["a"], s.burnt["b"]; b < 3*a-5_000_000 || b > 3*a+5_000_000 {
		t.Errorf("weights 1 and 3 burnt %d and %d", a, b)
	}
	for range 5000 { // More than an int64 of virtual time.
		s.slice(0, 1<<62)
	}
}

func TestNoMoreThanTheSlotsAreIn(t *testing.T) {
	t.Parallel()
	const slots = 3
	s := fairshare.New(slots)
	var in, most atomic.Int64
	enter := func() {
		if n := in.Add(1); n > most.Load() {
			most.Store(n)
		}
	}
	leave := func() { in.Add(-1) }
	var guests sync.WaitGroup
	for i := range 24 {
		guests.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			ticket := s.NewTicket()
			for range 400 {
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(4) == 0 {
					go cancel()
				}
				hammer(ctx, ticket, random, enter, leave)
				cancel()
			}
		})
	}
	guests.Wait()
	if got := most.Load(); got > slots {
		t.Errorf("%d were in at once, want at most %d", got, slots)
	}
	if free, line := s.Free(), s.Line(); free != slots || line != 0 {
		t.Errorf("in the end %d slots are free and %d keys wait, want %d and 0", free, line, slots)
	}
}

// hammer makes one call of random slices and host calls.
func hammer(ctx context.Context, ticket *fairshare.Ticket, random *rand.Rand, enter, leave func()) {
	if ticket.Enter(ctx, fmt.Sprint(random.IntN(6)), random.IntN(4)) != nil {
		return
	}
	defer func() { ticket.Exit(random.Int64N(1000)) }()
	enter()
	for range random.IntN(8) {
		leave() // While it is in a call of the scheduler it does not count as in.
		var err error
		if random.IntN(3) == 0 {
			ticket.Leave()
			goruntime.Gosched()
			err = ticket.Rejoin(ctx)
		} else {
			err = ticket.Pause(ctx, random.Int64N(100_000))
		}
		if err != nil {
			return
		}
		enter()
		goruntime.Gosched()
	}
	leave()
}
