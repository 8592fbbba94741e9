package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// shape is a JSON Schema as far as documentation tells of it.
type shape struct {
	Ref         string            `json:"$ref"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Type        words             `json:"type"`
	Format      string            `json:"format"`
	Encoding    string            `json:"contentEncoding"`
	Pattern     string            `json:"pattern"`
	Enum        []json.RawMessage `json:"enum"`
	Const       json.RawMessage   `json:"const"`
	Default     json.RawMessage   `json:"default"`
	Examples    []json.RawMessage `json:"examples"`
	Minimum     *json.Number      `json:"minimum"`
	Maximum     *json.Number      `json:"maximum"`
	MinLength   *int              `json:"minLength"`
	MaxLength   *int              `json:"maxLength"`
	MinItems    *int              `json:"minItems"`
	MaxItems    *int              `json:"maxItems"`
	Items       *shape            `json:"items"`
	Properties  properties        `json:"properties"`
	Additional  *shape            `json:"additionalProperties"`
	Required    []string          `json:"required"`
	AnyOf       []*shape          `json:"anyOf"`
	OneOf       []*shape          `json:"oneOf"`
	Defs        map[string]*shape `json:"$defs"`
	// never is the schema false.
	never bool
}

// readShape reads a schema that has been checked; none allows everything.
func readShape(raw json.RawMessage) (*shape, error) {
	s := &shape{}
	if len(raw) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("read a schema: %w", err)
	}
	return s, nil
}

// UnmarshalJSON implements json.Unmarshaler: a schema may be true or false.
func (s *shape) UnmarshalJSON(data []byte) error {
	switch string(bytes.TrimSpace(data)) {
	case "true":
		return nil
	case "false":
		s.never = true
		return nil
	}
	type plain shape
	return json.Unmarshal(data, (*plain)(s))
}

// words are a string or several.
type words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// property is a property of an object.
type property struct {
	name  string
	shape *shape
}

// properties keep their order, which is the author's.
type properties []property

// UnmarshalJSON implements json.Unmarshaler.
func (p *properties) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return errors.New("the properties are no object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		one := property{shape: &shape{}}
		one.name, _ = name.(string) // It is one: a key.
		if err := d.Decode(one.shape); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

// maxDepth is how deep tables and examples look: enough for what people read.
const maxDepth = 4

// resolve follows references inside of the schema, keeping what stands beside them.
func (s *shape) resolve(root *shape) *shape {
	for range maxDepth {
		name, local := strings.CutPrefix(s.Ref, "#/$defs/")
		target := root.Defs[name]
		if !local || target == nil {
			return s
		}
		merged := *target
		merged.Title, merged.Description = orElse(s.Title, target.Title), orElse(s.Description, target.Description)
		s = &merged
	}
	return s
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// row is a line of a table of fields.
type row struct {
	path     string
	shape    *shape
	required bool
}

// rows lists the fields of an object, and of the objects in it: address.city,
// lines[].sku, headers.*.
func (s *shape) rows() []row {
	return s.rowsBelow(s, "", maxDepth)
}

func (s *shape) rowsBelow(root *shape, path string, depth int) []row {
	s = s.resolve(root).only()
	if depth == 0 {
		return nil
	}
	var all []row
	for _, p := range s.Properties {
		at := strings.TrimPrefix(path+"."+p.name, ".")
		one := p.shape.resolve(root)
		all = append(all, row{at, one, slices.Contains(s.Required, p.name)})
		all = append(all, one.rowsBelow(root, at, depth-1)...)
	}
	if s.Items != nil {
		all = append(all, s.Items.rowsBelow(root, path+"[]", depth)...)
	}
	if s.Additional != nil && len(s.Properties) == 0 {
		all = append(all, s.Additional.rowsBelow(root, path+".*", depth-1)...)
	}
	return all
}

// only is the one alternative that there is besides null.
func (s *shape) only() *shape {
	var rest []*shape
	for _, a := range slices.Concat(s.AnyOf, s.OneOf) {
		if !a.isNull() {
			rest = append(rest, a)
		}
	}
	if len(rest) == 1 {
		return rest[0]
	}
	return s
}

func (s *shape) isNull() bool { return len(s.Type) == 1 && s.Type[0] == "null" }

// kind says in words what a value is: "list of strings, at most 10".
func (s *shape) kind(root *shape) string {
	s = s.resolve(root)
	switch anyOf := slices.Concat(s.AnyOf, s.OneOf); {
	case s.never:
		return "nothing"
	case len(s.Const) > 0:
		return code(s.Const)
	case len(s.Enum) > 0:
		return s.choices()
	case len(anyOf) > 0:
		return alternatives(anyOf, func(a *shape) string { return a.kind(root) })
	case len(s.Type) == 0:
		return "anything"
	}
	return alternatives(s.Type, func(t string) string { return s.typed(t, root) })
}

// alternatives joins kinds of which each will do.
func alternatives[T any](all []T, kind func(T) string) string {
	var kinds []string
	for _, one := range all {
		if k := kind(one); !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return strings.Join(kinds, ", or ")
}

// plural is a kind of which there are many.
func plural(kind string) string {
	if of, isList := strings.CutPrefix(kind, "list"); isList {
		return "lists" + of
	}
	word, rest, more := strings.Cut(kind, ",")
	switch word {
	case "string", "integer", "number", "boolean", "object", "URL", "time":
		word += "s"
	case "email address":
		word += "es"
	}
	if more {
		return word + "," + rest
	}
	return word
}

func (s *shape) choices() string {
	var all []string
	for _, e := range s.Enum {
		all = append(all, code(e))
	}
	if len(all) == 1 {
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// typed is a value of one type.
func (s *shape) typed(name string, root *shape) string {
	switch name {
	case "array":
		of := "list"
		if s.Items != nil {
			of += " of " + plural(s.Items.kind(root))
		}
		return of + bounds("", s.MinItems, s.MaxItems)
	case "object":
		if s.Additional != nil && !s.Additional.never && len(s.Properties) == 0 {
			return "map to " + plural(s.Additional.kind(root))
		}
		return name
	case "string":
		return s.text()
	case "integer", "number":
		return name + bounds("", s.Minimum, s.Maximum)
	default:
		return name
	}
}

// text is a string in the words for its format.
func (s *shape) text() string {
	formats := map[string]string{
		"date-time": "time, as `2026-01-31T12:00:00Z`", "date": "date, as `2026-01-31`", "time": "time of day", "duration": "duration, as `PT5M`",
		"email": "email address", "uri": "URL", "uuid": "UUID", "hostname": "host name",
	}
	kind := orElse(formats[s.Format], "string")
	if s.Encoding == "base64" {
		kind = "base64"
	}
	if s.MinLength != nil && *s.MinLength == 1 && s.MaxLength == nil {
		kind += ", not empty"
	} else {
		kind += bounds(" characters", s.MinLength, s.MaxLength)
	}
	if s.Pattern != "" {
		kind += ", matching " + fence(strings.ReplaceAll(s.Pattern, `\/`, "/"))
	}
	return kind
}

// bounds are what a number, or a length, must keep to.
func bounds[N int | json.Number](unit string, least, most *N) string {
	low, high := numeral(least), numeral(most)
	switch {
	case low != "" && low == high:
		return ", " + low + unit
	case low != "" && high != "":
		return ", " + low + " to " + high + unit
	case high != "":
		return ", at most " + high + unit
	case low != "" && (low != "0" || unit == ""):
		return ", at least " + low + unit
	default:
		return ""
	}
}

func numeral[N any](n *N) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

// withDefaults is an object of the examples and defaults of all properties.
func (s *shape) withDefaults() json.RawMessage {
	object := map[string]json.RawMessage{}
	for _, p := range s.Properties {
		if given := p.shape.given(); given != nil {
			object[p.name] = given
		}
	}
	document, _ := json.Marshal(object) // It was read as JSON.
	return document
}

// code is a value as text between backticks.
func code(raw []byte) string {
	var text string
	if string(raw) == "null" || json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	if text == "" {
		return "empty"
	}
	return fence(text)
}

// fence puts text between as many backticks as it needs.
func fence(text string) string {
	ticks := "`"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	if len(ticks) > 1 {
		return ticks + " " + text + " " + ticks
	}
	return ticks + text + ticks
}
