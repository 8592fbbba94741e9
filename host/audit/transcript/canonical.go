package transcript

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxSafe is the largest number that every reader of JSON keeps as it is.
const maxSafe = 1<<53 - 1

// Canonical is the one text of a leaf. It is JSON as RFC 8785 has it
// (<https://www.rfc-editor.org/rfc/rfc8785>), of a smaller kind: an object whose
// names are ASCII, whose values are texts and whole numbers of at most 53 bits, and
// in which nothing is empty: texts of "" and numbers of 0 are left out, but for the
// leaf's number, n, and that of the one before it, prev.
//
//	{"action":"tenant.create","at":"2026-11-20T12:00:00.000000Z","n":0,"who":"tok_1"}
//
// Names are in order, there is no white space, and texts have the escapes \" \\ \b \f
// \n \r \t, \u00xx for other control characters, and no more.
func Canonical(leaf map[string]any) ([]byte, error) {
	names := make([]string, 0, len(leaf))
	for name, v := range leaf {
		if v != "" && (v != int64(0) || name == "n" || name == "prev") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	b := make([]byte, 0, 256)
	for i, name := range names {
		b = append(b, "{,"[b2i(i > 0)])
		b = appendText(b, name)
		b = append(b, ':')
		switch v := leaf[name].(type) {
		case string:
			if !utf8.ValidString(v) {
				return nil, fmt.Errorf("encode a leaf: %s is not UTF-8", name)
			}
			b = appendText(b, v)
		case int64:
			if v < 0 || v > maxSafe {
				return nil, fmt.Errorf("encode a leaf: %s is %d, and may be 0 to %d", name, v, int64(maxSafe))
			}
			b = strconv.AppendInt(b, v, 10)
		default:
			return nil, fmt.Errorf("encode a leaf: %s is a %T, and may be a text or a whole number", name, v)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("encode a leaf: it says nothing")
	}
	return append(b, '}'), nil
}

// Parse reads a leaf, and refuses any text of it but the canonical one.
func Parse(text []byte) (map[string]any, error) {
	p := parser{text: text}
	leaf, err := p.object()
	if err != nil {
		return nil, fmt.Errorf("read a leaf: at byte %d: %w", p.at, err)
	}
	// Doubled names, other orders, other escapes, what is empty: all of it is another text.
	again, err := Canonical(leaf)
	if err != nil {
		return nil, fmt.Errorf("read a leaf: %w", err)
	}
	if !bytes.Equal(again, text) {
		return nil, errors.New("read a leaf: it is not written as leaves are")
	}
	return leaf, nil
}

// parser reads the little of JSON that leaves are made of.
type parser struct {
	text []byte
	at   int
}

func (p *parser) object() (map[string]any, error) {
	leaf := make(map[string]any, 16)
	for first := true; ; first = false {
		if err := p.take("{,"[b2i(!first)]); err != nil {
			return nil, err
		}
		name, err := p.str()
		if err != nil {
			return nil, err
		}
		if err := p.take(':'); err != nil {
			return nil, err
		}
		if leaf[name], err = p.value(); err != nil {
			return nil, err
		}
		if p.peek() == '}' {
			break
		}
	}
	if p.at++; p.at != len(p.text) {
		return nil, errors.New("something follows the leaf")
	}
	return leaf, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// peek is the next byte, or 0 at the end.
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) take(want byte) error {
	if p.peek() != want {
		return fmt.Errorf("there is no %q", want)
	}
	p.at++
	return nil
}

func (p *parser) value() (any, error) {
	if p.peek() == '"' {
		return p.str()
	}
	from := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	n, err := strconv.ParseInt(string(p.text[from:p.at]), 10, 64)
	if err != nil {
		return nil, errors.New("there is neither a text nor a whole number")
	}
	return n, nil
}

// str reads a text.
func (p *parser) str() (string, error) {
	if err := p.take('"'); err != nil {
		return "", err
	}
	var b []byte
	from := p.at
	for {
		switch c := p.peek(); {
		case c == '"':
			b = append(b, p.text[from:p.at]...)
			p.at++
			return string(b), nil
		case c < 0x20:
			return "", errors.New("a text does not end")
		case c != '\\':
			p.at++
		default:
			b = append(b, p.text[from:p.at]...)
			c, err := p.escaped()
			if err != nil {
				return "", err
			}
			b, from = append(b, c), p.at
		}
	}
}

// escaped reads one of the escapes that leaves have.
func (p *parser) escaped() (byte, error) {
	p.at++
	const short, means = `"\bfnrt`, "\"\\\b\f\n\r\t"
	c := p.peek()
	if i := strings.IndexByte(short, c); c != 0 && i >= 0 {
		p.at++
		return means[i], nil
	}
	if rest := p.text[p.at:]; len(rest) >= 5 && string(rest[:3]) == "u00" {
		n, err := strconv.ParseUint(string(rest[3:5]), 16, 8)
		if err == nil && n < 0x20 {
			p.at += 5
			return byte(n), nil
		}
	}
	return 0, errors.New("there is an escape that leaves do not have")
}

// appendText appends a text with the escapes of RFC 8785.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
				continue
			}
			b = append(b, c)
		}
	}
	return append(b, '"')
}
