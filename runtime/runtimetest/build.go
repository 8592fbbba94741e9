package runtimetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"testing"
)

// Guest returns the guest in testdata/guest: Go, with an export for each thing
// that a guest does. Its source says what they are.
func Guest(tb testing.TB) []byte {
	tb.Helper()
	_, file, _, ok := goruntime.Caller(0)
	if !ok {
		tb.Fatal("find the source of runtimetest")
	}
	return BuildGo(tb, filepath.Join(filepath.Dir(file), "testdata", "guest"))
}

// BuildGo builds the Go guest in a folder, a module of its own, as a reactor. The
// result is kept in CacheDir under a hash of the sources and of the compiler's
// version, so that of many test binaries one builds it. What the guest imports
// must therefore be in its folder, or in the standard library; build others with
// BuildGoFresh.
func BuildGo(tb testing.TB, dir string) []byte {
	tb.Helper()
	key, err := digest(dir)
	if err != nil {
		tb.Fatalf("hash guest %s: %v", dir, err)
	}
	kept := filepath.Join(CacheDir(tb), "guest-"+key+".wasm")
	if wasm, err := os.ReadFile(kept); err == nil {
		return wasm
	}
	wasm := BuildGoFresh(tb, dir)
	keep(tb, kept, wasm)
	return wasm
}

// CacheDir is a folder that outlives the test, for runtime.Config.CacheDir:
// compiling a Go guest takes seconds, with the race detector ten times that.
func CacheDir(tb testing.TB) string {
	tb.Helper()
	base, err := os.UserCacheDir()
	if err != nil { // There is no home.
		base = os.TempDir()
	}
	dir := filepath.Join(base, "cofferdam-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatalf("make cache folder: %v", err)
	}
	return dir
}

// BuildGoFresh is BuildGo without the kept result.
func BuildGoFresh(tb testing.TB, dir string) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-trimpath", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if message, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build guest %s: %v\n%s", dir, err, message)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		tb.Fatalf("read guest: %v", err)
	}
	return wasm
}

// keep writes the file whole or not at all: tests run side by side.
func keep(tb testing.TB, path string, content []byte) {
	tb.Helper()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		tb.Fatalf("keep guest: %v", err)
	}
	_, err = f.Write(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		tb.Fatalf("keep guest: %v", err)
	}
}

func digest(dir string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, goruntime.Version())
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", d.Name(), len(content))
		_, err = h.Write(content)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
