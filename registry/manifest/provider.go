package manifest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

const (
	// maxProviders is more authorization servers than a vendor has: one for each of its
	// environments.
	maxProviders = 16
	// maxProvider is what a host reads of a descriptor, see package provider.
	maxProvider = 64 << 10
)

// Provider is what a manifest shows of an OAuth provider that it describes itself. What
// else the descriptor says is for hosts to read.
type Provider struct {
	Name, Title string
	// Docs are the vendor's pages that its facts are from.
	Docs []string
	// Hosts are where tokens go, with variables in braces.
	Hosts []string
	// Places are where a client's secret goes, or what comes of it: the hosts of the
	// endpoints and of lookups, sorted.
	Places []string
}

// ProvidersOf are the providers that m describes itself, in its order. It shows nothing of
// what is no descriptor.
func (m Manifest) ProvidersOf() []Provider {
	var all []Provider
	for _, raw := range m.Providers {
		if p, ok := readProvider(raw); ok {
			all = append(all, p)
		}
	}
	return all
}

// Descriptor is the descriptor of a provider that m describes itself.
func (m Manifest) Descriptor(name string) (json.RawMessage, bool) {
	for _, raw := range m.Providers {
		if p, ok := readProvider(raw); ok && p.Name == name {
			return raw, true
		}
	}
	return nil, false
}

func readProvider(raw json.RawMessage) (Provider, bool) {
	var d struct {
		Name, Title string
		Docs, Hosts []string
		Lookups     []struct{ URL string }
	}
	// The rest as it comes: every endpoint is named so, and the issuer names others.
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &d) != nil || json.Unmarshal(raw, &fields) != nil || d.Name == "" {
		return Provider{}, false
	}
	p := Provider{Name: d.Name, Title: d.Title, Docs: d.Docs, Hosts: d.Hosts}
	for name, value := range fields {
		var address string
		if (name == "issuer" || strings.HasSuffix(name, "_endpoint")) && json.Unmarshal(value, &address) == nil {
			p.Places = append(p.Places, placeOf(address))
		}
	}
	for _, l := range d.Lookups {
		p.Places = append(p.Places, placeOf(l.URL))
	}
	slices.Sort(p.Places)
	p.Places = slices.Compact(p.Places)
	return p, true
}

// placeOf is the host of a template of a URL.
func placeOf(address string) string {
	if _, after, ok := strings.Cut(address, "://"); ok {
		address = after
	}
	if i := strings.IndexAny(address, "/?"); i >= 0 {
		address = address[:i]
	}
	return address
}

// checkProviders checks what needs no knowledge of descriptors.
func (m Manifest) checkProviders(problems *list) {
	if n := len(m.Providers); n > maxProviders {
		problems.add("/providers", "there are %d: at most %d are allowed", n, maxProviders)
		return
	}
	seen := map[string]bool{}
	for i, raw := range m.Providers {
		at := pointer("/providers", i)
		if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
			problems.add(at, "must be a provider's descriptor, which is an object")
			continue
		}
		if len(raw) > maxProvider {
			problems.add(at, "has %d bytes: at most %d are allowed", len(raw), maxProvider)
		}
		var named struct {
			Name string `json:"name"`
		}
		switch err := json.Unmarshal(raw, &named); {
		case err != nil || !providerName.MatchString(named.Name):
			problems.add(at+"/name", "%q must be the name of a provider: lower-case letters, digits and -, beginning with a letter, such as acme-crm", clip(named.Name))
		case seen[named.Name]:
			problems.add(at+"/name", "%q is taken: there is another one before it", clip(named.Name))
		}
		seen[named.Name] = true
	}
}
