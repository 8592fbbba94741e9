package runtime

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/cofferdam-run/cofferdam/runtime/image"
)

// Idle are the sandboxes that wait for a call, as something to compare.
func Idle(m *Module) []any {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []any
	if m.live != nil {
		for _, s := range m.live.idle.all {
			all = append(all, s)
		}
	}
	return all
}

// DropIdle throws the sandboxes away that wait for a call, so that the next call
// has a new one.
func DropIdle(ctx context.Context, m *Module) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	if m.live != nil {
		for s := m.live.idle.pop(); s != nil; s = m.live.idle.pop() {
			m.runtime.held.Add(-s.bytes())
			errs = append(errs, s.close(ctx))
		}
	}
	return errors.Join(errs...)
}

// Remembers says whether an idle sandbox has anything of a call in the host's own
// memory.
func Remembers(m *Module) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.live.idle.all, func(s *sandbox) bool {
		return !reflect.ValueOf(&s.guest).Elem().IsZero() || !reflect.ValueOf(&s.run).Elem().IsZero()
	})
}

// Loaded says whether a module is in memory.
func Loaded(m *Module) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live != nil
}

// Held is what a runtime believes is idle, in bytes.
func Held(r *Runtime) int64 { return r.held.Load() }

// Occupy takes one of a runtime's processors until release is called.
func Occupy(ctx context.Context, r *Runtime) (release func(), err error) {
	t := r.shares.NewTicket()
	return func() { t.Exit(0) }, t.Enter(ctx, "", 1)
}

// Range is the whole memory of the one sandbox that waits for a call: the
// guest's up to its maximum, however little of it the guest has, and the
// kernel's behind it. Nobody may call the module meanwhile.
func Range(m *Module) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live == nil {
		return nil, errors.New("look into the sandbox of a module that is not loaded")
	}
	if len(m.live.idle.all) != 1 {
		return nil, fmt.Errorf("look into the sandbox of a module that has %d", len(m.live.idle.all))
	}
	s := m.live.idle.all[0]
	kernel := s.memory.Kernel().Allocate(0, 0).Reallocate(0) // All of it, each time.
	guest, ok := s.instance.ExportedMemory(image.MemoryExport).Read(0, 1)
	if !ok {
		return nil, errors.New("look into a sandbox that has no memory")
	}
	from := uintptr(unsafe.Pointer(unsafe.SliceData(guest)))
	to := uintptr(unsafe.Pointer(unsafe.SliceData(kernel))) // One reservation has both.
	if most := uintptr(m.live.memoryMost(m.limits.MemoryBytes)); to < from+most || to > from+most+64<<10 {
		return nil, fmt.Errorf("the kernel's memory is %d bytes behind the guest's, which has at most %d", to-from, most)
	}
	return unsafe.Slice(unsafe.SliceData(guest), to-from+uintptr(len(kernel))), nil
}

// KeptStack is how much stack an idle sandbox's function may have.
const KeptStack = keptStack

// Stacks are the bytes of the stacks that a module's idle sandboxes have, of one
// that cannot be seen -1.
func Stacks(m *Module) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []int
	for _, s := range m.live.idle.all {
		for _, f := range s.functions {
			switch {
			case f.Function == nil: // It was looked for, and is not there.
			case !f.stack.IsValid():
				all = append(all, -1)
			default:
				all = append(all, f.stackBytes())
			}
		}
	}
	return all
}
