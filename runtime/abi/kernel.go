package abi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Kernel is Extism's memory of one sandbox, with the functions that work on it.
// It outlives calls: each begins with NewGuest or Begin, and leaves bytes behind
// until Reset. It is not safe for concurrent use.
type Kernel struct {
	instance api.Module
	heap     heap
}

// CompileKernel compiles what NewKernel instantiates. Once per rt, which closes it.
func CompileKernel(ctx context.Context, rt wazero.Runtime) (wazero.CompiledModule, error) {
	compiled, err := rt.CompileModule(ctx, kernelModule().Encode())
	if err != nil {
		return nil, fmt.Errorf("compile kernel: %w", err)
	}
	return compiled, nil
}

// KernelSize is the memory that a kernel needs for a budget of Options.KernelBytes.
func KernelSize(budget int64) uint64 {
	size := min(uint64(max(budget, 0)), maxHeapBytes-firstBlock) + firstBlock
	return (size + pageBytes - 1) &^ (pageBytes - 1)
}

// NewKernel instantiates a kernel in a runtime in which the Offers are
// instantiated; the caller closes it, after the guests that import it. The memory
// that the allocator gives must be zero and have its full size, KernelSize, from
// the start and stay where it is: a kernel does not grow.
func NewKernel(ctx context.Context, rt wazero.Runtime, compiled wazero.CompiledModule, allocator experimental.MemoryAllocator) (*Kernel, error) {
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		// Nobody reads it. The default is 5 KB of state in each instance.
		WithRandSource(rand.Reader)
	instance, err := rt.InstantiateModule(experimental.WithMemoryAllocator(ctx, allocator), compiled, config)
	if err != nil {
		return nil, fmt.Errorf("instantiate kernel: %w", err)
	}
	memory := instance.Memory()
	all, ok := memory.Read(0, memory.Size())
	if !ok || len(all) < pageBytes {
		return nil, errors.Join(
			fmt.Errorf("instantiate kernel: the allocator gave %d bytes of memory; at least %d are needed", len(all), pageBytes),
			instance.Close(ctx))
	}
	return &Kernel{instance: instance, heap: all}, nil
}

// Import returns a context under which modules that are instantiated import this
// kernel's functions.
func (k *Kernel) Import(ctx context.Context) context.Context {
	return experimental.WithImportResolver(ctx, func(module string) api.Module {
		if module == EnvModule || module == LegacyModule {
			return k.instance
		}
		return nil
	})
}

// Used is how many bytes, from the first on, may be other than zero.
func (k *Kernel) Used() int { return int(min(k.heap.word(wordHigh), uint64(len(k.heap)))) }

// Reset makes every byte zero again that a call used. Who owns the memory may do
// that instead, such as by dropping its pages.
func (k *Kernel) Reset() { clear(k.heap[:k.Used()]) }

// Close closes the instance, and nothing of the memory.
func (k *Kernel) Close(ctx context.Context) error {
	if err := k.instance.Close(ctx); err != nil {
		return fmt.Errorf("close kernel: %w", err)
	}
	return nil
}
