package compile

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Compiler makes modules cheap to load.
type Compiler interface {
	// Compile returns nil when an engine on the same cache may be given the module:
	// loading it costs the process no more than the Compiler allows. It returns a
	// *CostError when the module costs more to compile than that, a *ModuleError
	// when it cannot be compiled at all, and any other error when the fault is not
	// the module's.
	Compile(ctx context.Context, wasm []byte) error
}

// InProcess leaves the work to the engine, in this process. What bounds it is
// what the caller has checked before: the runtime's limits on a module's shape.
type InProcess struct{}

// Compile implements Compiler: the engine is given every module.
func (InProcess) Compile(ctx context.Context, _ []byte) error { return ctx.Err() }

// RuntimeConfig configures every engine that shares a cache: those that compile
// and those that load. What the engine calls a module's key holds the module, the
// processor and one of these settings, so that nothing but this function keeps
// code that was made under other settings from being loaded. A change of it is a
// change of protocol. The cache may be nil.
func RuntimeConfig(cache wazero.CompilationCache) wazero.RuntimeConfig {
	config := wazero.NewRuntimeConfigCompiler().
		// Version 2 is MVP, bulk memory, sign extension, saturating conversions,
		// multi-value, reference types and SIMD. Threads, exceptions and tail
		// calls stay off.
		WithCoreFeatures(api.CoreFeaturesV2).
		// Fuel ends calls; this would cost several times the CPU and miss what
		// does not loop. It is the setting that is part of the key.
		WithCloseOnContextDone(false).
		// Debug information speaks of offsets before the module was rewritten, and
		// its parser would read what a stranger wrote, in every process that loads.
		WithDebugInfoEnabled(false)
	if cache != nil {
		config = config.WithCompilationCache(cache)
	}
	return config
}
