package signature

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// maxValue bounds what an endpoint is told: 32 ARNs of topics have 2 KiB.
const maxValue = 4096

// SchemeName is the descriptor's name.
func (s *Scheme) SchemeName() string { return s.Name }

// Adopts says that the vendor's first request brings the secret.
func (s *Scheme) Adopts() bool { return s.Secret == "handshake" }

// Weakness says why the scheme is not to be used unless that is wanted, or nothing.
func (s *Scheme) Weakness() string { return s.Weak }

// Tell checks what an endpoint is told, and takes apart what is secret of it. Its error is a
// *fault.Error with every parameter that cannot be.
func (s *Scheme) Tell(given map[string]string) (public, secret map[string]string, err error) {
	var problems document.Problems
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value, where := given[name], document.Pointer("/parameters", name)
		p, known := s.Parameters[name]
		switch {
		case name == "url" && !known && s.SignsURL():
			p.Pattern = `^https?://[^?#]+$`
		case !known:
			problems.Add(where, "is no parameter of %s: %s", s.Name, s.parameterNames())
			continue
		}
		if value == "" || len(value) > maxValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) {
			problems.Add(where, "has %d bytes or a control character: write 1 to %d", len(value), maxValue)
			continue
		}
		if matched, err := regexp.MatchString(p.Pattern, value); err != nil || !matched {
			problems.Add(where, "does not have the form of %s: write one such as %s", p.Title, document.Quoted(p.Example))
			continue
		}
		into := &public
		if p.Secret {
			into = &secret
		}
		if *into == nil {
			*into = map[string]string{}
		}
		(*into)[name] = value
	}
	if err := problems.Err("invalid_parameters", s.Name); err != nil {
		return nil, nil, fault.From(err).WithHint("See `cofferdam endpoint schemes %s`.", s.Name)
	}
	return public, secret, nil
}

func (s *Scheme) parameterNames() string {
	if len(s.Parameters) == 0 {
		return "it has none"
	}
	return "it has " + document.Or(slices.Sorted(maps.Keys(s.Parameters)))
}
