package descriptor

import (
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
)

func word(problems *document.Problems, where, value string, words ...string) {
	if !slices.Contains(words, value) {
		problems.Add(where, "is %s: write %s", document.Quoted(value), document.Or(words))
	}
}

// place holds the form of a place.
func place(problems *document.Problems, where, at string) {
	kind, name := Place(at)
	ok := false
	switch kind {
	case "header":
		ok = isToken(name)
	case "query", "form":
		ok = name != "" && len(name) <= 128
	case "body":
		ok = isPointer(name)
	}
	if !ok {
		problems.Add(where, "is %s: write a place such as header:X-Signature, query:token, form:id or body:/event/id", document.Quoted(at))
	}
}

// matches holds that each asks one thing of one place.
func matches(problems *document.Problems, where string, all []Match, parameters map[string]Parameter) {
	if len(all) > maxMatches {
		problems.Add(where, "has %d: at most %d are allowed", len(all), maxMatches)
	}
	for i, m := range all {
		at := document.Element(where, i)
		place(problems, at+"/at", m.At)
		if asked := m.asked(); asked != 1 {
			problems.Add(at, "asks %d things: write one of is, parameter, among, matches, count, type, absent, present", asked)
		}
		for field, name := range map[string]string{"parameter": m.Parameter, "among": m.Among} {
			if _, known := parameters[name]; name != "" && !known {
				problems.Add(at+"/"+field, "is %s, which is not in parameters: describe it there", document.Quoted(name))
			}
		}
		if m.Pattern != "" {
			pattern(problems, at+"/matches", m.Pattern)
		}
		if m.Type != "" {
			word(problems, at+"/type", m.Type, "object", "list")
		}
		if m.Count < 0 {
			problems.Add(at+"/count", "is %d: write how many there are", m.Count)
		}
	}
}

// asked counts what is asked.
func (m Match) asked() int {
	n := 0
	for _, is := range []bool{m.Is != "", m.Parameter != "", m.Among != "", m.Pattern != "", m.Count != 0, m.Type != "", m.Absent, m.Present} {
		if is {
			n++
		}
	}
	return n
}

// address holds that what a delivery names can only be asked at the vendor's.
func address(problems *document.Problems, where string, c Certificate) {
	place(problems, where+"/at", c.At)
	if pattern(problems, where+"/host", c.Host) && !ownedHost.MatchString(c.Host) {
		problems.Add(where+"/host", "is %s: it must end in a domain of the vendor's, such as \\.amazonaws\\.com$", document.Quoted(c.Host))
	}
	if c.Path != "" {
		pattern(problems, where+"/path", c.Path)
	}
	if c.Names != "" {
		pattern(problems, where+"/names", c.Names)
	}
}

// ownedHost is a pattern whose end is the escaped text of a domain, with perhaps one more
// label: \.amazonaws\.com$ or \.amazonaws\.com(\.cn)?$.
var ownedHost = regexp.MustCompile(`^\^.*\\\.[a-z0-9-]+\\\.[a-z]{2,}(\(\\\.[a-z]{2}\)\?)?\$$`)

// pattern holds that a regular expression can be read, and is of the whole text.
func pattern(problems *document.Problems, where, expression string) bool {
	_, err := regexp.Compile(expression)
	switch {
	case err != nil:
		problems.Add(where, "is %s: %v", document.Quoted(expression), err)
	case len(expression) > 256:
		problems.Add(where, "has %d bytes: at most 256 are allowed", len(expression))
	case !anchored(expression):
		problems.Add(where, "is %s: begin it with ^ and end it with $, with alternatives in brackets", document.Quoted(expression))
	default:
		return true
	}
	return false
}

// anchored tells ^a|b$, which is two halves, from ^(a|b)$.
func anchored(expression string) bool {
	if !strings.HasPrefix(expression, "^") || !strings.HasSuffix(expression, "$") || strings.HasSuffix(expression, `\$`) {
		return false
	}
	depth, class := 0, false
	for i := 0; i < len(expression); i++ {
		switch c := expression[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			return false
		}
	}
	return true
}

var (
	nameForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	tokenForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$") // RFC 9110 section 5.6.2.
)

func isName(name string) bool    { return nameForm.MatchString(name) }
func isToken(name string) bool   { return tokenForm.MatchString(name) }
func isPointer(name string) bool { return document.IsPointer(name) && len(name) <= 256 }
