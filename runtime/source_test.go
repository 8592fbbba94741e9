package runtime_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// calendar is a clock that goes by leaps.
type calendar struct{ now atomic.Int64 }

func (c *calendar) Now() time.Time { return time.Unix(c.now.Load(), 0) }

func (c *calendar) leap(d time.Duration) { c.now.Add(int64(d / time.Second)) }

// kept is where a folder has a module's bytes.
func kept(dir string, wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return filepath.Join(dir, "modules", hex.EncodeToString(sum[:])+".wasm")
}

func startIn(t *testing.T, dir string, c *calendar) *runtime.Runtime {
	t.Helper()
	rt, err := runtime.New(t.Context(), runtime.Config{CacheDir: dir, Now: c.Now, Idle: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(t.Context()) })
	return rt
}

func TestAModuleThatWasTornIsWrittenAnew(t *testing.T) {
	t.Parallel()
	dir, echo := t.TempDir(), runtimetest.Echo("echo")
	torn := bytes.Clone(echo)
	clear(torn[len(torn)/2:]) // Of the right size, as after a crash.
	if err := os.MkdirAll(filepath.Dir(kept(dir, echo)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept(dir, echo), torn, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &calendar{}
	rt := startIn(t, dir, c)
	module, err := rt.Prepare(t.Context(), echo, runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c.leap(time.Minute)
	if err := rt.Trim(t.Context()); err != nil || runtime.Loaded(module) {
		t.Fatalf("the module was not unloaded: %v", err)
	}
	if _, err := module.Call(t.Context(), runtime.Call{Export: "echo"}); err != nil {
		t.Error(err)
	}
}

func TestModulesThatNobodyHasOpenAreSwept(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	dir, c := t.TempDir(), &calendar{}
	one, other := startIn(t, dir, c), startIn(t, dir, c)
	wasm := map[string][]byte{}
	prepare := func(rt *runtime.Runtime, name string) *runtime.Module {
		wasm[name] = runtimetest.Echo(name)
		module, err := rt.Prepare(t.Context(), wasm[name], runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return module
	}
	standing := func() (names []string) {
		for name := range wasm {
			if _, err := os.Stat(kept(dir, wasm[name])); err == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	trim := func(all ...*runtime.Runtime) {
		for _, rt := range all {
			if err := rt.Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	prepare(one, "own")
	others := prepare(other, "others")
	for _, rt := range []*runtime.Runtime{one, other} {
		if err := prepare(rt, "closed").Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(dir, "modules", ".123")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, c.Now(), c.Now()); err != nil {
		t.Fatal(err)
	}

	c.leap(6 * day)
	trim(one, other)
	if got, want := standing(), []string{"closed", "others", "own"}; !slices.Equal(got, want) {
		t.Fatalf("after six days there are %q, want %q", got, want)
	}
	c.leap(2 * day)
	trim(one)
	if got, want := standing(), []string{"others", "own"}; !slices.Equal(got, want) {
		t.Fatalf("after eight days there are %q, want %q", got, want)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what a crash has left is there after eight days")
	}
	if runtime.Loaded(others) {
		t.Fatal("the module of another is loaded: nothing is proved")
	}
	if _, err := others.Call(t.Context(), runtime.Call{Export: "others"}); err != nil {
		t.Errorf("call a module that another runtime's sweep has met: %v", err)
	}
	// A server that is stopped does not keep its modules for ever.
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.leap(8 * day)
	trim(one)
	if got, want := standing(), []string{"own"}; !slices.Equal(got, want) {
		t.Errorf("after another eight days there are %q, want %q", got, want)
	}
}
