package schema

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"reflect"
	"slices"
)

// Unmarshal decodes a JSON document into the value that v points to, with the
// defaults of the schema where a property is left out. No document, or null, is
// an empty object for a struct.
func Unmarshal(data []byte, v any) error {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		return json.Unmarshal(data, v) // It has the words for this mistake.
	}
	t = t.Elem()
	if len(data) == 0 || string(data) == "null" {
		data = []byte("null")
		if t.Kind() == reflect.Struct && !speaksForItself(t) {
			data = []byte("{}")
		}
	}
	if !hasDefaults(t, map[reflect.Type]bool{}) {
		return json.Unmarshal(data, v)
	}
	filled, err := fillDocument(t, data)
	if err != nil {
		return err
	}
	return json.Unmarshal(filled, v)
}

func fillDocument(t reflect.Type, data []byte) ([]byte, error) {
	var tree any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // Integers above 2^53 must survive.
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if err := fill(t, tree); err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}

// fill adds defaults to the objects in tree, in place. Where the tree has
// another shape than t, it is left for the decoder to complain about.
func fill(t reflect.Type, tree any) error {
	if t.Kind() == reflect.Pointer {
		return fill(t.Elem(), tree)
	}
	if speaksForItself(t) {
		return nil
	}
	switch object, isObject := tree.(map[string]any); {
	case isObject && t.Kind() == reflect.Struct:
		return fillStruct(t, object)
	case isObject && t.Kind() == reflect.Map:
		return fillEach(t.Elem(), maps.Values(object))
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		list, _ := tree.([]any)
		return fillEach(t.Elem(), slices.Values(list))
	default:
		return nil
	}
}

func fillEach(t reflect.Type, values iter.Seq[any]) error {
	for value := range values {
		if err := fill(t, value); err != nil {
			return err
		}
	}
	return nil
}

func fillStruct(t reflect.Type, object map[string]any) error {
	fields, err := fieldsOf(t)
	if err != nil {
		return err
	}
	for _, f := range fields {
		value, present := object[f.name]
		if !present {
			def, ok, err := f.defaultValue()
			if err != nil {
				return err
			}
			switch {
			case ok:
				object[f.name] = def
				continue
			case f.typ.Kind() == reflect.Struct && hasDefaults(f.typ, map[reflect.Type]bool{}):
				value = map[string]any{}
				object[f.name] = value
			}
		}
		if err := fill(f.typ, value); err != nil {
			return err
		}
	}
	return nil
}

func hasDefaults(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hasDefaults(t.Elem(), seen)
	case reflect.Struct:
		if speaksForItself(t) {
			return false
		}
		fields, err := fieldsOf(t)
		if err != nil {
			return false
		}
		for _, f := range fields {
			if _, ok := f.tag.Lookup("default"); ok || hasDefaults(f.typ, seen) {
				return true
			}
		}
	default:
	}
	return false
}
