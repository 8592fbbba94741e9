package image

// copied is an image in a Go slice, for [Copy].
type copied struct{ content []byte }

func keepCopy(segments []Segment) store {
	content := make([]byte, extent(segments))
	for _, s := range segments {
		copy(content[s.Offset:], s.Bytes)
	}
	return &copied{content}
}

func (c *copied) reserve(guestMax, kernelMax int) (area, error) {
	first := make([]byte, len(c.content))
	copy(first, c.content)
	return &plain{content: c.content, first: first, second: make([]byte, kernelMax), guestMax: guestMax}, nil
}

func (*copied) close() error { return nil }

// plain is a sandbox's memory in two Go slices. The garbage collector frees them
// when neither the Memory nor an instance knows them any more.
type plain struct {
	content       []byte
	first, second []byte
	guestMax      int
	used          int // Of second: beyond, it was never touched.
}

func (p *plain) guest(size int) []byte {
	if size > cap(p.first) {
		room := size
		if len(p.first) > len(p.content) { // It grows, so it will grow again: copy less often.
			room = max(size, min(2*cap(p.first), p.guestMax))
		}
		grown := make([]byte, len(p.first), room)
		copy(grown, p.first)
		p.first = grown
	}
	p.first = p.first[:max(size, len(p.first))]
	return p.first[:size:size]
}

func (p *plain) kernel() []byte { return p.second }

func (p *plain) reset(high, kernelUsed int) (int, error) {
	memory := p.guest(high)
	clear(memory[copy(memory, p.content):])
	clear(p.second[:kernelUsed])
	p.used = max(p.used, kernelUsed)
	return roundUp(high, grain) / grain, nil
}

func (p *plain) held() int { return cap(p.first) + p.used }

func (p *plain) close() error {
	p.first, p.second = nil, nil
	return nil
}
