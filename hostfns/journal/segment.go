package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// largeBytes is from where on a request or an answer is kept apart from its entry,
// once for all that equal it.
const largeBytes = 16 << 10

// Segment is what one write adds to a stored journal: entries that take the place
// of all those from the first one's ordinal on.
type Segment struct {
	// Seq counts the segments of an execution from 1.
	Seq  int
	Data []byte
	// Large are the bodies that Data names by their digest.
	Large map[Digest][]byte
}

// NewSegment returns the segment that keeps what comes before the ordinal from, and
// puts entries after it.
func NewSegment(seq, from int, entries []Entry) (Segment, error) {
	s := Segment{Seq: seq, Data: make([]byte, 0, roomFor(entries))}
	var encoded []byte // One buffer for all: the length goes before.
	s.Data = binary.AppendUvarint(append(s.Data, version), uint64(from))
	s.Data = binary.AppendUvarint(s.Data, uint64(len(entries)))
	for i := range entries {
		e := entries[i]
		var apart [2]Digest
		e.Request, apart[0] = s.split(e.Request)
		e.Answer, apart[1] = s.split(e.Answer)
		encoded = e.appendTo(slices.Grow(encoded[:0], e.Size()+encodedOverhead))
		for _, d := range apart {
			if d == (Digest{}) {
				s.Data = append(s.Data, 0)
				continue
			}
			s.Data = append(append(s.Data, 1), d[:]...)
		}
		s.Data = appendBytes(s.Data, encoded)
	}
	return s, nil
}

// roomFor is about how many bytes a segment of entries takes whose bodies are small.
func roomFor(entries []Entry) int {
	room := encodedOverhead
	for i := range entries {
		room += entries[i].Size() + 2*encodedOverhead
		for _, body := range [...][]byte{entries[i].Request, entries[i].Answer} {
			if len(body) >= largeBytes {
				room += sha256.Size - len(body)
			}
		}
	}
	return room
}

// split takes a large body out of its entry.
func (s *Segment) split(body []byte) ([]byte, Digest) {
	if len(body) < largeBytes {
		return body, Digest{}
	}
	if s.Large == nil {
		s.Large = map[Digest][]byte{}
	}
	d := DigestOf(body)
	s.Large[d] = body
	return nil, d
}

// Join gives the entries that segments, in their order, come to. Large holds the
// bodies that they name. Its error says which of them is wrong, and where.
func Join(segments []Segment) ([]Entry, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	entries := []Entry{}
	large := map[Digest][]byte{}
	for _, s := range segments {
		for d, body := range s.Large {
			if large[d] == nil && DigestOf(body) != d {
				return nil, fmt.Errorf("read segment %d of a journal: the body with digest %x is another's", s.Seq, d[:8])
			}
			large[d] = body
		}
	}
	// What a later segment takes the place of altogether is not looked at, readable or not.
	for i := range slices.Backward(segments) {
		if segments[i].whole() {
			segments = segments[i:]
			break
		}
	}
	for _, s := range segments {
		from, added, err := s.entries(large)
		if err == nil && from > len(entries) {
			err = fmt.Errorf("it begins at entry %d, and those before it end at %d", from, len(entries))
		}
		if err != nil {
			return nil, fmt.Errorf("read segment %d of a journal: %w", s.Seq, err)
		}
		entries = append(entries[:from], added...)
	}
	for i := range entries {
		if entries[i].Ordinal != i {
			return nil, fmt.Errorf("read journal: entry %d has the ordinal %d", i, entries[i].Ordinal)
		}
	}
	return entries, nil
}

// whole says that the segment keeps nothing of what was before it.
func (s *Segment) whole() bool { return len(s.Data) > 1 && s.Data[0] == version && s.Data[1] == 0 }

func (s *Segment) entries(large map[Digest][]byte) (from int, entries []Entry, err error) {
	if len(s.Data) > 0 && s.Data[0] != version {
		return 0, nil, fmt.Errorf("its version is %d, and this program knows version %d: use a newer one", s.Data[0], version)
	}
	d := decoder{b: s.Data}
	d.byte(version)
	from = int(d.uvarint(MaxEntries))
	n := int(d.uvarint(MaxEntries))
	for range n {
		e := d.entry(large)
		if d.err != nil {
			break
		}
		entries = append(entries, e)
	}
	if d.err == nil && d.at != len(s.Data) {
		d.err = fmt.Errorf("%d bytes follow its end", len(s.Data)-d.at)
	}
	if d.err != nil {
		return 0, nil, fmt.Errorf("byte %d: %w", d.at, d.err)
	}
	return from, entries, nil
}

// entry reads one of a segment's entries, and what is kept apart from it.
func (d *decoder) entry(large map[Digest][]byte) (e Entry) {
	request, answer := d.apart(large), d.apart(large)
	b := d.bytes()
	if d.err == nil {
		d.err = e.UnmarshalBinary(b)
	}
	if request != nil {
		e.Request = request
	}
	if answer != nil {
		e.Answer = answer
	}
	return e
}

// apart reads whether a body is kept apart, and finds it.
func (d *decoder) apart(large map[Digest][]byte) []byte {
	if d.byte(1) == 0 {
		return nil
	}
	var digest Digest
	copy(digest[:], d.take(len(digest)))
	body, ok := large[digest]
	if !ok && d.err == nil {
		d.err = fmt.Errorf("the body with digest %x is not there", digest[:8])
	}
	return body
}
