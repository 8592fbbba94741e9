package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
)

// assemblyScript is the compiler that is fetched with npm, and kept.
const assemblyScript = "assemblyscript@0.28.20"

// golang builds the Go guest in a folder as a reactor, once.
func (s *suite) golang(ctx context.Context, name string) ([]byte, error) {
	return s.build(name, func(out string) error {
		cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-trimpath", "-o", out, "./"+name)
		cmd.Dir = s.guests
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		return output(cmd)
	})
}

// clang builds the guest in C, with flags added.
func (s *suite) clang(ctx context.Context, flags ...string) ([]byte, error) {
	if _, err := exec.LookPath("clang"); err != nil {
		return nil, fmt.Errorf("%w: the guests in C need clang and wasm-ld", command.ErrSkip)
	}
	return s.build("c"+strings.Join(flags, ""), func(out string) error {
		args := append([]string{
			"--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-mbulk-memory", "-Wl,--no-entry", "-o", out,
		}, append(flags, "workloads.c")...)
		cmd := exec.CommandContext(ctx, "clang", args...)
		cmd.Dir = filepath.Join(s.guests, "c")
		if err := output(cmd); err != nil {
			// A clang without the target or the linker is as good as none.
			return fmt.Errorf("%w: %w", command.ErrSkip, err)
		}
		return nil
	})
}

// assembly builds the guest in AssemblyScript. The compiler is fetched once, into
// the user's cache.
func (s *suite) assembly(ctx context.Context) ([]byte, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return nil, fmt.Errorf("%w: the guest in AssemblyScript needs node and npm", command.ErrSkip)
	}
	cache, err := os.UserCacheDir()
	if err != nil { // There is no home.
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "cofferdam-bench", assemblyScript)
	asc := filepath.Join(dir, "node_modules", ".bin", "asc")
	if _, err := os.Stat(asc); err != nil {
		if err := fetch(ctx, npm, dir); err != nil {
			return nil, err
		}
	}
	return s.build("assemblyscript", func(out string) error {
		cmd := exec.CommandContext(ctx, asc, "workloads.ts", "-O3", "--runtime", "incremental", "--use", "abort=", "--outFile", out)
		cmd.Dir = filepath.Join(s.guests, "assemblyscript")
		return output(cmd)
	})
}

func fetch(ctx context.Context, npm, dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make a folder for AssemblyScript: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "install", "--prefix", dir, "--no-audit", "--no-fund", "--silent", assemblyScript)
	if err := output(cmd); err != nil {
		return fmt.Errorf("%w: fetch AssemblyScript: %w", command.ErrSkip, err)
	}
	return nil
}

// build keeps what f writes to the file that it is given.
func (s *suite) build(name string, f func(out string) error) ([]byte, error) {
	if wasm, ok := s.built[name]; ok {
		return wasm, nil
	}
	dir, err := os.MkdirTemp("", "cofferdam-bench")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	if err := f(out); err != nil {
		return nil, fmt.Errorf("build guest %s: %w", name, err)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("read guest %s: %w", name, err)
	}
	s.built[name] = wasm
	return wasm, nil
}

// output runs a command, and has what it says in the error.
func output(cmd *exec.Cmd) error {
	if message, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, message)
	}
	return nil
}
