package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxBytes caps a manifest: 1 MiB is some 1000 actions with schemas of 1 KiB.
const MaxBytes = 1 << 20

// Parse reads the output of describe. The error is Errors: fields that are not
// a manifest's, values of another type, and everything that Validate finds.
func Parse(data []byte) (Manifest, error) {
	var m Manifest
	var problems list
	if len(data) > MaxBytes {
		problems.add("", "the manifest has %d bytes: at most %d are allowed", len(data), MaxBytes)
		return m, problems.err()
	}
	if !utf8.Valid(data) {
		problems.add("", "the manifest is not UTF-8")
		return m, problems.err()
	}
	if err := syntax(data); err != nil {
		problems.add("", "the manifest is not JSON: %v", err)
		return m, problems.err()
	}
	checkShape("", data, reflect.TypeFor[Manifest](), &problems)
	if err := problems.err(); err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		problems.add("", "the manifest cannot be read: %v", err)
		return Manifest{}, problems.err()
	}
	dropNulls(&m)
	// Only a typed connector has a describe, so its level is not its own to say.
	m.Level = 1
	if err := m.Validate(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

func syntax(data []byte) error {
	var anything json.RawMessage
	return json.Unmarshal(data, &anything)
}

// dropNulls makes a null schema an absent one.
func dropNulls(m *Manifest) {
	absent := func(s *json.RawMessage) {
		if isNull(*s) {
			*s = nil
		}
	}
	absent(&m.Config)
	for i := range m.Actions {
		absent(&m.Actions[i].Input)
		absent(&m.Actions[i].Output)
	}
	for i := range m.Webhooks {
		absent(&m.Webhooks[i].Descriptor)
	}
	for i := range m.Connections {
		absent(&m.Connections[i].Fields)
	}
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// checkShape compares a document with a Go type. encoding/json would stop at the
// first unknown field, and takes "Name" for "name".
func checkShape(where string, raw json.RawMessage, t reflect.Type, problems *list) {
	switch {
	case isNull(raw), t == reflect.TypeFor[json.RawMessage]():
		return
	case t.Kind() == reflect.Struct:
		checkObject(where, raw, t, problems)
	case t.Kind() == reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			problems.add(where, "must be an array, not %s", jsonType(raw))
			return
		}
		for i, item := range items {
			checkShape(pointer(where, i), item, t.Elem(), problems)
		}
	default:
		if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
			problems.add(where, "must be %s, not %s", wanted(t), got(raw, err))
		}
	}
}

func checkObject(where string, raw json.RawMessage, t reflect.Type, problems *list) {
	var doc map[string]json.RawMessage
	if json.Unmarshal(raw, &doc) != nil {
		problems.add(where, "must be an object, not %s", jsonType(raw))
		return
	}
	fields := fieldsOf(t)
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		at := pointer(where, name)
		field, known := fields[name]
		if !known {
			problems.add(at, "is not a field of a manifest: here it may be one of %s",
				strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			continue
		}
		checkShape(at, doc[name], field, problems)
	}
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
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
	case reflect.Int, reflect.Int64:
		return "a whole number"
	default:
		return "a " + t.Kind().String()
	}
}

func got(raw json.RawMessage, err error) string {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && strings.HasPrefix(mismatch.Value, "number ") {
		return "this number"
	}
	return jsonType(raw)
}

func jsonType(raw json.RawMessage) string {
	switch bytes.TrimSpace(raw)[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	default:
		return "a number"
	}
}
