package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/internal/outline"
)

// Module is a compiled module. It is safe for concurrent use: every Call gets
// an instance of its own.
type Module struct {
	runtime  *Runtime
	compiled wazero.CompiledModule
	limits   Limits
	exports  []string
	imports  []string

	mu       sync.Mutex
	inFlight int
	closed   bool
	kernels  []*abi.Kernel // Those that no call has.
}

func newModule(r *Runtime, compiled wazero.CompiledModule, o *outline.Outline, l Limits) *Module {
	m := &Module{runtime: r, compiled: compiled, limits: l, exports: callable(compiled)}
	for _, i := range o.Imports {
		if i.Module == abi.UserModule {
			m.imports = append(m.imports, i.Name)
		}
	}
	slices.Sort(m.imports)
	m.imports = slices.Compact(m.imports)
	return m
}

// Exports names the functions of type () -> i32 or () -> (), sorted: those that
// can be called.
func (m *Module) Exports() []string { return slices.Clone(m.exports) }

// Imports names what the module imports from extism:host/user, sorted.
func (m *Module) Imports() []string { return slices.Clone(m.imports) }

// Close releases the compiled code once the calls in flight have ended; it does
// not wait for them. Later calls give an error.
func (m *Module) Close(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return m.release(ctx)
}

// enter counts a call in.
func (m *Module) enter() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("call module: it is closed")
	}
	m.inFlight++
	return nil
}

// leave counts a call out. The last one out of a closed module releases it.
func (m *Module) leave(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight--
	return m.release(context.WithoutCancel(ctx))
}

// release is called with mu held.
func (m *Module) release(ctx context.Context) error {
	if !m.closed || m.inFlight > 0 {
		return nil
	}
	err := m.compiled.Close(ctx)
	for _, k := range m.kernels {
		err = errors.Join(err, k.Close(ctx))
	}
	m.kernels = nil
	if err != nil {
		return fmt.Errorf("close module: %w", err)
	}
	return nil
}

// takeKernel gives a call a kernel of its own, which putKernel takes back.
func (m *Module) takeKernel(ctx context.Context) (*abi.Kernel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := len(m.kernels) - 1; last >= 0 {
		k := m.kernels[last]
		m.kernels = m.kernels[:last]
		return k, nil
	}
	size := abi.KernelSize(m.limits.KernelBytes)
	return abi.NewKernel(ctx, m.runtime.engine, m.runtime.kernel, &memory{limit: size, min: size})
}

func (m *Module) putKernel(k *abi.Kernel) {
	k.Reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kernels = append(m.kernels, k)
}
