package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
)

// Resolved is a provider whose templates have their variables filled in.
type Resolved struct {
	// Provider has URLs, names and values where it had templates. One that waits for
	// a variable that comes later (with the callback, the token, a Lookup) is empty,
	// or left out of its list or map: resolve again with what came.
	Provider
	// Values are the variables that are known, as they were filled in.
	Values map[string]string
	// Waiting names those that are not known yet, sorted.
	Waiting []string
}

// Resolve fills variables into the provider's templates: those that a person enters,
// and those that have come since. Its error is a *fault.Error that lists each variable
// that is missing, unknown or not allowed to be what it is, at /NAME.
func (p Provider) Resolve(values map[string]string) (Resolved, error) {
	var problems document.Problems
	r := Resolved{Provider: p, Values: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, known := p.Variables[name]; !known {
			problems.Add(document.Pointer("", name), "is not a variable of %s: it has %s", p.Name, orNone(slices.Sorted(maps.Keys(p.Variables))))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		v := p.Variables[name]
		value, given := values[name]
		if !given {
			value = v.Default
		}
		if !given && value == "" && v.From != "input" {
			r.Waiting = append(r.Waiting, name)
			continue
		}
		clean, err := v.Check(value)
		if err != nil {
			problems.Add(document.Pointer("", name), "%v", err)
			continue
		}
		r.Values[name] = clean
	}
	if err := problems.Err(codeVariables, p.Name); err != nil {
		return Resolved{}, err
	}
	r.fillIn(&problems)
	if err := problems.Err(codeVariables, p.Name); err != nil {
		return Resolved{}, err
	}
	return r, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return document.Or(names)
}

// fillIn replaces every template. It copies what it changes: the provider is shared.
func (r *Resolved) fillIn(problems *document.Problems) {
	for field, at := range urlsOf(&r.Provider) {
		filled, err := fill(*at, r.Values)
		if err != nil {
			problems.Add("/"+field, "%v", err)
		}
		*at = filled
	}
	var hosts []string
	for i, template := range r.Hosts {
		host, err := fillHost(template, r.Values)
		if err != nil {
			problems.Add(document.Element("/hosts", i), "%v", err)
		}
		if host != "" {
			hosts = append(hosts, host)
		}
	}
	r.Hosts = hosts
	for _, m := range []*map[string]string{&r.Parameters.Authorization, &r.Parameters.Token, &r.Parameters.Refresh, &r.TokenHeaders, &r.Token.Headers} {
		*m = fillAll(*m, r.Values)
	}
	r.Lookups = slices.Clone(r.Lookups)
	for i := range r.Lookups {
		l := &r.Lookups[i]
		filled, err := fill(l.URL, r.Values)
		if err != nil {
			problems.Add(document.Element("/lookups", i), "%v", err)
		}
		l.URL = filled
		l.Parameters = fillAll(l.Parameters, r.Values, ofTheRequest()...)
	}
}

// TokenComes says that the callback brings where the token endpoint is.
func (p Provider) TokenComes() bool {
	pieces, err := split(p.TokenEndpoint)
	return err == nil && slices.ContainsFunc(variablesOf(pieces), func(name string) bool {
		return strings.HasPrefix(p.Variables[name].From, "callback:")
	})
}

// ofTheRequest are the names in braces that a Lookup's parameters may have and that
// are no variables.
func ofTheRequest() []string { return []string{"access_token", "client_id", "client_secret"} }

func fillAll(templates, values map[string]string, keep ...string) map[string]string {
	if templates == nil {
		return nil
	}
	filled := make(map[string]string, len(templates))
	for name, template := range templates {
		if text := fillText(template, values, keep...); text != "" || template == "" {
			filled[name] = text
		}
	}
	return filled
}

// urlsOf are the fields that are templates of URLs, by their names.
func urlsOf(p *Provider) map[string]*string {
	return map[string]*string{
		"issuer":                        &p.Issuer,
		"authorization_endpoint":        &p.AuthorizationEndpoint,
		"token_endpoint":                &p.TokenEndpoint,
		"refresh_endpoint":              &p.RefreshEndpoint,
		"revocation_endpoint":           &p.RevocationEndpoint,
		"introspection_endpoint":        &p.IntrospectionEndpoint,
		"device_authorization_endpoint": &p.DeviceAuthorizationEndpoint,
		"userinfo_endpoint":             &p.UserInfoEndpoint,
	}
}
