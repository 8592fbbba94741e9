package wasm

import (
	"strings"
	"unicode/utf8"
)

// reader reads the binary format. The first error stays, and every later read
// gives zeroes, so that callers look at err once.
type reader struct {
	data []byte
	at   int
	// base is where data lies in the module.
	base int
	err  error
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.at >= len(r.data) {
		r.failEnd()
		return 0
	}
	b := r.data[r.at]
	r.at++
	return b
}

// take returns the next n bytes, which stay the module's.
func (r *reader) take(n uint32) []byte {
	if r.err != nil {
		return nil
	}
	if uint64(n) > uint64(r.left()) {
		r.failEnd()
		return nil
	}
	from := r.at
	r.at += int(n)
	return r.data[from:r.at:r.at]
}

func (r *reader) left() int { return len(r.data) - r.at }

// u32 reads an unsigned LEB128 number of at most 32 bits, in at most 5 bytes.
func (r *reader) u32() uint32 {
	if r.at < len(r.data) && r.data[r.at] < 0x80 && r.err == nil {
		r.at++
		return uint32(r.data[r.at-1])
	}
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b&0x80 != 0 {
			continue
		}
		if v > 1<<32-1 {
			r.fail("number %d is over 32 bits", v)
			return 0
		}
		return uint32(v)
	}
	r.fail("number is longer than 5 bytes")
	return 0
}

// signed reads a signed LEB128 number of at most so many bits.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if b&0x80 != 0 {
			continue
		}
		if next := shift + 7; next <= bits {
			return v << (64 - next) >> (64 - next)
		}
		// The last byte has bits to spare, which must repeat the sign.
		spare := int8(b<<1) >> 1 >> (bits - shift - 1)
		if spare != 0 && spare != -1 {
			r.fail("number is over %d bits", bits)
			return 0
		}
		return v << (64 - bits) >> (64 - bits)
	}
	r.fail("number is longer than %d bytes", (bits+6)/7)
	return 0
}

// text reads a name. Names are UTF-8.
func (r *reader) text() string {
	at := r.at
	b := r.take(r.u32())
	if !utf8.Valid(b) {
		r.at = at
		r.fail("name %.128q is not UTF-8", b)
		return ""
	}
	return string(b)
}

// public reads a name that an import or export has. Those with NUL are the
// rewriters' own, so that no guest can reach what they add.
func (r *reader) public() string {
	at := r.at
	s := r.text()
	if strings.Contains(s, "\x00") {
		r.at = at
		r.fail("name %.128q has a NUL, which is reserved: rename it", s)
	}
	return s
}

// count reads the length of a vector whose entries take so many bytes or more:
// nobody makes room for entries that cannot be there.
func (r *reader) count(entryBytes int) uint32 {
	at := r.at
	n := r.u32()
	if r.err == nil && uint64(n)*uint64(entryBytes) > uint64(r.left()) {
		left := r.left()
		r.at = at
		r.fail("unexpected end: %d entries in %d bytes", n, left)
		return 0
	}
	return n
}
