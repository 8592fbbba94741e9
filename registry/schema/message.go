package schema

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// documentProblems flattens what the library says, in words that leave the
// document's values out: a value may be a credential in the wrong place.
func documentProblems(err *jsonschema.ValidationError) []Problem {
	var problems []Problem
	flatten(err, &problems)
	// The library goes through maps: sorted, the same document reads the same.
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Where, b.Where), strings.Compare(a.Message, b.Message))
	})
	problems = slices.Compact(problems)
	return problems[:min(len(problems), maxProblems)]
}

func flatten(err *jsonschema.ValidationError, problems *[]Problem) {
	where := pointerOf(err.InstanceLocation)
	switch k := err.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range err.Causes {
			flatten(cause, problems)
		}
	case *kind.Required:
		for _, name := range k.Missing {
			*problems = append(*problems, Problem{where + "/" + escape(name), "is required"})
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			*problems = append(*problems, Problem{where + "/" + escape(name), "is not a known property"})
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			*problems = append(*problems, Problem{where + "/" + escape(name), fmt.Sprintf("is required where there is %q", k.Prop)})
		}
	case *kind.AnyOf:
		*problems = append(*problems, alternatives(where, err))
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			*problems = append(*problems, Problem{where, fmt.Sprintf("fits alternatives %d and %d, and must fit one only", k.Subschemas[0]+1, k.Subschemas[1]+1)})
			return
		}
		*problems = append(*problems, alternatives(where, err))
	default:
		*problems = append(*problems, Problem{where, message(err.ErrorKind)})
	}
}

// alternatives says in one line what each of several schemas has against a value.
func alternatives(where string, err *jsonschema.ValidationError) Problem {
	var each []string
	for _, cause := range err.Causes {
		var inner []Problem
		flatten(cause, &inner)
		if len(inner) == 0 {
			continue
		}
		line := strings.TrimPrefix(inner[0].Where, where) + " " + inner[0].Message
		each = append(each, strings.TrimPrefix(line, " "))
	}
	each = slices.Compact(each)
	return Problem{where, "fits none of the alternatives: " + strings.Join(each[:min(len(each), 5)], "; or it ")}
}

func pointerOf(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escape(t))
	}
	return b.String()
}

// message says what a schema wants of a value.
func message(k jsonschema.ErrorKind) string {
	if m := sizeMessage(k); m != "" {
		return m
	}
	switch k := k.(type) {
	case nil:
		return "does not fit its schema"
	case *kind.Type:
		return fmt.Sprintf("must be of type %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return "must be " + list([]any{k.Want})
	case *kind.Format:
		if k.Want == "regex" {
			return fmt.Sprintf(`must have the format "regex": RE2's syntax, at most %d bytes, and at most %d steps once repetitions are written out`, maxPatternBytes, maxPatternSteps)
		}
		return fmt.Sprintf("must have the format %q", k.Want)
	case *kind.Pattern:
		return fmt.Sprintf("must match the pattern %q", clip(k.Want))
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.PropertyNames:
		return fmt.Sprintf("must not have a property of the name %q", clip(k.Property))
	case *kind.UniqueItems:
		return fmt.Sprintf("must have no item twice: %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.FalseSchema:
		return "must not be there"
	case *kind.Not:
		return `must not fit the schema under "not"`
	default:
		return fmt.Sprintf("does not fit %q of its schema", strings.Join(k.KeywordPath(), "/"))
	}
}

// sizeMessage is the message of the keywords that count, or empty.
func sizeMessage(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters, not %d", k.Want, k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters, not %d", k.Want, k.Got)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items, not %d", k.Want, k.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items, not %d", k.Want, k.Got)
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d properties, not %d", k.Want, k.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d properties, not %d", k.Want, k.Got)
	case *kind.Contains:
		return `must have an item that fits the schema under "contains"`
	case *kind.MinContains:
		return fmt.Sprintf(`must have at least %d items that fit the schema under "contains", not %d`, k.Want, len(k.Got))
	case *kind.MaxContains:
		return fmt.Sprintf(`must have at most %d items that fit the schema under "contains", not %d`, k.Want, len(k.Got))
	default:
		return ""
	}
}

// list shows values of a schema.
func list(values []any) string {
	const most = 20
	var shown []string
	for _, v := range values[:min(len(values), most)] {
		b, err := json.Marshal(v)
		if err != nil {
			continue
		}
		shown = append(shown, clip(string(b)))
	}
	if len(values) > most {
		shown = append(shown, "…")
	}
	return strings.Join(shown, ", ")
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}
