package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var hammerRounds = flag.Int("hammer.rounds", 40, "calls that each of 8 goroutines makes in each hammer test")

// alone is set in a process that the test binary starts to run one test in.
const alone = "COFFERDAM_RUNTIME_TEST_ALONE"

// inProcess runs a test in a process of its own, whose mappings, allocations and
// time are its alone.
func inProcess(t *testing.T, test func(t *testing.T), env ...string) string {
	t.Helper()
	if os.Getenv(alone) != "" {
		test(t)
		return ""
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.count=1"}
	for _, arg := range os.Args[1:] { // Flags of ours.
		if !strings.HasPrefix(arg, "-test.") {
			args = append(args, arg)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), alone+"=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in a process of its own: %v\n%s", err, out)
	}
	return string(out)
}

// subject is a module that is called by many, and what is right of it.
type subject struct {
	name   string
	wasm   []byte
	limits runtime.Limits
	call   runtime.Call
	// right says whether a call gave what it must.
	right func(c runtime.Call, result runtime.Result, err error) bool

	mu     sync.RWMutex // Held to exchange the module.
	module *runtime.Module
	closed *atomic.Bool
}

// subjects are modules of every kind: resettable, fresh, growing, failing.
func subjects() []*subject {
	echo := func(c runtime.Call, result runtime.Result, err error) bool {
		return err == nil && bytes.Equal(result.Output, c.Input)
	}
	fails := func(code runtime.Code) func(runtime.Call, runtime.Result, error) bool {
		return func(_ runtime.Call, _ runtime.Result, err error) bool {
			failure, ok := errors.AsType[*runtime.Failure](err)
			return ok && failure.Code == code
		}
	}
	// same holds every call to what the first gave.
	same := func() func(runtime.Call, runtime.Result, error) bool {
		var mu sync.Mutex
		var first *runtime.Result
		return func(_ runtime.Call, result runtime.Result, err error) bool {
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = &result
			}
			return err == nil && bytes.Equal(first.Output, result.Output) && first.Usage.Fuel == result.Usage.Fuel &&
				first.Usage.MemoryBytes == result.Usage.MemoryBytes
		}
	}
	run := runtime.Call{Export: "run"}
	return []*subject{
		{name: "echo", wasm: runtimetest.Echo("run"), call: run, right: echo},
		{name: "work", wasm: probe(false), limits: probeLimits(), call: runtime.Call{Export: "work"}, right: same()},
		{name: "digest", wasm: probe(false), limits: probeLimits(), call: runtime.Call{Export: "digest"}, right: same()},
		{name: "fresh", wasm: probe(true), limits: probeLimits(), call: runtime.Call{Export: "work"}, right: same()},
		{name: "grow", wasm: runtimetest.Grow("run"), limits: runtime.Limits{MemoryBytes: 4 << 20}, call: run, right: fails(runtime.CodeMemoryExceeded)},
		{name: "trap", wasm: runtimetest.Trap("run"), call: run, right: fails(runtime.CodeTrapped)},
		{name: "recurse", wasm: runtimetest.Recurse("run"), call: run, right: fails(runtime.CodeStackExhausted)},
		{name: "loop", wasm: runtimetest.Loop("run"), limits: runtime.Limits{Fuel: 300_000}, call: run, right: fails(runtime.CodeFuelExhausted)},
	}
}

func (s *subject) prepare(ctx context.Context, rt *runtime.Runtime) error {
	module, err := rt.Prepare(ctx, s.wasm, s.limits)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", s.name, err)
	}
	s.mu.Lock()
	old, closed := s.module, s.closed
	s.module, s.closed = module, new(atomic.Bool)
	s.mu.Unlock()
	if old == nil {
		return nil
	}
	// Others may be calling it, or about to.
	closed.Store(true)
	return old.Close(ctx)
}

// try calls the subject once, and says what is wrong. Closed is when somebody
// closed the module meanwhile, and the call said so.
func (s *subject) try(ctx context.Context, i int) (closed bool, err error) {
	s.mu.RLock()
	module, wasClosed := s.module, s.closed
	s.mu.RUnlock()
	c := s.call
	c.Input = bytes.Repeat([]byte(strconv.Itoa(i)), 1+i%200)
	if s.name == "digest" {
		c.Input = nil
	}
	c.Host = answering("12345678")
	c.Share = runtime.Share{Key: strconv.Itoa(i % 5), Weight: 1 + i%3}
	result, err := module.Call(ctx, c)
	if err != nil && strings.Contains(err.Error(), "closed") && wasClosed.Load() {
		return true, nil
	}
	if !s.right(c, result, err) {
		return false, fmt.Errorf("%s: got %q, %+v, %w", s.name, result.Output, result.Usage, err)
	}
	return false, nil
}

// TestHammer calls modules of all kinds from many goroutines while others close,
// trim and unload them, and looks for calls that were lost and for what is left.
func TestHammer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config runtime.Config
		cached bool
	}{
		{"that holds little", runtime.Config{HeldBytes: 1, Running: 2}, false},
		{"that holds little, with a cache", runtime.Config{HeldBytes: 1, Idle: time.Nanosecond, Running: 3}, true},
		{"that holds some", runtime.Config{HeldBytes: 1 << 20, Idle: time.Nanosecond, Running: 1}, true},
		{"that holds all", runtime.Config{Idle: time.Hour, Running: 4}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inProcess(t, func(t *testing.T) {
				t.Helper()
				hammer(t, test.config, test.cached, 10) // What the process maps once and keeps.
				before := mappings(t)
				hammer(t, test.config, test.cached, *hammerRounds)
				after := mappings(t)
				for what, n := range after {
					// Go's heap and its threads' stacks come and go.
					if got := n - before[what]; what != "" && got > 0 || got > 40 {
						t.Errorf("%d mappings of %q were left", got, what)
					}
				}
			})
		})
	}
}

func hammer(t *testing.T, config runtime.Config, cached bool, rounds int) {
	t.Helper()
	config.Functions = []string{"state_get"}
	if cached {
		config.CacheDir = t.TempDir()
	}
	rt, err := runtime.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	all := subjects()
	for _, s := range all {
		if err := s.prepare(t.Context(), rt); err != nil {
			t.Fatal(err)
		}
	}
	var callers, others sync.WaitGroup
	var made, refused atomic.Int64
	const goroutines = 8
	for g := range goroutines {
		callers.Go(func() {
			for i := range rounds {
				closed, err := all[(g+i)%len(all)].try(t.Context(), g*rounds+i)
				if err != nil {
					t.Error(err)
				}
				if made.Add(1); closed {
					refused.Add(1)
				}
			}
		})
	}
	done := make(chan struct{})
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if err := all[i%len(all)].prepare(t.Context(), rt); err != nil {
				t.Error(err)
			}
		}
	})
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := rt.Trim(t.Context()); err != nil {
				t.Errorf("trim: %v", err)
			}
		}
	})
	callers.Wait()
	close(done)
	others.Wait()
	if got := made.Load(); got != int64(goroutines*rounds) {
		t.Errorf("%d calls returned of %d", got, goroutines*rounds)
	}
	if refused.Load() > made.Load()/2 {
		t.Errorf("%d of %d calls found their module closed: nothing was shown", refused.Load(), made.Load())
	}
	finish(t, rt, all)
}

// finish closes all and looks at the books.
func finish(t *testing.T, rt *runtime.Runtime, all []*subject) {
	t.Helper()
	for _, s := range all {
		if err := s.module.Close(t.Context()); err != nil {
			t.Errorf("close %s: %v", s.name, err)
		}
	}
	if got := runtime.Held(rt); got != 0 {
		t.Errorf("%d bytes are held by modules that are closed", got)
	}
	if err := rt.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// mappings counts the process's mappings by what is mapped.
func mappings(t *testing.T) map[string]int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this system does not list mappings")
	}
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		what := strings.Join(fields[min(5, len(fields)):], " ")
		if strings.HasPrefix(what, "[anon") { // Go names its own.
			what = ""
		}
		count[what]++
	}
	return count
}

// TestRuntimeCloseReleasesModulesInUse closes a runtime whose modules are open,
// some of them unloaded.
func TestRuntimeCloseReleasesModulesInUse(t *testing.T) {
	t.Parallel()
	for _, held := range []int64{1, 1 << 30} {
		rt, err := runtime.New(t.Context(), runtime.Config{HeldBytes: held, Functions: []string{"state_get"}})
		if err != nil {
			t.Fatal(err)
		}
		all := subjects()
		for i, s := range all {
			if err := s.prepare(t.Context(), rt); err != nil {
				t.Fatal(err)
			}
			if closed, err := s.try(t.Context(), i); closed || err != nil {
				t.Errorf("call %s: closed %t, %v", s.name, closed, err)
			}
		}
		loaded := slices.ContainsFunc(all, func(s *subject) bool { return runtime.Loaded(s.module) })
		if want := held > 1; loaded != want {
			t.Errorf("with %d bytes to hold, a module is loaded: %t", held, loaded)
		}
		if err := rt.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := runtime.Held(rt); got != 0 {
			t.Errorf("%d bytes are held by a runtime that is closed", got)
		}
		if _, err := all[0].module.Call(t.Context(), runtime.Call{Export: "run"}); err == nil {
			t.Error("a module of a closed runtime was called")
		}
	}
}
