package runtime

import "github.com/tetratelabs/wazero/experimental"

// memory is one call's linear memory. It refuses to grow beyond its limit, and
// remembers that it did: the guest's end is then told apart from other traps.
type memory struct {
	limit   uint64
	min     uint64 // What it has from the start, asked for or not.
	bytes   []byte
	peak    uint64
	refused bool
}

var _ experimental.LinearMemory = (*memory)(nil)

// Allocate implements experimental.MemoryAllocator. An instance has one memory.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory.
func (m *memory) Reallocate(size uint64) []byte {
	size = max(size, m.min)
	if size > m.limit {
		m.refused = true
		return nil
	}
	if size > uint64(cap(m.bytes)) {
		room := size
		if m.bytes != nil { // It grows, so it will grow again: copy less often.
			room = max(size, min(2*uint64(cap(m.bytes)), m.limit))
		}
		grown := make([]byte, size, room)
		copy(grown, m.bytes)
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	m.peak = max(m.peak, size)
	return m.bytes
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() { m.bytes = nil }
