package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// countingCompiler counts what it is given.
type countingCompiler struct{ compiled atomic.Int64 }

func (c *countingCompiler) Compile(context.Context, []byte) error {
	c.compiled.Add(1)
	return nil
}

// sibling is one of modules with the same code: run returns the sum of its byte, of
// its global and of its memory's pages, and changes all three.
func sibling(n int32) []byte {
	constant := func(v int32) wasm.Expr {
		var c wasm.Code
		c.I32(v)
		c.Op(wasm.OpEnd)
		return wasm.Expr(c)
	}
	var run wasm.Code
	run.I32(0)
	run.Access(wasm.OpI32Load, 2, 0)
	run.Index(wasm.OpGlobalGet, 0)
	run.Op(wasm.OpI32Add)
	run.Index(wasm.OpMemorySize, 0)
	run.Op(wasm.OpI32Add)
	run.I32(0)
	run.I32(-1)
	run.Access(wasm.OpI32Store, 2, 0)
	run.I32(-1)
	run.Index(wasm.OpGlobalSet, 0)
	run.I32(1)
	run.Index(wasm.OpMemoryGrow, 0)
	run.Op(wasm.OpDrop, wasm.OpEnd)
	m := &wasm.Module{
		Types:     []wasm.FuncType{{Results: []wasm.ValueType{wasm.I32}}},
		Functions: []uint32{0},
		Memory:    &wasm.Memory{Min: uint32(n)},
		Globals:   []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Init: constant(10 * n)}},
		Exports:   []wasm.Export{{Name: "run"}},
		Code:      []wasm.Body{{Code: run}},
		Data:      []wasm.Data{{Offset: constant(0), Init: bytes.Repeat([]byte{byte(n)}, 1)}},
	}
	module, err := runtime.WithSections(m.Encode(), map[string][]byte{"n": fmt.Append(nil, n)})
	if err != nil {
		panic(err)
	}
	return module
}

// callSibling makes two calls, one in a sandbox that was reset.
func callSibling(ctx context.Context, m *runtime.Module, n int32) error {
	for range 2 {
		_, err := m.Call(ctx, runtime.Call{Export: "run"})
		if want := fmt.Sprintf("returned %d ", 12*n); err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("sibling %d gave %w, want %q", n, err, want)
		}
	}
	return nil
}

func TestModulesThatBeginDifferentlyShareTheirCode(t *testing.T) {
	t.Parallel()
	compiler := &countingCompiler{}
	rt := newRuntime(t, runtime.Config{Compiler: compiler})
	var modules []*runtime.Module
	for n := int32(1); n <= 3; n++ {
		m, err := rt.Prepare(t.Context(), sibling(n), runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, m)
	}
	if got := compiler.compiled.Load(); got != 1 {
		t.Errorf("%d were compiled, want one for all", got)
	}
	if got, want := modules[2].Facts().ImageBytes, int64(3<<16); got != want {
		t.Errorf("the third begins with %d bytes, want %d", got, want)
	}
	if one, two := modules[0].Facts().ImageDigest, modules[1].Facts().ImageDigest; one == two {
		t.Error("two of them have one image digest")
	}
	for len(modules) > 0 {
		for i, m := range modules {
			if err := callSibling(t.Context(), m, int32(i+4-len(modules))); err != nil {
				t.Error(err)
			}
		}
		if err := modules[0].Close(t.Context()); err != nil {
			t.Error(err)
		}
		modules = modules[1:]
	}
	if held := runtime.Held(rt); held != 0 {
		t.Errorf("%d bytes are held once all are closed", held)
	}
}

// TestSharedCodeIsCountedOnce: what is held would else push others out.
func TestSharedCodeIsCountedOnce(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, runtime.Config{})
	held := func(module []byte) int64 {
		t.Helper()
		before := runtime.Held(rt)
		if _, err := rt.Prepare(t.Context(), module, runtime.Limits{}); err != nil {
			t.Fatal(err)
		}
		return runtime.Held(rt) - before
	}
	first, second := held(sibling(1)), held(sibling(2))
	if image := int64(4 << 10); first <= second || second > image {
		t.Errorf("the first holds %d bytes more, the second %d, which has %d of an image alone", first, second, image)
	}
}

func TestCodeIsKeptForTheNext(t *testing.T) {
	t.Parallel()
	t.Run("while it was used not long ago", func(t *testing.T) {
		t.Parallel()
		compiler := &countingCompiler{}
		rt := newRuntime(t, runtime.Config{Compiler: compiler})
		for i := range byte(3) {
			if _, err := rt.Freeze(t.Context(), loader(), runtime.Limits{}, runtime.Freezing{Export: "load", Input: []byte{i}}); err != nil {
				t.Fatal(err)
			}
		}
		if got := compiler.compiled.Load(); got != 1 {
			t.Errorf("it was compiled %d times", got)
		}
		if runtime.Held(rt) == 0 {
			t.Error("it is not counted")
		}
	})
	t.Run("until Trim finds it idle", func(t *testing.T) {
		t.Parallel()
		rt := newRuntime(t, runtime.Config{Idle: 1})
		if _, err := rt.Freeze(t.Context(), loader(), runtime.Limits{}, runtime.Freezing{}); err != nil {
			t.Fatal(err)
		}
		if err := rt.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held := runtime.Held(rt); held != 0 {
			t.Errorf("%d bytes are held", held)
		}
	})
	t.Run("until there is too much", func(t *testing.T) {
		t.Parallel()
		rt := newRuntime(t, runtime.Config{HeldBytes: 1})
		if _, err := rt.Freeze(t.Context(), loader(), runtime.Limits{}, runtime.Freezing{}); err != nil {
			t.Fatal(err)
		}
		m, err := rt.Prepare(t.Context(), sibling(1), runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := callSibling(t.Context(), m, 1); err != nil {
			t.Error(err)
		}
		if held := runtime.Held(rt); held != 0 {
			t.Errorf("%d bytes are held, and 1 may be", held)
		}
	})
	t.Run("by modules that are unloaded and come again", func(t *testing.T) {
		t.Parallel()
		compiler := &countingCompiler{}
		rt := newRuntime(t, runtime.Config{Compiler: compiler, Idle: 1, CacheDir: t.TempDir()})
		m, err := rt.Prepare(t.Context(), sibling(2), runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := rt.Trim(t.Context()); err != nil || runtime.Loaded(m) {
				t.Fatalf("it is loaded still: %v", err)
			}
			if err := callSibling(t.Context(), m, 2); err != nil {
				t.Error(err)
			}
		}
		if got := compiler.compiled.Load(); got != 3 {
			t.Errorf("it was compiled %d times, want once for each time that it was loaded", got)
		}
	})
}

func TestSharingHidesNoMistake(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, runtime.Config{})
	with := func(at int32) []byte {
		var b runtimetest.Builder
		b.Memory(1)
		b.Data(at, []byte("data"))
		b.Func("run", "", "i", "", runtimetest.I32(0))
		return b.Bytes()
	}
	if _, err := rt.Prepare(t.Context(), with(0), runtime.Limits{}); err != nil {
		t.Fatal(err)
	}
	_, err := rt.Prepare(t.Context(), with(1<<16-3), runtime.Limits{})
	if invalid, ok := errors.AsType[*runtime.InvalidModule](err); !ok || !strings.Contains(invalid.Message, "fills bytes 65533 to 65537") {
		t.Errorf("got %v of a segment that is out of bounds", err)
	}
	m, err := rt.Prepare(t.Context(), with(1<<16-4), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Call(t.Context(), runtime.Call{Export: "run"}); err != nil {
		t.Error(err)
	}
}

// TestSharingChangesNoFuel holds a module that had its code to itself to one that did
// not.
func TestSharingChangesNoFuel(t *testing.T) {
	t.Parallel()
	fuel := func(rt *runtime.Runtime) int64 {
		t.Helper()
		m, err := rt.Prepare(t.Context(), sibling(2), runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		result, _ := m.Call(t.Context(), runtime.Call{Export: "run"})
		return result.Usage.Fuel
	}
	alone, shared := newRuntime(t, runtime.Config{}), newRuntime(t, runtime.Config{})
	if _, err := shared.Prepare(t.Context(), sibling(5), runtime.Limits{}); err != nil {
		t.Fatal(err)
	}
	if a, b := fuel(alone), fuel(shared); a != b || a < 1<<16 { // The growth of its memory alone costs that.
		t.Errorf("it used %d units alone and %d when its code was shared", a, b)
	}
}

// TestSharedCodeUnderFire prepares, calls, unloads and closes modules with one code
// from many goroutines.
func TestSharedCodeUnderFire(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, runtime.Config{HeldBytes: 64 << 10})
	var wg sync.WaitGroup
	for worker := range int32(8) {
		wg.Go(func() {
			for range 20 {
				m, err := rt.Prepare(t.Context(), sibling(worker+1), runtime.Limits{})
				if err != nil {
					t.Error(err)
					return
				}
				var callers sync.WaitGroup
				for range 2 {
					callers.Go(func() {
						if err := callSibling(t.Context(), m, worker+1); err != nil {
							t.Error(err)
						}
					})
				}
				callers.Wait()
				if err := m.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if held := runtime.Held(rt); held != 0 {
		t.Errorf("%d bytes are held once all are closed", held)
	}
}
