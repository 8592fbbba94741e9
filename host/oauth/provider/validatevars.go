package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
)

func (p Provider) validateVariables(problems *document.Problems) {
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		where := document.Pointer("/variables", name)
		if !isName(name, '_') || slices.Contains(ofTheRequest(), name) {
			problems.Add(where, "is no name of a variable: write lower-case letters, digits and underscores, and none of %s", document.Or(ofTheRequest()))
			continue
		}
		before := problems.Len()
		p.Variables[name].validate(where, problems)
		if problems.Len() > before {
			continue
		}
		p.validateSource(where, name, problems)
	}
}

func (v Variable) validate(where string, problems *document.Problems) {
	if v.Title == "" {
		problems.Add(where+"/title", "is missing: write what people call it")
	}
	word(problems, where+"/kind", v.Kind, "label", "host", "url", "path", "text")
	v.validateOf(where, problems)
	v.validateUnder(where, problems)
	if !v.validatePattern(where, problems) {
		return
	}
	for at, value := range map[string]string{"/example": v.Example, "/default": v.Default} {
		if value == "" && at == "/default" {
			continue
		}
		if clean, err := v.Check(value); err != nil {
			problems.Add(where+at, "%v", err)
		} else if clean != value {
			problems.Add(where+at, "is %s: write it as it is used, %q", document.Quoted(value), clean)
		}
	}
}

func (v Variable) validateOf(where string, problems *document.Problems) {
	switch {
	case v.From == "input":
		word(problems, where+"/of", v.Of, "account", "app")
	case v.Of != "":
		problems.Add(where+"/of", "is %s, but nobody enters the value: leave it out", document.Quoted(v.Of))
	}
	if v.Anywhere && v.Of == "account" {
		problems.Add(where+"/of", "is \"account\", but a host that may be anywhere is the app's: its secret would go to where a user says")
	}
}

func (v Variable) validateUnder(where string, problems *document.Problems) {
	hosts := v.Kind == "host" || v.Kind == "url"
	switch {
	case !hosts && (len(v.Under) > 0 || v.Anywhere):
		problems.Add(where+"/under", "is there, but a %s is no host: leave it and anywhere out", v.Kind)
	case hosts && (len(v.Under) > 0) == v.Anywhere:
		problems.Add(where+"/under", "does not say where the host may be: list the domains that the vendor owns, or set anywhere if the customer runs the server")
	case v.Anywhere && v.From != "input":
		problems.Add(where+"/anywhere", "is set, but the value comes from %s: only a person may name any host", v.From)
	}
	for i, domain := range v.Under {
		if !owned(domain) {
			problems.Add(document.Element(where+"/under", i), "is %s: write a domain that the vendor owns, in lower case", document.Quoted(domain))
		}
	}
}

// validatePattern holds a pattern, and tries on it what would move a host: its kind
// refuses those too, but who writes such a pattern means another kind.
func (v Variable) validatePattern(where string, problems *document.Problems) bool {
	if v.Pattern == "" {
		return true
	}
	where += "/pattern"
	if len(v.Pattern) > 200 || !strings.HasPrefix(v.Pattern, "^") || !strings.HasSuffix(v.Pattern, "$") || strings.HasSuffix(v.Pattern, `\$`) {
		problems.Add(where, "is %s: write a regular expression from ^ to $, of at most 200 bytes", document.Quoted(v.Pattern))
		return false
	}
	re, err := anchored(v.Pattern)
	if err != nil {
		problems.Add(where, "is %s: %v", document.Quoted(v.Pattern), err)
		return false
	}
	if v.Kind != "label" {
		return true
	}
	for _, bad := range []string{"a.b", "a/b", "a@b", "a#b", "a?b", "a:1", `a\b`, "a%2eb", "a b", "evil.com/", ""} {
		if re.MatchString(bad) {
			problems.Add(where, "is %s, which lets %q be a label: write a narrower one, or the kind host, url or path", document.Quoted(v.Pattern), bad)
			return false
		}
	}
	return true
}

// validateSource checks that a variable comes from somewhere, and once.
func (p Provider) validateSource(where, name string, problems *document.Problems) {
	from := p.Variables[name].From
	fills := 0
	for _, l := range p.Lookups {
		if _, ok := l.Variables[name]; ok {
			fills++
		}
	}
	parameter, callback := strings.CutPrefix(from, "callback:")
	place, token := strings.CutPrefix(from, "token:")
	switch {
	case callback && parameter == "", token && (place == "" || !document.IsPointer(place)):
		problems.Add(where+"/from", "is %q: write callback:NAME of a parameter, or token:/POINTER of a place in the token response", from)
	case !callback && !token && from != "input" && from != "lookup":
		problems.Add(where+"/from", "is %q: write input, callback:NAME, token:/POINTER or lookup", from)
	case from == "lookup" && fills == 0:
		problems.Add(where+"/from", "is lookup, but no lookup fills it: add it to the variables of one")
	case from == "input" && fills > 0:
		problems.Add(where+"/from", "is input, but a lookup fills it: write lookup")
	}
}

func (p Provider) validateLookups(problems *document.Problems) {
	for i, l := range p.Lookups {
		where := document.Element("/lookups", i)
		p.validateURL(problems, where+"/url", l.URL)
		word(problems, where+"/method", l.Method, "GET", "POST")
		p.validateText(problems, where+"/parameters", l.Parameters, ofTheRequest()...)
		if len(l.Variables) == 0 && l.Token == nil {
			problems.Add(where, "learns nothing: give it variables or a token_response")
		}
		if l.Items != nil && !document.IsPointer(*l.Items) {
			problems.Add(where+"/items", "is %s: write a JSON pointer to a list, such as \"/accounts\"", document.Quoted(*l.Items))
		}
		if !document.IsPointer(l.Label) || (l.Items == nil) != (l.Label == "") {
			problems.Add(where+"/label", "is %s: write, with items, a JSON pointer to what names one of them", document.Quoted(l.Label))
		}
		p.validateLearned(where, l, problems)
	}
}

// validateLearned checks where a lookup's answer has what it is made for.
func (p Provider) validateLearned(where string, l Lookup, problems *document.Problems) {
	for _, name := range slices.Sorted(maps.Keys(l.Variables)) {
		at := document.Pointer(where+"/variables", name)
		if _, known := p.Variables[name]; !known {
			problems.Add(at, "is not in variables: describe it there")
		}
		if !document.IsPointer(l.Variables[name]) {
			problems.Add(at, "is %s: write a JSON pointer, such as \"/0/id\"", document.Quoted(l.Variables[name]))
		}
	}
	if l.Token == nil {
		return
	}
	if l.Token.AccessToken == "" {
		problems.Add(where+"/token_response/access_token", "is missing: write where the answer has the token")
	}
	p.validateResponse(where+"/token_response", l.Token.withDefaults(), problems)
}
