package compile

import (
	"context"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
)

// beginning lets one at a time make an engine or open a cache: the first to do so
// writes the engine's version into a variable of its package, which all others read.
var beginning sync.Mutex //nolint:gochecknoglobals // What it guards is the engine's, and as global.

// NewEngine makes an engine for what RuntimeConfig configures. On a processor that
// it has no compiler for it is an error: its interpreter is no way out, which has
// other limits and other stack depths.
func NewEngine(ctx context.Context, cache wazero.CompilationCache) (engine wazero.Runtime, err error) {
	beginning.Lock()
	defer beginning.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("start the compiler: %v", p)
		}
	}()
	return wazero.NewRuntimeWithConfig(ctx, RuntimeConfig(cache)), nil
}

// OpenCache opens the engine's cache in a folder. See OpenDir for what to check of
// it before.
func OpenCache(dir string) (wazero.CompilationCache, error) {
	beginning.Lock()
	defer beginning.Unlock()
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the cache of compiled code: %w", err)
	}
	return cache, nil
}
