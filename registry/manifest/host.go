package manifest

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Host is where requests may go: the form behind "api.example.com:8443",
// "*.example.com" and "{config.api_url}".
type Host struct {
	// Property names the property of the configuration that holds the host, or a
	// URL with it. The other fields are empty then.
	Property string
	// Wildcard means one or more labels in front of Name.
	Wildcard bool
	// Name is a host name in lower case.
	Name string
	// Port is empty for 443.
	Port string
}

var (
	hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	property = regexp.MustCompile(`^\{config\.([a-zA-Z_][a-zA-Z0-9_-]{0,62})\}$`)
)

// maxHostName is DNS's: RFC 1035, section 2.3.4, less the final dot and length.
const maxHostName = 253

// ParseHost reads a host of a manifest or a grant.
func ParseHost(s string) (Host, error) {
	if strings.HasPrefix(s, "{") {
		found := property.FindStringSubmatch(s)
		if found == nil {
			return Host{}, fmt.Errorf("%q must be {config.name}, with the name of a property of the configuration", s)
		}
		return Host{Property: found[1]}, nil
	}
	var h Host
	if strings.Contains(s, "/") {
		return h, fmt.Errorf("%q must be a host, not a URL: leave out the scheme and the path", s)
	}
	name, port, hasPort := strings.Cut(s, ":")
	if hasPort {
		if err := checkPort(port); err != nil {
			return h, err
		}
	}
	h.Name, h.Wildcard = strings.CutPrefix(name, "*.")
	if port != "443" {
		h.Port = port
	}
	return h, h.check(s)
}

// String is h as a manifest has it.
func (h Host) String() string {
	if h.Property != "" {
		return "{config." + h.Property + "}"
	}
	s := h.Name
	if h.Wildcard {
		s = "*." + s
	}
	if h.Port != "" {
		s += ":" + h.Port
	}
	return s
}

// Covers says whether everything that o allows is allowed by h.
func (h Host) Covers(o Host) bool {
	if h == o {
		return true
	}
	return h.Wildcard && h.Property == "" && o.Property == "" && h.Port == o.Port &&
		strings.HasSuffix(o.Name, "."+h.Name)
}

// Meet is what both allow; ok is false if that is nothing.
func (h Host) Meet(o Host) (both Host, ok bool) {
	switch {
	case h.Covers(o):
		return o, true
	case o.Covers(h):
		return h, true
	default:
		return Host{}, false
	}
}

func (h Host) check(s string) error {
	switch {
	case s != strings.ToLower(s):
		return fmt.Errorf("%q must be in lower case", s)
	case len(h.Name) > maxHostName:
		return fmt.Errorf("a host name of %d bytes is too long: at most %d are allowed", len(h.Name), maxHostName)
	case h.Name == "*" && !h.Wildcard:
		return errors.New(`"*" would allow every host: name one, or *. and a domain`)
	case strings.Contains(h.Name, "*"):
		return fmt.Errorf("%q may have a * only as its first label, as in *.example.com", s)
	case !hostName.MatchString(h.Name):
		return fmt.Errorf("%q is not a host name: it must be like api.example.com, with xn-- labels for other scripts", s)
	case h.Wildcard && (!strings.Contains(h.Name, ".") || isAddress(h.Name)):
		return fmt.Errorf("%q is too wide: a wildcard needs a domain of two labels at least, as in *.example.com", s)
	default:
		return nil
	}
}

func checkPort(port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return fmt.Errorf("the port %q must be a number from 1 to 65535", port)
	}
	return nil
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}
