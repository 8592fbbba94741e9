package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// unused is how many modules lie idle at once.
const unused = 8

// idle measures what a module costs that nobody has called for a while, and what
// the first call after that takes.
func (s *suite) idle(ctx context.Context) (err error) {
	binary, err := s.golang(ctx, "mapper")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cofferdam-bench")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	r, err := runtime.New(ctx, runtime.Config{Functions: []string{waitFunction}, CacheDir: dir, Idle: time.Nanosecond})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	// The first ones bring what all share, and what compiling has once needed.
	if _, err := prepareVariants(ctx, r, binary, 0, unused); err != nil {
		return err
	}
	if err := r.Trim(ctx); err != nil {
		return err
	}
	before, heapBefore, err := private()
	if err != nil {
		return err
	}
	modules, err := prepareVariants(ctx, r, binary, unused, unused)
	if err != nil {
		return err
	}
	live, _, err := private()
	if err != nil {
		return err
	}
	if err := r.Trim(ctx); err != nil {
		return err
	}
	after, heapAfter, err := private()
	if err != nil {
		return err
	}
	first, err := stopwatch.Timed(1, func() error { _, err := modules[0].call(ctx, "transform"); return err })
	if err != nil {
		return err
	}
	s.print("idle_module_kb", (after-before)/unused, "KiB",
		peer("heap_kb", (heapAfter-heapBefore)/unused), peer("in_use_kb", (live-before)/unused),
		peer("first_call_ms", first.Wall*1e3), fmt.Sprintf("modules=%d", unused))
	return nil
}

// prepareVariants prepares and calls n modules that differ in a global alone, so
// that they share no code.
func prepareVariants(ctx context.Context, r *runtime.Runtime, binary []byte, from, n int) ([]*sandbox, error) {
	var all []*sandbox
	for i := range n {
		m, err := wasm.Decode(binary, wasm.Limits{})
		if err != nil {
			return nil, fmt.Errorf("decode: %w", err)
		}
		var value wasm.Code
		value.I32(int32(from + i))
		value.Op(wasm.OpEnd)
		m.Globals = append(m.Globals, wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I32}, Init: wasm.Expr(value)})
		prepared, err := r.Prepare(ctx, m.Encode(), runtime.Limits{})
		if err != nil {
			return nil, err
		}
		s := &sandbox{runtime: r, module: prepared}
		if _, err := s.call(ctx, "transform"); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
