package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxSchemaBytes is a schema of about 2,000 properties.
	maxSchemaBytes = 256 << 10
	// maxSubschemas: the compiler looks each one up among all before it, so that
	// 4,000 are 8 million steps.
	maxSubschemas = 4000
	maxDepth      = 256
	// maxNumber is the length of a number's text: a float64 has 24 characters. The
	// validator reckons with exact fractions, and "1e999999" would be one of a
	// million digits.
	maxNumber = 64
	// maxProblems is how many problems are listed.
	maxProblems = 50
)

// readDocument decodes a document, with its numbers as they are written.
func readDocument(raw json.RawMessage) (any, *Problem) {
	if !utf8.Valid(raw) {
		return nil, &Problem{Message: "is not UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, &Problem{Message: "is not JSON: " + syntaxMessage(err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &Problem{Message: "goes on after its end, at byte " + strconv.FormatInt(d.InputOffset(), 10)}
	}
	return doc, checkValue(doc, 0)
}

// syntaxMessage keeps the document's text out of the message, but for the one
// character that the decoder names.
func syntaxMessage(err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("at byte %d: %s", syntax.Offset, syntax.Error())
	}
	return "it is empty or ends too early"
}

// checkValue finds what the validator could not cope with.
func checkValue(v any, depth int) *Problem {
	if depth > maxDepth {
		return &Problem{Message: fmt.Sprintf("the document is nested deeper than the %d levels that are allowed", maxDepth)}
	}
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		vanished := f == 0 && strings.ContainsAny(mantissa(v), "123456789")
		if err != nil || vanished || len(v) > maxNumber {
			return &Problem{Message: fmt.Sprintf("is a number out of range: it must fit a float64, in at most %d characters", maxNumber)}
		}
	case []any:
		for i, item := range v {
			if p := checkValue(item, depth+1); p != nil {
				return p.under(strconv.Itoa(i), depth)
			}
		}
	case map[string]any:
		for name, value := range v {
			if p := checkValue(value, depth+1); p != nil {
				return p.under(name, depth)
			}
		}
	}
	return nil
}

// under moves a problem from a value to the one that holds it. A pointer of more
// than a few levels helps nobody: it begins at the top and breaks off.
func (p *Problem) under(token string, depth int) *Problem {
	const most = 16
	if depth == most {
		p.Where = "/…"
	}
	p.Where = "/" + escape(clip(token)) + p.Where
	return p
}

func mantissa(n json.Number) string {
	m, _, _ := strings.Cut(strings.ToLower(n.String()), "e")
	return m
}

// readSchema decodes a schema and looks for what is refused in it.
func readSchema(raw json.RawMessage) (any, []Problem) {
	if len(raw) > maxSchemaBytes {
		return nil, []Problem{{Message: fmt.Sprintf("has %d bytes: at most %d are allowed", len(raw), maxSchemaBytes)}}
	}
	doc, problem := readDocument(raw)
	if problem != nil {
		return nil, []Problem{*problem}
	}
	var problems []Problem
	count := 0
	walk("", doc, func(where string, object map[string]any) {
		count++
		problems = append(problems, checkKeywords(where, object)...)
	})
	if count > maxSubschemas {
		return nil, []Problem{{Message: fmt.Sprintf("has %d subschemas: at most %d are allowed", count, maxSubschemas)}}
	}
	return doc, problems[:min(len(problems), maxProblems)]
}

func checkKeywords(where string, object map[string]any) []Problem {
	var problems []Problem
	add := func(keyword, message string) {
		problems = append(problems, Problem{Where: where + "/" + keyword, Message: message})
	}
	if ref, ok := object["$ref"].(string); ok && !strings.HasPrefix(ref, "#") {
		add("$ref", fmt.Sprintf("%q leads out of the schema: refer to a part of it, such as #/$defs/name", clip(ref)))
	}
	if draft, ok := object["$schema"].(string); ok && strings.TrimSuffix(draft, "#") != Draft {
		add("$schema", fmt.Sprintf("%q is not the dialect that is understood, which is %s", clip(draft), Draft))
	}
	for _, keyword := range []string{"$dynamicRef", "$recursiveRef", "$vocabulary"} {
		if _, ok := object[keyword]; ok {
			add(keyword, "is not supported: use $ref")
		}
	}
	return problems
}

// Secrets lists, as JSON pointers, the properties that a schema marks as secret,
// wherever they are in it: with "format": "password", "writeOnly": true or
// "x-secret": true.
func Secrets(raw json.RawMessage) []string {
	var doc any
	if json.Unmarshal(raw, &doc) != nil {
		return nil
	}
	var found []string
	walk("", doc, func(where string, object map[string]any) {
		if object["format"] == "password" || object["writeOnly"] == true || object["x-secret"] == true {
			found = append(found, where)
		}
	})
	return found
}

// walk visits every object of a document that is, or may be, a schema, in the
// order of its keys.
func walk(where string, v any, visit func(where string, object map[string]any)) {
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			walk(where+"/"+strconv.Itoa(i), item, visit)
		}
	case map[string]any:
		visit(where, v)
		for _, keyword := range slices.Sorted(maps.Keys(v)) {
			walkKeyword(where+"/"+escape(keyword), keyword, v[keyword], visit)
		}
	}
}

func walkKeyword(where, keyword string, value any, visit func(string, map[string]any)) {
	switch keyword {
	case "default", "const", "enum", "examples":
		// Data, in which "format" is a word like any other.
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
		named, _ := value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			walk(where+"/"+escape(name), named[name], visit)
		}
	default:
		walk(where, value, visit)
	}
}

// escape makes a token of a JSON pointer.
func escape(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

func clip(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
