package runtime_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// counter is a guest whose byte at 0 is added to by what starts it, and by each
// call of run, which returns it.
func counter(starts map[string]int32) []byte {
	var b runtimetest.Builder
	b.Memory(1)
	add := func(n int32) []byte {
		return slices.Concat(runtimetest.I32(0), runtimetest.I32(0), load8, runtimetest.I32(n), runtimetest.Op(0x6a), store8)
	}
	for _, name := range []string{"_initialize", "__wasm_call_ctors", "_start"} {
		if n, ok := starts[name]; ok {
			b.Func(name, "", "", "", add(n))
		}
	}
	for _, name := range []string{"warmup", "reseed"} {
		if n, ok := starts[name]; ok {
			b.Func(name, "", "i", "", add(n), runtimetest.I32(0))
		}
	}
	b.Func("run", "", "i", "", add(1), runtimetest.I32(0), load8)
	return b.Bytes()
}

var (
	load8  = runtimetest.Op(0x2d, 0, 0) // i32.load8_u
	store8 = runtimetest.Op(0x3a, 0, 0) // i32.store8
)

// The code that run returns is all that there is to see: it is in the error.
func TestWhatRunsBeforeACall(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		starts map[string]int32
		want   string
	}{
		"nothing":                              {nil, "returned 1 "},
		"an initialization, once":              {map[string]int32{"_initialize": 10}, "returned 11 "},
		"constructors, once":                   {map[string]int32{"__wasm_call_ctors": 20}, "returned 21 "},
		"an initialization runs constructors":  {map[string]int32{"_initialize": 10, "__wasm_call_ctors": 20}, "returned 11 "},
		"a warm-up, once":                      {map[string]int32{"_initialize": 10, "warmup": 40}, "returned 51 "},
		"a reseeding, each time":               {map[string]int32{"_initialize": 10, "reseed": 100}, "returned 111 "},
		"a command's constructors, each time":  {map[string]int32{"_start": 7, "__wasm_call_ctors": 20}, "returned 21 "},
		"everything there is to start":         {map[string]int32{"_initialize": 10, "warmup": 40, "reseed": 100}, "returned 151 "},
		"a command's main is only for callers": {map[string]int32{"_start": 7}, "returned 1 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := prepare(t, counter(test.starts), runtime.Limits{})
			for range 3 { // The second is in a sandbox that was reset.
				_, err := module.Call(t.Context(), runtime.Call{Export: "run"})
				wantFailure(t, err, runtime.CodePluginBug)
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
			}
			for _, hidden := range []string{"_initialize", "__wasm_call_ctors", "warmup", "reseed"} {
				if slices.Contains(module.Exports(), hidden) {
					t.Errorf("%s can be called", hidden)
				}
			}
		})
	}
}

func TestAWarmUpThatFailsIsRefused(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Func("warmup", "", "i", "", runtimetest.I32(3))
	b.Func("run", "", "i", "", runtimetest.I32(0))
	_, err := sharedRuntime(t).Prepare(t.Context(), b.Bytes(), runtime.Limits{})
	if invalid, ok := errors.AsType[*runtime.InvalidModule](err); !ok || invalid.Code != "start_failed" || !strings.Contains(invalid.Message, "returned 3") {
		t.Errorf("got %v, want start_failed", err)
	}
}

// A start-up may ask for nothing: what came of it would be in everybody's image.
func TestAStartIsDeniedEverything(t *testing.T) {
	t.Parallel()
	answer := runtimetest.Ask("warmup", "http", `{}`)
	if _, err := sharedRuntime(t).Prepare(t.Context(), answer, runtime.Limits{}); err != nil {
		t.Errorf("got %v, want a denial that the guest can live with", err)
	}
}

func TestRandomnessIsTheCallsOwn(t *testing.T) {
	t.Parallel()
	module := engine.guest(t)
	draw := func(seed byte) string {
		t.Helper()
		result, err := module.Call(t.Context(), runtime.Call{Export: "random", World: runtime.World{Seed: [32]byte{seed}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(result.Output)
	}
	if first := draw(1); first != draw(1) || first == draw(2) {
		t.Error("equal seeds must give equal streams, and different seeds different ones")
	}
}

// What a guest has when it is unloaded, it has again.
func TestUnloadedModulesComeBack(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"from a folder": t.TempDir(), "from memory": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt, err := runtime.New(t.Context(), runtime.Config{CacheDir: dir, HeldBytes: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := rt.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			module, err := rt.Prepare(t.Context(), counter(map[string]int32{"_initialize": 10}), runtime.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // With a byte to hold, everything is unloaded after each call.
				if _, err := module.Call(t.Context(), runtime.Call{Export: "run"}); err == nil || !strings.Contains(err.Error(), "returned 11 ") {
					t.Errorf("got %v, want code 11", err)
				}
			}
		})
	}
}
