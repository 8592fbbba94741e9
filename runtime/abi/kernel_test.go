package abi //nolint:testpackage // The kernel's memory is what must hold, and is not exported.

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// must calls one of the kernel's functions, which must not end the call.
func (b *bench) must(tb testing.TB, name string, args ...uint64) uint64 {
	tb.Helper()
	result, ok := b.do(tb, EnvModule, name, args...)
	if !ok {
		tb.Fatalf("%s(%v) ended the call: %v", name, args, b.guest.Ended())
	}
	return result
}

func (b *bench) used() uint64 { return b.kernel.heap.word(wordTop) - firstBlock }

func TestKernelGivesRoomBack(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{KernelBytes: 1000})
	var blocks []uint64
	for range 5 {
		blocks = append(blocks, b.must(t, "alloc", 100))
	}
	full := b.used()
	for _, i := range []int{1, 3, 2, 2} { // Before, behind and between free ones; twice.
		b.must(t, "free", blocks[i])
		if got := b.must(t, "length", blocks[i]); got != 0 {
			t.Errorf("got a length of %d for a block that is free", got)
		}
		if b.used() != full {
			t.Errorf("got %d bytes used, want %d: the block above is live", b.used(), full)
		}
	}
	b.must(t, "free", blocks[4])
	if again := b.must(t, "alloc", 200); again != blocks[1] {
		t.Errorf("got offset %d, want %d: all above it are free", again, blocks[1])
	}
	b.must(t, "free", blocks[1])
	b.must(t, "free", blocks[0])
	b.must(t, "free", blocks[0])
	b.must(t, "free", 12345)
	if b.used() != 0 {
		t.Errorf("got %d bytes used, want none", b.used())
	}
}

func TestKernelKeepsItsBudget(t *testing.T) {
	t.Parallel()
	const budget = 1000
	for name, sizes := range map[string][]uint64{
		"one block":               {budget + 1},
		"no room for a header":    {budget},
		"a size that overflows":   {^uint64(0)},
		"a size that nearly does": {^uint64(0) - 15},
		"a size of 32 bits":       {1 << 32},
		"the sum of blocks":       {500, 500},
		"blocks of nothing much":  slices.Repeat([]uint64{1}, 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{KernelBytes: budget})
			ok := true
			for _, size := range sizes {
				if _, ok = b.do(t, EnvModule, "alloc", size); !ok {
					break
				}
			}
			if ok || !errors.Is(b.guest.Ended(), ErrBudget) {
				t.Errorf("got %t, %v, want ErrBudget", ok, b.guest.Ended())
			}
			if b.used() > budget {
				t.Errorf("got %d bytes used of %d", b.used(), budget)
			}
		})
	}
	t.Run("to the byte", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{KernelBytes: headerBytes + 64})
		b.must(t, "alloc", 64)
	})
	t.Run("whatever its memory could hold", func(t *testing.T) {
		t.Parallel()
		k := newKernel(t, 1)
		if _, err := NewGuest(Options{Kernel: k, Input: []byte("x"), KernelBytes: 1 << 40}); err != nil {
			t.Fatal(err)
		}
		if got, want := k.heap.word(wordLimit), uint64(len(k.heap)); got != want {
			t.Errorf("got a limit of %d, want %d: there is no more", got, want)
		}
	})
}

func TestAnswersShareTheBudget(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{KernelBytes: 1000, Config: map[string]string{"": strings.Repeat("x", 500)}})
	b.answer.Response = make([]byte, 400)
	if _, ok := b.do(t, UserModule, "state_get", 0); !ok {
		t.Fatalf("an answer that fits ended the call: %v", b.guest.Ended())
	}
	before := b.used()
	b.must(t, "alloc", 16)
	if _, ok := b.do(t, EnvModule, "config_get", b.put(t, "k")); !ok || b.used() < before+32 {
		t.Fatalf("got %t, %d bytes used after %d, %v", ok, b.used(), before, b.guest.Ended())
	}
	if _, ok := b.do(t, UserModule, "state_get", 0); !ok {
		t.Fatalf("a second one that fits ended the call: %v", b.guest.Ended())
	}
	if _, ok := b.do(t, EnvModule, "config_get", 0); ok || !errors.Is(b.guest.Ended(), ErrBudget) {
		t.Errorf("got %t, %v, want ErrBudget", ok, b.guest.Ended())
	}
}

func TestNewGuestRefusesInputOverTheBudget(t *testing.T) {
	t.Parallel()
	k := newKernel(t, 1000)
	for _, size := range []int{977, 1000, 1 << 20} {
		if _, err := NewGuest(Options{Kernel: k, Input: make([]byte, size), KernelBytes: 1000}); !errors.Is(err, ErrBudget) {
			t.Errorf("%d bytes: got %v, want ErrBudget", size, err)
		}
	}
	if _, err := NewGuest(Options{Kernel: k, Input: make([]byte, 976), KernelBytes: 1000}); err != nil {
		t.Errorf("976 bytes: %v", err)
	}
}

func TestKernelChecksOffsets(t *testing.T) {
	t.Parallel()
	const content = "12345678"
	newBench := func(t *testing.T) (b *bench, offset, high uint64) {
		t.Helper()
		b = setup(t, Options{KernelBytes: 1000})
		offset = b.put(t, content)
		return b, offset, b.must(t, "memory_bytes")
	}
	b, offset, high := newBench(t)
	const last = ^uint64(0)
	for _, at := range []uint64{
		0, 1, wordLimit, firstBlock - 8, firstBlock - 1, high, high + 1, uint64(len(b.kernel.heap)) - 8, uint64(len(b.kernel.heap)),
		1 << 31, 1<<32 - 8, 1 << 32, 1<<32 + offset, 1 << 40, 1 << 63, last - 7, last,
	} {
		before := bytes.Clone(b.kernel.heap)
		b.must(t, "store_u64", at, last)
		b.must(t, "store_u8", at, last)
		if !bytes.Equal(b.kernel.heap, before) {
			t.Errorf("a store at %d changed the memory", at)
		}
		if got := b.must(t, "load_u64", at); got != 0 {
			t.Errorf("load_u64(%d): got %x", at, got)
		}
		if got := b.must(t, "load_u8", at); got != 0 {
			t.Errorf("load_u8(%d): got %x", at, got)
		}
		if got := b.must(t, "length", at); got != 0 {
			t.Errorf("length(%d): got %d", at, got)
		}
		b.must(t, "free", at)
		b.must(t, "length_unsafe", at)
	}
	for n := range uint64(7) {
		b.must(t, "store_u64", high-7+n, last) // Begins inside, ends outside.
	}
	for n := range uint64(15) {
		if got := b.must(t, "length", offset+1+n); got != 0 {
			t.Errorf("got length %d for an offset inside of a block", got)
		}
	}
	if got := b.get(t, offset); got != content {
		t.Errorf("got %q after bad stores", got)
	}
	if got := b.must(t, "load_u64", high-8); got != 0 {
		t.Errorf("got %x at the end, want the padding", got)
	}
}

func TestKernelChecksSpans(t *testing.T) {
	t.Parallel()
	const last = ^uint64(0)
	high := setup(t, Options{Input: []byte("0123456789abcdef")}).must(t, "memory_bytes")
	for _, s := range []span{
		{0, 1},
		{firstBlock - 1, 1},
		{firstBlock, high - firstBlock + 1},
		{high, 1},
		{high + 1, 1},
		{firstOffset, last},
		{last, 1},
		{last, last},
		{1<<32 + firstOffset, 1},
	} {
		for _, name := range []string{"input_set", "output_set"} {
			b := setup(t, Options{Input: []byte("0123456789abcdef")})
			_, ok := b.do(t, EnvModule, name, s.offset, s.length)
			if misuse := (*MisuseError)(nil); ok || !errors.As(b.guest.Ended(), &misuse) || !strings.HasPrefix(misuse.Message, name) {
				t.Errorf("%s%+v: got %t, %v, want a MisuseError", name, s, ok, b.guest.Ended())
			}
		}
	}
	b := setup(t, Options{Input: []byte("0123456789abcdef")})
	for _, s := range []span{{firstBlock, high - firstBlock}, {high - 1, 1}, {firstOffset + 4, 3}} {
		b.must(t, "output_set", s.offset, s.length)
		if got := (span{b.must(t, "output_offset"), b.must(t, "output_length")}); got != s {
			t.Errorf("got %+v, want %+v", got, s)
		}
		if got := uint64(len(b.guest.Output())); got != s.length {
			t.Errorf("got %d bytes of output, want %d", got, s.length)
		}
	}
	b.must(t, "output_set", last, 0) // No length is nowhere.
	if got := b.must(t, "output_offset"); got != 0 || len(b.guest.Output()) != 0 {
		t.Errorf("got offset %d and %q for no output", got, b.guest.Output())
	}
}

// A guest can write over its blocks' headers. Whatever it writes there, nothing
// leaves its bounds, and the host reads no more than is there.
func TestForgedHeadersHarmNobody(t *testing.T) {
	t.Parallel()
	values := []uint64{
		0, 1, 15, 16, firstBlock, firstOffset, 1 << 31, 1<<32 - 1, 1<<32 - 16, 1 << 32, ^uint64(0),
		8<<32 | 64, firstBlock<<32 | 64, (firstBlock+64)<<32 | 1<<31, 0xfffffff0_00000040,
	}
	for _, forged := range values {
		for block := range uint64(3) {
			for _, live := range []bool{true, false} { // With the mark of a live block, or of a free one.
				b := setup(t, Options{KernelBytes: 1000})
				var blocks []uint64
				for range 3 {
					blocks = append(blocks, b.must(t, "alloc", 48))
				}
				header := blocks[block] - headerBytes
				b.must(t, "store_u64", header, forged)
				if !live {
					b.must(t, "store_u64", header+headerCheck, b.kernel.heap.check(header, freeCheck))
				}
				b.harmless(t, blocks)
			}
		}
	}
}

// harmless uses blocks, some of which are forged, in all ways.
func (b *bench) harmless(t *testing.T, blocks []uint64) {
	t.Helper()
	for _, offset := range blocks {
		if size := b.must(t, "length", offset); size > 0 {
			if _, ok := b.kernel.heap.bytes(span{offset, size}); !ok {
				t.Fatalf("block %d has %d bytes, which are not all there", offset, size)
			}
		}
		b.do(t, EnvModule, "error_set", offset)
		_ = b.guest.Error()
	}
	for _, i := range []int{1, 0, 2, 1} {
		b.must(t, "free", blocks[i])
		b.sound(t)
	}
	for range 3 {
		b.do(t, EnvModule, "alloc", 100)
		b.sound(t)
	}
}

// sound checks what must hold whatever a guest does.
func (b *bench) sound(t *testing.T) {
	t.Helper()
	h := b.kernel.heap
	top, high, limit, last := h.word(wordTop), h.word(wordHigh), h.word(wordLimit), h.word(wordLast)
	if top < firstBlock || top%blockAlign != 0 || top > limit || high > limit && high != firstHigh || limit > uint64(len(h)) {
		t.Fatalf("got top %d, high %d, limit %d", top, high, limit)
	}
	if last >= top || last != 0 && last < firstBlock || last%blockAlign != 0 {
		t.Fatalf("got last %d below top %d", last, top)
	}
}

func TestBlocksOfBeforeAResetAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.must(t, "alloc", 16)
	old := b.must(t, "alloc", 16)
	b.must(t, "reset")
	if around := b.must(t, "alloc", 200); around >= old || around+200 < old {
		t.Fatalf("got a block at %d, want it around %d", around, old)
	}
	if got := b.must(t, "length", old); got != 0 {
		t.Errorf("got length %d for a block of before", got)
	}
}

func TestResetKernelIsZero(t *testing.T) {
	t.Parallel()
	k := newKernel(t, 1<<20)
	for _, input := range []string{strings.Repeat("secret", 1000), "short"} {
		var g Guest
		if err := g.Begin(Options{Kernel: k, Input: []byte(input), KernelBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		if got := k.Used(); got < len(input) || got > len(input)+firstOffset+blockAlign {
			t.Errorf("got %d bytes used by an input of %d", got, len(input))
		}
		if beyond := k.heap[k.Used():]; !zero(beyond) {
			t.Error("got bytes other than zero beyond those used")
		}
	}
	k.Reset()
	if !zero(k.heap) {
		t.Error("got bytes other than zero after Reset")
	}
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func TestNewKernelRefusesTooLittleMemory(t *testing.T) {
	t.Parallel()
	e := theEngine(t)
	for _, size := range []sized{0, 1, firstBlock, pageBytes - 1} {
		if _, err := NewKernel(t.Context(), e.rt, e.kernel, size); err == nil || !strings.Contains(err.Error(), "at least 65536") {
			t.Errorf("%d bytes: got %v", size, err)
		}
	}
}

func TestKernelSize(t *testing.T) {
	t.Parallel()
	for budget, want := range map[int64]uint64{
		-1:                   pageBytes,
		0:                    pageBytes,
		pageBytes:            2 * pageBytes,
		pageBytes - 128:      pageBytes,
		32 << 20:             32<<20 + pageBytes,
		1<<63 - 1:            maxHeapBytes,
		int64(maxHeapBytes):  maxHeapBytes,
		maxHeapBytes - 1<<16: maxHeapBytes,
	} {
		if got := KernelSize(budget); got != want {
			t.Errorf("%d: got %d, want %d", budget, got, want)
		}
	}
}
