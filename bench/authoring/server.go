package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// server measures what a plugin more costs on a server: many that differ, each
// prepared, and called once, so that it has a sandbox.
func (s *suite) server(ctx context.Context) (err error) {
	plugins, err := s.variants(ctx)
	if err != nil {
		return err
	}
	rt, err := runtime.New(ctx, runtime.Config{Functions: functions(), CacheDir: s.cache()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	input, err := envelope("hello", map[string]any{"name": "Ada"})
	if err != nil {
		return err
	}
	var one, all footprint
	begun := time.Now()
	for i, path := range plugins {
		if err := upload(ctx, rt, path, input); err != nil {
			return err
		}
		if i == 0 {
			if one, err = measure(); err != nil {
				return err
			}
			begun = time.Now()
		}
	}
	took := time.Since(begun)
	if all, err = measure(); err != nil {
		return err
	}
	more := float64(len(plugins) - 1)
	s.print("mb_per_ts_plugin", (all.bytes()-one.bytes())/more/(1<<20), "MiB", peer("anonymous", (all.anonymous-one.anonymous)/more/(1<<20)),
		peer("images", (all.images-one.images)/more/(1<<20)), peer("prepare_ms", milliseconds(took)/more), fmt.Sprintf("plugins=%d", len(plugins)))
	return nil
}

// variants builds plugins that differ, into files.
func (s *suite) variants(ctx context.Context) (paths []string, err error) {
	b, dir, err := s.builder(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	for n := range max(s.plugins, 2) {
		if err := edit(dir, n); err != nil {
			return nil, err
		}
		plugin, err := b.Build(ctx)
		if err != nil {
			return nil, err
		}
		paths = append(paths, filepath.Join(s.dir, fmt.Sprintf("plugin-%d.wasm", n)))
		if err := os.WriteFile(paths[n], plugin.Wasm, 0o600); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// upload prepares a plugin, and calls it once.
func upload(ctx context.Context, rt *runtime.Runtime, path string, input []byte) error {
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	g := guest{}
	if g.module, err = rt.Prepare(ctx, binary, runtime.Limits{}); err != nil {
		return err
	}
	_, err = g.action(ctx, input)
	return err
}

// footprint is memory of this process, in bytes.
type footprint struct {
	// anonymous is pages that no file has: the heap, machine code, what sandboxes have
	// written. images is what memory files have, which is what sandboxes begin as.
	anonymous, images float64
}

func (f footprint) bytes() float64 { return f.anonymous + f.images }

// measure leaves garbage out.
func measure() (footprint, error) {
	goruntime.GC()
	debug.FreeOSMemory()
	anonymous, err := command.Kilobytes("/proc/self/smaps_rollup", "Anonymous:")
	if err != nil {
		return footprint{}, err
	}
	images, err := memoryFiles()
	return footprint{1024 * anonymous, images}, err
}

// memoryFiles sums up what the memory files that are open take.
func memoryFiles() (float64, error) {
	const dir, block = "/proc/self/fd", 512
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("%w: this needs Linux: %w", command.ErrSkip, err)
	}
	sum, seen := 0.0, map[uint64]bool{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		target, err := os.Readlink(path)
		if err != nil || !strings.HasPrefix(target, "/memfd:") {
			continue
		}
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil || seen[st.Ino] {
			continue
		}
		seen[st.Ino] = true
		sum += float64(st.Blocks * block)
	}
	return sum, nil
}
