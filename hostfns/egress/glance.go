package egress

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// fields are the members of a request as they stand in its JSON, nil where there is
// none: the insides of strings, headers with their braces, a number.
type fields struct {
	connection, method, url, headers, body, bodyBase64, timeout, key []byte
}

// glance reads a request as encoders write it: names in small letters, each once, and
// no null. It takes a tenth of the time of encoding/json, and says nothing of what it
// does not know for certain to mean the same there: ok is false then.
func glance(raw []byte) (f fields, ok bool) {
	c := cursor{doc: raw}
	if !utf8.Valid(raw) || !c.take('{') {
		return f, false
	}
	for first := true; !c.take('}'); first = false {
		if !first && !c.take(',') {
			return f, false
		}
		name := c.string()
		to := f.named(name)
		if c.broken || to == nil || *to != nil || !c.take(':') {
			return f, false
		}
		switch to {
		case &f.headers:
			*to = c.headers(nil)
		case &f.timeout:
			*to = c.digits()
		default:
			*to = c.string()
		}
		if c.broken {
			return f, false
		}
	}
	c.space()
	return f, c.at == len(raw)
}

// named is where the member of a name goes, or nil.
func (f *fields) named(name []byte) *[]byte {
	switch string(name) {
	case "connection":
		return &f.connection
	case "method":
		return &f.method
	case "url":
		return &f.url
	case "headers":
		return &f.headers
	case "body":
		return &f.body
	case "body_base64":
		return &f.bodyBase64
	case "timeout_ms":
		return &f.timeout
	case "idempotency_key":
		return &f.key
	default:
		return nil
	}
}

// decode reads a request, whoever wrote it.
func decode(raw json.RawMessage) (request, error) {
	f, ok := glance(raw)
	if !ok {
		return hostfns.Decode[request](raw)
	}
	r := request{
		Connection: text(f.connection), Method: text(f.method), URL: text(f.url),
		IdempotencyKey: text(f.key),
	}
	if f.body != nil {
		r.text = unquote(f.body)
	}
	if f.bodyBase64 != nil {
		packed := text(f.bodyBase64)
		r.BodyBase64 = &packed
	}
	if f.timeout != nil {
		r.TimeoutMS, _ = strconv.ParseInt(string(f.timeout), 10, 64) // There are few enough digits.
	}
	if f.headers != nil {
		r.Headers = map[string][]string{}
		(&cursor{doc: f.headers}).headers(r.Headers)
	}
	return r, nil
}

// cursor reads JSON. Once broken, it stays so.
type cursor struct {
	doc    []byte
	at     int
	broken bool
}

func (c *cursor) space() {
	for c.at < len(c.doc) && (c.doc[c.at] == ' ' || c.doc[c.at] == '\n' || c.doc[c.at] == '\t' || c.doc[c.at] == '\r') {
		c.at++
	}
}

// take goes past a character, if it is the next one.
func (c *cursor) take(char byte) bool {
	c.space()
	if c.broken || c.at >= len(c.doc) || c.doc[c.at] != char {
		return false
	}
	c.at++
	return true
}

// string goes past a string, and gives what is in it, escaped as it is. It is not nil.
func (c *cursor) string() []byte {
	if !c.take('"') {
		c.broken = true
		return nil
	}
	for from := c.at; c.at < len(c.doc); c.at++ {
		switch char := c.doc[c.at]; {
		case char == '"':
			c.at++
			return c.doc[from : c.at-1]
		case char == '\\':
			size := escapeSize(c.doc[c.at:])
			if size == 0 {
				c.broken = true
				return nil
			}
			c.at += size - 1
		case char < ' ':
			c.broken = true
			return nil
		}
	}
	c.broken = true
	return nil
}

// digits goes past a whole number that is not negative and not long.
func (c *cursor) digits() []byte {
	c.space()
	from := c.at
	for c.at < len(c.doc) && c.doc[c.at] >= '0' && c.doc[c.at] <= '9' {
		c.at++
	}
	n := c.doc[from:c.at]
	c.broken = c.broken || len(n) == 0 || len(n) > 15 || len(n) > 1 && n[0] == '0'
	return n
}

// headers goes past an object of arrays of strings, and gives it. What is in it goes
// into a map, if there is one.
func (c *cursor) headers(into map[string][]string) []byte {
	const most = 32
	var seen [most][]byte
	c.space()
	from := c.at
	c.broken = !c.take('{') || c.broken
	for n := 0; !c.broken && !c.take('}'); n++ {
		c.broken = c.broken || n == most || n > 0 && !c.take(',')
		name := c.string()
		if c.broken || slices.ContainsFunc(seen[:n], func(other []byte) bool { return string(other) == string(name) }) ||
			slices.Contains(name, '\\') || !c.take(':') || !c.take('[') {
			c.broken = true
			return nil
		}
		seen[n] = name
		values := c.values(into != nil)
		if into != nil {
			into[string(name)] = values
		}
	}
	if c.broken {
		return nil
	}
	return c.doc[from:c.at]
}

// values goes past an array of strings whose bracket is open, and gives them if they
// are to be kept.
func (c *cursor) values(keep bool) (values []string) {
	for first := true; !c.take(']'); first = false {
		c.broken = c.broken || !first && !c.take(',')
		value := c.string()
		if c.broken {
			return nil
		}
		if keep {
			values = append(values, text(value))
		}
	}
	return values
}

// escapeSize is how long the escape is that text begins with; 0 for none, and for the
// surrogates, of which only pairs mean something.
func escapeSize(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if r, ok := escapedUnit(text); ok && (r < 0xd800 || r > 0xdfff) {
			return 6
		}
	}
	return 0
}

// escapedUnit reads \uXXXX.
func escapedUnit(text []byte) (r rune, ok bool) {
	if len(text) < 6 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

// text is what a string says that a cursor has been past.
func text(inside []byte) string {
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	return string(unquote(inside))
}

// unquote undoes the escapes of a string that a cursor has been past. What it gives is
// the caller's own.
func unquote(inside []byte) []byte {
	i := bytes.IndexByte(inside, '\\')
	if i < 0 {
		i = len(inside)
	}
	out := append(make([]byte, 0, len(inside)), inside[:i]...)
	for i < len(inside) {
		if inside[i] != '\\' {
			out = append(out, inside[i])
			i++
			continue
		}
		switch char := inside[i+1]; char {
		case 'u':
			r, _ := escapedUnit(inside[i:])
			out = utf8.AppendRune(out, r)
			i += 6
			continue
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, char)
		}
		i += 2
	}
	return out
}
