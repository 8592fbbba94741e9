package egress_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/egress/egresstest"
)

// canary listens at all addresses of this machine, and counts who comes.
type canary struct {
	port string
	hits atomic.Int32
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", ":0") // IPv6 and, where the system maps it, IPv4.
	if err != nil {
		t.Fatal(err)
	}
	_, c.port, _ = net.SplitHostPort(l.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.hits.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return c
}

// dials counts the connections that are begun in a context, to whatever address:
// net.Dialer tells it right before each.
func dials(ctx context.Context, count *atomic.Int32) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectStart: func(string, string) { count.Add(1) }})
}

// listed gives the addresses of the list that are to be refused, or allowed.
func listed(allowed bool) []netip.Addr {
	var addrs []netip.Addr
	for line := range strings.Lines(addresses) {
		line = strings.TrimSpace(line)
		if text, plus := strings.CutPrefix(line, "+"); line != "" && !strings.HasPrefix(line, "#") && plus == allowed {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
	}
	return addrs
}

// generous grants whatever host a URL could be read to name.
func generous(out *egress.Egress, raw string, more ...egress.Rule) *egress.Session {
	rules := append([]egress.Rule{rule("*.nip.io"), rule("example.com")}, more...)
	if u, err := url.Parse(raw); err == nil {
		rules = append(rules, rule(u.Host), rule(u.Hostname()), rule(u.Hostname()+":80"), rule("["+u.Hostname()+"]:"+u.Port()))
	}
	return out.Session(egress.Permissions{Rules: rules, Pool: "t"})
}

// refusals are the codes of what is refused before anything is dialled.
func refusals() []hostfns.Code {
	return []hostfns.Code{hostfns.CodeInvalidRequest, hostfns.CodeDenied, hostfns.CodeAddressRefused}
}

func TestHTTPReachesNoCanaryByAnySpelling(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	// Some spellings are names to DNS, which an attacker's server makes addresses of.
	hostile := egresstest.Resolver(egresstest.Only("127.0.0.1", "::1"))
	out := newEgress(t, egress.Config{Resolver: hostile})
	var begun atomic.Int32
	judged := map[string]bool{}
	for _, addr := range listed(false) {
		for _, raw := range spellings(addr, c.port) {
			judged[raw] = true
			doc, err := json.Marshal(get(raw))
			if err != nil {
				t.Fatal(err)
			}
			_, told, err := doRaw(dials(t.Context(), &begun), generous(out, raw), doc)
			if err != nil || told == nil || !slices.Contains(refusals(), told.Code) {
				t.Errorf("%s as %q: got %v, %v, want a refusal", addr, raw, told, err)
			}
		}
	}
	if n := len(judged); n < 1500 {
		t.Errorf("%d URLs were judged, and 1500 are the least", n)
	} else {
		t.Logf("%d URLs judged", n)
	}
	if hits, n := c.hits.Load(), begun.Load(); hits+n != 0 {
		t.Errorf("%d connections were begun, and %d reached the canary", n, hits)
	}
	// The canary is alive, and dials are counted.
	open := newEgress(t, egress.Config{AllowAddrs: loopback()})
	raw := "https://127.0.0.1:" + c.port
	_, told, err := doRaw(dials(t.Context(), &begun), generous(open, raw), []byte(`{"method":"GET","url":"`+raw+`"}`))
	if hits, n := c.hits.Load(), begun.Load(); err != nil || told == nil || hits != 1 || n != 1 {
		t.Errorf("let through: got %v, %v, %d dials, %d hits", told, err, n, hits)
	}
}

// TestRuleReadsOneSpellingOfAnAddress: what is not refused as a URL is the address
// itself, and nothing is read as another one.
func TestRuleReadsOneSpellingOfAnAddress(t *testing.T) {
	t.Parallel()
	g := egress.NewGuard(nil, nil)
	for _, addr := range listed(true) {
		if v := g.Judge(addr); v != egress.VerdictPublic {
			t.Errorf("%s: got %s, want public", addr, v)
		}
		canonical := rule(strings.Trim(bracketed(addr), "[]"))
		accepted := 0
		for _, raw := range spellings(addr, "443") {
			u, err := url.Parse(raw)
			if err != nil || !canonical.Allows("GET", u) {
				continue
			}
			accepted++
			if read, err := netip.ParseAddr(u.Hostname()); err != nil || read.Unmap() != addr {
				t.Errorf("%q is taken for %s", raw, addr)
			}
		}
		if accepted == 0 {
			t.Errorf("%s: no spelling is accepted", addr)
		}
	}
}

// inner is a server that may be reached, on a host that may not.
func inner(t *testing.T, h http.HandlerFunc) (server *httptest.Server, port string) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("this machine has one loopback address only: %v", err)
	}
	server = &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return server, port
}

func TestHTTPReachesNoCanaryThroughRedirects(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	server, port := inner(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = []string{r.Header.Get("X-To")}
		w.WriteHeader(http.StatusFound)
	})
	out := newEgress(t, egress.Config{
		AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, RootCAs: rootsOf(server),
		Resolver: egresstest.Resolver(func(name string, _ bool) []string {
			if name == "example.com" {
				return []string{"127.0.0.2"}
			}
			return []string{"127.0.0.1"}
		}),
	})
	from := "https://example.com:" + port + "/"
	followed := 0
	for _, target := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00:ec2::254"} {
		for _, to := range spellings(netip.MustParseAddr(target), c.port) {
			if strings.ContainsFunc(to, func(r rune) bool { return r < ' ' || r > '~' }) {
				continue // No header can carry it.
			}
			followed++
			request := get(from)
			request["headers"] = map[string][]string{"X-To": {to}}
			a, told := do(t, generous(out, to, rule("example.com:"+port)), request)
			// What is no other host is a path of the first, which redirects for ever.
			again := told != nil && told.Code == hostfns.CodeLimitExceeded && strings.Contains(told.Message, from[:len(from)-1]+" redirects")
			if !again && (told == nil || !slices.Contains(append(refusals(), hostfns.CodeNetwork), told.Code)) {
				t.Errorf("to %q: got %v, %v, want a refusal", to, a, told)
			}
		}
	}
	t.Logf("%d redirects followed", followed)
	if hits := c.hits.Load(); hits != 0 || followed < 500 {
		t.Errorf("of %d redirects %d reached the canary", followed, hits)
	}
}

// nameserver answers lookups by name and kind, and counts them.
type nameserver struct {
	lookups atomic.Int32
	zone    func(nth int32, v6 bool) []string
}

func TestHTTPReachesNoCanaryByDNS(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	server, port := inner(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "good") })
	const good, bad = "127.0.0.2", "127.0.0.1"
	flip := func(first, then []string) func(int32, bool) []string {
		return func(nth int32, v6 bool) []string {
			if v6 {
				return nil
			}
			if nth == 1 {
				return first
			}
			return then
		}
	}
	always := func(addrs ...string) func(int32, bool) []string { return flip(addrs, addrs) }
	many := slices.Repeat([]string{good}, 49)
	split := func(v4, v6 []string) func(int32, bool) []string {
		return func(_ int32, six bool) []string {
			if six {
				return v6
			}
			return v4
		}
	}
	tests := map[string]struct {
		host string
		zone func(nth int32, v6 bool) []string
		// reached says whether the first request, of two, gets to the good server.
		reached bool
	}{
		"good, then the canary":              {"example.com", flip([]string{good}, []string{bad}), true},
		"good, then both":                    {"example.com", flip([]string{good}, []string{good, bad}), true},
		"good, then nobody":                  {"example.com", flip([]string{good}, nil), true},
		"nobody, then the canary":            {"example.com", flip(nil, []string{bad}), false},
		"the canary":                         {"example.com", always(bad), false},
		"the good one and the canary":        {"example.com", always(good, bad), false},
		"the canary and the good one":        {"example.com", always(bad, good), false},
		"one of 50":                          {"example.com", always(append(many, bad)...), false},
		"good in A, loopback in AAAA":        {"example.com", split([]string{good}, []string{"::1"}), false},
		"good in A, mapped in AAAA":          {"example.com", split([]string{good}, []string{"::ffff:127.0.0.1"}), false},
		"good in A, translated in AAAA":      {"example.com", split([]string{good}, []string{"64:ff9b::7f00:1"}), false},
		"good in A, 6to4 in AAAA":            {"example.com", split([]string{good}, []string{"2002:7f00:1::1"}), false},
		"good in A, Teredo in AAAA":          {"example.com", split([]string{good}, []string{"2001:0:4136:e378:8000:63bf:80ff:fffe"}), false},
		"good in A, ISATAP in AAAA":          {"example.com", split([]string{good}, []string{"2606:4700::5efe:127.0.0.1"}), false},
		"good in A, metadata in AAAA":        {"example.com", split([]string{good}, []string{"fd00:ec2::254"}), false},
		"mapped alone":                       {"example.com", split(nil, []string{"::ffff:127.0.0.1"}), false},
		"unspecified":                        {"example.com", always("0.0.0.0"), false},
		"unspecified in AAAA":                {"example.com", split(nil, []string{"::"}), false},
		"localhost":                          {"localhost", always(bad), false},
		"a name below localhost":             {"x.localhost", always(bad), false},
		"a name that is an address in parts": {"127-0-0-1.nip.io", always(bad), false},
		"a name of one label":                {"metadata", always("169.254.169.254"), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := &nameserver{zone: tt.zone}
			var four, six atomic.Int32
			out := newEgress(t, egress.Config{
				AllowAddrs: []netip.Prefix{netip.MustParsePrefix(good + "/32")}, RootCAs: rootsOf(server),
				Resolver: egresstest.Resolver(func(_ string, v6 bool) []string {
					ns.lookups.Add(1)
					if v6 {
						return ns.zone(six.Add(1), true)
					}
					return ns.zone(four.Add(1), false)
				}),
			})
			s := out.Session(egress.Permissions{Rules: []egress.Rule{rule(tt.host + ":" + port), rule(tt.host + ":" + c.port)}})
			_, told := do(t, s, get("https://"+tt.host+":"+port))
			if (told == nil) != tt.reached {
				t.Errorf("first: got %v, want reached %v", told, tt.reached)
			}
			if _, told := do(t, s, get("https://"+tt.host+":"+c.port)); told == nil {
				t.Error("second: the canary answered")
			}
		})
	}
	t.Cleanup(func() {
		if hits := c.hits.Load(); hits != 0 {
			t.Errorf("%d connections to the canary", hits)
		}
	})
}

// TestHTTPDialsWhatWasChecked: with an address that is pinned there is nothing to
// look up between the check and the connection.
func TestHTTPDialsWhatWasChecked(t *testing.T) {
	t.Parallel()
	var lookups atomic.Int32
	out := newEgress(t, egress.Config{Resolver: egresstest.Resolver(func(_ string, v6 bool) []string {
		if !v6 {
			lookups.Add(1)
		}
		return []string{"127.0.0.1"}
	})})
	var begun atomic.Int32
	_, _, err := doRaw(dials(t.Context(), &begun), named(out, "a.example"), []byte(`{"method":"GET","url":"https://a.example"}`))
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if lookups.Load() != 1 || begun.Load() != 0 {
		t.Errorf("got %d lookups and %d dials, want one and none", lookups.Load(), begun.Load())
	}
}
