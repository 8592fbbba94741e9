// Package schema checks JSON documents against JSON Schemas, draft 2020-12
// (<https://json-schema.org/draft/2020-12>), that strangers have written.
//
//	s, err := schema.Compile(action.Input)
//	for _, p := range s.Validate(input) {
//		fmt.Printf("%s %s\n", p.Where, p.Message) // "/repo is required"
//	}
//
// A schema stands alone: it can refer to parts of itself, and to nothing else.
// Its size, and the work that it can cause for one document, are bounded, for
// a schema of forty lines can ask for 2^40 steps. Messages name properties and
// what a schema wants; they never show a value of the document.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
)

// Draft is the only dialect.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// Problem is a place in a document where it breaks its schema, or in a schema
// where it is none.
type Problem struct {
	// Where is a JSON pointer (RFC 6901); empty is the whole document.
	Where   string
	Message string
}

// Errors is all that is wrong with a schema that Compile refuses. It is never empty.
type Errors []Problem

// Error implements error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = strings.TrimPrefix(p.Where+": "+p.Message, ": ")
	}
	return "invalid JSON Schema: " + strings.Join(lines, "; ")
}

// Schema is a compiled JSON Schema. It is safe for concurrent use.
type Schema struct {
	defaults   map[string]json.RawMessage
	properties map[string]bool
	// pool holds *compiled: each counts the work of one validation at a time.
	pool sync.Pool
}

// Compile reads a schema; nothing, or null, allows every document. The error is
// Errors.
func Compile(raw json.RawMessage) (*Schema, error) {
	if len(bytes.TrimSpace(raw)) == 0 || string(bytes.TrimSpace(raw)) == "null" {
		raw = json.RawMessage("{}")
	}
	doc, problems := readSchema(raw)
	if len(problems) > 0 {
		return nil, Errors(problems)
	}
	first, problems := compile(doc)
	if len(problems) > 0 {
		return nil, Errors(problems)
	}
	s := &Schema{properties: map[string]bool{}, defaults: map[string]json.RawMessage{}}
	s.readProperties(raw)
	s.pool.New = func() any {
		again, _ := compile(doc) // The same document compiled before.
		return again
	}
	s.pool.Put(first)
	return s, nil
}

// Validate lists where a document breaks the schema, sorted by place; none means
// that it fits.
func (s *Schema) Validate(doc json.RawMessage) []Problem {
	v, problem := readDocument(doc)
	if problem != nil {
		return []Problem{*problem}
	}
	c, ok := s.pool.Get().(*compiled)
	if !ok || c == nil {
		return []Problem{{Message: "cannot be checked: its schema does not compile"}}
	}
	defer s.pool.Put(c)
	return c.validate(v, budget(len(doc)))
}

// Defaults adds the properties that an object lacks and for which the schema
// has a default. It looks at the top level only.
func (s *Schema) Defaults(object json.RawMessage) (json.RawMessage, error) {
	given, err := readObject(object)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(s.defaults)
	maps.Copy(all, given)
	return json.Marshal(all)
}

// Outgrown takes out of an object what s does not know and what is only there
// as a default of the schema before: an object that Defaults has completed for
// one version of a schema then fits another that lacks the property.
func (s *Schema) Outgrown(before *Schema, object json.RawMessage) (json.RawMessage, error) {
	given, err := readObject(object)
	if err != nil {
		return nil, err
	}
	for name, value := range before.defaults {
		if !s.properties[name] && sameJSON(given[name], value) {
			delete(given, name)
		}
	}
	return json.Marshal(given)
}

func (s *Schema) readProperties(raw json.RawMessage) {
	var top struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(raw, &top) != nil {
		return
	}
	for name, property := range top.Properties {
		s.properties[name] = true
		var p struct {
			Default json.RawMessage `json:"default"`
		}
		// A null default is RawMessage("null") here, an absent one is nil.
		if json.Unmarshal(property, &p) == nil && p.Default != nil {
			s.defaults[name] = p.Default
		}
	}
}

func readObject(doc json.RawMessage) (map[string]json.RawMessage, error) {
	object := map[string]json.RawMessage{}
	if len(doc) == 0 {
		return object, nil
	}
	if err := json.Unmarshal(doc, &object); err != nil {
		return nil, fmt.Errorf("read JSON object: %w", err)
	}
	if object == nil {
		object = map[string]json.RawMessage{}
	}
	return object, nil
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
