package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// version begins each encoded entry. A reader knows the versions up to its own.
const version = 1

// errCut says that an encoded entry ends too early.
var errCut = errors.New("it is cut off")

// MarshalBinary implements encoding.BinaryMarshaler: an entry as it is stored and
// exported. Numbers are varints of encoding/binary, strings and bytes begin with
// their length, times are nanoseconds since 1970 plus one, or 0 for none.
func (e *Entry) MarshalBinary() ([]byte, error) {
	return e.appendTo(make([]byte, 0, e.Size()+encodedOverhead)), nil
}

// encodedOverhead is about what an encoded entry takes beyond its Size, so that a
// buffer is made once.
const encodedOverhead = 32

func (e *Entry) appendTo(b []byte) []byte {
	b = append(b, version)
	b = binary.AppendUvarint(b, uint64(e.Ordinal))
	b = appendString(b, e.Func)
	b = append(b, byte(e.Effect), byte(e.Outcome), e.flags())
	b = append(b, e.Digest[:]...)
	b = appendBytes(b, e.Request)
	b = appendString(b, e.Key)
	b = appendString(b, e.Account)
	b = binary.AppendVarint(b, e.Fuel)
	b = binary.AppendVarint(b, e.Claim)
	for _, t := range [...]time.Time{e.Asked, e.Answered, e.Resumed} {
		b = appendTime(b, t)
	}
	b = appendBytes(b, e.Answer)
	if e.Of > 0 {
		b = binary.AppendUvarint(b, uint64(e.Of))
	}
	return b
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. Its error says at which
// byte what is wrong; e is as it was then.
func (e *Entry) UnmarshalBinary(b []byte) error {
	if len(b) > 0 && b[0] != version {
		return fmt.Errorf("decode entry: its version is %d, and this program knows version %d: use a newer one", b[0], version)
	}
	d := decoder{b: b}
	var got Entry
	d.byte(math.MaxUint8)
	got.Ordinal = int(d.uvarint(MaxEntries))
	got.Func = string(d.bytes())
	got.Effect = hostfns.Effect(d.byte(byte(hostfns.Unsafe)))
	got.Outcome = hostfns.Outcome(d.byte(byte(hostfns.NotDone)))
	flags := d.byte(flagAgain | flagConfirm | flagWaits | flagGoesOn | flagOf)
	got.Again, got.Confirm, got.Waits = flags&flagAgain != 0, flags&flagConfirm != 0, flags&flagWaits != 0
	got.GoesOn = flags&flagGoesOn != 0
	copy(got.Digest[:], d.take(len(got.Digest)))
	got.Request = d.bytes()
	got.Key, got.Account = string(d.bytes()), string(d.bytes())
	got.Fuel = d.varint()
	got.Claim = d.varint()
	for _, t := range []*time.Time{&got.Asked, &got.Answered, &got.Resumed} {
		*t = d.time()
	}
	got.Answer = d.bytes()
	if flags&flagOf != 0 {
		got.Of = int(d.uvarint(MaxEntries))
	}
	if d.err == nil && d.at != len(b) {
		d.err = fmt.Errorf("%d bytes follow its end", len(b)-d.at)
	}
	if d.err != nil {
		return fmt.Errorf("decode entry: byte %d: %w", d.at, d.err)
	}
	*e = got
	return nil
}

// The bits of what an entry is flagged with.
const (
	flagAgain byte = 1 << iota
	flagConfirm
	flagWaits
	flagGoesOn
	// flagOf says that Of follows the answer.
	flagOf
)

func (e *Entry) flags() (flags byte) {
	if e.Again {
		flags |= flagAgain
	}
	if e.Confirm {
		flags |= flagConfirm
	}
	if e.Waits {
		flags |= flagWaits
	}
	if e.GoesOn {
		flags |= flagGoesOn
	}
	if e.Of > 0 {
		flags |= flagOf
	}
	return flags
}

// appendBytes tells nil from empty by a length that is one more.
func appendBytes(b, s []byte) []byte {
	if s == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}

// appendString writes a string as appendBytes does bytes: none is nil.
func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(t.UnixNano())+1)
}

// decoder reads until something is wrong, and then nothing but zeroes.
type decoder struct {
	b   []byte
	at  int
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b)-d.at {
		d.err = errCut
		return nil
	}
	s := d.b[d.at : d.at+n]
	d.at += n
	return s
}

func (d *decoder) byte(most byte) byte {
	s := d.take(1)
	if s == nil {
		return 0
	}
	if s[0] > most {
		d.at--
		d.err = fmt.Errorf("%d is more than %d", s[0], most)
		return 0
	}
	return s[0]
}

func (d *decoder) uvarint(most uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.at:])
	switch {
	case n <= 0:
		d.err = errCut
	case v > most:
		d.err = fmt.Errorf("%d is more than %d", v, most)
	default:
		d.at += n
		return v
	}
	return 0
}

func (d *decoder) varint() int64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Varint(d.b[d.at:])
	if n <= 0 {
		d.err = errCut
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint(MaxBytes + 1)
	if n == 0 {
		return nil
	}
	// A copy, of its own length: what is decoded outlives what it came from.
	return append(make([]byte, 0, max(0, min(int(n)-1, len(d.b)-d.at))), d.take(int(n)-1)...)
}

func (d *decoder) time() time.Time {
	n := d.uvarint(math.MaxInt64)
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n-1)).UTC()
}
