package outline

import (
	"errors"
	"fmt"
)

var errEnd = errors.New("unexpected end")

// reader reads the binary format. The first error stays, and every later read
// gives zeroes, so that callers look at err once.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %w", r.at, fmt.Errorf(format, args...))
	}
}

func (r *reader) byte() byte {
	b := r.take(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// take returns the next n bytes.
func (r *reader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.data)-r.at) {
		r.fail("%w", errEnd)
		return nil
	}
	b := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

// u32 reads an unsigned LEB128 number of at most 32 bits, in at most 5 bytes.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if v > 1<<32-1 {
				r.fail("number %d is over 32 bits", v)
				return 0
			}
			return uint32(v)
		}
	}
	r.fail("number is longer than 5 bytes")
	return 0
}

func (r *reader) name() string { return string(r.take(uint64(r.u32()))) }

// limits reads a minimum and a maximum. The flags of shared and of 64-bit
// memories are not known here, nor to the compiler as it is configured.
func (r *reader) limits() (low, high uint32, hasMax bool) {
	switch flag := r.byte(); flag {
	case 0:
	case limitsHasMax:
		hasMax = true
	default:
		r.fail("limits with flag %#x are not supported", flag)
		return 0, 0, false
	}
	low = r.u32()
	if hasMax {
		high = r.u32()
	}
	return low, high, hasMax
}
