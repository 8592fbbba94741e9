package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Mode says which side of a connector a type is on.
type Mode int

const (
	// Input is what the connector is given: unknown properties are refused, so
	// that a typing error is found, and a property with a default is optional.
	Input Mode = iota
	// Output is what the connector gives: it may grow, and a nil slice or map is null.
	Output
)

// Of derives the schema of t. The error names the Go field that has no schema.
func Of(t reflect.Type, mode Mode) (json.RawMessage, error) {
	d := deriver{mode: mode, open: map[reflect.Type]bool{}, recursive: map[reflect.Type]bool{}, names: map[string]reflect.Type{}, defs: map[string]*node{}}
	root, err := d.node(t)
	if err != nil {
		return nil, err
	}
	// A copy, because the root may be a definition too.
	top := *root
	top.Schema = Draft
	if len(d.defs) > 0 {
		top.Defs = d.defs
	}
	return json.Marshal(&top)
}

type deriver struct {
	mode      Mode
	open      map[reflect.Type]bool // What is being derived, to notice recursion.
	recursive map[reflect.Type]bool
	names     map[string]reflect.Type
	defs      map[string]*node
}

// node derives t; a type that contains itself becomes a definition and a reference.
func (d *deriver) node(t reflect.Type) (*node, error) {
	if t.Kind() == reflect.Pointer {
		return d.node(t.Elem())
	}
	if n := wellKnown(t); n != nil {
		return n, nil
	}
	if d.open[t] {
		d.recursive[t] = true
		return &node{Ref: "#/$defs/" + d.nameOf(t)}, nil
	}
	d.open[t] = true
	n, err := d.composite(t)
	delete(d.open, t)
	if err != nil || !d.recursive[t] {
		return n, err
	}
	d.defs[d.nameOf(t)] = n
	return &node{Ref: "#/$defs/" + d.nameOf(t)}, nil
}

func (d *deriver) composite(t reflect.Type) (*node, error) {
	switch t.Kind() {
	case reflect.Struct:
		return d.object(t)
	case reflect.Slice, reflect.Array:
		return d.array(t)
	case reflect.Map:
		if k := t.Key().Kind(); k != reflect.String && !isInteger(k) && !t.Key().Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			return nil, fmt.Errorf("%s has no JSON form: the keys of a map must be strings", t)
		}
		values, err := d.node(t.Elem())
		if err != nil {
			return nil, err
		}
		return &node{Type: "object", Additional: values}, nil
	default:
		return nil, fmt.Errorf("%s has no JSON form: use a struct, slice, map, string, number or bool", t)
	}
}

func (d *deriver) array(t reflect.Type) (*node, error) {
	items, err := d.node(t.Elem())
	if err != nil {
		return nil, err
	}
	n := &node{Type: "array", Items: items}
	if t.Kind() == reflect.Array {
		size := t.Len()
		n.MinItems, n.MaxItems = &size, &size
	}
	return n, nil
}

func (d *deriver) object(t reflect.Type) (*node, error) {
	fields, err := fieldsOf(t)
	if err != nil {
		return nil, err
	}
	n := &node{Type: "object"}
	if d.mode == Input {
		n.Additional = false
	}
	for _, f := range fields {
		value, err := d.property(f)
		if err != nil {
			return nil, fmt.Errorf("%s, property %q: %w", t, f.name, err)
		}
		n.Properties = append(n.Properties, property{f.name, value})
		if d.required(f) {
			n.Required = append(n.Required, f.name)
		}
	}
	return n, nil
}

func (d *deriver) required(f field) bool {
	_, hasDefault := f.tag.Lookup("default")
	return !f.omit && !f.optional && f.typ.Kind() != reflect.Pointer && (!hasDefault || d.mode == Output)
}

func (d *deriver) property(f field) (*node, error) {
	n, err := d.node(f.typ)
	if err != nil {
		return nil, err
	}
	if f.quoted && n.Ref == "" {
		n = &node{Type: "string"}
	}
	if err := d.annotate(n, f); err != nil {
		return nil, err
	}
	switch f.typ.Kind() {
	case reflect.Pointer:
		if !f.omit {
			n = n.nullable()
		}
	case reflect.Slice, reflect.Map:
		if !f.omit && d.mode == Output {
			n = n.nullable()
		}
	default:
	}
	return n, nil
}

// annotate adds what the field's tags say.
func (d *deriver) annotate(n *node, f field) error {
	n.Title, n.Description = f.tag.Get("title"), f.tag.Get("doc")
	value, ok, err := f.defaultValue()
	if err != nil {
		return err
	}
	if ok {
		n.Default = value
	}
	example, ok, err := f.example()
	if err != nil {
		return err
	}
	if ok {
		n.Examples = []any{example}
	}
	// What follows is about the elements of a slice.
	target, t := n, f.typ
	for n.Items != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Items != nil {
		target, t = n.Items, t.Elem()
	}
	if target.Enum, err = f.enum(t); err != nil {
		return err
	}
	format := f.tag.Get("format")
	if format == "password" {
		return fmt.Errorf("format %q marks a secret: secrets belong in a connection, where the connector cannot read them", format)
	}
	if format != "" && target.Type != "string" {
		return fmt.Errorf("format %q is for strings, this is %s", format, f.typ)
	}
	if format != "" {
		target.Format = format
	}
	return nil
}

// nameOf is a name for a definition, unique in the schema.
func (d *deriver) nameOf(t reflect.Type) string {
	base := strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, orElse(t.Name(), "T"))
	name := base
	for i := 2; d.names[name] != nil && d.names[name] != t; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	d.names[name] = t
	return name
}

// wellKnown is the schema of types that need no look inside, or nil.
func wellKnown(t reflect.Type) *node {
	switch {
	case is[time.Time](t):
		return &node{Type: "string", Format: "date-time"}
	case is[json.Number](t):
		return &node{Type: "number"}
	case implements[json.Marshaler](t), t.Kind() == reflect.Interface:
		return &node{}
	case isText(t):
		return &node{Type: "string"}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return &node{Type: "string", ContentEncoding: "base64"}
	}
	return scalar(t.Kind())
}

func scalar(k reflect.Kind) *node {
	switch {
	case k == reflect.Bool:
		return &node{Type: "boolean"}
	case k == reflect.Float32, k == reflect.Float64:
		return &node{Type: "number"}
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return &node{Type: "integer", Minimum: new(int)}
	case isInteger(k):
		return &node{Type: "integer"}
	default:
		return nil
	}
}

func isInteger(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Uintptr }

// isText says whether values of t are strings in JSON.
func isText(t reflect.Type) bool {
	if is[time.Time](t) || !implements[json.Marshaler](t) && implements[encoding.TextMarshaler](t) {
		return true
	}
	return t.Kind() == reflect.String && !is[json.Number](t) && !implements[json.Marshaler](t)
}

// speaksForItself says whether t's fields are hidden behind its own JSON form.
func speaksForItself(t reflect.Type) bool {
	return implements[json.Marshaler](t) || implements[encoding.TextMarshaler](t)
}

func is[T any](t reflect.Type) bool { return t == reflect.TypeFor[T]() }

// implements says whether values of t, or pointers to them, are an I.
func implements[I any](t reflect.Type) bool {
	what := reflect.TypeFor[I]()
	return t.Implements(what) || reflect.PointerTo(t).Implements(what)
}
