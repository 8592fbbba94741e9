package abi

import (
	"encoding/binary"
	"slices"
)

const (
	// blockAlign keeps every block fit for any value that a guest stores.
	blockAlign = 16
	// blockCost is what a block's bookkeeping is charged: it lives on the host's
	// heap, so a guest must not get it for nothing.
	blockCost = 32
	// arenaStart is the room that a call gets beyond its input before it grows.
	arenaStart = 4 << 10
)

// arena is Extism's memory of one call: bump allocation, so that no sequence of
// allocations makes the host search. A free gives room back when everything
// above it is free too, which is what guests' stack-like use does. Offset 0 is
// nobody's.
type arena struct {
	memory []byte // Its length is the high-water mark: what may be read and written.
	top    uint64 // Where the next block begins.
	blocks []block
	limit  uint64
	// outside is charged to the budget and lives elsewhere: the variables.
	outside uint64
}

type block struct {
	offset, size uint64
	freed        bool
}

func newArena(limit int64, input int) arena {
	limit = max(limit, 0)
	room := min(int64(input)+arenaStart, limit+blockAlign)
	return arena{memory: make([]byte, blockAlign, max(room, blockAlign)), top: blockAlign, limit: uint64(limit)}
}

// used is what counts against the budget.
func (a *arena) used() uint64 {
	return a.top - blockAlign + blockCost*uint64(len(a.blocks)) + a.outside
}

// alloc returns the offset of a new block; 0 for an empty one; false when the
// budget is spent.
func (a *arena) alloc(size uint64) (uint64, bool) {
	if size == 0 {
		return 0, true
	}
	if size > a.limit {
		return 0, false // First: the sums below must not overflow.
	}
	padded := (size + blockAlign - 1) &^ (blockAlign - 1)
	if a.used()+padded+blockCost > a.limit {
		return 0, false
	}
	offset := a.top
	a.top += padded
	a.reach(a.top)
	a.blocks = append(a.blocks, block{offset: offset, size: size})
	return offset, true
}

// reach makes the memory end at top or later.
func (a *arena) reach(top uint64) {
	if top <= uint64(len(a.memory)) {
		return
	}
	if top > uint64(cap(a.memory)) {
		room := max(min(2*uint64(cap(a.memory)), a.limit+blockAlign), top)
		grown := make([]byte, len(a.memory), room)
		copy(grown, a.memory)
		a.memory = grown
	}
	a.memory = a.memory[:top]
}

func (a *arena) put(data []byte) (uint64, bool) {
	offset, ok := a.alloc(uint64(len(data)))
	if ok {
		copy(a.memory[offset:], data)
	}
	return offset, ok
}

func (a *arena) find(offset uint64) (int, bool) {
	i, ok := slices.BinarySearchFunc(a.blocks, offset, func(b block, o uint64) int {
		switch {
		case b.offset < o:
			return -1
		case b.offset > o:
			return 1
		default:
			return 0
		}
	})
	return i, ok && !a.blocks[i].freed
}

func (a *arena) length(offset uint64) (uint64, bool) {
	i, ok := a.find(offset)
	if !ok {
		return 0, false
	}
	return a.blocks[i].size, true
}

// free is deaf to offsets that are no block's: PDKs free twice.
func (a *arena) free(offset uint64) {
	i, ok := a.find(offset)
	if !ok {
		return
	}
	a.blocks[i].freed = true
	for n := len(a.blocks); n > 0 && a.blocks[n-1].freed; n = len(a.blocks) {
		a.top = a.blocks[n-1].offset
		a.blocks = a.blocks[:n-1]
	}
}

func (a *arena) reset() {
	a.top, a.blocks = blockAlign, a.blocks[:0]
}

// bytes returns a range that lies in the memory, or false.
func (a *arena) bytes(s span) ([]byte, bool) {
	size := uint64(len(a.memory))
	if s.offset > size || s.length > size-s.offset {
		return nil, false
	}
	return a.memory[s.offset : s.offset+s.length : s.offset+s.length], true
}

// word returns the eight bytes at offset, or false. The reserved start is no one's.
func (a *arena) word(offset uint64) ([]byte, bool) {
	if offset < blockAlign {
		return nil, false
	}
	return a.bytes(span{offset, 8})
}

// Loads outside of the memory give 0 and stores outside of it do nothing, as in
// Extism's own kernel.

func (a *arena) load64(offset uint64) uint64 {
	if word, ok := a.word(offset); ok {
		return binary.LittleEndian.Uint64(word)
	}
	return 0
}

func (a *arena) store64(offset, value uint64) {
	if word, ok := a.word(offset); ok {
		binary.LittleEndian.PutUint64(word, value)
	}
}

func (a *arena) load8(offset uint64) byte {
	if offset < blockAlign || offset >= uint64(len(a.memory)) {
		return 0
	}
	return a.memory[offset]
}

func (a *arena) store8(offset uint64, value byte) {
	if offset >= blockAlign && offset < uint64(len(a.memory)) {
		a.memory[offset] = value
	}
}
