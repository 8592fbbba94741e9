package abi

import (
	"encoding/binary"
	"math"
)

// Extism's memory is the memory of the kernel, a small WebAssembly module that
// every sandbox has one of. The kernel's functions work on it for the guest (see
// kernelcode.go), and the methods of heap for the host; both do the same, word for
// word, which a test holds them to.
//
// The memory begins with the words below, which no guest can reach. Everything
// from firstBlock to the high-water mark is the guest's to read and to write,
// the headers of its blocks included: nothing that is read from there is
// believed. A guest that forges a header harms its own blocks only.
//
// Allocation bumps a pointer. A freed block joins its free neighbours, and gives
// the room back when nothing lives above it, which is what guests' stack-like use
// does. Every operation takes constant time, since none of it is metered: no
// sequence of them makes anyone search.
const (
	wordTop   = 8 * iota // Where the next block begins.
	wordLast             // The header of the block below top, or 0.
	wordHigh             // The high-water mark.
	wordLimit            // What top must not exceed.
	wordInput
	wordInputLength
	wordOutput
	wordOutputLength
	wordError
	wordErrorLength
	wordGeneration // Counts resets: blocks from before one are no blocks.

	firstBlock = 128
)

// A block is a header and then its bytes. Offset 0 is nobody's.
const (
	// blockAlign keeps every block fit for any value that a guest stores.
	blockAlign = 16

	headerSize    = 0 // Four bytes: how many were asked for; of a free block, all there are.
	headerBelow   = 4 // Four bytes: the header of the block below, or 0.
	headerCheck   = 8 // Eight bytes: liveCheck or freeCheck, mixed with place and generation.
	headerBytes   = 16
	firstOffset   = firstBlock + headerBytes
	firstHigh     = firstBlock + headerBytes // So that a load's bound is never negative.
	maxHeapBytes  = math.MaxUint32 &^ (pageBytes - 1)
	pageBytes     = 64 << 10
	generationBit = 32 // Where the generation is mixed in: above all places.
)

// Not secrets: they tell mistakes, not malice.
const (
	liveCheck = 0x5e1f_c0de_ab1e_b10c
	freeCheck = 0x2bad_f4ee_d15c_a4d5
)

// heap is the kernel's memory, whole.
type heap []byte

// span is a range of a heap.
type span struct{ offset, length uint64 }

func (h heap) word(at int) uint64 { return binary.LittleEndian.Uint64(h[at:]) }

func (h heap) setWord(at int, value uint64) { binary.LittleEndian.PutUint64(h[at:], value) }

// begin makes an empty heap with a budget. Headers and padding count: what a
// guest holds in small pieces it does not get for nothing.
func (h heap) begin(budget int64) {
	clear(h[:firstBlock])
	h.setWord(wordTop, firstBlock)
	h.setWord(wordHigh, firstHigh)
	h.setWord(wordLimit, min(firstBlock+uint64(max(budget, 0)), uint64(len(h))))
}

// charge takes from the budget for what lives elsewhere; false when there is not
// so much left.
func (h heap) charge(cost uint64) bool {
	limit := h.word(wordLimit)
	if cost > limit-h.word(wordTop) {
		return false
	}
	h.setWord(wordLimit, limit-cost)
	return true
}

func (h heap) refund(cost uint64) { h.setWord(wordLimit, h.word(wordLimit)+cost) }

// alloc returns the offset of a new block; 0 for an empty one; false when the
// budget is spent.
func (h heap) alloc(size uint64) (uint64, bool) {
	if size == 0 {
		return 0, true
	}
	top, limit := h.word(wordTop), h.word(wordLimit)
	if size > limit {
		return 0, false // First: the sums below must not overflow.
	}
	end := top + headerBytes + padded(size)
	if end > limit {
		return 0, false
	}
	h.setHalf(top+headerSize, size)
	h.setHalf(top+headerBelow, h.word(wordLast))
	h.setCheck(top, h.check(top, liveCheck))
	h.setWord(wordLast, top)
	h.setWord(wordTop, end)
	if end > h.word(wordHigh) {
		h.setWord(wordHigh, end)
	}
	return top + headerBytes, true
}

func padded(size uint64) uint64 { return (size + blockAlign - 1) &^ (blockAlign - 1) }

func (h heap) put(data []byte) (uint64, bool) {
	offset, ok := h.alloc(uint64(len(data)))
	if ok {
		copy(h[offset:], data)
	}
	return offset, ok
}

// length returns a block's size; 0 for an offset that is no block's.
func (h heap) length(offset uint64) uint64 {
	top := h.word(wordTop)
	if offset >= top || offset < firstOffset || offset%blockAlign != 0 {
		return 0
	}
	header := offset - headerBytes
	size := h.half(header + headerSize)
	if h.word(int(header+headerCheck)) != h.check(header, liveCheck) || size > top-offset {
		return 0
	}
	return size
}

// freeEnd returns where a free block ends; 0 for what is no header of one.
func (h heap) freeEnd(header uint64) uint64 {
	top := h.word(wordTop)
	if header >= top || header < firstBlock || header%blockAlign != 0 {
		return 0
	}
	size := padded(h.half(header + headerSize))
	if h.word(int(header+headerCheck)) != h.check(header, freeCheck) || size > top-header-headerBytes {
		return 0
	}
	return header + headerBytes + size
}

// free is deaf to offsets that are no block's: PDKs free twice.
func (h heap) free(offset uint64) {
	size := h.length(offset)
	if size == 0 {
		return
	}
	start, end, top := offset-headerBytes, offset+padded(size), h.word(wordTop)
	h.setCheck(start, 0)
	if above := h.freeEnd(end); above != 0 {
		h.setCheck(end, 0)
		end = above
	}
	if below := h.half(start + headerBelow); h.freeEnd(below) == start {
		start = below
	}
	if end == top {
		h.setCheck(start, 0)
		h.setWord(wordTop, start)
		h.setWord(wordLast, h.below(start))
		return
	}
	h.setHalf(start+headerSize, end-start-headerBytes)
	h.setCheck(start, h.check(start, freeCheck))
	h.setHalf(end+headerBelow, start)
}

// below returns the header under another; 0 when there is none.
func (h heap) below(header uint64) uint64 {
	below := h.half(header + headerBelow)
	if below >= header || below < firstBlock || below%blockAlign != 0 {
		return 0
	}
	return below
}

// bytes returns a range that the guest may read, or false.
func (h heap) bytes(s span) ([]byte, bool) {
	high := min(h.word(wordHigh), uint64(len(h)))
	if s.offset < firstBlock || s.offset > high || s.length > high-s.offset {
		return nil, false
	}
	return h[s.offset : s.offset+s.length : s.offset+s.length], true
}

func (h heap) span(at int) span { return span{h.word(at), h.word(at + 8)} }

func (h heap) check(header, kind uint64) uint64 {
	return header ^ h.word(wordGeneration)<<generationBit ^ kind
}

func (h heap) setCheck(header, value uint64) { h.setWord(int(header+headerCheck), value) }

func (h heap) half(at uint64) uint64 { return uint64(binary.LittleEndian.Uint32(h[at:])) }

func (h heap) setHalf(at, value uint64) { binary.LittleEndian.PutUint32(h[at:], uint32(value)) }
