package compile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// load gives a module to an engine on the bundle's folder.
func (b *testBundle) load(wasm []byte, change func(wazero.RuntimeConfig) wazero.RuntimeConfig) error {
	b.t.Helper()
	ctx := b.t.Context()
	cache, err := wazero.NewCompilationCacheWithDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	defer cache.Close(ctx)
	config := compile.RuntimeConfig(cache)
	if change != nil {
		config = change(config)
	}
	engine := wazero.NewRuntimeWithConfig(ctx, config)
	defer engine.Close(ctx)
	_, err = engine.CompileModule(ctx, wasm)
	return err
}

func TestTheEngineLoadsWhatTheChildCompiled(t *testing.T) {
	t.Parallel()
	var many runtimetest.Builder
	for range 300 {
		many.Func("", "i", "i", "", runtimetest.I32(1))
	}
	for name, wasm := range map[string][]byte{
		"with imports":        runtimetest.Echo("echo"),
		"with memory":         runtimetest.Grow("grow"),
		"without code":        []byte("\x00asm\x01\x00\x00\x00"),
		"with many functions": many.Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := b.child(compile.Config{}).Compile(t.Context(), wasm); err != nil {
				t.Fatal(err)
			}
			made := b.code()
			if len(made) != 1 {
				t.Fatalf("the child made %d files, want 1", len(made))
			}
			// The engine opens an entry by its key alone: what it finds it takes for its own
			// work, and what it does not find it compiles and adds.
			if err := b.load(wasm, nil); err != nil {
				t.Fatal(err)
			}
			if got := b.code(); len(got) != 1 {
				t.Errorf("the engine compiled the module anew: %d files, want 1", len(got))
			}
			if got := b.stages(); len(got) != 0 {
				t.Errorf("left behind: %v", got)
			}
		})
	}
	t.Run("but not under another key", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if err := b.child(compile.Config{}).Compile(t.Context(), empty()); err != nil {
			t.Fatal(err)
		}
		other := func(c wazero.RuntimeConfig) wazero.RuntimeConfig { return c.WithCloseOnContextDone(true) }
		if err := b.load(empty(), other); err != nil {
			t.Fatal(err)
		}
		if got := b.code(); len(got) != 2 {
			t.Errorf("got %d files, want 2: an engine that is configured otherwise has another key", len(got))
		}
	})
	t.Run("from the folder, not from anything else", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if err := b.child(compile.Config{}).Compile(t.Context(), empty()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(b.code()[0], []byte("not machine code, but of a length"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.load(empty(), nil); err == nil {
			t.Error("the engine did not read the child's file")
		}
	})
}

func TestAModuleIsCompiledOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	starts := filepath.Join(t.TempDir(), "starts")
	counted := func() *compile.Child {
		return b.script(compile.Config{}, `echo start >> `+starts, `exec "$REAL" "$@"`)
	}
	count := func() int {
		text, err := os.ReadFile(starts)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "start")
	}
	child := counted()
	done := make(chan error)
	for range 4 {
		go func() { done <- child.Compile(t.Context(), empty()) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if got := count(); got != 1 {
		t.Errorf("four uploads of a module started %d children, want 1", got)
	}
	if err := counted().Compile(t.Context(), empty()); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != 1 {
		t.Errorf("after a restart, %d children were started, want 1", got)
	}
	for what, spoil := range map[string]func(path string) error{
		"is gone":      os.Remove,
		"is cut short": func(path string) error { return os.Truncate(path, 10) },
	} {
		before := count()
		if err := spoil(b.code()[0]); err != nil {
			t.Fatal(err)
		}
		if err := child.Compile(t.Context(), empty()); err != nil {
			t.Fatal(err)
		}
		if got := count(); got != before+1 {
			t.Errorf("a file that %s was not made anew", what)
		}
		if err := b.load(empty(), nil); err != nil {
			t.Errorf("a file that %s was not mended: %v", what, err)
		}
	}
}

func TestUseIsWrittenDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	child := b.child(compile.Config{Now: func() time.Time { return now }})
	for range 2 {
		if err := child.Compile(t.Context(), empty()); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(b.code()[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.ModTime(), now; !got.Equal(want) {
		t.Errorf("the file was used at %s, want %s", got, want)
	}
}

func TestCheckAcceptsABinaryOfTheSameRelease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.child(compile.Config{}).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.code(); len(got) != 0 {
		t.Errorf("the check left %v", got)
	}
}

func TestCheckRefusesLimitsThatNothingCanKeep(t *testing.T) {
	t.Parallel()
	err := setup(t).child(compile.Config{Code: 1}).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the limits are too low for any plugin") || !strings.Contains(err.Error(), "1 bytes of machine code") {
		t.Errorf("got %v, want an error about the limits", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config compile.Config
		want   string
	}{
		"no path":         {compile.Config{CacheDir: "x"}, "Path is not set"},
		"no folder":       {compile.Config{Path: "x"}, "CacheDir is not set"},
		"negative CPU":    {compile.Config{Path: "x", CacheDir: "x", CPU: -1}, "CPU is -1"},
		"negative memory": {compile.Config{Path: "x", CacheDir: "x", Memory: -1}, "Memory is -1"},
		"negative slots":  {compile.Config{Path: "x", CacheDir: "x", AtOnce: -1}, "AtOnce is -1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := compile.NewChild(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error that says %q", err, tt.want)
			}
		})
	}
}

func TestInProcessLeavesItToTheEngine(t *testing.T) {
	t.Parallel()
	var c compile.Compiler = compile.InProcess{}
	if err := c.Compile(t.Context(), []byte("anything")); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Compile(ended, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
