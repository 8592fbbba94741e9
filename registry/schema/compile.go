package schema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// location is the schema's own address, which is never looked up.
const location = "schema://self"

// compiled is a schema that counts the work of one validation at a time.
type compiled struct {
	root *jsonschema.Schema
	left int
}

// budget is the work that a document of so many bytes may cause. A JSON value
// has two bytes at least, with its comma, and costs two units: one itself and
// one in its parent. 2^18 more let a small document meet a rich schema; at some
// 0.2 us a unit that is 50 ms, and 3.4 s for a document of 8 MiB.
func budget(size int) int { return 1<<18 + 2*size }

var errBudget = errors.New("over the budget")

// refuse is a loader that loads nothing: the library's own reads files.
type refuse struct{}

// Load implements jsonschema.URLLoader.
func (refuse) Load(url string) (any, error) {
	return nil, fmt.Errorf("%q leads out of the schema", url)
}

func compile(doc any) (c *compiled, problems []Problem) {
	defer func() {
		// The library reads a stranger's document: what it stumbles over is no
		// reason for the host to fall.
		if r := recover(); r != nil {
			c, problems = nil, []Problem{{Message: "cannot be compiled"}}
		}
	}()
	lib := jsonschema.NewCompiler()
	lib.DefaultDraft(jsonschema.Draft2020)
	lib.UseLoader(refuse{})
	lib.AssertFormat()
	own := &patterns{left: maxAllSteps}
	lib.UseRegexpEngine(own.compile)
	if err := lib.AddResource(location, doc); err != nil {
		return nil, schemaProblems(err)
	}
	root, err := lib.Compile(location)
	if err != nil {
		return nil, schemaProblems(err)
	}
	own.compiled = true
	c = &compiled{root: root}
	if !c.meter(root, map[*jsonschema.Schema]bool{}) {
		return nil, []Problem{{Message: "uses a dialect or a dynamic reference that is not supported"}}
	}
	return c, nil
}

// meter makes every subschema pay before it looks at a value. The format is what
// the library checks before it descends. A subschema that cannot pay fails at
// once, and so do all that come after it.
func (c *compiled) meter(s *jsonschema.Schema, seen map[*jsonschema.Schema]bool) bool {
	if s == nil || seen[s] {
		return true
	}
	seen[s] = true
	if s.DynamicRef != nil || s.RecursiveRef != nil || s.DraftVersion != 2020 {
		return false
	}
	own := s.Format
	metered := jsonschema.Format{Validate: func(v any) error {
		if c.left -= cost(v); c.left < 0 {
			return errBudget
		}
		if own != nil {
			return own.Validate(v)
		}
		return nil
	}}
	if own != nil {
		metered.Name = own.Name
	}
	s.Format = &metered
	for _, child := range children(s) {
		if !c.meter(child, seen) {
			return false
		}
	}
	return true
}

// cost is what looking at a value costs, without what is in its parts.
func cost(v any) int {
	switch v := v.(type) {
	case map[string]any:
		return 1 + len(v)
	case []any:
		return 1 + len(v)
	case string:
		return 1 + len(v)/64
	default:
		return 1
	}
}

func children(s *jsonschema.Schema) []*jsonschema.Schema {
	all := []*jsonschema.Schema{
		s.Ref, s.Not, s.If, s.Then, s.Else, s.PropertyNames, s.UnevaluatedProperties,
		s.Contains, s.Items2020, s.UnevaluatedItems, s.ContentSchema,
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf, s.PrefixItems} {
		all = append(all, list...)
	}
	for _, named := range []map[string]*jsonschema.Schema{s.Properties, s.DependentSchemas} {
		for _, child := range named {
			all = append(all, child)
		}
	}
	for _, child := range s.PatternProperties {
		all = append(all, child)
	}
	for _, child := range s.Dependencies {
		if child, ok := child.(*jsonschema.Schema); ok {
			all = append(all, child)
		}
	}
	if child, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
		all = append(all, child)
	}
	return all
}

func (c *compiled) validate(v any, units int) (problems []Problem) {
	defer func() {
		if r := recover(); r != nil {
			problems = []Problem{{Message: "cannot be checked against its schema"}}
		}
	}()
	c.left = units
	err := c.root.Validate(v)
	if c.left < 0 {
		return []Problem{{Message: fmt.Sprintf("takes more than the %d steps that checking it against its schema may take", units)}}
	}
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return documentProblems(invalid)
	}
	return nil
}

// schemaProblems says what is wrong with a schema.
func schemaProblems(err error) []Problem {
	var (
		invalid *jsonschema.SchemaValidationError
		pattern *jsonschema.InvalidRegexError
		missing *jsonschema.JSONPointerNotFoundError
		anchor  *jsonschema.AnchorNotFoundError
		meta    *jsonschema.ValidationError
	)
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &meta):
		problems := documentProblems(meta)
		base := fragment(invalid.URL)
		for i := range problems {
			problems[i].Where = base + problems[i].Where
		}
		return problems
	case errors.As(err, &pattern):
		return []Problem{{Where: fragment(pattern.URL), Message: fmt.Sprintf("the pattern %q is not understood: use the syntax of RE2 (https://github.com/google/re2/wiki/Syntax)", clip(pattern.Regex))}}
	case errors.As(err, &missing):
		return []Problem{{Message: fmt.Sprintf("a $ref leads to %q, where there is nothing", clip("#"+fragment(missing.URL)))}}
	case errors.As(err, &anchor):
		return []Problem{{Message: fmt.Sprintf("a $ref leads to %q, where there is nothing", clip("#"+fragment(anchor.Reference)))}}
	default:
		return []Problem{{Message: strings.ReplaceAll(err.Error(), location, "")}}
	}
}

func fragment(url string) string {
	_, f, _ := strings.Cut(url, "#")
	return f
}
