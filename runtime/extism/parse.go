package extism

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	sdk "github.com/extism/go-sdk"
)

// Parse reads a manifest's JSON. It is stricter than the SDK, which ignores what
// it does not know: a misspelt limit would be none. The error joins an *Error for
// everything that is wrong.
func Parse(text []byte) (sdk.Manifest, error) {
	if !utf8.Valid(text) {
		return sdk.Manifest{}, &Error{"", "the manifest is not UTF-8", "manifests are JSON, and not the module itself"}
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(text, &doc); err != nil || doc == nil {
		return sdk.Manifest{}, notAnObject(text, err)
	}
	if err := checkFields(doc); err != nil {
		return sdk.Manifest{}, err
	}
	// Written anew, so that of a field that is there twice only the one counts that
	// was checked.
	text, err := json.Marshal(doc)
	if err != nil {
		return sdk.Manifest{}, fmt.Errorf("encode manifest: %w", err)
	}
	var m sdk.Manifest
	if err := m.UnmarshalJSON(text); err != nil {
		return sdk.Manifest{}, wrongType(err)
	}
	return m, nil
}

func notAnObject(text []byte, err error) error {
	const hint = `a manifest is like {"wasm": [{"path": "plugin.wasm"}]}`
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
		return &Error{"", fmt.Sprintf("the manifest is not JSON: line %d: %v", line, syntax), hint}
	}
	return &Error{"", "the manifest is not a JSON object", hint}
}

func checkFields(doc map[string]json.RawMessage) error {
	errs := []error{unknown("", doc, "allowed_hosts", "allowed_paths", "config", "memory", "timeout_ms", "wasm")}
	var memory map[string]json.RawMessage
	if json.Unmarshal(doc["memory"], &memory) == nil {
		errs = append(errs, unknown("/memory", memory, "max_http_response_bytes", "max_pages", "max_var_bytes"))
	}
	var modules []map[string]json.RawMessage
	if json.Unmarshal(doc["wasm"], &modules) == nil {
		for i, w := range modules {
			where := fmt.Sprintf("/wasm/%d", i)
			errs = append(errs, unknown(where, w, "data", "hash", "headers", "method", "name", "path", "url"), oneSource(where, w))
		}
	}
	return errors.Join(errs...)
}

// unknown is about the fields that are none of those known.
func unknown(where string, doc map[string]json.RawMessage, known ...string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		if !slices.Contains(known, name) {
			pointer := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
			errs = append(errs, &Error{fmt.Sprintf("%s/%.100s", where, pointer), "is not a field of an Extism manifest", "there may be " + strings.Join(known, ", ")})
		}
	}
	return errors.Join(errs...)
}

// oneSource refuses modules that are named twice over, of which the SDK would
// take one.
func oneSource(where string, w map[string]json.RawMessage) error {
	var has []string
	for _, name := range []string{"data", "path", "url"} {
		if raw := string(w[name]); raw != "" && raw != "null" && raw != `""` {
			has = append(has, name)
		}
	}
	if len(has) == 1 {
		return nil
	}
	return &Error{where, fmt.Sprintf("has %d of data, path and url", len(has)), "say in one way where the module is"}
}

// wrongType gives the SDK's refusal without its Go types.
func wrongType(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &Error{"/" + strings.ReplaceAll(wrong.Field, ".", "/"), fmt.Sprintf("must be %s, not %s", kindOf(wrong.Type.Kind().String()), wrong.Value), ""}
	}
	return &Error{"", "the manifest cannot be read: " + err.Error(), ""}
}

// kindOf is what JSON calls a kind of Go's.
func kindOf(kind string) string {
	switch kind {
	case "string":
		return "a string"
	case "slice":
		return "an array, or a string of base64"
	case "map", "struct", "ptr":
		return "an object"
	default:
		return "a whole number in range"
	}
}
