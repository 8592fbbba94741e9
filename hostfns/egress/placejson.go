package egress

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxPlaceDepth is how deep in a body placeholders are looked for.
const maxPlaceDepth = 64

// place is a part of the way into a document.
type place struct {
	// index counts an array's elements; key is an object's member, once it was read.
	array bool
	index int
	key   string
	named bool
}

// json fills the placeholders in a document's strings. All else stays as it is written,
// to the byte.
func (p placer) json(body []byte) ([]byte, error) {
	if !json.Valid(body) {
		return nil, invalid("there is a placeholder in a body that is not JSON, and its header \"content-type\" says that it is")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var way []place
	var out []byte
	copied := 0
	for {
		before := int(d.InputOffset())
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return append(out, body[copied:]...), nil
		}
		if err != nil {
			return nil, invalid("the body is not JSON: %s", err)
		}
		if way, err = walk(way, t); err != nil {
			return nil, err
		}
		text, isText := t.(string)
		if !isText || !strings.Contains(text, opening) {
			continue
		}
		if n := len(way); n > 0 && !way[n-1].array && way[n-1].named {
			return nil, invalid("there is a placeholder in the name of a member of the body, where none is filled")
		}
		full, err := p.field(pointer(way), text)
		if err != nil {
			return nil, err
		}
		// Between two tokens there are blanks, a comma or a colon.
		out = append(out, body[copied:before+bytes.IndexByte(body[before:], '"')]...)
		out = append(out, full...)
		copied = int(d.InputOffset())
	}
}

// field fills the placeholders of the string that a pointer leads to, and quotes it.
func (p placer) field(at, text string) ([]byte, error) {
	if !slices.Contains(p.slots.JSON, at) {
		return nil, p.misplaced("JSON field", at, "json", p.slots.JSON)
	}
	text, err := p.expand(text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(text)
}

// walk goes on by a token. After the name of an object's member, its place is named.
func walk(way []place, t json.Token) ([]place, error) {
	if t == json.Delim('}') || t == json.Delim(']') {
		return way[:len(way)-1], nil
	}
	if n := len(way); n > 0 {
		top := &way[n-1]
		switch {
		case top.array:
			top.index++
		case !top.named:
			top.key, top.named = t.(string)
			return way, nil
		default:
			top.named = false
		}
	}
	if t != json.Delim('{') && t != json.Delim('[') {
		return way, nil
	}
	if len(way) == maxPlaceDepth {
		return nil, invalid("the body, in which there is a placeholder, is nested more than %d levels deep: make it flatter", maxPlaceDepth)
	}
	return append(way, place{array: t == json.Delim('['), index: -1}), nil
}

// pointer is the way as RFC 6901 writes it.
func pointer(way []place) string {
	var b strings.Builder
	for _, at := range way {
		b.WriteByte('/')
		if at.array {
			b.WriteString(strconv.Itoa(at.index))
		} else {
			b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(at.key))
		}
	}
	return b.String()
}
