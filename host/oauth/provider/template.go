package provider

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
)

// position is where in a template a variable stands, which says how its value is
// written there and of which kinds it may be.
type position int

const (
	inStart position = iota // The template begins with it: a URL.
	inHost
	inPath
	inQuery
)

// kindsAt are the kinds of variables that may stand somewhere.
func kindsAt(at position) []string {
	switch at {
	case inStart:
		return []string{"url"}
	case inHost:
		return []string{"label", "host"}
	case inPath:
		return []string{"label", "host", "path"}
	default:
		return []string{"label", "host", "url", "path", "text"}
	}
}

// piece is literal text, or a variable.
type piece struct {
	text     string
	variable bool
	at       position
}

// split cuts a template into pieces. A URL's parts are told by its literal text only:
// no value can begin a path or a query.
func split(template string) ([]piece, error) {
	var pieces []piece
	at := inStart
	for rest := template; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		literal := rest
		if open >= 0 {
			literal = rest[:open]
		}
		if literal != "" {
			at = advance(at, literal)
			pieces = append(pieces, piece{text: literal, at: at})
		}
		if open < 0 {
			break
		}
		end := strings.IndexByte(rest, '}')
		if rest[open] == '}' || end < open {
			return nil, errors.New("has a brace without its other: write variables as {name}")
		}
		name := rest[open+1 : end]
		if !isName(name, '_') {
			return nil, fmt.Errorf("has %s in braces: a variable's name has lower-case letters, digits and underscores", document.Quoted(name))
		}
		pieces = append(pieces, piece{text: name, variable: true, at: at})
		if at == inStart {
			at = inPath
		}
		rest = rest[end+1:]
	}
	return pieces, nil
}

// advance says where a template is after a literal.
func advance(at position, literal string) position {
	if at == inStart {
		at = inHost
		literal = strings.TrimPrefix(literal, "https://")
	}
	if at == inHost && strings.ContainsAny(literal, "/?") {
		at = inPath
	}
	if at == inPath && strings.Contains(literal, "?") {
		at = inQuery
	}
	return at
}

// variablesOf lists the variables of a template, which split takes.
func variablesOf(pieces []piece) []string {
	var names []string
	for _, p := range pieces {
		if p.variable && !slices.Contains(names, p.text) {
			names = append(names, p.text)
		}
	}
	return names
}

// fill puts values into a template of a URL, and returns "" while one is missing.
func fill(template string, values map[string]string) (string, error) {
	pieces, err := split(template)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, p := range pieces {
		text := p.text
		if p.variable {
			value, known := values[p.text]
			if !known {
				return "", nil
			}
			text = escape(value, p.at)
		}
		out.WriteString(text)
	}
	if out.Len() == 0 {
		return "", nil
	}
	if isLocal(template) {
		return out.String(), plain(out.String())
	}
	return out.String(), stays(out.String(), dots(pieces))
}

// localURL is the beginning of a URL of a server on this machine.
var localURL = regexp.MustCompile(`^http://(127\.0\.0\.1|\[::1\]|localhost)(:[1-9][0-9]{0,4})?([/?]|$)`)

// isLocal says whether a template is of a server on this machine, whatever its
// variables are.
func isLocal(template string) bool { return localURL.MatchString(template) }

// dots counts the dots in the host of a template, or returns -1 if one variable is
// the whole host and brings its own.
func dots(pieces []piece) int {
	var sample strings.Builder
	for _, p := range pieces {
		if p.variable {
			p.text = "x"
		}
		sample.WriteString(p.text)
	}
	u, err := url.Parse(sample.String())
	if err != nil || u.Host == "x" || u.Host == "" {
		return -1
	}
	return strings.Count(u.Host, ".")
}

func escape(value string, at position) string {
	switch at {
	case inPath:
		segments := strings.Split(value, "/")
		for i, s := range segments {
			segments[i] = url.PathEscape(s)
		}
		return strings.Join(segments, "/")
	case inQuery:
		return url.QueryEscape(value)
	default:
		return value
	}
}

// stays looks at a whole URL as whoever sends the request will: what the values were
// checked for holds for what came of them too.
func stays(whole string, dots int) error {
	u, err := url.Parse(whole)
	if err != nil {
		return errors.New("does not become a URL")
	}
	switch {
	case u.Scheme != "https":
		return errors.New("does not become an https URL")
	case u.Port() != "":
		return errors.New("becomes a URL with a port")
	case dots >= 0 && strings.Count(u.Host, ".") != dots:
		return fmt.Errorf("becomes a URL of the host %s", document.Quoted(u.Host))
	}
	if err := plain(whole); err != nil {
		return err
	}
	if err := checkHost(u.Host); err != nil {
		return fmt.Errorf("becomes a URL of the host %s, which %w", document.Quoted(u.Host), err)
	}
	return nil
}

// plain looks for what makes a URL another than it seems to be.
func plain(whole string) error {
	u, err := url.Parse(whole)
	if err != nil {
		return errors.New("does not become a URL")
	}
	if u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return errors.New("becomes a URL with a user or a fragment")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("becomes a URL with . or .. in its path")
		}
	}
	return nil
}

// fillHost puts values into a template of a host's name, and returns "" while one is
// missing. A variable that is a URL gives the name in it.
func fillHost(template string, values map[string]string) (string, error) {
	wild, name := "", template
	if rest, ok := strings.CutPrefix(template, "*."); ok {
		wild, name = "*.", rest
	}
	if isLocal("http://" + template) {
		return template, nil
	}
	if v, ok := strings.CutPrefix(name, "{"); ok && strings.HasPrefix(values[strings.TrimSuffix(v, "}")], "https://") {
		name += "/"
	} else {
		name = "https://" + name + "/"
	}
	whole, err := fill(name, values)
	if err != nil || whole == "" {
		return "", err
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(whole, "https://"), "/")
	return wild + host, nil
}

// fillText puts values into a parameter or a header, and returns "" while one is
// missing. Names in keep stay in their braces.
func fillText(template string, values map[string]string, keep ...string) string {
	pieces, err := split(template)
	if err != nil {
		return ""
	}
	var out strings.Builder
	for _, p := range pieces {
		value, known := values[p.text]
		switch {
		case !p.variable:
			out.WriteString(p.text)
		case slices.Contains(keep, p.text):
			out.WriteString("{" + p.text + "}")
		case !known:
			return ""
		default:
			out.WriteString(value)
		}
	}
	return out.String()
}

// isName holds lower-case letters, digits and one more character, first a letter.
func isName(s string, also rune) bool {
	odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != also }
	return s != "" && len(s) <= 63 && s[0] >= 'a' && s[0] <= 'z' && !strings.ContainsFunc(s, odd)
}
