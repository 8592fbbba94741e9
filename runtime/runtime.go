package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
)

// Config configures a Runtime.
type Config struct {
	// Functions are the names that guests may import from extism:host/user,
	// each (i64) -> i64, answered by the Host of the call. Defaults to none.
	Functions []string
	// CacheDir is a private folder for compiled code. Defaults to none: every
	// start compiles anew.
	CacheDir string
	// Now is the clock that Usage.Wall is measured with. Defaults to time.Now.
	Now func() time.Time
}

// Runtime prepares modules. It is safe for concurrent use.
type Runtime struct {
	engine wazero.Runtime
	cache  wazero.CompilationCache // nil when there is no CacheDir.
	offers *abi.Offers
	kernel wazero.CompiledModule
	now    func() time.Time
	closed atomic.Bool
}

// New returns a Runtime; the caller closes it.
func New(ctx context.Context, c Config) (*Runtime, error) {
	offers, err := abi.New(slices.Clone(c.Functions))
	if err != nil {
		return nil, fmt.Errorf("configure host functions: %w", err)
	}
	r := &Runtime{offers: offers, now: c.Now}
	if r.now == nil {
		r.now = time.Now //nolint:forbidigo // The default clock.
	}
	if c.CacheDir != "" {
		if r.cache, err = wazero.NewCompilationCacheWithDir(c.CacheDir); err != nil {
			return nil, fmt.Errorf("open compilation cache: %w", err)
		}
	}
	if r.engine, err = newEngine(ctx, r.cache); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	if err := offers.Instantiate(ctx, r.engine); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	if r.kernel, err = abi.CompileKernel(ctx, r.engine); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

// newEngine turns wazero's panic on a processor that it has no compiler for into
// an error. Its interpreter is no way out: other limits, other stack depths.
func newEngine(ctx context.Context, cache wazero.CompilationCache) (engine wazero.Runtime, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("start the compiler: %v", p)
		}
	}()
	config := wazero.NewRuntimeConfigCompiler().
		// Version 2 is MVP, bulk memory, sign extension, saturating conversions,
		// multi-value, reference types and SIMD. Threads, exceptions and tail
		// calls stay off.
		WithCoreFeatures(api.CoreFeaturesV2).
		// Stands in for fuel, which will end calls behind the same types: it
		// costs several times the CPU and misses what does not loop.
		WithCloseOnContextDone(true)
	if cache != nil {
		config = config.WithCompilationCache(cache)
	}
	return wazero.NewRuntimeWithConfig(ctx, config), nil
}

// Close releases all compiled code, that of modules that are not closed
// included. No call may be in flight.
func (r *Runtime) Close(ctx context.Context) error {
	if r.closed.Swap(true) {
		return nil
	}
	var err error
	if r.engine != nil {
		err = r.engine.Close(ctx)
	}
	if r.cache != nil {
		err = errors.Join(err, r.cache.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("close runtime: %w", err)
	}
	return nil
}
