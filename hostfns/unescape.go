package hostfns

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// escapes says whether there is anything in text that undo would undo.
func escapes(text []byte) bool {
	return bytes.IndexByte(text, '\\') >= 0 || bytes.IndexByte(text, '%') >= 0 ||
		bytes.IndexByte(text, '&') >= 0 || bytes.IndexByte(text, '\n') >= 0
}

// special are the bytes that an escape begins with, and those of a line's end.
var special = [256]bool{'\\': true, '%': true, '&': true, '\n': true, '\r': true} //nolint:gochecknoglobals // A constant, but for its type.

// view is a text with its escapes undone, which knows from where in the first text
// each byte comes.
type view struct {
	text         []byte
	starts, ends []uint32
	// spare is what is written next, and kept for its memory.
	spare struct {
		text         []byte
		starts, ends []uint32
	}
}

// set begins with a text as it is.
func (v *view) set(text []byte) {
	v.text = append(v.text[:0], text...)
	n := len(text)
	v.starts, v.ends = slices.Grow(v.starts[:0], n)[:n], slices.Grow(v.ends[:0], n)[:n]
	for i := range text {
		v.starts[i], v.ends[i] = uint32(i), uint32(i)+1
	}
}

// undo undoes one level of escapes, of URLs, JSON, JavaScript and HTML alike: it is
// for finding, not for reading. It says whether there were any.
func (v *view) undo() bool {
	if !escapes(v.text) {
		return false
	}
	// What is undone is never longer.
	n := len(v.text)
	text := slices.Grow(v.spare.text[:0], n)[:n]
	starts, ends := slices.Grow(v.spare.starts[:0], n)[:n], slices.Grow(v.spare.ends[:0], n)[:n]
	var decoded [utf8.UTFMax]byte
	to := 0
	for i := 0; i < n; {
		c := v.text[i]
		if !special[c] {
			text[to], starts[to], ends[to] = c, v.starts[i], v.ends[i]
			i, to = i+1, to+1
			continue
		}
		size, length := unescape(v.text[i:], &decoded)
		for _, c := range decoded[:length] {
			text[to], starts[to], ends[to] = c, v.starts[i], v.ends[i+size-1]
			to++
		}
		i += size
	}
	changed := to < n
	v.spare.text, v.spare.starts, v.spare.ends = v.text, v.starts, v.ends
	v.text, v.starts, v.ends = text[:to], starts[:to], ends[:to]
	return changed
}

// collapse undoes one level of escapes in the place of text itself, as undo does, and
// says how long it is now. What is undone is never longer, so that nothing is
// overwritten before it was read.
func collapse(text []byte) int {
	var decoded [utf8.UTFMax]byte
	to := 0
	for i := 0; i < len(text); {
		c := text[i]
		if !special[c] {
			text[to] = c
			i, to = i+1, to+1
			continue
		}
		if c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\') {
			text[to] = text[i+1] // Most of what JSON has.
			i, to = i+2, to+1
			continue
		}
		size, length := unescape(text[i:], &decoded)
		to += copy(text[to:], decoded[:length])
		i += size
	}
	return to
}

// unescape reads what text begins with: how many bytes of it stand for how many.
func unescape(text []byte, decoded *[utf8.UTFMax]byte) (size, length int) {
	switch text[0] {
	case '\r', '\n':
		// Base64 is broken into lines.
		return 1, 0
	case '%':
		if c, ok := hexByte(text[1:]); ok {
			decoded[0] = c
			return 3, 1
		}
	case '\\':
		return backslash(text, decoded)
	case '&':
		return entity(text, decoded)
	}
	decoded[0] = text[0]
	return 1, 1
}

func hexByte(text []byte) (byte, bool) {
	if len(text) < 2 {
		return 0, false
	}
	a, b := nibble(text[0]), nibble(text[1])
	return a<<4 | b, a < 16 && b < 16
}

// nibble is the value of a hexadecimal digit, or 255.
func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	default:
		return 255
	}
}

// backslash reads the escapes of JSON, and those of JavaScript.
func backslash(text []byte, decoded *[utf8.UTFMax]byte) (size, length int) {
	decoded[0] = '\\'
	if len(text) < 2 {
		return 1, 1
	}
	if text[1] == 'x' {
		if c, ok := hexByte(text[2:]); ok {
			decoded[0] = c
			return 4, 1
		}
	}
	if r, ok := unit(text); ok {
		size = 6
		if second, ok := unit(text[size:]); ok && utf16.IsSurrogate(r) {
			if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
				r, size = pair, 12
			}
		}
		return size, utf8.EncodeRune(decoded[:], r)
	}
	decoded[0] = text[1]
	if i := bytes.IndexByte([]byte("bfnrt"), text[1]); i >= 0 {
		decoded[0] = "\b\f\n\r\t"[i]
	}
	return 2, 1
}

// unit reads \uXXXX.
func unit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	high, ok := hexByte(text[2:])
	low, also := hexByte(text[4:])
	return rune(high)<<8 | rune(low), ok && also
}

// entity reads the references of HTML that escaping makes:
// https://html.spec.whatwg.org/#character-references.
func entity(text []byte, decoded *[utf8.UTFMax]byte) (size, length int) {
	const longest = 12
	decoded[0] = '&'
	end := bytes.IndexByte(text[:min(len(text), longest)], ';')
	if end < 2 {
		return 1, 1
	}
	name := text[1:end]
	if name[0] == '#' {
		digits, base := string(name[1:]), 10
		if len(digits) > 0 && (digits[0] == 'x' || digits[0] == 'X') {
			digits, base = digits[1:], 16
		}
		n, err := strconv.ParseUint(digits, base, 21)
		if err != nil {
			return 1, 1
		}
		return end + 1, utf8.EncodeRune(decoded[:], rune(n))
	}
	c := named(string(name))
	if c == 0 {
		return 1, 1
	}
	decoded[0] = c
	return end + 1, 1
}

// named is what a named reference stands for, of the printable characters of ASCII;
// 0 for any other.
func named(name string) byte {
	switch name {
	case "amp", "AMP":
		return '&'
	case "lt", "LT":
		return '<'
	case "gt", "GT":
		return '>'
	case "quot", "QUOT":
		return '"'
	case "apos":
		return '\''
	case "sol":
		return '/'
	case "plus":
		return '+'
	case "equals":
		return '='
	case "colon":
		return ':'
	case "lowbar":
		return '_'
	case "period":
		return '.'
	case "dollar":
		return '$'
	case "percnt":
		return '%'
	case "num":
		return '#'
	case "excl":
		return '!'
	case "commat":
		return '@'
	case "ast":
		return '*'
	default:
		return 0
	}
}
