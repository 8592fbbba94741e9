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

// maxValue caps a variable's value: a DNS name has at most 253 bytes.
const maxValue = 253

// Check returns value as it goes into a template, or says why it cannot: labels and
// hosts in lower case, URLs without a slash at their end. What it returns cannot move
// a host, whatever Pattern is.
func (v Variable) Check(value string) (string, error) {
	if value == "" {
		return "", fmt.Errorf("is empty: write %s, such as %q", v.wants(), v.Example)
	}
	clean, err := v.byKind(value)
	if err != nil {
		return "", fmt.Errorf("is %s, which %w: write %s, such as %q", document.Quoted(value), err, v.wants(), v.Example)
	}
	if len(v.Options) > 0 && !slices.Contains(v.Options, clean) {
		return "", fmt.Errorf("is %s: write %s", document.Quoted(value), document.Or(v.Options))
	}
	if v.Pattern == "" {
		return clean, nil
	}
	re, err := anchored(v.Pattern)
	if err != nil {
		return "", fmt.Errorf("has a pattern that cannot be read: %w", err)
	}
	if !re.MatchString(clean) {
		return "", fmt.Errorf("is %s, which does not match %s: write one such as %q", document.Quoted(value), v.Pattern, v.Example)
	}
	return clean, nil
}

// anchored compiles a pattern so that it matches all of a value or nothing of it, even
// if it is ^a|b$, in which each anchor holds one of two alternatives. The pattern is
// compiled alone first: ^a)|(?:b$ is none, and would leave the group.
func anchored(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

func (v Variable) wants() string {
	switch v.Kind {
	case "host":
		return "a DNS name" + v.under()
	case "url":
		return "an https URL" + v.under() + " without port, query or fragment"
	case "path":
		return "segments of a path"
	case "text":
		return "a line of printable ASCII"
	default:
		return "one label of a DNS name (letters, digits and hyphens, at most 63)"
	}
}

func (v Variable) under() string {
	if len(v.Under) == 0 {
		return ""
	}
	return " that is or ends in " + document.Or(v.Under)
}

func (v Variable) byKind(value string) (string, error) {
	if len(value) > maxValue {
		return "", fmt.Errorf("is longer than %d bytes", maxValue)
	}
	switch v.Kind {
	case "host":
		return v.host(lower(value))
	case "url":
		return v.url(value)
	case "path":
		return value, checkPath(value)
	case "text":
		if strings.ContainsAny(value, "{}") {
			return "", errors.New("has a brace, which would make it a template")
		}
		return value, checkText(value)
	default:
		value = lower(value)
		return value, checkLabel(value)
	}
}

// lower writes the letters of ASCII small. strings.ToLower also makes a k of the sign
// for kelvin.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// host checks a DNS name in lower case.
func (v Variable) host(name string) (string, error) {
	if err := checkHost(name); err != nil {
		return "", err
	}
	below := func(domain string) bool { return name == domain || strings.HasSuffix(name, "."+domain) }
	if !v.Anywhere && !slices.ContainsFunc(v.Under, below) {
		return "", errors.New("is not where this provider's hosts are")
	}
	return name, nil
}

// url checks an https URL whose path may be anything that stays a path.
func (v Variable) url(value string) (string, error) {
	rest, ok := strings.CutPrefix(value, "https://")
	if !ok {
		return "", errors.New("does not begin with https://")
	}
	host, path, _ := strings.Cut(strings.TrimRight(rest, "/"), "/")
	name, err := v.host(lower(host))
	if err != nil || path == "" {
		return "https://" + name, err
	}
	return "https://" + name + "/" + path, checkPath(path)
}

// checkLabel holds a label of a host name: RFC 1123 section 2.1, in lower case. A label
// that begins with xn-- shows as other letters than it is written in, so it has to
// be part of what a descriptor says, not of a value.
func checkLabel(label string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	switch {
	case label == "":
		return errors.New("has an empty label")
	case len(label) > 63:
		return errors.New("has more than 63 bytes in a label")
	case strings.Trim(label, letters) != "" || strings.ContainsFunc(label, func(r rune) bool { return !strings.ContainsRune(letters, r) }):
		return errors.New("has a character that no label has")
	case label[0] == '-' || label[len(label)-1] == '-':
		return errors.New("begins or ends with a hyphen")
	case strings.HasPrefix(label, "xn--"):
		return errors.New("is written in Punycode")
	}
	return nil
}

// checkHost holds a name of at least two labels that is no IP address: those end in a
// label of digits, or of 0x and digits, as some resolvers read them.
func checkHost(name string) error {
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return errors.New("has no dot")
	}
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' {
		return errors.New("is an address")
	}
	return nil
}

// checkPath holds segments that no client and no server folds or decodes into others.
func checkPath(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errors.New("has a segment that is empty or dots")
		}
		odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`%?#\;"<>{}|^`+"`", r) }
		if strings.ContainsFunc(segment, odd) {
			return errors.New("has a character that a path has to escape")
		}
	}
	return nil
}

func checkText(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("has a character that is not printable ASCII")
	}
	return nil
}

// Captured returns the variables that a callback and a token response bring, for
// Resolve to check. Either may be nil.
func (p Provider) Captured(callback url.Values, response any) map[string]string {
	got := map[string]string{}
	for name, v := range p.Variables {
		if parameter, ok := strings.CutPrefix(v.From, "callback:"); ok && callback.Has(parameter) {
			got[name] = callback.Get(parameter)
		}
		if place, ok := strings.CutPrefix(v.From, "token:"); ok {
			if found, ok := document.At(response, place); ok && found != nil {
				got[name] = document.Text(found)
			}
		}
	}
	return got
}
