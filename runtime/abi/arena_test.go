package abi //nolint:testpackage // The arena is what must hold, and is not exported.

import (
	"bytes"
	"testing"
)

func TestArenaGivesRoomBack(t *testing.T) {
	t.Parallel()
	a := newArena(1000, 0)
	first, _ := a.alloc(100)
	second, _ := a.alloc(100)
	third, _ := a.alloc(100)
	before := a.used()
	a.free(second)
	if a.used() != before {
		t.Errorf("got %d bytes used, want %d: the block above is live", a.used(), before)
	}
	a.free(third)
	if again, _ := a.alloc(100); again != second {
		t.Errorf("got offset %d, want %d: both blocks on top are free", again, second)
	}
	a.free(second)
	a.free(first)
	a.free(first)
	a.free(12345)
	if a.used() != 0 {
		t.Errorf("got %d bytes used, want none", a.used())
	}
}

func TestArenaKeepsItsBudget(t *testing.T) {
	t.Parallel()
	for name, sizes := range map[string][]uint64{
		"one block":               {1001},
		"a size that overflows":   {^uint64(0)},
		"a size that nearly does": {^uint64(0) - 15},
		"the sum of blocks":       {500, 500},
		"blocks of nothing much":  bytesOf(1, 100),
	} {
		a := newArena(1000, 0)
		ok := true
		for _, size := range sizes {
			if _, ok = a.alloc(size); !ok {
				break
			}
		}
		if ok {
			t.Errorf("%s: got room for %v", name, sizes)
		}
		if a.used() > 1000 || cap(a.memory) > 1000+blockAlign {
			t.Errorf("%s: got %d used in %d", name, a.used(), cap(a.memory))
		}
	}
}

func bytesOf(size uint64, n int) []uint64 {
	sizes := make([]uint64, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func TestArenaChecksOffsets(t *testing.T) {
	t.Parallel()
	a := newArena(1000, 0)
	offset, _ := a.put([]byte("12345678"))
	end := uint64(len(a.memory))
	for _, bad := range []uint64{0, 1, blockAlign - 1, end - 7, end, end + 1, 1 << 40, ^uint64(0), ^uint64(0) - 7} {
		a.store64(bad, ^uint64(0))
		if got := a.load64(bad); got != 0 {
			t.Errorf("load_u64(%d): got %x", bad, got)
		}
	}
	for _, bad := range []uint64{0, blockAlign - 1, end, ^uint64(0)} {
		a.store8(bad, 1)
		if got := a.load8(bad); got != 0 {
			t.Errorf("load_u8(%d): got %x", bad, got)
		}
	}
	if got, _ := a.bytes(span{offset, 8}); string(got) != "12345678" {
		t.Errorf("got %q after bad stores", got)
	}
	for _, bad := range []span{{end, 1}, {end + 1, 0}, {offset, end}, {offset, ^uint64(0)}, {^uint64(0), 1}} {
		if _, ok := a.bytes(bad); ok {
			t.Errorf("got a range at %+v", bad)
		}
	}
	if _, ok := a.length(offset + 1); ok {
		t.Error("got a length for an offset inside of a block")
	}
}

// FuzzArena checks, after any sequence of operations, that blocks do not
// overlap, that the budget holds, and that what is written to a block is read
// back from it.
func FuzzArena(f *testing.F) {
	f.Add([]byte{0, 10, 0, 20, 1, 0, 0, 5, 1, 1, 2, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		const limit = 4096
		a := newArena(limit, 0)
		live := map[uint64][]byte{}
		var offsets []uint64
		for ; len(program) >= 2; program = program[2:] {
			switch n := uint64(program[1]); program[0] % 4 {
			case 0:
				content := bytes.Repeat(program[1:2], int(n)*7)
				offset, ok := a.put(content)
				if !ok || offset == 0 {
					continue
				}
				if _, taken := live[offset]; taken {
					t.Fatalf("offset %d was given twice", offset)
				}
				live[offset] = content
				offsets = append(offsets, offset)
			case 1:
				if len(offsets) > 0 {
					offset := offsets[n%uint64(len(offsets))]
					a.free(offset)
					delete(live, offset)
				}
			case 2:
				a.free(n * n * n)
				delete(live, n*n*n)
			case 3:
				a.load64(n << n)
				a.load8(n << n)
			}
			if a.used() > limit {
				t.Fatalf("got %d bytes used of %d", a.used(), limit)
			}
			for offset, content := range live {
				size, ok := a.length(offset)
				got, _ := a.bytes(span{offset, size})
				if !ok || !bytes.Equal(got, content) {
					t.Fatalf("block at %d changed", offset)
				}
			}
		}
	})
}
