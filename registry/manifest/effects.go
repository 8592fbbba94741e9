package manifest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Idempotency says that a host knows a request that comes again by a key.
type Idempotency struct {
	Host string `json:"host"`
	// Header is where the key goes.
	Header string `json:"header"`
	// TTL is how long the host knows a key, as time.ParseDuration reads it.
	TTL string `json:"ttl"`
}

// NotDone says which answers of a host mean that it did not accept the request.
type NotDone struct {
	Host   string `json:"host"`
	Status []int  `json:"status"`
}

// Caps of what a manifest says of effects.
const (
	// minTTL leaves a minute for a request to arrive.
	minTTL    = 5 * time.Minute
	maxTTL    = 366 * 24 * time.Hour
	maxStatus = 32
)

func (m Manifest) checkIdempotency(problems *list) {
	checkCount("/idempotency", len(m.Idempotency), problems)
	for i, d := range m.Idempotency {
		at := pointer("/idempotency", i)
		m.checkHost(at+"/host", d.Host, problems)
		if slices.ContainsFunc(m.Idempotency[:i], func(o Idempotency) bool { return o.Host == d.Host }) {
			problems.add(at+"/host", "%q is taken: there is another one before it", clip(d.Host))
		}
		switch {
		case !headerName.MatchString(d.Header):
			problems.add(at+"/header", "%q is not the name of a header", clip(d.Header))
		case isHostsHeader(d.Header):
			problems.add(at+"/header", "%q has a meaning of its own in HTTP: name the one that takes the key, such as Idempotency-Key", d.Header)
		}
		ttl, err := time.ParseDuration(d.TTL)
		if err != nil || ttl < minTTL || ttl > maxTTL {
			problems.add(at+"/ttl", "%q must be a time such as 24h, from %s to %s", clip(d.TTL), minTTL, maxTTL)
		}
	}
}

func (m Manifest) checkNotDone(problems *list) {
	checkCount("/not_done", len(m.NotDone), problems)
	for i, d := range m.NotDone {
		at := pointer("/not_done", i)
		m.checkHost(at+"/host", d.Host, problems)
		if len(d.Status) == 0 || len(d.Status) > maxStatus {
			problems.add(at+"/status", "has %d: name 1 to %d", len(d.Status), maxStatus)
		}
		for k, status := range d.Status {
			if status < http.StatusBadRequest || status > 599 {
				problems.add(pointer(at+"/status", k), "%d must be from 400 to 599: a lower one says that something was done", status)
			}
		}
	}
}

// checkHost checks where requests go: it may be a property of the configuration.
func (m Manifest) checkHost(where, s string, problems *list) {
	host, err := ParseHost(s)
	if err != nil {
		problems.add(where, "%v", err)
	}
	if host.Property != "" && !m.mayHave(host.Property) {
		problems.add(where, "the config has no property %q", host.Property)
	}
}

// isHostsHeader tells headers that guests may not set, or that mean something else.
func isHostsHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	meanings := []string{
		"Accept", "Accept-Encoding", "Authorization", "Connection", "Cookie", "Date", "Expect", "Forwarded", "Host", "Http2-Settings",
		"Keep-Alive", "Range", "If-Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Real-Ip",
	}
	return slices.Contains(meanings, name) ||
		slices.ContainsFunc([]string{"Content-", "Proxy-", "X-Forwarded-"}, func(p string) bool { return strings.HasPrefix(name, p) })
}
