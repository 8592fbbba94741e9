package egress_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/egress/egresstest"
)

// tunnels is a proxy that makes tunnels.
type tunnels struct {
	*httptest.Server

	mu      sync.Mutex
	targets []string
}

// newTunnels returns a proxy that takes the credentials user:sekret, if secured ones are
// asked for.
func newTunnels(t *testing.T, secure, closed bool) *tunnels {
	t.Helper()
	p := &tunnels{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
		switch {
		case r.Method != http.MethodConnect:
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		case closed && (user != "user" || password != "sekret"):
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		p.mu.Lock()
		p.targets = append(p.targets, r.RequestURI)
		p.mu.Unlock()
		_, port, _ := net.SplitHostPort(r.RequestURI)
		var d net.Dialer
		// All names are this machine's.
		server, err := d.DialContext(r.Context(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer server.Close()
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer client.Close()
		io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		egresstest.Join(client, server)
	}))
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

// asked are the targets so far.
func (p *tunnels) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.targets)
}

func parseProxy(t *testing.T, url, credentials string, byName bool) *egress.Proxy {
	t.Helper()
	p, err := egress.ParseProxy(url, credentials, byName)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// proxied is a server, and an Egress that reaches it as example.com by way of a proxy.
func proxied(t *testing.T, p *tunnels, credentials string, byName bool) testBundle {
	t.Helper()
	b := setup(t, mirror, func(c *egress.Config) {
		if p.TLS != nil {
			c.RootCAs.AddCert(p.Certificate())
		}
		c.Proxy = parseProxy(t, p.URL, credentials, byName)
		c.Resolver = egresstest.Resolver(egresstest.Only("127.0.0.1"))
	})
	_, port, _ := net.SplitHostPort(b.host)
	b.host = "example.com:" + port // It is in the server's certificate.
	return b
}

func TestAllRequestsGoThroughTheProxy(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, byName := range []bool{false, true} {
			t.Run(fmt.Sprintf("TLS to the proxy: %v, by name: %v", secure, byName), func(t *testing.T) {
				t.Parallel()
				p := newTunnels(t, secure, true)
				b := proxied(t, p, "user:sekret", byName)
				_, port, _ := net.SplitHostPort(b.host)
				target := "127.0.0.1:" + port
				if byName {
					target = b.host
				}
				s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_a"})
				for _, size := range []int{1, 1 << 20} {
					body := strings.Repeat("x", size)
					for range 2 {
						a := must(t, s, map[string]any{"method": "POST", "url": "https://" + b.host + "/path", "body": body})
						if a.text() != body || a.Headers["x-host"][0] != b.host {
							t.Errorf("got %d bytes of %s", len(a.text()), a.Headers["x-host"])
						}
						if a.Headers["x-got-proxy-authorization"] != nil || a.Headers["x-got-via"] != nil {
							t.Errorf("the server is told of the proxy: %v", a.Headers)
						}
					}
				}
				// What is small and what is large have a connection each.
				if got := p.asked(); !slices.Equal(got, []string{target, target}) {
					t.Errorf("got tunnels to %q, want two to %s", got, target)
				}
				other := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_b"})
				must(t, other, get("https://"+b.host))
				if got := p.asked(); len(got) != 3 {
					t.Errorf("got %d tunnels: another tenant shares none", len(got))
				}
			})
		}
	}
}

// TLS is with the server: a proxy that answers in its place has no certificate for it.
func TestAProxyCannotStandInForAServer(t *testing.T) {
	t.Parallel()
	impostor := httptest.NewTLSServer(http.HandlerFunc(mirror))
	t.Cleanup(impostor.Close)
	p := newTunnels(t, false, false)
	_, port, _ := net.SplitHostPort(impostor.Listener.Addr().String())
	out := newEgress(t, egress.Config{AllowAddrs: loopback(), Proxy: parseProxy(t, p.URL, "", false), Resolver: egresstest.Resolver(egresstest.Only("127.0.0.1"))})
	wantError(t, named(out, "example.com:"+port), get("https://example.com:"+port), hostfns.CodeNetwork, "a certificate that is not valid for it")
}

// What guests may not reach they do not reach by way of a proxy: it is not even asked.
func TestAddressesAreCheckedBeforeTheProxyIsAsked(t *testing.T) {
	t.Parallel()
	p := newTunnels(t, false, false)
	for _, byName := range []bool{false, true} {
		for name, addrs := range map[string][]string{"private": {"10.0.0.1"}, "metadata": {"169.254.169.254"}, "mixed": {"8.8.8.8", "127.0.0.1"}} {
			t.Run(fmt.Sprint(name, byName), func(t *testing.T) {
				t.Parallel()
				out := newEgress(t, egress.Config{Proxy: parseProxy(t, p.URL, "", byName), Resolver: egresstest.Resolver(egresstest.Only(addrs...))})
				wantError(t, named(out, "example.com"), get("https://example.com"), hostfns.CodeAddressRefused, "may not reach")
				literal := addrs[len(addrs)-1]
				wantError(t, named(out, literal), get("https://"+literal), hostfns.CodeAddressRefused, "may not reach")
			})
		}
	}
	t.Cleanup(func() {
		if got := p.asked(); len(got) > 0 {
			t.Errorf("the proxy was asked for %q", got)
		}
	})
}

func TestAProxyThatMakesNoTunnel(t *testing.T) {
	t.Parallel()
	says := func(answer string) func(c net.Conn) { return func(c net.Conn) { io.WriteString(c, answer) } }
	for name, tt := range map[string]struct {
		play func(c net.Conn)
		code hostfns.Code
		want string
	}{
		"forbidden":       {says("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsekret"), hostfns.CodeAddressRefused, "is refused by the operator's proxy, with the status 403"},
		"credentials":     {says("HTTP/1.1 407 No\r\n\r\n"), hostfns.CodeNetwork, "does not accept the host's credentials"},
		"a bad gateway":   {says("HTTP/1.1 502 No\r\n\r\n"), hostfns.CodeNetwork, "refused the connection, with the status 502"},
		"a redirect":      {says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"), hostfns.CodeNetwork, "with the status 302"},
		"no HTTP":         {says("SSH-2.0\r\n"), hostfns.CodeNetwork, "the operator's proxy is not there"},
		"nothing":         {func(net.Conn) {}, hostfns.CodeNetwork, "the operator's proxy is not there"},
		"endless headers": {says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), hostfns.CodeNetwork, "the operator's proxy is not there"},
		"it speaks first": {says("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), hostfns.CodeNetwork, "the operator's proxy is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lc net.ListenConfig
			l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var served sync.WaitGroup
			served.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					buffer := make([]byte, 4096)
					c.Read(buffer)
					tt.play(c)
					c.Close()
				}
			})
			t.Cleanup(func() { l.Close(); served.Wait() })
			proxy := parseProxy(t, "http://user:sekret@"+l.Addr().String(), "", false)
			out := newEgress(t, egress.Config{AllowAddrs: loopback(), Proxy: proxy, Resolver: egresstest.Resolver(egresstest.Only("127.0.0.1"))})
			for _, body := range []string{"", strings.Repeat("x", 100<<10)} {
				_, told := do(t, named(out, "example.com"), map[string]any{"method": "POST", "url": "https://example.com", "body": body})
				if told == nil || told.Code != tt.code || !strings.Contains(told.Message, tt.want) {
					t.Errorf("got %v, want %s: %s", told, tt.code, tt.want)
				}
				if told != nil && (strings.Contains(told.Message, "127.0.0.1") || strings.Contains(told.Message, "sekret")) {
					t.Errorf("the guest is told where the proxy is: %v", told)
				}
			}
		})
	}
	t.Run("it is not there", func(t *testing.T) {
		t.Parallel()
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		out := newEgress(t, egress.Config{AllowAddrs: loopback(), Proxy: parseProxy(t, gone.URL, "", false), Resolver: egresstest.Resolver(egresstest.Only("127.0.0.1"))})
		wantError(t, named(out, "example.com"), get("https://example.com"), hostfns.CodeNetwork, "the operator's proxy is not there")
	})
	t.Run("it answers never", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}))
		t.Cleanup(func() { close(release); silent.Close() })
		out := newEgress(t, egress.Config{AllowAddrs: loopback(), Proxy: parseProxy(t, silent.URL, "", false), Resolver: egresstest.Resolver(egresstest.Only("127.0.0.1"))})
		wantError(t, named(out, "example.com"), with(get("https://example.com"), map[string]any{"timeout_ms": 50}), hostfns.CodeTimeout, "did not answer in time")
	})
}

// The environment names a proxy to many programs. To this one it does not.
func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the environment's proxy was asked") }))
	t.Cleanup(canary.Close)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, canary.URL)
	}
	t.Setenv("NO_PROXY", "")
	b := setup(t, mirror, func(c *egress.Config) { c.Resolver = egresstest.Resolver(egresstest.Only("127.0.0.1")) })
	_, port, _ := net.SplitHostPort(b.host)
	host := "example.com:" + port // The environment's proxy is not for this machine itself.
	for _, size := range []int{0, 1 << 20} {
		must(t, named(b.egress, host), map[string]any{"method": "POST", "url": "https://" + host, "body": strings.Repeat("x", size)})
	}
}

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://proxy.internal:3128":                   "http://proxy.internal:3128",
		"http://proxy.internal/":                       "http://proxy.internal:80",
		"https://user:sekret@proxy.internal":           "https://proxy.internal:443",
		"http://[2001:db8::1]:8080":                    "http://[2001:db8::1]:8080",
		"http://user:sekret%40%3A@10.0.0.1:3128":       "http://10.0.0.1:3128",
		"https://only-a-user@proxy.internal.example:1": "https://proxy.internal.example:1",
	} {
		p, err := egress.ParseProxy(url, "", false)
		if err != nil || p.String() != want {
			t.Errorf("%s: got %v, %v, want %s", url, p, err, want)
			continue
		}
		if shown := fmt.Sprintf("%v %+v %#v %s", p, p, p, p); strings.Contains(shown, "sekret") || strings.Contains(shown, "Basic") {
			t.Errorf("printed, it is %s", shown)
		}
	}
	for _, tt := range []struct{ url, credentials, want string }{
		{"", "", "no URL such as"},
		{"proxy.internal:3128", "", "no URL such as"},
		{"socks5://proxy.internal", "", "no URL such as"},
		{"http://user:sekret@%zz", "", "no URL such as"},
		{"http://user:sekret@", "", "no URL such as"},
		{"http://proxy.internal/path", "", "leave out what follows"},
		{"http://proxy.internal?x=sekret", "", "leave out what follows"},
		{"http://proxy.internal:99999", "", "from 1 to 65535"},
		{"http://user:sekret@proxy.internal", "user:sekret", "leave one of them out"},
		{"http://proxy.internal", "sekret", "a colon and a password"},
		{"http://proxy.internal", ":sekret", "a colon and a password"},
		{"http://:sekret@proxy.internal", "", "a colon and a password"},
	} {
		_, err := egress.ParseProxy(tt.url, tt.credentials, false)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sekret") {
			t.Errorf("%s with %s: got %v, want %s", tt.url, tt.credentials, err, tt.want)
		}
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	secure := newTunnels(t, true, false)
	if err := parseProxy(t, secure.URL, "", false).Reach(t.Context(), rootsOf(secure.Server)); err != nil {
		t.Error(err)
	}
	var certificate *tls.CertificateVerificationError
	if err := parseProxy(t, secure.URL, "", false).Reach(t.Context(), nil); !errors.As(err, &certificate) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("got %v, want that it shows no valid certificate", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := parseProxy(t, "http://"+netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1).String(), "", false).Reach(ctx, nil); err == nil {
		t.Error("a proxy is reached where there is none")
	}
}
