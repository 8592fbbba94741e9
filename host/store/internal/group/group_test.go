package group_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
)

func TestCallsThatWaitShareAGroup(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	var sizes []int
	g := group.New(t.Context(), 1, 128, func(_ context.Context, items []*group.Item[int]) {
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
	g := group.New(t.Context(), 3, 8, func(_ context.Context, items []*group.Item[int]) {
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
	g := group.New(t.Context(), 1, 8, func(ctx context.Context, _ []*group.Item[int]) {
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
	g := group.New(t.Context(), 2, 4, func(_ context.Context, items []*group.Item[int]) {
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
