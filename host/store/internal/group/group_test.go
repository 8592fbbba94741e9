package group_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
)

func TestCallsThatWaitShareAGroup(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	var sizes []int
	g := group.New(t.Context(), group.Config{Workers: 1, Size: 128}, func(_ context.Context, items []*group.Item[int]) {
		if sizes = append(sizes, len(items)); len(sizes) == 1 {
			close(began)
			<-release
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() { _ = g.Do(t.Context(), 0) })
	<-began
	entered := make(chan struct{}, 20)
	for i := range 20 {
		wg.Go(func() {
			entered <- struct{}{}
			_ = g.Do(t.Context(), i)
		})
	}
	for range 20 {
		<-entered
	}
	close(release)
	wg.Wait()
	g.Close()
	if got := len(sizes); got > 20 {
		t.Errorf("got %d groups for 21 calls, want fewer", got)
	}
}

func TestEachCallLearnsItsOwnFate(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	g := group.New(t.Context(), group.Config{Workers: 3, Size: 8}, func(_ context.Context, items []*group.Item[int]) {
		for _, it := range items {
			if it.Value%2 == 1 {
				it.Err = odd
			}
		}
	})
	defer g.Close()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			got := g.Do(t.Context(), i)
			if want := i%2 == 1; errors.Is(got, odd) != want {
				t.Errorf("call %d: got %v", i, got)
			}
		})
	}
	wg.Wait()
}

func TestACallerThatGivesUpIsNotToldOfSuccess(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	g := group.New(t.Context(), group.Config{Workers: 1, Size: 8}, func(ctx context.Context, _ []*group.Item[int]) {
		close(began)
		<-release
		if ctx.Err() != nil {
			t.Error("the caller's context reached the group")
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.Do(ctx, 1) }()
	<-began
	cancel()
	if got := <-done; !errors.Is(got, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", got)
	}
	close(release)
	g.Close()
}

func TestCloseAnswersEveryCall(t *testing.T) {
	t.Parallel()
	var ran atomic.Int64
	g := group.New(t.Context(), group.Config{Workers: 2, Size: 4}, func(_ context.Context, items []*group.Item[int]) {
		ran.Add(int64(len(items)))
	})
	var wg sync.WaitGroup
	var succeeded atomic.Int64
	for i := range 500 {
		wg.Go(func() {
			err := g.Do(t.Context(), i)
			switch {
			case err == nil:
				succeeded.Add(1)
			case !errors.Is(err, group.ErrClosed):
				t.Errorf("got %v, want nil or ErrClosed", err)
			}
		})
	}
	g.Close()
	wg.Wait()
	if got, want := succeeded.Load(), ran.Load(); got != want {
		t.Errorf("%d calls were told of success, %d were made", got, want)
	}
	if err := g.Do(t.Context(), 1); !errors.Is(err, group.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

// Three groups are under way one after the other, though there is a worker for each.
func TestOneGroupWaitsForTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, 4)
		p.call(1)
		equal(t, []int{1}, p.sizes())
		p.call(3)
		equal(t, []int{1}, p.sizes())
		p.end()
		equal(t, []int{1, 3}, p.sizes())
		p.call(2)
		p.end()
		equal(t, []int{1, 3, 2}, p.sizes())
		p.end()
	})
}

func TestPatienceWithAGroupEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, 4)
		p.call(1)
		p.call(2)
		time.Sleep(patience - time.Millisecond)
		synctest.Wait()
		equal(t, []int{1}, p.sizes())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		equal(t, []int{1, 2}, p.sizes())
		// The turn is one still: the third waits for the second.
		p.call(3)
		p.end()
		p.end()
		equal(t, []int{1, 2, 3}, p.sizes())
		p.end()
	})
}

func TestNobodyWaitsForAFullGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPatient(t, 4)
		p.call(1)
		p.call(6) // Four wait in the channel, and two at it.
		p.end()
		equal(t, []int{1, 4, 2}, p.sizes())
		p.end()
		p.end()
	})
}

const patience = time.Second

// patient is a group of three workers whose groups end when they are told to.
type patient struct {
	*group.Group[int]

	t    *testing.T
	mu   sync.Mutex
	ran  []int
	ends chan struct{}
	all  sync.WaitGroup
}

func newPatient(t *testing.T, size int) *patient {
	t.Helper()
	p := &patient{t: t, ends: make(chan struct{})}
	p.Group = group.New(t.Context(), group.Config{Workers: 3, Size: size, Patience: patience}, func(_ context.Context, items []*group.Item[int]) {
		p.mu.Lock()
		p.ran = append(p.ran, len(items))
		p.mu.Unlock()
		<-p.ends
	})
	t.Cleanup(func() {
		p.all.Wait()
		p.Close()
	})
	return p
}

// call makes n calls, and waits until nothing moves.
func (p *patient) call(n int) {
	for range n {
		p.all.Go(func() {
			if err := p.Do(p.t.Context(), 0); err != nil {
				p.t.Error(err)
			}
		})
	}
	synctest.Wait()
}

// end ends one group.
func (p *patient) end() {
	p.ends <- struct{}{}
	synctest.Wait()
}

// sizes are those of the groups that have begun.
func (p *patient) sizes() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ran)
}

func equal(t *testing.T, want, got []int) {
	t.Helper()
	if !slices.Equal(want, got) {
		t.Errorf("got groups of %v, want %v", got, want)
	}
}

func TestGroupsBeginApartWhereCallsComeSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type begun struct {
			at time.Duration
			n  int
		}
		const us = time.Microsecond
		var got []begun
		start := time.Now()
		g := group.New(t.Context(), group.Config{Workers: 1, Size: 4, Apart: 2000 * us}, func(_ context.Context, items []*group.Item[int]) {
			got = append(got, begun{time.Since(start), len(items)})
			time.Sleep(1000 * us)
		})
		var wg sync.WaitGroup
		for at, n := range map[time.Duration]int{0: 1, 500 * us: 2, 1500 * us: 1, 2500 * us: 1, 3500 * us: 1, 5500 * us: 4, 6500 * us: 2, 7500 * us: 1} {
			for range n {
				wg.Go(func() {
					time.Sleep(at)
					if err := g.Do(t.Context(), n); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		g.Close()
		want := []begun{
			{0, 1}, {1000 * us, 2}, // Who calls alone is followed at once.
			{3000 * us, 2}, {5000 * us, 1}, // Others wait until it is time, and what comes meanwhile is with them.
			{6000 * us, 4}, {7000 * us, 2}, // A full one is followed at once, too.
			{9000 * us, 1},
		}
		if !slices.Equal(got, want) {
			t.Errorf("groups began at %v, want %v", got, want)
		}
	})
}

func TestWhatWaitsForItsTimeIsMadeAtOnceByAClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		g := group.New(t.Context(), group.Config{Workers: 1, Size: 4, Apart: time.Hour}, func(_ context.Context, items []*group.Item[int]) {
			sizes = append(sizes, len(items))
			time.Sleep(time.Second)
		})
		began := time.Now()
		var wg sync.WaitGroup
		for i, at := range []time.Duration{0, 1, 1, 2e9} {
			wg.Go(func() {
				time.Sleep(at)
				if err := g.Do(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(3 * time.Second)
		g.Close()
		wg.Wait()
		if want := []int{1, 2, 1}; !slices.Equal(sizes, want) || time.Since(began) != 4*time.Second {
			t.Errorf("groups of %v after %v, want %v after 4s", sizes, time.Since(began), want)
		}
	})
}
