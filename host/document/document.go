// Package document reads JSON documents that people write, such as descriptors, and tells
// them all that is wrong with one at once, each at its place.
//
//	var problems document.Problems
//	document.Check(data, reflect.TypeFor[Provider](), &problems)
//	if err := problems.Err("provider_invalid", "acme.json"); err != nil { ... }
//
// A place is a JSON pointer (RFC 6901).
package document

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxBytes caps a document: the largest that comes with the program has 3 KiB.
const MaxBytes = 64 << 10

// Check compares a document with a Go type. encoding/json alone would stop at the first
// unknown field, and takes "Name" for "name" and the last of two equal names.
func Check(data []byte, t reflect.Type, problems *Problems) {
	switch {
	case len(data) > MaxBytes:
		problems.Add("", "has %d bytes: a descriptor has at most %d", len(data), MaxBytes)
	case !utf8.Valid(data):
		problems.Add("", "is not UTF-8")
	case !json.Valid(data):
		var anything any
		problems.Add("", "is not JSON: %v", json.Unmarshal(data, &anything))
	default:
		shapeOf("", data, t, problems)
	}
}

func shapeOf(where string, raw json.RawMessage, t reflect.Type, problems *Problems) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Interface:
	case reflect.Struct, reflect.Map:
		objectOf(where, raw, t, problems)
	case reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil || items == nil {
			problems.Add(where, "is %s: write a list in brackets", shown(raw))
			return
		}
		for i, item := range items {
			shapeOf(Element(where, i), item, t.Elem(), problems)
		}
	default:
		if isNull(raw) || json.Unmarshal(raw, reflect.New(t).Interface()) != nil {
			problems.Add(where, "is %s: write %s", shown(raw), wanted(t))
		}
	}
}

func objectOf(where string, raw json.RawMessage, t reflect.Type, problems *Problems) {
	members, ok := membersOf(raw)
	if !ok {
		problems.Add(where, "is %s: write an object in braces", shown(raw))
		return
	}
	fields := fieldsOf(t)
	seen := map[string]bool{}
	for _, m := range members {
		at := Pointer(where, m.name)
		if seen[m.name] {
			problems.Add(at, "is there twice: keep one")
			continue
		}
		seen[m.name] = true
		elem := fields[m.name]
		if t.Kind() == reflect.Map {
			elem = t.Elem()
		}
		if elem == nil {
			problems.Add(at, "is not a field of a descriptor: here it may be one of %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			continue
		}
		shapeOf(at, m.value, elem, problems)
	}
}

type member struct {
	name  string
	value json.RawMessage
}

// membersOf reads an object's members in their order, equal names too.
func membersOf(raw json.RawMessage) ([]member, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	var all []member
	for d.More() {
		name, err := d.Token()
		text, ok := name.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, false
		}
		all = append(all, member{text, value})
	}
	return all, true
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := make(map[string]reflect.Type, t.NumField())
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	return fields
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	default:
		return "a text in quotes"
	}
}

func shown(raw json.RawMessage) string { return quotedRaw(bytes.TrimSpace(raw)) }

func quotedRaw(raw []byte) string {
	if len(raw) > 60 {
		return string(bytes.ToValidUTF8(raw[:57], nil)) + "... (" + strconv.Itoa(len(raw)) + " bytes)"
	}
	return string(raw)
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }
