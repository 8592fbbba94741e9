package sourcemap

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// Stack is Text for a stack trace, without the frames of the engine itself, which are
// nobody's source.
func (m *Mapper) Stack(text string) string {
	if m == nil {
		return text
	}
	return native.ReplaceAllString(m.Text(text), "")
}

// native is a frame of the engine's own, written in C, or in code that is evaluated.
var native = regexp.MustCompile(`(?m)^[ \t]+at [^\n]*\(native\)(\n|$)|^[ \t]+at native(\n|$)`)

// Details is Text for a failure's details: a JSON document, of which the string "stack",
// if it is an object that has one, is mapped as Stack does. All but positions and frames
// stays as it was written.
func (m *Mapper) Details(doc json.RawMessage) json.RawMessage {
	if m == nil || !bytes.Contains(doc, []byte(Bundle+":")) {
		return doc
	}
	from, to := stackIn(doc)
	mapped := m.Text(string(doc[:from]))
	if to > from {
		var stack string
		if json.Unmarshal(doc[from:to], &stack) == nil {
			mapped += encode(m.Stack(stack))
		} else {
			mapped += string(doc[from:to])
		}
	}
	return json.RawMessage(mapped + m.Text(string(doc[to:])))
}

// encode writes a string as JavaScript does.
func encode(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // Strings always encode.
	return strings.TrimSuffix(b.String(), "\n")
}

// stackIn finds the value of the first key "stack" of an object, which is a string; else
// both are the document's end.
func stackIn(doc []byte) (from, to int) {
	d := json.NewDecoder(bytes.NewReader(doc))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return len(doc), len(doc)
	}
	for d.More() {
		key, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			break
		}
		if to = int(d.InputOffset()); key == "stack" && value[0] == '"' {
			return to - len(value), to
		}
	}
	return len(doc), len(doc)
}
