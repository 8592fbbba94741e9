package provider

import (
	"slices"
	"strings"
)

// Places are the hosts that a client's secret goes to, or what comes of it (those of the
// endpoints and of lookups), and those that tokens go to, sorted: for whoever gives the
// secret. Variables that an app has not settled stay in braces.
func (p Provider) Places(values map[string]string) (secret, tokens []string) {
	var known []string
	for name, v := range p.Variables {
		value := values[name]
		if value == "" && v.Of == "app" {
			value = v.Default
		}
		if value != "" {
			known = append(known, "{"+name+"}", value)
		}
	}
	filled := strings.NewReplacer(known...)
	add := func(to *[]string, template string) {
		if template != "" {
			*to = append(*to, hostOf(filled.Replace(template)))
		}
	}
	for _, at := range urlsOf(&p) {
		add(&secret, *at)
	}
	for _, l := range p.Lookups {
		add(&secret, l.URL)
	}
	for _, host := range p.Hosts {
		add(&tokens, host)
	}
	slices.Sort(secret)
	slices.Sort(tokens)
	return slices.Compact(secret), slices.Compact(tokens)
}

// hostOf is the host of a URL, or of what will be one.
func hostOf(address string) string {
	if _, after, ok := strings.Cut(address, "://"); ok {
		address = after
	}
	if i := strings.IndexAny(address, "/?"); i >= 0 {
		address = address[:i]
	}
	return address
}
