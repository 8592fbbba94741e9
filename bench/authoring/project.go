package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/quickjs"
	"github.com/cofferdam-run/cofferdam/sdk/typescript"
)

// cache is where what is compiled stays, as it does on a server.
func (s *suite) cache() string { return filepath.Join(s.dir, "cache") }

// project makes a folder as npm install leaves one: a copy of the project, with the
// SDK of this tree and the engine.
func (s *suite) project() (string, error) {
	engine, err := filepath.Abs(filepath.Join(s.modules, quickjs.Package))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(engine); err != nil {
		return "", fmt.Errorf("%w: the engine is not in %s: run npm ci in sdk/typescript", command.ErrSkip, s.modules)
	}
	dir, err := os.MkdirTemp(s.dir, "project-")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(s.source, "project"))); err != nil {
		return "", err
	}
	files, err := typescript.Files()
	if err != nil {
		return "", err
	}
	modules := filepath.Join(dir, "node_modules")
	for _, f := range files {
		path := filepath.Join(modules, "@cofferdam", "connector", filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, f.Content, 0o600); err != nil {
			return "", err
		}
	}
	return dir, os.Symlink(engine, filepath.Join(modules, quickjs.Package))
}

// builder makes a project and what builds it.
func (s *suite) builder(ctx context.Context) (*build.Builder, string, error) {
	dir, err := s.project()
	if err != nil {
		return nil, "", err
	}
	b, err := build.New(ctx, dir, build.Options{NoCheck: true, CacheDir: s.cache()})
	return b, dir, err
}

// typescript is the connector in TypeScript.
func (s *suite) typescript(ctx context.Context) (_ []byte, err error) {
	b, _, err := s.builder(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	plugin, err := b.Build(ctx)
	if err != nil {
		return nil, err
	}
	return plugin.Wasm, nil
}

// golang is the connector in Go.
func (s *suite) golang(ctx context.Context) ([]byte, error) {
	out := filepath.Join(s.dir, "guest.wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-trimpath", "-o", out, ".")
	cmd.Dir = filepath.Join(s.source, "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest: %w\n%s", err, said)
	}
	return os.ReadFile(out)
}

// edit changes what the connector says.
func edit(dir string, n int) error {
	text := fmt.Sprintf("export const greet = (name: string): string => `Hello, ${name}! (%d)`;\n", n)
	return os.WriteFile(filepath.Join(dir, "src", "greet.ts"), []byte(text), 0o600)
}

// rebuild measures what an author waits for after a file was saved: until the new
// version is described and ready to be called. The type check, which goes on beside
// it, is left out.
func (s *suite) rebuild(ctx context.Context) (err error) {
	begun := time.Now()
	b, dir, err := s.builder(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	if _, err := b.Build(ctx); err != nil {
		return err
	}
	first := time.Since(begun)
	var took, freezing, bundling []float64
	for n := range s.edits {
		if err := edit(dir, n); err != nil {
			return err
		}
		begun := time.Now()
		plugin, err := b.Build(ctx)
		if err != nil {
			return err
		}
		took = append(took, milliseconds(time.Since(begun)))
		bundling = append(bundling, milliseconds(plugin.Took.Compile))
		freezing = append(freezing, milliseconds(plugin.Took.Freeze))
	}
	s.print("rebuild_ms", stopwatch.Quantile(took, .5), "ms", peer("p95", stopwatch.Quantile(took, .95)),
		peer("bundle", stopwatch.Quantile(bundling, .5)), peer("freeze", stopwatch.Quantile(freezing, .5)), peer("first", milliseconds(first)))
	return nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
