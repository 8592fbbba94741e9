package signature

import (
	"crypto/subtle"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// match is a condition whose pattern is ready.
type match struct {
	descriptor.Match
	pattern *regexp.Regexp
}

func compileMatches(all []descriptor.Match) ([]match, error) {
	ready := make([]match, len(all))
	for i, m := range all {
		ready[i].Match = m
		if m.Pattern == "" {
			continue
		}
		var err error
		if ready[i].pattern, err = regexp.Compile(m.Pattern); err != nil {
			return nil, fmt.Errorf("compile a pattern: %w", err)
		}
	}
	return ready, nil
}

// holds says whether all hold.
func (r *reading) holds(all []match, parameters map[string]string) bool {
	return !slices.ContainsFunc(all, func(m match) bool { return !r.hold(m, parameters) })
}

// hold says whether one holds. Of several values, each must be right.
func (r *reading) hold(m match, parameters map[string]string) bool {
	_, name := descriptor.Place(m.At)
	switch {
	case m.Type != "":
		nodes := r.nodes(name)
		return len(nodes) == 1 && typeOf(nodes[0]) == m.Type
	case m.Count > 0:
		nodes := r.nodes(name)
		list, ok := append(nodes, nil)[0].([]any)
		return ok && len(list) == m.Count
	}
	values, err := r.all(m.At)
	if err != nil {
		return false
	}
	if m.Absent {
		return len(values) == 0
	}
	return len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !m.is(v, parameters) })
}

func (m match) is(value string, parameters map[string]string) bool {
	switch {
	case m.Is != "":
		return value == m.Is
	case m.Parameter != "":
		want := parameters[m.Parameter]
		return want != "" && subtle.ConstantTimeCompare([]byte(value), []byte(want)) == 1
	case m.Among != "":
		return value != "" && slices.Contains(strings.Fields(parameters[m.Among]), value)
	case m.pattern != nil:
		return len(value) <= maxEcho && m.pattern.MatchString(value)
	default:
		return m.Present
	}
}

// words is a condition as whoever reads a refusal needs it.
func (m match) words() string {
	switch {
	case m.Is != "":
		return named(m.At) + " is not " + m.Is
	case m.Parameter != "":
		return named(m.At) + " is not the endpoint's " + m.Parameter
	case m.Among != "":
		return named(m.At) + " is not among the endpoint's " + m.Among
	case m.Count > 0:
		return fmt.Sprintf("%s is not a list of %d", named(m.At), m.Count)
	case m.Type != "":
		return "the body is not a JSON " + m.Type
	case m.Present:
		return named(m.At) + " is missing"
	case m.Absent:
		return named(m.At) + " is there"
	default:
		return named(m.At) + " is not of the form that it has"
	}
}

func typeOf(node any) string {
	switch node.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "list"
	default:
		return ""
	}
}
