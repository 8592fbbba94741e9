package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// newCache returns a cache of echo modules, and how many it has prepared.
func newCache(t *testing.T, most int) (*modules, *atomic.Int64) {
	t.Helper()
	rt, err := runtime.New(t.Context(), runtime.Config{})
	if err != nil {
		t.Fatalf("start runtime: %v", err)
	}
	prepared := &atomic.Int64{}
	m := newModules(most, func(ctx context.Context, v registry.Version) (*runtime.Module, error) {
		prepared.Add(1)
		if v.Digest == "broken" {
			return nil, errors.New("broken")
		}
		return rt.Prepare(ctx, runtimetest.Echo("go"), runtime.Limits{})
	})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(m.close(ctx), rt.Close(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
		if len(m.all) != 0 {
			t.Errorf("%d modules are left after close", len(m.all))
		}
	})
	return m, prepared
}

func use(t *testing.T, m *modules, digest string) {
	t.Helper()
	module, release, err := m.take(t.Context(), registry.Version{Digest: digest})
	if err != nil {
		t.Fatalf("take %s: %v", digest, err)
	}
	defer release()
	if r, err := module.Call(t.Context(), runtime.Call{Export: "go", Input: []byte("x")}); err != nil || string(r.Output) != "x" {
		t.Errorf("call %s: got %q and %v", digest, r.Output, err)
	}
}

func TestModulesKeepThoseThatWereUsedLast(t *testing.T) {
	t.Parallel()
	m, prepared := newCache(t, 2)
	for _, digest := range []string{"a", "b", "a", "c", "a"} {
		use(t, m, digest)
	}
	if got := prepared.Load(); got != 3 {
		t.Errorf("prepared %d, want a, b and c once each", got)
	}
	use(t, m, "b")
	if got := prepared.Load(); got != 4 {
		t.Errorf("prepared %d, want b again: it was the oldest", got)
	}
}

func TestModulesInUseStayOpen(t *testing.T) {
	t.Parallel()
	m, _ := newCache(t, 1)
	module, release, err := m.take(t.Context(), registry.Version{Digest: "held"})
	if err != nil {
		t.Fatal(err)
	}
	for _, digest := range []string{"a", "b", "c"} {
		use(t, m, digest)
	}
	if _, err := module.Call(t.Context(), runtime.Call{Export: "go"}); err != nil {
		t.Errorf("a module in use was closed: %v", err)
	}
	release()
}

func TestModulesThatFailAreTriedAnew(t *testing.T) {
	t.Parallel()
	m, prepared := newCache(t, 2)
	for range 3 {
		if _, _, err := m.take(t.Context(), registry.Version{Digest: "broken"}); err == nil {
			t.Fatal("a broken module was prepared")
		}
	}
	if got := prepared.Load(); got != 3 {
		t.Errorf("prepared %d times, want 3", got)
	}
}

func TestModulesWaitNoLongerThanTheirContext(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	m := newModules(1, func(context.Context, registry.Version) (*runtime.Module, error) {
		close(begun)
		<-finish
		return nil, errors.New("late")
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, _, err := m.take(t.Context(), registry.Version{}); err == nil {
			t.Error("a module that failed was given")
		}
	})
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := m.take(ctx, registry.Version{}); !errors.Is(err, context.Canceled) {
		t.Errorf("take gave %v, want context canceled", err)
	}
	close(finish)
	wg.Wait()
	if len(m.all) != 0 {
		t.Errorf("%d are left, want none", len(m.all))
	}
}

func TestModulesHammer(t *testing.T) {
	t.Parallel()
	m, _ := newCache(t, 2)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 30 {
				use(t, m, fmt.Sprint((i+n)%4))
			}
		})
	}
	wg.Wait()
	if len(m.all) > 2 {
		t.Errorf("%d modules are kept, want 2 at most", len(m.all))
	}
}
