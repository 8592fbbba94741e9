package provider

import (
	"encoding/json"
	"maps"
	"slices"
)

// Inputs names the variables that somebody enters, sorted: those of an account, of an app,
// or all if of is empty.
func (p Provider) Inputs(of string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		if v := p.Variables[name]; v.From == "input" && (of == "" || v.Of == of) {
			names = append(names, name)
		}
	}
	return names
}

// property is a variable as JSON Schema has it.
type property struct {
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Description string   `json:"description,omitempty"`
	Default     string   `json:"default,omitempty"`
	Enum        []string `json:"enum,omitempty"`
	Examples    []string `json:"examples,omitempty"`
	Pattern     string   `json:"pattern,omitempty"`
	MaxLength   int      `json:"maxLength"`
}

// Form is the JSON Schema of the values that somebody enters, for a form: those of an
// account, of an app, or all if of is empty, without those that are known. Whether a value
// fits, Variable.Check says: a pattern here is the descriptor's own.
func (p Provider) Form(of string, known map[string]string) json.RawMessage {
	properties, required := map[string]property{}, []string{}
	for _, name := range p.Inputs(of) {
		if _, ok := known[name]; ok {
			continue
		}
		v := p.Variables[name]
		properties[name] = property{
			Type: "string", Title: v.Title, Description: v.Help, Default: v.Default, Enum: v.Options, Examples: []string{v.Example},
			Pattern: v.Pattern, MaxLength: maxValue,
		}
		if v.Default == "" {
			required = append(required, name)
		}
	}
	doc, _ := json.Marshal(map[string]any{ // Of texts, it does not fail.
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	})
	return doc
}
