package installation

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Rules are the requests that a run may make: what the manifest asks for and the
// tenant grants. Both are looked at, for the grants stay when the version
// changes. A {config.name} becomes the host in that property; where it has none,
// nothing is allowed.
func Rules(i Installation, m manifest.Manifest) []egress.Rule {
	var rules []egress.Rule
	for _, granted := range i.Grants.Egress {
		for _, wished := range m.Egress {
			host, ok := meet(granted.Host, wished.Host)
			if !ok {
				continue
			}
			methods := both(granted.Methods, wished.Methods)
			if name, ok := resolve(host, i.Config); ok && len(methods) > 0 {
				rules = allow(rules, name, methods)
			}
		}
	}
	return rules
}

// Idempotency is what the manifest says of hosts that know requests by a key.
func Idempotency(i Installation, m manifest.Manifest) []egress.IdempotencyRule {
	var rules []egress.IdempotencyRule
	for _, d := range m.Idempotency {
		if host, ok := declared(d.Host, i.Config); ok {
			// The manifest was checked when it was published.
			if ttl, err := time.ParseDuration(d.TTL); err == nil {
				rules = append(rules, egress.IdempotencyRule{Host: host, Header: d.Header, TTL: ttl})
			}
		}
	}
	return rules
}

// NotDone is what the manifest says of answers that mean that nothing was done.
func NotDone(i Installation, m manifest.Manifest) []egress.NotDoneRule {
	var rules []egress.NotDoneRule
	for _, d := range m.NotDone {
		if host, ok := declared(d.Host, i.Config); ok {
			rules = append(rules, egress.NotDoneRule{Host: host, Status: d.Status})
		}
	}
	return rules
}

// Slots are where the manifest has parts of credentials written, by connection.
func Slots(m manifest.Manifest) map[string]egress.Slots {
	slots := map[string]egress.Slots{}
	for _, c := range m.Connections {
		if !c.Slots.IsZero() {
			slots[c.Name] = egress.Slots{Headers: c.Slots.Headers, Query: c.Slots.Query, JSON: c.Slots.JSON, Form: c.Slots.Form}
		}
	}
	return slots
}

// HostIn is the host that a manifest names, or empty if the configuration has none there.
func HostIn(host string, config json.RawMessage) string {
	name, ok := declared(host, config)
	if !ok {
		return ""
	}
	return name
}

// declared is the host that a manifest names.
func declared(host string, config json.RawMessage) (string, bool) {
	h, err := manifest.ParseHost(host)
	if err != nil {
		return "", false
	}
	return resolve(h, config)
}

func meet(a, b string) (manifest.Host, bool) {
	x, err := manifest.ParseHost(a)
	if err != nil {
		return x, false
	}
	y, err := manifest.ParseHost(b)
	if err != nil {
		return y, false
	}
	return x.Meet(y)
}

func both(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(method string) bool { return !slices.Contains(b, method) })
}

// allow adds methods at a host, to the rule that there is for it.
func allow(rules []egress.Rule, host string, methods []string) []egress.Rule {
	i := slices.IndexFunc(rules, func(r egress.Rule) bool { return r.Host == host })
	if i < 0 {
		rules, i = append(rules, egress.Rule{Host: host}), len(rules)
	}
	all := slices.Concat(rules[i].Methods, methods)
	slices.Sort(all)
	rules[i].Methods = slices.Compact(all)
	return rules
}

func resolve(h manifest.Host, config json.RawMessage) (string, bool) {
	if h.Property == "" {
		return h.String(), true
	}
	value, there := property(config, h.Property)
	name, err := hostOf(value)
	return name, there && err == nil
}

// property reads a property of a configuration; it is not there if it is null or
// empty.
func property(config json.RawMessage, name string) (value string, there bool) {
	var all map[string]json.RawMessage
	if json.Unmarshal(config, &all) != nil || all[name] == nil || string(all[name]) == "null" {
		return "", false
	}
	if json.Unmarshal(all[name], &value) != nil {
		return "", true // Something, and no host.
	}
	return value, value != ""
}

var errNoHost = errors.New("must be a URL such as https://api.example.com, or a host name: it is where the plugin's requests may go")

// hostOf is the host of a URL, or the host itself, as an egress.Rule has it: in
// lower case, with the port unless that is 443.
func hostOf(value string) (string, error) {
	port := ""
	if strings.Contains(value, "://") {
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return "", errNoHost
		}
		if u.User != nil {
			return "", errors.New("must be a URL without a user and password: credentials belong in a connection")
		}
		if u.Scheme == "http" && u.Port() == "" {
			port = ":80"
		}
		value = u.Host + port
	}
	if strings.HasPrefix(value, "[") {
		return bracketed(value)
	}
	h, err := manifest.ParseHost(strings.ToLower(value))
	if err != nil || h.Wildcard || h.Property != "" {
		return "", errNoHost
	}
	return h.String(), nil
}

// bracketed is an IPv6 address, which a manifest cannot name, but a configuration can.
func bracketed(value string) (string, error) {
	if addr, ok := strings.CutSuffix(value, "]"); ok {
		value = addr + "]:443"
	}
	ap, err := netip.ParseAddrPort(value)
	if err != nil || !ap.Addr().Is6() || ap.Addr().Zone() != "" || ap.Port() == 0 {
		return "", errNoHost
	}
	return strings.TrimSuffix(ap.String(), ":443"), nil
}

// Limits are those of a run: the least of what the operator allows at most, the
// manifest asks for and the tenant grants.
func Limits(i Installation, m manifest.Manifest, most runtime.Limits) runtime.Limits {
	l := most.WithDefaults()
	for _, wish := range []manifest.Limits{m.Limits, i.Grants.Limits} {
		// Compared before they are multiplied: a wish can be any number, and a
		// product that overflows would be no limit at all.
		if mib := int64(wish.MemoryMiB); mib > 0 && mib <= l.MemoryBytes>>20 {
			l.MemoryBytes = mib << 20
		}
		if ms := int64(wish.TimeoutMS); ms > 0 && ms <= l.Deadline.Milliseconds() {
			l.Deadline = time.Duration(ms) * time.Millisecond
		}
		if wish.Fuel > 0 {
			l.Fuel = min(l.Fuel, wish.Fuel)
		}
	}
	return l
}

// StreamBytes is the most of a body that a run streams: the least of what the manifest
// asks for and the tenant grants, 0 for what the operator allows.
func StreamBytes(i Installation, m manifest.Manifest) int64 {
	least := int64(0)
	for _, wish := range []manifest.Limits{m.Limits, i.Grants.Limits} {
		if mib := int64(wish.StreamMiB); mib > 0 && mib <= math.MaxInt64>>20 && (least == 0 || mib<<20 < least) {
			least = mib << 20
		}
	}
	return least
}
