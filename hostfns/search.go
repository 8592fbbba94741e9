package hostfns

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
)

// search finds forms of secrets in text, all at once, in a fraction of the steps that
// the text has bytes: Wu and Manber, "A fast algorithm for multi-pattern searching"
// (1994), with blocks of two bytes.
type search struct {
	// forms are what is looked for, longest first.
	forms [][]byte
	// shortest and longest are the lengths of forms, the shortest capped at 255.
	shortest, longest int
	// near is by how much less than a whole window to go on where a block of two bytes
	// ends the window: nothing for the most.
	near [1 << blockBits]uint8
}

const blockBits = 10

// block is where two bytes have their entry. Two pairs that share one make the search
// slower, and find no less.
func block(a, b byte) int { return (int(a)<<5 ^ int(b)) & (1<<blockBits - 1) }

func newSearch(forms [][]byte) *search {
	// They come nearly in order.
	for i := range forms {
		for k := i; k > 0 && len(forms[k]) > len(forms[k-1]); k-- {
			forms[k], forms[k-1] = forms[k-1], forms[k]
		}
	}
	s := &search{forms: forms, longest: len(forms[0])}
	s.shortest = min(len(forms[len(forms)-1]), 255)
	for _, form := range forms {
		for i := 1; i < s.shortest; i++ {
			at := block(form[i-1], form[i])
			s.near[at] = max(s.near[at], uint8(i))
		}
	}
	return s
}

// find appends where forms are in text.
func (s *search) find(text []byte, found []span) []span {
	last := s.shortest - 1
	for end := last; end < len(text); {
		if shift := last - int(s.near[block(text[end-1], text[end])]); shift > 0 {
			end += shift
			continue
		}
		start := end - last
		for _, form := range s.forms {
			if form[0] == text[start] && bytes.HasPrefix(text[start:], form) {
				found = append(found, span{start, start + len(form)})
				break
			}
		}
		end++
	}
	return found
}

// all finds the forms in text, and in what text becomes where escapes in it are
// undone.
func (s *search) all(text []byte) []span {
	found := s.find(text, nil)
	if escapes(text) {
		var few [1 << 10]byte // Most answers of JSON need no memory of their own.
		found = s.unescaped(&workspace{scratch: few[:0]}, text, found)
	}
	return merge(found)
}

// workspace is memory that is used again.
type workspace struct {
	view    view
	scratch []byte
}

// allIn is all, for who asks many times.
func (s *search) allIn(w *workspace, text []byte) []span {
	found := s.find(text, nil)
	if escapes(text) {
		found = s.unescaped(w, text, found)
	}
	return merge(found)
}

// held is how many bytes at the end of text, of which there is more to come, can be
// the beginning of a form.
func (s *search) held(text []byte) int {
	hidden := s.longest * expansion
	if escapes(text[max(0, len(text)-hidden):]) {
		return hidden
	}
	return s.longest
}

const (
	// levels are how many times escapes are undone: a URL in JSON in JSON has three.
	levels = 3
	// expansion is how many bytes a byte may become by that: "t" is "\\\\u0074" in
	// JSON in JSON in JSON, and "&#x25;2574".
	expansion = 24
	// window is how much is undone at a time, so that a long text takes little memory.
	window = 32 << 10
)

// unescaped finds the forms that escapes hide. The windows overlap by as much as the
// longest form can take up.
func (s *search) unescaped(w *workspace, text []byte, found []span) []span {
	overlap := s.longest * expansion
	for start := 0; start < len(text); {
		end := min(start+window+2*overlap, len(text))
		part := text[start:end]
		if escapes(part) {
			w.scratch = append(w.scratch[:0], part...)
			if s.hides(w.scratch) {
				found = s.level(&w.view, part, start, found)
			}
		}
		if end == len(text) {
			break
		}
		start = end - overlap
	}
	return found
}

// hides says whether there are forms in a window, at any level, without saying where:
// mostly there are none, and where each byte comes from need not be known. It
// overwrites the window.
func (s *search) hides(part []byte) bool {
	var some [1]span
	for range levels {
		n := collapse(part)
		if n == len(part) || n < s.shortest {
			return false
		}
		part = part[:n]
		if len(s.find(part, some[:0])) > 0 {
			return true
		}
		if !escapes(part) {
			return false
		}
	}
	return false
}

// level looks at one window, at each level.
func (s *search) level(v *view, part []byte, at int, found []span) []span {
	v.set(part)
	for range levels {
		if !v.undo() {
			return found
		}
		for _, f := range s.find(v.text, nil) {
			found = append(found, span{at + int(v.starts[f.start]), at + int(v.ends[f.end-1])})
		}
	}
	return found
}

// appendForms appends the texts that secret may appear as, before anything escapes them,
// longest first.
func appendForms(forms [][]byte, secret string) [][]byte {
	// Two in hexadecimal, up to seven in base64, five as long as the secret.
	n := len(secret)
	arena := make([]byte, 0, 2*2*n+7*(4*(n+2)/3+4)+5*n)
	forms = slices.Grow(forms, 14)
	add := func(from int) { forms = append(forms, arena[from:len(arena):len(arena)]) }
	raw := append(arena, secret...)
	arena = raw
	const upper, lower = "0123456789ABCDEF", "0123456789abcdef"
	for _, digits := range []string{upper, lower} {
		from := len(arena)
		for _, c := range raw {
			arena = append(arena, digits[c>>4], digits[c&15])
		}
		add(from)
	}
	for offset := range 3 {
		// 8 characters are 48 bits: fewer would turn up in any longer body of base64
		// by chance.
		from := len(arena)
		if arena = appendAligned(arena, raw, offset); len(arena)-from < 8 {
			arena = arena[:from]
			continue
		}
		add(from)
		if bytes.ContainsAny(arena[from:], "+/") {
			arena = appendURLSafe(arena, arena[from:])
			add(from + (len(arena)-from)/2)
		}
	}
	if n < 6 {
		from := len(arena)
		arena = base64.StdEncoding.AppendEncode(arena, raw)
		add(from)
		arena = appendURLSafe(arena, arena[from:])
		add(from + (len(arena)-from)/2)
	}
	forms = append(forms, raw)
	from := len(arena)
	arena = append(arena, secret...)
	slices.Reverse(arena[from:])
	add(from)
	// Names of headers and hosts lose their capitals on the way, and a space of a query
	// is a plus.
	for _, other := range []string{strings.ToLower(secret), strings.ToUpper(secret), strings.ReplaceAll(secret, " ", "+")} {
		if other != secret {
			forms = append(forms, []byte(other))
		}
	}
	return forms
}

// appendAligned appends the characters of base64 that raw alone decides when offset
// bytes come before it and anything after it: character i holds the bits from
// 6i to 6i+5, and raw's run from 8*offset to 8*(offset+len(raw)).
func appendAligned(to, raw []byte, offset int) []byte {
	from := len(to)
	// The bytes before it, and as many of it as make a group of three with them.
	var group [3]byte
	head := copy(group[offset:], raw)
	if offset+head == len(group) {
		to = base64.StdEncoding.AppendEncode(to, group[:])
		to = base64.StdEncoding.AppendEncode(to, raw[head:])
	} else {
		to = base64.StdEncoding.AppendEncode(to, group[:offset+head])
	}
	first := (8*offset + 5) / 6
	last := 8 * (offset + len(raw)) / 6
	n := copy(to[from:], to[from+first:from+last])
	return to[:from+n]
}

// appendURLSafe appends form in base64's alphabet for URLs.
func appendURLSafe(to, form []byte) []byte {
	for _, c := range form {
		switch c {
		case '+':
			c = '-'
		case '/':
			c = '_'
		}
		to = append(to, c)
	}
	return to
}
