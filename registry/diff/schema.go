package diff

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// maxNesting is how deep schemas are looked into; what lies deeper is compared as
// a whole.
const maxNesting = 8

// config compares the schemas of the configuration, and the defaults of properties
// that name where requests go: what a tenant has left out could send them anywhere.
func (c *comparison) config() {
	was, now := parse(c.before.Config), parse(c.after.Config)
	for _, e := range c.after.Egress {
		h, err := manifest.ParseHost(e.Host)
		if err != nil || h.Property == "" {
			continue
		}
		known := slices.ContainsFunc(c.before.Egress, func(o manifest.Egress) bool { return o.Host == e.Host })
		value := parse(now.Properties[h.Property]).Default
		if known && value != nil && !same(value, parse(was.Properties[h.Property]).Default) {
			c.add(Changed, Config, h.Property, Consent, "requests go to %s unless the configuration says otherwise", clip(string(value)))
		}
	}
	c.schemas(Config, "", c.before.Config, c.after.Config)
}

// document is what of a JSON Schema is compared.
type document struct {
	Properties map[string]json.RawMessage
	Required   map[string]bool
	Default    json.RawMessage
	Type       json.RawMessage
	Enum       []json.RawMessage
	Additional json.RawMessage
	// all has every keyword as it is written.
	all map[string]json.RawMessage
}

// parse reads a schema. What is none, such as true, has no keywords.
func parse(raw json.RawMessage) document {
	var d document
	if json.Unmarshal(raw, &d.all) != nil {
		return document{}
	}
	var required []string
	for keyword, into := range map[string]any{"properties": &d.Properties, "required": &required, "enum": &d.Enum} {
		// A keyword of another type is none that can be compared.
		_ = json.Unmarshal(d.all[keyword], into)
	}
	d.Required = map[string]bool{}
	for _, name := range required {
		d.Required[name] = true
	}
	d.Default, d.Type, d.Additional = d.all["default"], d.all["type"], d.all["additionalProperties"]
	return d
}

// schemas tells what fitted one schema and may not fit the other.
func (c *comparison) schemas(part, name string, before, after json.RawMessage) {
	if same(before, after) {
		return
	}
	s := &schemaComparison{c: c, part: part, name: name}
	s.compare("", before, after, maxNesting)
}

type schemaComparison struct {
	c          *comparison
	part, name string
}

func (s *schemaComparison) tell(verb Verb, where string, needs Needs, format string, args ...any) {
	name := strings.TrimSpace(s.name + " " + where)
	s.c.add(verb, s.part, name, needs, format, args...)
}

func (s *schemaComparison) compare(where string, before, after json.RawMessage, depth int) {
	if same(before, after) {
		return
	}
	was, now := parse(before), parse(after)
	if depth == 0 || was.all == nil && len(before) > 0 || now.all == nil && len(after) > 0 {
		s.tell(Changed, where, Care, "has another schema")
		return
	}
	s.properties(where, was, now)
	s.keywords(where, was, now)
	for _, name := range slices.Sorted(maps.Keys(now.Properties)) {
		if old, known := was.Properties[name]; known {
			s.compare(where+"/"+name, old, now.Properties[name], depth-1)
		}
	}
}

// properties tells of those that came, went, or must be there now.
func (s *schemaComparison) properties(where string, was, now document) {
	for _, name := range slices.Sorted(maps.Keys(now.Properties)) {
		_, known := was.Properties[name]
		must := now.Required[name] && parse(now.Properties[name]).Default == nil
		switch at := where + "/" + name; {
		case !known && must:
			s.tell(Added, at, Care, "is new, and required")
		case !known:
			s.tell(Added, at, "", "is new")
		case must && !was.Required[name]:
			s.tell(Changed, at, Care, "is required now")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now.Required)) {
		if _, described := now.Properties[name]; !described && !was.Required[name] {
			s.tell(Changed, where+"/"+name, Care, "is required now")
		}
	}
	closed := string(bytes.TrimSpace(now.Additional)) == "false"
	for _, name := range slices.Sorted(maps.Keys(was.Properties)) {
		if _, stays := now.Properties[name]; stays {
			continue
		}
		if closed {
			s.tell(Removed, where+"/"+name, Care, "is not taken any more")
		} else {
			s.tell(Removed, where+"/"+name, "", "is gone")
		}
	}
	if closed && string(bytes.TrimSpace(was.Additional)) != "false" {
		s.tell(Changed, where, Care, "takes no other properties any more")
	}
}

// plain are the keywords that no document breaks, and those that properties looks at.
func plain() []string {
	return []string{
		"$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples", "deprecated", "readOnly",
		"properties", "required", "additionalProperties", "type", "enum",
	}
}

// keywords tells of values that fitted and may not fit any more.
func (s *schemaComparison) keywords(where string, was, now document) {
	if !allTypes(was.Type, now.Type) {
		s.tell(Changed, where, Care, "is of type %s, not %s", clip(orAny(now.Type)), clip(orAny(was.Type)))
	}
	if now.Enum != nil && (was.Enum == nil || !subset(was.Enum, now.Enum)) {
		s.tell(Changed, where, Care, "takes fewer values")
	}
	for _, keyword := range slices.Sorted(maps.Keys(now.all)) {
		if slices.Contains(plain(), keyword) || same(was.all[keyword], now.all[keyword]) || strings.HasPrefix(keyword, "x-") {
			continue
		}
		if !looser(keyword, was.all[keyword], now.all[keyword]) {
			s.tell(Changed, where, Care, "%s is %s now", clip(keyword), clip(string(now.all[keyword])))
		}
	}
	if !same(was.Default, now.Default) && was.all != nil {
		s.tell(Changed, where, "", "has the default %s, not %s", clip(orNone(now.Default)), clip(orNone(was.Default)))
	}
}

func orAny(raw json.RawMessage) string {
	if raw == nil {
		return "any"
	}
	return string(raw)
}

func orNone(raw json.RawMessage) string {
	if raw == nil {
		return "none"
	}
	return string(raw)
}

// allTypes says whether every type of was is one of now.
func allTypes(was, now json.RawMessage) bool {
	if now == nil {
		return true
	}
	taken := types(now)
	if was == nil {
		return false
	}
	for _, t := range types(was) {
		if !slices.Contains(taken, t) && (t != "integer" || !slices.Contains(taken, "number")) {
			return false
		}
	}
	return true
}

// types reads the keyword type: a name or a list of names.
func types(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var several []string
	_ = json.Unmarshal(raw, &several) // Then it has none, and nothing fits.
	return several
}

func subset(some, all []json.RawMessage) bool {
	there := make(map[string]bool, len(all))
	for _, x := range all {
		there[canonical(x)] = true
	}
	return !slices.ContainsFunc(some, func(x json.RawMessage) bool { return !there[canonical(x)] })
}

// looser says whether a bound lets through all that it did before.
func looser(keyword string, was, now json.RawMessage) bool {
	var w, n float64
	if was == nil || json.Unmarshal(was, &w) != nil || json.Unmarshal(now, &n) != nil {
		return false
	}
	switch keyword {
	case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
		return n <= w
	case "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties":
		return n >= w
	default:
		return false
	}
}

// same compares documents, but for white space and the order of properties.
func same(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || len(a) > 0 && len(b) > 0 && canonical(a) == canonical(b)
}

// canonical is a document with its properties in order.
func canonical(raw json.RawMessage) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return string(raw)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return string(raw)
	}
	return string(text)
}

// clip shortens what a text quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
