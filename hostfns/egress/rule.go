package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Rule allows methods at a host. Rules are what is left after the manifest's
// wishes have been met with the tenant's grant.
type Rule struct {
	// Host is a host name or "*." and a host name, each with an optional port;
	// without one it means 443. An IP address is allowed by its very self only,
	// an IPv6 one in brackets if a port follows. Letters outside of ASCII are
	// written in punycode.
	Host string
	// Methods are upper-case.
	Methods []string
}

// Validate says what is wrong with a Rule. One that is wrong allows nothing.
func (r Rule) Validate() error {
	_, err := r.compile()
	return err
}

// Allows says whether a request with method to u is within the Rule.
func (r Rule) Allows(method string, u *url.URL) bool {
	m, err := r.compile()
	if err != nil {
		return false
	}
	o, err := originOf(u)
	return err == nil && m.allows(method, o)
}

// matcher is a Rule that has been read.
type matcher struct {
	host    string
	wild    bool
	port    string
	methods []string
}

func (r Rule) compile() (matcher, error) {
	m := matcher{methods: slices.Clone(r.Methods)}
	host, port, err := splitPort(r.Host)
	if err != nil {
		return m, fmt.Errorf("host %.300q: %w", r.Host, err)
	}
	if m.port = port; port == "" {
		m.port = "443"
	}
	host, m.wild = strings.CutPrefix(host, "*.")
	m.host, err = cleanHost(host)
	if err != nil {
		return m, fmt.Errorf("host %.300q: %w", r.Host, err)
	}
	if m.wild && (isAddr(m.host) || !strings.Contains(m.host, ".")) {
		return m, fmt.Errorf("host %.300q: \"*.\" goes before a domain, such as *.example.com", r.Host)
	}
	if len(m.methods) == 0 {
		return m, fmt.Errorf("host %.300q: no methods: name those that are allowed, such as GET", r.Host)
	}
	for _, method := range m.methods {
		if !isToken(method) || method != strings.ToUpper(method) {
			return m, fmt.Errorf("host %.300q: method %.32q: write it in capitals, such as GET", r.Host, method)
		}
	}
	return m, nil
}

func (m matcher) String() string {
	o := origin{scheme: "https", host: m.host, port: m.port}
	host := o.authority()
	if m.wild {
		host = "*." + host
	}
	return strings.Join(m.methods, ",") + " " + host
}

// allows compares whole labels, so that "*.example.com" is neither
// example.com itself nor evilexample.com.
func (m matcher) allows(method string, o origin) bool {
	return slices.Contains(m.methods, method) && m.reaches(o)
}

// reaches says whether the origin's host is meant, whatever the method.
func (m matcher) reaches(o origin) bool {
	if m.port != o.port {
		return false
	}
	if m.wild {
		return !isAddr(o.host) && strings.HasSuffix(o.host, "."+m.host)
	}
	return o.host == m.host
}

// origin is where a request goes: what a credential is bound to.
type origin struct {
	scheme, host, port string
}

func originOf(u *url.URL) (origin, error) {
	o := origin{scheme: strings.ToLower(u.Scheme), port: u.Port()}
	switch {
	case o.scheme != "http" && o.scheme != "https":
		return o, fmt.Errorf("the scheme %.32q is not https", u.Scheme)
	case u.User != nil:
		return o, errors.New("it holds a user name: name a connection, or set the header \"authorization\"")
	case u.Host == "" || u.Opaque != "":
		return o, errors.New("it names no host")
	}
	var err error
	if o.host, err = cleanHost(u.Hostname()); err != nil {
		return o, err
	}
	if o.port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return o, errors.New("the port is empty")
		}
		o.port = defaultPort(o.scheme)
	}
	o.port, err = cleanPort(o.port)
	return o, err
}

func (o origin) String() string { return o.scheme + "://" + o.authority() }

// authority is the host and, where it is not the scheme's own, the port.
func (o origin) authority() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port == defaultPort(o.scheme) {
		return host
	}
	return host + ":" + o.port
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// splitPort takes an optional port off a rule's host.
func splitPort(s string) (host, port string, err error) {
	if strings.Contains(s, "/") {
		return "", "", errors.New("write the host alone, without scheme and path")
	}
	if inner, bracketed := strings.CutPrefix(s, "["); bracketed {
		host, rest, closed := strings.Cut(inner, "]")
		if !closed || !isAddr(host) {
			return "", "", errors.New("in brackets goes an IPv6 address")
		}
		port, err = portAfter(rest)
		return host, port, err
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || isAddr(s) {
		return s, "", nil
	}
	port, err = portAfter(s[i:])
	return s[:i], port, err
}

// portAfter reads what follows a host: nothing, or a colon and a port.
func portAfter(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	digits, found := strings.CutPrefix(s, ":")
	if !found {
		return "", errors.New("a colon and a port are all that may follow the host")
	}
	return cleanPort(digits)
}

func cleanPort(s string) (string, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("the port %.16q is not a number from 1 to 65535", s)
	}
	return strconv.FormatUint(n, 10), nil
}

// cleanHost gives a host in the one form in which hosts are compared, or says
// why it has none. What another parser could read as another host is refused.
func cleanHost(host string) (string, error) {
	if mayBeAddr(host) {
		if addr, err := netip.ParseAddr(host); err == nil {
			if addr.Zone() != "" {
				return "", errors.New("an address with a zone is not allowed")
			}
			return addr.Unmap().String(), nil
		}
	}
	switch {
	case host == "":
		return "", errors.New("it names no host")
	case len(host) > 253:
		return "", fmt.Errorf("the host is %d characters long, and 253 is the limit of a name", len(host))
	case strings.ContainsFunc(host, func(c rune) bool { return c >= 0x80 }):
		return "", errors.New("the host has letters outside of ASCII: write it in punycode (xn--...)")
	case strings.HasSuffix(host, "."):
		return "", errors.New("the host ends with a dot: leave it out")
	}
	host = strings.ToLower(host)
	var last string
	for rest, more := host, true; more; {
		last, rest, more = strings.Cut(rest, ".")
		if !isLabel(last) {
			return "", fmt.Errorf("%.64q cannot be a part of a host name", last)
		}
	}
	// https://url.spec.whatwg.org/#ends-in-a-number-checker: other parsers take
	// 127.1 and 0x7f000001 for addresses.
	if strings.HasPrefix(last, "0x") || strings.Trim(last, "0123456789") == "" {
		return "", errors.New("the host ends in a number: write an IPv4 address as four decimal numbers")
	}
	return host, nil
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isAddr(host string) bool {
	if !mayBeAddr(host) {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// mayBeAddr is quick to say that most hosts are names.
func mayBeAddr(host string) bool {
	return strings.IndexByte(host, ':') >= 0 || host != "" && host[0] >= '0' && host[0] <= '9'
}
