package compile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// BenchmarkGoGuest compares the ways to machine code for a Go guest: compiled in
// a child, compiled here, found in the folder, and loaded from it.
func BenchmarkGoGuest(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	wasm, ctx := runtimetest.Guest(b), b.Context()
	b.Run("child", func(b *testing.B) {
		for b.Loop() {
			if err := newChild(self, filepath.Join(b.TempDir(), "cache"), compile.Config{}).Compile(ctx, wasm); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("in-process", func(b *testing.B) {
		for b.Loop() {
			engine := wazero.NewRuntimeWithConfig(ctx, compile.RuntimeConfig(nil))
			if _, err := engine.CompileModule(ctx, wasm); err != nil {
				b.Fatal(err)
			}
			engine.Close(ctx)
		}
	})
	dir := filepath.Join(b.TempDir(), "cache")
	child := newChild(self, dir, compile.Config{})
	if err := child.Compile(ctx, wasm); err != nil {
		b.Fatal(err)
	}
	b.Run("found", func(b *testing.B) {
		for b.Loop() {
			if err := child.Compile(ctx, wasm); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("loaded", func(b *testing.B) {
		for b.Loop() {
			cache, err := wazero.NewCompilationCacheWithDir(dir)
			if err != nil {
				b.Fatal(err)
			}
			engine := wazero.NewRuntimeWithConfig(ctx, compile.RuntimeConfig(cache))
			if _, err := engine.CompileModule(ctx, wasm); err != nil {
				b.Fatal(err)
			}
			engine.Close(ctx)
			cache.Close(ctx)
		}
	})
}

// BenchmarkTiny is what a child costs beside its work.
func BenchmarkTiny(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	child, n := newChild(self, filepath.Join(b.TempDir(), "cache"), compile.Config{}), 0
	for b.Loop() {
		n++
		if err := child.Compile(b.Context(), constants(n)); err != nil {
			b.Fatal(err)
		}
	}
}
