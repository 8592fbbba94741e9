package hostfns

import "io"

// Reader gives what comes from a reader without secrets, those that become known in
// the meantime included: what [Redactor.Bytes] would make of all of it, in little
// memory. It keeps back the last bytes that came, which may be the beginning of a
// secret: a few kilobytes, more for secrets that are longer. It is used by one
// goroutine at a time.
func (r *Redactor) Reader(from io.Reader) io.Reader { return &scrubber{redactor: r, from: from} }

// scrubStep is how much is searched at a time beside what was kept back. Where a secret
// is hidden in it, finding the place takes eighteen times as much.
const scrubStep = 8 << 10

// scrubber is a Redactor's Reader.
type scrubber struct {
	redactor *Redactor
	from     io.Reader
	// raw has come and was not given on; the first covered bytes of it are the end of
	// a secret that was replaced.
	raw     []byte
	covered int
	// clean is what can be given on.
	clean, spare []byte
	work         workspace
	err          error
}

// Read implements io.Reader.
func (s *scrubber) Read(p []byte) (int, error) {
	for len(s.clean) == 0 {
		known := s.redactor.current()
		switch {
		case s.err != nil && len(s.raw) == 0:
			return 0, s.err
		case s.err != nil:
			s.scrub(known, 0)
			continue
		case known == nil:
			return s.from.Read(p) // There is nothing to look for.
		}
		if held := known.held(s.raw); len(s.raw) >= held+max(scrubStep, held) {
			s.scrub(known, held)
			continue
		}
		s.fill()
	}
	n := copy(p, s.clean)
	s.clean = s.clean[n:]
	return n, nil
}

// fill takes in more.
func (s *scrubber) fill() {
	n := len(s.raw)
	if cap(s.raw)-n < scrubStep/2 {
		grown := make([]byte, n, 2*cap(s.raw)+scrubStep)
		copy(grown, s.raw)
		s.raw = grown
	}
	read, err := s.from.Read(s.raw[n:cap(s.raw)])
	s.raw, s.err = s.raw[:n+read], err
}

// scrub makes what is before the last held bytes clean.
func (s *scrubber) scrub(known *search, held int) {
	cut := len(s.raw) - held
	// What was cut off from the backslash before it would read as something else.
	for held > 0 && cut > 1 && s.raw[cut-1] == '\\' {
		cut--
	}
	out, end := s.spare[:0], s.covered
	for _, f := range known.allIn(&s.work, s.raw) {
		if f.start >= cut {
			break
		}
		if f.start >= end {
			out = append(append(out, s.raw[end:f.start]...), redacted...)
		}
		end = max(end, f.end)
	}
	if end < cut {
		out = append(out, s.raw[end:cut]...)
		end = cut
	}
	s.covered = end - cut
	s.raw = s.raw[:copy(s.raw, s.raw[cut:])]
	s.clean, s.spare = out, out
}
