// Package schema derives JSON Schemas, draft 2020-12, from Go types, and fills
// in the defaults that those schemas promise.
//
// A schema follows what encoding/json does with the type: names come from json
// tags, embedded structs are flattened, pointers and omitempty are optional.
// These tags of a field say more:
//
//	title:"API URL"           a short label for forms
//	doc:"Base of the API."    the description
//	default:"triage"          the value when the property is left out
//	enum:"low,high"           the only values
//	format:"uri"              a format of strings
//	example:"bug"             a value, for those who read the documentation
//
// On a slice, enum and format are about its elements.
package schema

import (
	"bytes"
	"encoding/json"
)

// Draft is the dialect of the schemas, as <https://json-schema.org/specification> names it.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// node is one schema. Its fields are in the order in which they are written.
type node struct {
	Schema          string           `json:"$schema,omitempty"`
	Ref             string           `json:"$ref,omitempty"`
	Title           string           `json:"title,omitempty"`
	Description     string           `json:"description,omitempty"`
	Type            any              `json:"type,omitempty"` // A string, or a []string with null in it.
	Format          string           `json:"format,omitempty"`
	ContentEncoding string           `json:"contentEncoding,omitempty"`
	Minimum         *int             `json:"minimum,omitempty"`
	MinItems        *int             `json:"minItems,omitempty"`
	MaxItems        *int             `json:"maxItems,omitempty"`
	Enum            []any            `json:"enum,omitempty"`
	Default         any              `json:"default,omitempty"`
	Examples        []any            `json:"examples,omitempty"`
	AnyOf           []*node          `json:"anyOf,omitempty"`
	Items           *node            `json:"items,omitempty"`
	Properties      properties       `json:"properties,omitempty"`
	Required        []string         `json:"required,omitempty"`
	Additional      any              `json:"additionalProperties,omitempty"` // A *node, or false.
	Defs            map[string]*node `json:"$defs,omitempty"`
}

type property struct {
	name string
	node *node
}

// properties keeps the order of the fields, which is the order of a form.
type properties []property

// MarshalJSON implements json.Marshaler.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, prop := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(prop.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(prop.node)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// nullable allows null besides what n allows.
func (n *node) nullable() *node {
	switch t := n.Type.(type) {
	case string:
		n.Type = []string{t, "null"}
		if n.Enum != nil {
			n.Enum = append(n.Enum, nil)
		}
		return n
	case nil:
		if n.Ref == "" {
			return n // Anything goes already.
		}
		return &node{AnyOf: []*node{n, {Type: "null"}}}
	default:
		return n
	}
}
