package redeliver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// textMost is the longest filter, in characters, and depthMost how deep it may nest.
	textMost  = 4096
	depthMost = 50
	// costMost is what looking at one event may cost: a step of an expression costs 1,
	// and a character of a text a tenth, so that the largest body can be searched once.
	costMost = 200_000
	// checkEvery is after how many steps of a comprehension a filter sees that its
	// caller is gone.
	checkEvery = 1000
	// bodyMost is the largest body that a filter looks into.
	bodyMost = 1 << 20
	// reasonMost is how much of a filter's error is told.
	reasonMost = 300
)

// condition is a filter that was compiled. A nil one selects everything.
type condition struct {
	program cel.Program
	// bodies says whether it looks at them.
	bodies bool
}

// Check says what is wrong with a filter. It is a CEL expression
// (<https://cel.dev>) that is true for the events that are meant, over
//
//	headers      map(string, string)  a delivery's, by lower-case names; several of a name with ", " between
//	body         dyn                  what its JSON says, or a string if it is none, or bytes if it is no text
//	name         string               of the webhook, action or poll
//	kind         string               webhook, action, poll, test or record
//	received_at  timestamp
func Check(filter string) error {
	_, err := compile(filter)
	return err
}

func compile(filter string) (*condition, error) {
	if strings.TrimSpace(filter) == "" {
		return nil, nil //nolint:nilnil // No filter, and nothing wrong with it.
	}
	if n := utf8.RuneCountInString(filter); n > textMost {
		return nil, fault.New(fault.InvalidInput, "filter_too_long", "the filter has %d characters, and may have %d", n, textMost).At("/filter")
	}
	env, err := cel.NewEnv(
		cel.Variable("headers", cel.MapType(cel.StringType, cel.StringType)), cel.Variable("body", cel.DynType),
		cel.Variable("name", cel.StringType), cel.Variable("kind", cel.StringType), cel.Variable("received_at", cel.TimestampType),
		cel.CrossTypeNumericComparisons(true), cel.ParserRecursionLimit(depthMost), cel.ParserExpressionSizeLimit(textMost),
	)
	if err != nil {
		return nil, fmt.Errorf("make what filters are compiled in: %w", err)
	}
	ast, issues := env.Compile(filter)
	if issues.Err() != nil {
		return nil, refused(filter, issues)
	}
	if t := ast.OutputType(); t != cel.BoolType && t != cel.DynType {
		return nil, fault.New(fault.InvalidInput, "filter_invalid", "the filter gives a %s, and has to give a bool", t).
			At("/filter").WithHint(`write a comparison, as in headers["x-github-event"] == "push"`)
	}
	program, err := env.Program(ast, cel.CostLimit(costMost), cel.InterruptCheckFrequency(checkEvery))
	if err != nil {
		return nil, fault.New(fault.InvalidInput, "filter_invalid", "the filter cannot be run: %s", cut(err.Error())).At("/filter")
	}
	c := &condition{program: program}
	for _, r := range ast.NativeRep().ReferenceMap() {
		c.bodies = c.bodies || r.Name == "body"
	}
	return c, nil
}

// refused says where a filter is wrong, and how.
func refused(filter string, issues *cel.Issues) *fault.Error {
	first := issues.Errors()[0]
	at := ""
	if line := first.Location.Line(); line > 0 {
		at = fmt.Sprintf("line %d, column %d: ", line, first.Location.Column()+1)
	}
	f := fault.New(fault.InvalidInput, "filter_invalid", "the filter is wrong: %s%s", at, cut(first.Message)).At("/filter")
	if strings.Contains(first.Message, "undeclared reference") {
		return f.WithHint("there are headers, body, name, kind and received_at")
	}
	if strings.Contains(filter, "'") && strings.Contains(filter, "&&&") || strings.Contains(filter, " and ") {
		return f.WithHint("it is written && and ||")
	}
	return f.WithHint(`for example: headers["x-github-event"] == "push" && body.repository.private`)
}

// selects says whether an event is meant. A reason says why that could not be told.
func (c *condition) selects(ctx context.Context, e event.Event) (selected bool, reason string, err error) {
	if len(e.Body) > bodyMost && c.bodies {
		return false, fmt.Sprintf("its body has %d bytes, and a filter looks at %d at most", len(e.Body), bodyMost), nil
	}
	vars := map[string]any{
		"headers": headersOf(e), "name": e.Name, "kind": string(e.Kind), "received_at": e.ReceivedAt,
	}
	if c.bodies {
		vars["body"] = bodyOf(e.Body)
	}
	v, _, failed := c.program.ContextEval(ctx, vars)
	switch {
	case ctx.Err() != nil:
		return false, "", ctx.Err()
	case failed != nil:
		return false, cut(failed.Error()), nil
	}
	selected, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Sprintf("the filter gives a %s, and has to give a bool", v.Type().TypeName()), nil
	}
	return selected, "", nil
}

func headersOf(e event.Event) map[string]string {
	all := map[string]string{}
	if e.Request == nil {
		return all
	}
	for name, values := range e.Request.Headers {
		name = strings.ToLower(name)
		value := strings.Join(values, ", ")
		if before, ok := all[name]; ok {
			value = before + ", " + value
		}
		all[name] = value
	}
	return all
}

// bodyOf is a body as a filter sees it.
func bodyOf(body []byte) any {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) == nil {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return counted(v)
		}
	}
	if utf8.Valid(body) {
		return string(body)
	}
	return body
}

// counted makes numbers of what JSON has: an int where it is one, so that large ids stay
// what they are, and else a double.
func counted(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, err := v.Float64()
		if err != nil {
			return v.String() // Larger than a double can be.
		}
		return n
	case map[string]any:
		for k := range v {
			v[k] = counted(v[k])
		}
	case []any:
		for i := range v {
			v[i] = counted(v[i])
		}
	}
	return v
}

func cut(s string) string {
	if len(s) > reasonMost {
		s = s[:reasonMost] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
