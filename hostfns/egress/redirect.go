package egress

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// locationOf gives where a response redirects to, or "".
func locationOf(r *http.Response) string {
	switch r.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return r.Header.Get("Location")
	default:
		return ""
	}
}

// redirected gives the request that a redirect asks for. It is checked against
// the rules when it is sent, as the first one was.
func (s *Session) redirected(out *outgoing, status int, location string) (*outgoing, error) {
	// Asked first, and of what came: what is said below quotes it in small letters.
	laden := s.permissions.Secrets.String(location) != location
	u, err := out.url.Parse(location)
	if err != nil {
		return nil, hostfns.Errorf(hostfns.CodeNetwork, "%s redirects to something that is not a URL", out.origin)
	}
	next := *out
	next.url, next.origin, err = parseURL(u.String())
	switch {
	case laden && (err != nil || next.origin != out.origin):
		return nil, hostfns.Errorf(hostfns.CodeDenied, "%s redirects elsewhere with a credential in the URL, which is not followed", out.origin)
	case err != nil:
		return nil, hostfns.Errorf(hostfns.CodeDenied, "%s redirects to a URL that is refused: %s", out.origin, err)
	}
	next.header = out.header.Clone()
	next.keyName = "" // The key has been made, and goes wherever the request itself does.
	next.via = " (where " + out.origin.String() + " redirects to)"
	if becomesGet(status, out.method) {
		next.settled = next.settled || effectOfMethod(out.method) != hostfns.Read
		next.method, next.body = http.MethodGet, nil
		next.source, next.upload = 0, false
		next.stands = nil
		maps.DeleteFunc(next.header, func(name string, _ []string) bool {
			return strings.HasPrefix(name, "Content-") || overrides(name)
		})
	}
	if next.streamed() {
		return nil, hostfns.Errorf(hostfns.CodeDenied,
			"%s redirects the %s, whose body was streamed and cannot be sent again: call %s", out.origin, next.method, next.origin)
	}
	if out.placeholder {
		if err := out.shed(&next); err != nil {
			return nil, err
		}
	}
	if next.origin == out.origin {
		return &next, nil
	}
	return &next, leave(out, &next)
}

// becomesGet tells redirects to the answer of what was done from those of the request
// itself, which was not: https://fetch.spec.whatwg.org/#http-redirect-fetch.
func becomesGet(status int, method string) bool {
	return status == http.StatusSeeOther && method != http.MethodHead ||
		method == http.MethodPost && (status == http.StatusMovedPermanently || status == http.StatusFound)
}

// leave checks and strips a request that goes on to another origin.
func leave(out, next *outgoing) error {
	switch {
	case next.origin.scheme == "http" && out.origin.scheme == "https":
		return hostfns.Errorf(hostfns.CodeDenied, "%s redirects from https to plain http at %s, which is not followed", out.origin, next.origin)
	case len(next.body) > 0, next.method != http.MethodGet && next.method != http.MethodHead:
		return hostfns.Errorf(hostfns.CodeDenied,
			"%s redirects the %s to %s: what changes something is not sent on to another origin; call that one, if it is right",
			out.origin, next.method, next.origin)
	}
	// Once it has left, a request gets no credential again, even back at its
	// first origin: the path would be the other's choice.
	next.connection, next.stands = "", nil
	kept := []string{"Accept", "Accept-Encoding", "Accept-Language", "User-Agent"}
	maps.DeleteFunc(next.header, func(name string, _ []string) bool { return !slices.Contains(kept, name) })
	return nil
}
