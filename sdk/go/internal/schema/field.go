package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// field is a struct field as encoding/json sees it.
type field struct {
	name     string
	typ      reflect.Type
	tag      reflect.StructTag
	omit     bool // The json tag says omitempty or omitzero.
	quoted   bool // The json tag says string.
	optional bool // It is reached through an embedded pointer.
	depth    int
}

// fieldsOf lists what a struct is in JSON, embedded structs flattened. Where two
// fields have one name, the one nearer to t wins, as in encoding/json.
func fieldsOf(t reflect.Type) ([]field, error) {
	var found []field
	collect(t, 0, false, nil, &found)
	var kept []field
	for _, f := range found {
		i := slices.IndexFunc(kept, func(k field) bool { return k.name == f.name })
		switch {
		case i < 0:
			kept = append(kept, f)
		case kept[i].depth == f.depth:
			return nil, fmt.Errorf("%s has two properties named %q: rename one", t, f.name)
		case kept[i].depth > f.depth:
			kept[i] = f
		}
	}
	return kept, nil
}

func collect(t reflect.Type, depth int, optional bool, above []reflect.Type, found *[]field) {
	if slices.Contains(above, t) {
		return // A struct that embeds a pointer to itself adds nothing new.
	}
	above = append(above, t)
	for sf := range t.Fields() {
		tag := sf.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if inner, pointer, ok := embedded(sf, name); ok {
			collect(inner, depth+1, optional || pointer, above, found)
			continue
		}
		if !sf.IsExported() {
			continue
		}
		opts := strings.Split(options, ",")
		*found = append(*found, field{
			name:     orElse(name, sf.Name),
			typ:      sf.Type,
			tag:      sf.Tag,
			omit:     slices.Contains(opts, "omitempty") || slices.Contains(opts, "omitzero"),
			quoted:   slices.Contains(opts, "string"),
			optional: optional,
			depth:    depth,
		})
	}
}

// embedded says whether a field's own fields are promoted, and to which struct.
func embedded(sf reflect.StructField, name string) (inner reflect.Type, pointer, ok bool) { //nolint:nonamedreturns // Three results need names.
	if !sf.Anonymous || name != "" {
		return nil, false, false
	}
	t := sf.Type
	pointer = t.Kind() == reflect.Pointer
	if pointer {
		t = t.Elem()
	}
	return t, pointer, t.Kind() == reflect.Struct && !speaksForItself(t)
}

// defaultValue is what the default tag says, as JSON; ok is false without a tag.
func (f field) defaultValue() (value any, ok bool, err error) {
	text, ok := f.tag.Lookup("default")
	if !ok {
		return nil, false, nil
	}
	value, err = literal(f.typ, text)
	if err != nil {
		return nil, false, fmt.Errorf("default %q: %w", text, err)
	}
	if f.quoted && !isText(f.typ) {
		return text, true, nil
	}
	return value, true, nil
}

// example is what the example tag says, as JSON; ok is false without a tag.
func (f field) example() (value any, ok bool, err error) {
	text, ok := f.tag.Lookup("example")
	if !ok {
		return nil, false, nil
	}
	if value, err = literal(f.typ, text); err != nil {
		return nil, false, fmt.Errorf("example %q: %w", text, err)
	}
	return value, true, nil
}

// enum is what the enum tag says, as JSON values of the field, or of its elements.
func (f field) enum(t reflect.Type) ([]any, error) {
	text, ok := f.tag.Lookup("enum")
	if !ok {
		return nil, nil
	}
	var values []any
	for word := range strings.SplitSeq(text, ",") {
		v, err := literal(t, strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("enum value %q: %w", word, err)
		}
		values = append(values, v)
	}
	return values, nil
}

// literal reads a tag's text as a value of t: text for strings, JSON for the rest.
func literal(t reflect.Type, text string) (any, error) {
	data := []byte(text)
	base := t
	for base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	if isText(base) {
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		data = quoted
	}
	probe := reflect.New(t)
	if err := json.Unmarshal(data, probe.Interface()); err != nil {
		return nil, fmt.Errorf("not a value of %s: %w", t, err)
	}
	return json.RawMessage(data), nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
