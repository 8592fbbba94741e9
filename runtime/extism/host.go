package extism

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var hostForm = regexp.MustCompile(`^(\*\.)?([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*)(?::([1-9][0-9]{0,4}))?$`)

// maxHostName is DNS's: RFC 1035, section 2.3.4, less the final dot and length.
const maxHostName = 253

// hostsOf reads allowed_hosts. The SDK takes any glob; here a host is one that a
// tenant can read and agree to.
func hostsOf(patterns []string) ([]string, error) {
	var hosts []string
	var errs []error
	for i, pattern := range patterns {
		host := strings.ToLower(pattern)
		if problem, hint := checkHost(host); problem != "" {
			errs = append(errs, &Error{fmt.Sprintf("/allowed_hosts/%d", i), fmt.Sprintf("%.300q %s", pattern, problem), hint})
			continue
		}
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts, errors.Join(errs...)
}

// checkHost says what is wrong with a host, and what to do.
func checkHost(host string) (problem, hint string) {
	const nameEach = "name each host that the plugin needs"
	rest := strings.TrimPrefix(host, "*.")
	switch {
	case strings.Trim(host, "*") == "" && host != "":
		return "would let the plugin reach every host", nameEach
	case strings.ContainsAny(rest, `*?[]{}!\`):
		return "is a pattern that cannot be granted: a * stands only for the first labels, as in *.example.com", nameEach
	case strings.Contains(host, "/"):
		return "is not a host", "leave out the scheme and the path"
	}
	found := hostForm.FindStringSubmatch(host)
	if found == nil || len(found[2]) > maxHostName || len(found[3]) == 5 && found[3] > "65535" {
		return "is not a host name", "write it like api.example.com, with xn-- labels for other scripts"
	}
	if _, err := netip.ParseAddr(found[2]); found[1] != "" && (err == nil || !strings.Contains(found[2], ".")) {
		return "is too wide", "a * needs a domain of two labels at least, as in *.example.com"
	}
	return "", ""
}
