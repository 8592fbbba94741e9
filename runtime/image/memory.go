package image

import (
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Memory is one sandbox's memory: the guest's part, which begins as the image,
// and the kernel's, which begins as zeroes. It is not for use from two
// goroutines at once.
type Memory struct {
	image *Image
	area  area // Nil when closed.

	guestMax, kernelMax int

	base      int // The guest's size when an instance begins.
	size      int
	peak      int // The largest size since the last Reset.
	limit     uint64
	refused   bool
	fresh     bool // The next Reallocate is an instance's first.
	shrinking bool // The next Reallocate gives the first size.
	failed    error
}

// Reserve takes a range of addresses for one sandbox: up to guestMax bytes for
// the guest, which must be at least the image's size and should be at least the
// module's minimum, and kernelMax for the kernel. Both are rounded up to 64 KiB.
// It costs addresses, not memory. The caller closes it.
func Reserve(img *Image, guestMax, kernelMax int) (*Memory, error) {
	for _, size := range []int{guestMax, kernelMax} {
		if size < 0 || int64(size) > most {
			return nil, fmt.Errorf("reserve memory: %d bytes are not between 0 and %d", size, most)
		}
	}
	if guestMax < img.size {
		return nil, fmt.Errorf("reserve memory: the guest may have %d bytes and begins with %d: raise its limit", guestMax, img.size)
	}
	m := &Memory{
		image: img, guestMax: roundUp(guestMax, unit), kernelMax: roundUp(kernelMax, unit),
		base: img.size, size: img.size, peak: img.size, limit: uint64(guestMax),
	}
	if err := img.enter(); err != nil {
		return nil, fmt.Errorf("reserve memory of an image: %w", err)
	}
	var err error
	if m.area, err = img.store.reserve(m.guestMax, m.kernelMax); err != nil {
		return nil, errors.Join(fmt.Errorf("reserve memory: %w", err), img.leave())
	}
	return m, nil
}

// Guest gives the guest's part to one instance at a time. The instance begins
// with the image's size, even if its module asks for less, and grows up to the
// limit. A module whose minimum is over guestMax gets nothing, and then wazero
// panics: [Plan.Image] is never smaller than the minimum, so that Reserve has
// refused before.
func (m *Memory) Guest() experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory {
		m.fresh = true
		return guest{m}
	})
}

// Kernel gives the kernel's part, all of it at once.
func (m *Memory) Kernel() experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory {
		return kernel{m}
	})
}

// SetLimit sets the size in bytes that the guest cannot grow beyond, and forgets
// that it was refused. It begins as guestMax, and does not take away what the
// guest has.
func (m *Memory) SetLimit(bytes int) {
	m.limit, m.refused = uint64(max(bytes, 0)), false
}

// Refused says whether the guest asked for more than the limit since it was set,
// or since the last Reset.
func (m *Memory) Refused() bool { return m.refused }

// Size returns the guest's size in bytes.
func (m *Memory) Size() int { return m.size }

// Peak returns the largest size in bytes that the guest has had since the last
// Reset.
func (m *Memory) Peak() int { return m.peak }

// Held returns how many bytes of memory the sandbox has to itself since the last
// Reset, beside the addresses: pages that it has written, or all of a copy.
func (m *Memory) Held() int {
	if m.area == nil {
		return 0
	}
	return m.area.held()
}

// Shrink takes back what the guest has grown by; without growth it does nothing.
// Guest is the memory of the instance that has this Memory. It works by an
// answer to wazero's question for one page more, so the module's declared
// maximum must be above the present size: see [Plan].
func (m *Memory) Shrink(guest api.Memory) error {
	if m.failed != nil {
		return m.failed
	}
	if m.size == m.base {
		return nil
	}
	from := m.size
	m.shrinking = true
	_, ok := guest.Grow(1)
	asked := !m.shrinking
	m.shrinking = false
	if !ok || !asked || int64(guest.Size()) != int64(m.base) {
		m.failed = fmt.Errorf("shrink memory from %d to %d bytes: it has %d (asked %t, answered %t)",
			from, m.base, guest.Size(), asked, ok)
	}
	return m.failed
}

// Reset makes the guest's part the image again, and zeroes the kernel's first
// kernelUsed bytes, which must be all that were written. It returns how many of
// the guest's pages had changed; when there were too many to look at one by one,
// how many there are. What has grown must have been shrunk. After an error the
// Memory is only good for Close.
func (m *Memory) Reset(kernelUsed int) (pages int, err error) {
	switch {
	case m.area == nil:
		return 0, fmt.Errorf("reset memory: %w", errClosed)
	case m.failed != nil:
		return 0, m.failed
	case kernelUsed < 0 || kernelUsed > m.kernelMax:
		m.failed = fmt.Errorf("reset memory: the kernel says that it used %d bytes of %d", kernelUsed, m.kernelMax)
	case m.size != m.base:
		m.failed = fmt.Errorf("reset memory: it has grown from %d to %d bytes and was not shrunk", m.base, m.size)
	}
	if m.failed != nil {
		return 0, m.failed
	}
	if pages, err = m.area.reset(m.peak, kernelUsed); err != nil {
		m.failed = fmt.Errorf("reset memory: %w", err)
		return pages, m.failed
	}
	m.peak, m.refused = m.size, false
	return pages, nil
}

// Close gives the range back. No instance that has it may run, or ever run again.
func (m *Memory) Close() error {
	if m.area == nil {
		return nil
	}
	a := m.area
	m.area = nil
	if err := errors.Join(a.close(), m.image.leave()); err != nil {
		return fmt.Errorf("close memory: %w", err)
	}
	return nil
}

// grow is the guest's Reallocate.
func (m *Memory) grow(size uint64) []byte {
	if m.area == nil {
		return nil
	}
	switch {
	case m.fresh:
		size = max(size, uint64(m.image.size))
		if size > uint64(m.guestMax) {
			return nil
		}
		m.fresh, m.base = false, int(size)
	case m.shrinking:
		m.shrinking, size = false, uint64(m.base)
	case size > m.limit:
		m.refused = true
		return nil
	case size > uint64(m.guestMax) || size < uint64(m.size):
		return nil
	}
	m.size = int(size)
	m.peak = max(m.peak, m.size)
	return m.area.guest(m.size)
}

// guest is the guest's part as wazero sees it.
type guest struct{ memory *Memory }

// Reallocate implements experimental.LinearMemory.
func (g guest) Reallocate(size uint64) []byte { return g.memory.grow(size) }

// Free does nothing: the owner closes.
func (guest) Free() {}

// kernel is the kernel's part as wazero sees it.
type kernel struct{ memory *Memory }

// Reallocate implements experimental.LinearMemory.
func (k kernel) Reallocate(size uint64) []byte {
	if k.memory.area == nil || size > uint64(k.memory.kernelMax) {
		return nil
	}
	return k.memory.area.kernel()
}

// Free does nothing: the owner closes.
func (kernel) Free() {}

// roundUp returns the next multiple of step, which is a power of two.
func roundUp(n, step int) int { return (n + step - 1) &^ (step - 1) }
