package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// engine is shared by all tests, as it is by all tenants: compiling the Go guest
// takes seconds.
var engine struct {
	once  sync.Once
	rt    *runtime.Runtime
	guest func(tb testing.TB) *runtime.Module
	err   error
}

func TestMain(m *testing.M) {
	var once sync.Once
	var module *runtime.Module
	var err error
	engine.guest = func(tb testing.TB) *runtime.Module {
		tb.Helper()
		rt := sharedRuntime(tb)
		once.Do(func() {
			module, err = rt.Prepare(context.Background(), runtimetest.Guest(tb), runtime.Limits{}) //nolint:usetesting // It outlives the test.
		})
		if err != nil {
			tb.Fatalf("prepare guest: %v", err)
		}
		return module
	}
	code := m.Run()
	if engine.rt != nil {
		if err := engine.rt.Close(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func sharedRuntime(tb testing.TB) *runtime.Runtime {
	tb.Helper()
	engine.once.Do(func() {
		engine.rt, engine.err = runtime.New(context.Background(), runtime.Config{ //nolint:usetesting // It outlives the test.
			Functions: []string{"state_get", "http"},
			CacheDir:  runtimetest.CacheDir(tb),
		})
	})
	if engine.err != nil {
		tb.Fatalf("new runtime: %v", engine.err)
	}
	return engine.rt
}

func prepare(tb testing.TB, wasm []byte, l runtime.Limits) *runtime.Module {
	tb.Helper()
	module, err := sharedRuntime(tb).Prepare(tb.Context(), wasm, l)
	if err != nil {
		tb.Fatalf("prepare: %v", err)
	}
	tb.Cleanup(func() {
		if err := module.Close(context.Background()); err != nil { //nolint:usetesting // Its own has ended.
			tb.Errorf("close module: %v", err)
		}
	})
	return module
}

// host answers by function and keeps what it was asked, and after how much fuel.
type host struct {
	answer func(ctx context.Context, c runtime.Crossing) (runtime.Answer, error)

	mu    sync.Mutex
	asked []string
	fuel  []int64
}

func (h *host) Call(ctx context.Context, c runtime.Crossing) (runtime.Answer, error) {
	h.mu.Lock()
	h.asked = append(h.asked, c.Func+" "+string(c.Request))
	h.fuel = append(h.fuel, c.Fuel)
	h.mu.Unlock()
	if h.answer == nil {
		return runtime.Answer{Response: []byte(`{"result":{}}`)}, nil
	}
	return h.answer(ctx, c)
}

func answering(response string) *host {
	return &host{answer: func(context.Context, runtime.Crossing) (runtime.Answer, error) {
		return runtime.Answer{Response: []byte(response)}, nil
	}}
}

func wantFailure(t *testing.T, err error, code runtime.Code) *runtime.Failure {
	t.Helper()
	var failure *runtime.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got error %v, want a failure with code %s", err, code)
	}
	if failure.Code != code {
		t.Fatalf("got code %s (%s), want %s", failure.Code, failure.Message, code)
	}
	return failure
}

func TestNew(t *testing.T) {
	t.Parallel()
	for name, functions := range map[string][]string{
		"refuses a function without a name":   {""},
		"refuses a function that comes twice": {"http", "http"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := runtime.New(t.Context(), runtime.Config{Functions: functions}); err == nil {
				t.Error("got no error")
			}
		})
	}
	t.Run("refuses a cache folder that is a file", func(t *testing.T) {
		t.Parallel()
		file := t.TempDir() + "/file"
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := runtime.New(t.Context(), runtime.Config{CacheDir: file}); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("keeps compiled code in the cache folder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		for range 2 {
			rt, err := runtime.New(t.Context(), runtime.Config{CacheDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			module, err := rt.Prepare(t.Context(), runtimetest.Echo("echo"), runtime.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			result, err := module.Call(t.Context(), runtime.Call{Export: "echo", Input: []byte("hi")})
			if err != nil || string(result.Output) != "hi" {
				t.Errorf("got %q, %v", result.Output, err)
			}
			if err := rt.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) == 0 {
			t.Errorf("got %d entries in the cache, %v", len(entries), err)
		}
	})
	t.Run("refuses modules once it is closed", func(t *testing.T) {
		t.Parallel()
		rt, err := runtime.New(t.Context(), runtime.Config{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := rt.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		_, err = rt.Prepare(t.Context(), runtimetest.Echo("echo"), runtime.Limits{})
		if invalid := (*runtime.InvalidModule)(nil); err == nil || errors.As(err, &invalid) {
			t.Errorf("got %v, want an error that does not blame the module", err)
		}
	})
	t.Run("measures with the clock it is given", func(t *testing.T) {
		t.Parallel()
		ticks := 0
		rt, err := runtime.New(t.Context(), runtime.Config{Now: func() time.Time {
			ticks++
			return time.Unix(int64(ticks), 0)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer rt.Close(t.Context())
		module, err := rt.Prepare(t.Context(), runtimetest.Echo("echo"), runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		result, err := module.Call(t.Context(), runtime.Call{Export: "echo"})
		// How often it is read is nobody's business; nothing but it is.
		if wall := result.Usage.Wall; err != nil || wall < time.Second || wall%time.Second != 0 || result.Usage.CPU > wall {
			t.Errorf("got %+v, %v, want whole seconds", result.Usage, err)
		}
	})
}

func TestModuleClose(t *testing.T) {
	t.Parallel()
	t.Run("makes later calls an error", func(t *testing.T) {
		t.Parallel()
		module := prepare(t, runtimetest.Echo("echo"), runtime.Limits{})
		if err := module.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := module.Call(t.Context(), runtime.Call{Export: "echo"}); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("lets a call in flight end", func(t *testing.T) {
		t.Parallel()
		module := prepare(t, runtimetest.Ask("ask", "state_get", "{}"), runtime.Limits{})
		h := &host{answer: func(context.Context, runtime.Crossing) (runtime.Answer, error) {
			return runtime.Answer{Response: []byte(`{"result":1}`)}, module.Close(t.Context())
		}}
		result, err := module.Call(t.Context(), runtime.Call{Export: "ask", Host: h})
		if got, want := string(result.Output), `{"result":1}`; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
	t.Run("leaves another module of the same bytes alone", func(t *testing.T) {
		t.Parallel()
		wasm := runtimetest.Outputs(map[string]string{"same": "bytes"})
		one, other := prepare(t, wasm, runtime.Limits{}), prepare(t, wasm, runtime.Limits{})
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		result, err := other.Call(t.Context(), runtime.Call{Export: "same"})
		if err != nil || string(result.Output) != "bytes" {
			t.Errorf("got %q, %v", result.Output, err)
		}
	})
}
