package abi //nolint:testpackage // The kernel's memory is what must hold, and is not exported.

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// model is what the kernel should do, as simply as it can be said.
type model struct {
	limit  uint64
	blocks []modelBlock
}

type modelBlock struct {
	offset, size uint64
	freed        bool
}

func (m *model) top() uint64 {
	if len(m.blocks) == 0 {
		return firstBlock
	}
	b := m.blocks[len(m.blocks)-1]
	return b.offset + padded(b.size)
}

func (m *model) alloc(size uint64) (uint64, bool) {
	if size == 0 {
		return 0, true
	}
	offset := m.top() + headerBytes
	if size > m.limit || offset+padded(size) > m.limit {
		return 0, false
	}
	m.blocks = append(m.blocks, modelBlock{offset: offset, size: size})
	return offset, true
}

func (m *model) find(offset uint64) *modelBlock {
	for i := range m.blocks {
		if m.blocks[i].offset == offset && !m.blocks[i].freed {
			return &m.blocks[i]
		}
	}
	return nil
}

func (m *model) free(offset uint64) {
	b := m.find(offset)
	if b == nil {
		return
	}
	b.freed = true
	for len(m.blocks) > 0 && m.blocks[len(m.blocks)-1].freed {
		m.blocks = m.blocks[:len(m.blocks)-1]
	}
}

// pair runs the same operations on the kernel, on the host's half of it, and,
// while no header is forged, on the model.
type pair struct {
	*bench
	functions map[string]api.Function
	host      heap // Only the host's half works on it.
	model     model
	forged    bool
	offsets   []uint64
}

func newPair(t *testing.T, budget int64) *pair {
	t.Helper()
	p := &pair{bench: setup(t, Options{KernelBytes: budget}), functions: map[string]api.Function{}}
	p.host = bytes.Clone(p.kernel.heap)
	p.model.limit = p.host.word(wordLimit)
	return p
}

// call is must, quicker: a function is looked up once.
func (p *pair) call(t *testing.T, name string, args ...uint64) (uint64, bool) {
	t.Helper()
	f, ok := p.functions[name]
	if !ok {
		f = p.kernel.instance.ExportedFunction(name)
		p.functions[name] = f
	}
	results, err := f.Call(p.guest.Bind(t.Context()), args...)
	if err != nil {
		if p.guest.Ended() == nil {
			t.Fatalf("%s(%v): %v", name, args, err)
		}
		p.guest.ended = nil // It goes on, for the test's sake.
		return 0, false
	}
	if len(results) == 0 {
		return 0, true
	}
	return results[0], true
}

func (p *pair) alloc(t *testing.T, size uint64) {
	t.Helper()
	got, ok := p.call(t, "alloc", size)
	hosts, hostsOK := p.host.alloc(size)
	if got != hosts || ok != hostsOK {
		t.Fatalf("alloc(%d): got %d, %t in the kernel and %d, %t in the host", size, got, ok, hosts, hostsOK)
	}
	if want, wantOK := p.model.alloc(size); !p.forged && (got != want || ok != wantOK) {
		t.Fatalf("alloc(%d): got %d, %t, want %d, %t", size, got, ok, want, wantOK)
	}
	if ok && got != 0 {
		p.offsets = append(p.offsets, got)
		p.fill(t, got, size)
	}
}

// fill writes all of a block, so that a header that lies in it is destroyed.
func (p *pair) fill(t *testing.T, offset, size uint64) {
	t.Helper()
	at := uint64(0)
	for ; at+8 <= size; at += 8 {
		p.store(t, offset+at, offset*0x0101_0101_0101_0101)
	}
	for ; at < size; at++ {
		p.call(t, "store_u8", offset+at, offset)
		p.host[offset+at] = byte(offset)
	}
}

func (p *pair) store(t *testing.T, at, value uint64) {
	t.Helper()
	p.call(t, "store_u64", at, value)
	if high := p.host.word(wordHigh); at >= firstBlock && at <= high-8 {
		binary.LittleEndian.PutUint64(p.host[at:], value)
	}
}

func (p *pair) free(t *testing.T, offset uint64) {
	t.Helper()
	p.call(t, "free", offset)
	p.host.free(offset)
	p.model.free(offset)
}

func (p *pair) length(t *testing.T, offset uint64) {
	t.Helper()
	got, _ := p.call(t, "length", offset)
	if hosts := p.host.length(offset); got != hosts {
		t.Fatalf("length(%d): got %d in the kernel and %d in the host", offset, got, hosts)
	}
	want := uint64(0)
	if b := p.model.find(offset); b != nil {
		want = b.size
	}
	if !p.forged && got != want {
		t.Fatalf("length(%d): got %d, want %d", offset, got, want)
	}
}

func (p *pair) check(t *testing.T) {
	t.Helper()
	if !bytes.Equal(p.kernel.heap, p.host) {
		t.Fatal("the kernel and the host differ")
	}
	p.sound(t)
	if top := p.host.word(wordTop); !p.forged && top != p.model.top() {
		t.Fatalf("got top %d, want %d", top, p.model.top())
	}
}

// FuzzKernel runs sequences of operations on the kernel: never a trap, never out
// of bounds, never over budget, and always what the host's half and a model do.
func FuzzKernel(f *testing.F) {
	f.Add([]byte{0, 10, 0, 20, 1, 0, 0, 5, 1, 1, 2, 0})
	f.Add([]byte{0, 9, 0, 9, 0, 9, 0, 9, 1, 1, 1, 2, 1, 3, 0, 60, 3, 200, 1, 0, 1, 0})
	f.Add([]byte{0, 9, 0, 9, 0, 9, 4, 0x10, 5, 0x21, 1, 1, 1, 0, 1, 2, 0, 200, 0, 255, 0, 255, 0, 255, 0, 255})
	f.Fuzz(func(t *testing.T, program []byte) {
		p := newPair(t, 4096)
		for ; len(program) >= 2; program = program[2:] {
			n := uint64(program[1])
			switch program[0] % 6 {
			case 0:
				p.alloc(t, n*7)
			case 1:
				if len(p.offsets) > 0 {
					p.free(t, p.offsets[n%uint64(len(p.offsets))])
				}
			case 2:
				p.free(t, n*n*n)
			case 3:
				p.length(t, firstBlock+n*8)
				p.call(t, "load_u64", n<<(n%64))
			case 4: // What a guest can do to a header.
				p.forged = true
				p.store(t, firstBlock+n*8, n<<32|n*16)
			case 5: // With a mark that is right.
				p.forged = true
				header := firstBlock + n*blockAlign
				p.store(t, header+headerCheck, p.host.check(header, []uint64{liveCheck, freeCheck}[n%2]))
			}
			p.check(t)
			for _, offset := range slices.Compact(p.offsets) {
				p.length(t, offset)
			}
		}
	})
}
