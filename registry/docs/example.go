package docs

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/cofferdam-run/cofferdam/registry/schema"
)

// example makes a document that fits a schema: of the author's examples, else of
// defaults and types, what is required and what has an example. It gives nothing if
// what it makes does not fit.
func example(raw json.RawMessage) json.RawMessage {
	root, err := readShape(raw)
	if err != nil || len(root.Type) == 0 && root.Ref == "" && root.given() == nil {
		return nil
	}
	made := root.example(root, "", maxDepth)
	compiled, err := schema.Compile(raw)
	if err != nil || len(compiled.Validate(made)) > 0 {
		return nil
	}
	return made
}

// example makes a value of the name that it has in its object.
func (s *shape) example(root *shape, name string, depth int) json.RawMessage {
	if given := s.given(); given != nil {
		return given
	}
	s = s.resolve(root).only()
	if given := s.given(); given != nil {
		return given
	}
	if depth == 0 || len(s.Type) == 0 {
		return json.RawMessage(`"..."`)
	}
	switch s.Type[0] {
	case "object":
		return s.exampleObject(root, depth)
	case "array":
		if s.Items == nil || s.MinItems == nil || *s.MinItems == 0 && s.Items.resolve(root).given() == nil {
			return json.RawMessage(`[]`)
		}
		return json.RawMessage(`[` + string(s.Items.example(root, name, depth-1)) + `]`)
	case "integer", "number":
		if s.Minimum != nil {
			return json.RawMessage(*s.Minimum)
		}
		return json.RawMessage(`1`)
	case "boolean":
		return json.RawMessage(`true`)
	case "string":
		return quote(s.exampleText(name))
	default:
		return json.RawMessage(`null`)
	}
}

// given is a value that the author gives.
func (s *shape) given() json.RawMessage {
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Const) > 0:
		return s.Const
	case len(s.Default) > 0:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	default:
		return nil
	}
}

func (s *shape) exampleObject(root *shape, depth int) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, p := range s.Properties {
		worth := len(p.shape.resolve(root).Examples) > 0 || len(p.shape.Examples) > 0
		for _, r := range s.Required {
			worth = worth || r == p.name
		}
		if !worth {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(quote(p.name))
		b.WriteByte(':')
		b.Write(p.shape.example(root, p.name, depth-1))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func (s *shape) exampleText(name string) string {
	known := map[string]string{
		"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "time": "12:00:00Z", "duration": "PT5M", "email": "ada@example.com",
		"uri": "https://example.com", "uuid": "6f1c3a52-7a0e-4c1f-9d36-0c9d4c2a8f11", "hostname": "example.com",
	}
	text := orElse(known[s.Format], orElse(name, "text"))
	if s.MinLength != nil && len(text) < *s.MinLength {
		text += strings.Repeat(".", *s.MinLength-len(text))
	}
	return text
}

func quote(text string) json.RawMessage {
	quoted, _ := json.Marshal(text) // A string always encodes.
	return quoted
}

// indented is a document as people write it: what is short stands on one line.
func indented(document json.RawMessage) string { return indentedAt(document, "") }

func indentedAt(document json.RawMessage, indent string) string {
	const line = 60 // What stands beside it still fits on a page.
	var compact bytes.Buffer
	if json.Compact(&compact, document) != nil {
		return string(document)
	}
	text := compact.String()
	if len(indent)+len(text) <= line || len(text) < 2 || text[0] != '{' && text[0] != '[' {
		return text
	}
	var b strings.Builder
	for i, m := range members(compact.Bytes()) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + indent + "  ")
		if m.name != nil {
			b.Write(m.name)
			b.WriteString(": ")
		}
		b.WriteString(indentedAt(m.value, indent+"  "))
	}
	return text[:1] + b.String() + "\n" + indent + text[len(text)-1:]
}

// member is a value in an object or, without a name, in a list.
type member struct{ name, value json.RawMessage }

// members are those of an object or a list, in their order.
func members(compact []byte) []member {
	d := json.NewDecoder(bytes.NewReader(compact))
	d.UseNumber()
	_, _ = d.Token() // The bracket: it was read as JSON.
	var all []member
	for d.More() {
		var m member
		if compact[0] == '{' {
			name, _ := d.Token()
			text, _ := name.(string)
			m.name = quote(text)
		}
		if d.Decode(&m.value) != nil {
			break
		}
		all = append(all, m)
	}
	return all
}
