package connect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/registry/schema"
)

// Groups of fields: what a Field's value is a part of.
const (
	inCredential = "credential"
	inVariables  = "variables"
	inFields     = "fields"
)

// Kinds of fields: how a person enters one.
const (
	KindText    = "text"
	KindSecret  = "secret"
	KindLines   = "lines" // Several lines, secret too: PEM.
	KindChoice  = "choice"
	KindBoolean = "boolean"
	KindNumber  = "number"
	KindJSON    = "json"
)

// Field is a value that the user enters.
type Field struct {
	// Group is credential, variables or fields.
	Group, Name string
	Title, Help string
	Example     string
	Default     string
	// Kind is one of the Kinds, and Options what a KindChoice chooses from.
	Kind     string
	Options  []string
	Required bool
	Pattern  string

	raw json.RawMessage
}

// Values are what a user has entered. They print as "[redacted]".
type Values struct {
	Credential connection.Credential `json:"credential,omitzero"`
	Variables  map[string]string     `json:"variables,omitempty"`
	Fields     json.RawMessage       `json:"fields,omitempty"`
}

// String implements fmt.Stringer.
func (Values) String() string { return "[redacted]" }

// form are the fields that an option's user enters.
func (o *option) form() []Field {
	if o.Type == oauth2 {
		return append(variableFields(o.Inputs), accountFields(o.Fields, o.Inputs)...)
	}
	return append(credentialFields(o.Type), accountFields(o.Fields, nil)...)
}

func variableFields(inputs map[string]provider.Variable) []Field {
	var all []Field
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		v := inputs[name]
		f := Field{
			Group: inVariables, Name: name, Title: v.Title, Help: v.Help, Example: v.Example, Default: v.Default,
			Kind: KindText, Required: true, Pattern: v.Pattern,
		}
		if len(v.Options) > 0 {
			f.Kind, f.Options = KindChoice, v.Options
		}
		all = append(all, f)
	}
	return all
}

// parts are what people call the parts of a credential, and where one is found.
func parts() map[string]Field {
	secret := func(title, help string) Field { return Field{Title: title, Help: help, Kind: KindSecret} }
	return map[string]Field{
		"token":             secret("Access token", ""),
		"username":          {Title: "User name", Kind: KindText},
		"password":          secret("Password", "Leave it empty if there is none."),
		"key":               secret("Key", ""),
		"key_encoding":      {Title: "How the key is written", Kind: KindChoice, Options: []string{"base64", "hex"}, Help: "Leave it as it is unless the provider says that the key is encoded."},
		"private_key":       {Title: "Private key", Kind: KindLines, Help: "In PEM: from -----BEGIN to the end of the last line.", Example: "-----BEGIN PRIVATE KEY-----"},
		"key_id":            {Title: "Key id", Kind: KindText, Help: "If the provider has given the key one."},
		"certificate":       {Title: "Certificate", Kind: KindLines, Help: "In PEM, with its chain.", Example: "-----BEGIN CERTIFICATE-----"},
		"access_key_id":     {Title: "Access key id", Kind: KindText},
		"secret_access_key": secret("Secret access key", ""),
		"session_token":     secret("Session token", "Only for a credential that was lent for a while."),
		"region":            {Title: "Region", Kind: KindText, Example: "eu-central-1"},
		"service":           {Title: "Service", Kind: KindText, Example: "s3"},
	}
}

func credentialFields(t connection.Type) []Field {
	needed, optional := connection.Parts(t)
	var all []Field
	for _, name := range slices.Concat(needed, optional) {
		f := parts()[name]
		f.Group, f.Name = inCredential, name
		f.Required = slices.Contains(needed, name) && name != "password"
		if name == "key" && t == connection.APIKey {
			f.Title = "API key"
		}
		all = append(all, f)
	}
	return all
}

// property is what a page reads of a schema's property.
type property struct {
	Type        any    `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Enum        []any  `json:"enum"`
	Default     any    `json:"default"`
	Examples    []any  `json:"examples"`
	Pattern     string `json:"pattern"`
}

type object struct {
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
	Additional any                        `json:"additionalProperties"`
}

// accountFields are those of the account's that a plugin wants to know. What the
// provider tells is not asked for.
func accountFields(raw json.RawMessage, told map[string]provider.Variable) []Field {
	var o object
	if raw == nil || json.Unmarshal(raw, &o) != nil {
		return nil
	}
	var all []Field
	for _, name := range slices.Sorted(maps.Keys(o.Properties)) {
		var p property
		if _, is := told[name]; is || json.Unmarshal(o.Properties[name], &p) != nil {
			continue
		}
		f := Field{
			Group: inFields, Name: name, Title: cmp.Or(p.Title, worded(name)), Help: p.Description, Kind: KindJSON,
			Required: slices.Contains(o.Required, name), Default: written(p.Default), Pattern: p.Pattern, raw: o.Properties[name],
		}
		if len(p.Examples) > 0 {
			f.Example = written(p.Examples[0])
		}
		switch {
		case len(p.Enum) > 0:
			f.Kind = KindChoice
			for _, v := range p.Enum {
				f.Options = append(f.Options, written(v))
			}
		case p.Type == "string":
			f.Kind = KindText
		case p.Type == "boolean":
			f.Kind = KindBoolean
		case p.Type == "integer", p.Type == "number":
			f.Kind = KindNumber
		}
		all = append(all, f)
	}
	return all
}

// worded makes words of a name: account_id is Account id.
func worded(name string) string {
	text := strings.NewReplacer("_", " ", "-", " ").Replace(name)
	if text == "" {
		return name
	}
	return capital(text)
}

// capital begins a text with a capital, in whatever script.
func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// written is a JSON value as a person enters it.
func written(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
}

// Value is what a person has entered, as JSON; false if that is nothing.
func (f Field) Value(entered string) (json.RawMessage, bool) {
	trimmed := strings.TrimSpace(entered)
	switch {
	case f.Kind == KindBoolean:
		return json.RawMessage(strconv.FormatBool(trimmed != "" && trimmed != "false")), true
	case trimmed == "":
		return nil, false
	case f.Kind == KindNumber && json.Valid([]byte(trimmed)), f.Kind == KindJSON && json.Valid([]byte(trimmed)):
		return json.RawMessage(trimmed), true
	case f.Kind == KindChoice && f.raw != nil && !f.ofTexts() && json.Valid([]byte(trimmed)):
		return json.RawMessage(trimmed), true
	case f.Kind == KindText || f.Kind == KindChoice:
		entered = trimmed
	}
	b, err := json.Marshal(entered)
	return b, err == nil
}

func (f Field) ofTexts() bool {
	var p property
	return json.Unmarshal(f.raw, &p) == nil && !slices.ContainsFunc(p.Enum, func(v any) bool { _, text := v.(string); return !text })
}

// schemaOf is the JSON Schema of a form's Values.
func schemaOf(form []Field) json.RawMessage {
	type node struct {
		Type       string         `json:"type"`
		Properties map[string]any `json:"properties"`
		Required   []string       `json:"required,omitempty"`
		Additional bool           `json:"additionalProperties"`
	}
	all := node{Type: "object", Properties: map[string]any{}}
	groups := map[string]*node{}
	for _, f := range form {
		g, there := groups[f.Group]
		if !there {
			g = &node{Type: "object", Properties: map[string]any{}}
			groups[f.Group], all.Properties[f.Group] = g, g
		}
		g.Properties[f.Name] = f.schema()
		if f.Required && f.Default == "" {
			g.Required = append(g.Required, f.Name)
			if !slices.Contains(all.Required, f.Group) {
				all.Required = append(all.Required, f.Group)
			}
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(fmt.Sprintf("encode a schema: %v", err)) // Of texts, and of JSON that was read.
	}
	return b
}

func (f Field) schema() any {
	if f.raw != nil {
		return f.raw
	}
	s := map[string]any{"type": "string", "title": f.Title}
	for name, text := range map[string]string{"description": f.Help, "default": f.Default, "pattern": f.Pattern} {
		if text != "" {
			s[name] = text
		}
	}
	if f.Example != "" {
		s["examples"] = []string{f.Example}
	}
	if len(f.Options) > 0 {
		s["enum"] = f.Options
	}
	if f.Kind == KindSecret || f.Kind == KindLines {
		s["writeOnly"] = true
	}
	return s
}

// checkFields says what of the account's fields is missing or does not fit. Whole says
// that all are entered: nothing is still to come from a provider.
func (o *option) checkFields(fields json.RawMessage, whole bool) error {
	var given map[string]json.RawMessage
	if len(fields) > 0 && json.Unmarshal(fields, &given) != nil {
		return invalid([]fault.Problem{{Where: "/values/fields", Message: "must be a JSON object"}})
	}
	var found []fault.Problem
	for _, f := range accountFields(o.Fields, o.Inputs) {
		if v, there := given[f.Name]; f.Required && f.Default == "" && (!there || string(v) == `""`) && whole {
			found = append(found, fault.Problem{Where: "/values/fields/" + f.Name, Message: f.Title + " is missing"})
		}
	}
	if len(found) > 0 || o.Fields == nil || len(fields) == 0 {
		return invalid(found)
	}
	compiled, err := schema.Compile(o.Fields)
	if err != nil {
		return fmt.Errorf("compile the schema of an account: %w", err) // It compiled when it was published.
	}
	complete, err := compiled.Defaults(fields)
	if err != nil {
		return fmt.Errorf("complete the fields of an account: %w", err)
	}
	for _, p := range compiled.Validate(complete) {
		if whole || p.Where != "" { // What is missing yet, the provider may tell.
			found = append(found, fault.Problem{Where: "/values/fields" + p.Where, Message: p.Message})
		}
	}
	return invalid(found)
}

// invalid makes one fault of problems, or nil if there are none.
func invalid(found []fault.Problem) error {
	if len(found) == 0 {
		return nil
	}
	e := fault.New(fault.InvalidInput, codeValues, "%s", found[0].Message).At(found[0].Where)
	e.Problems = found
	return e
}
