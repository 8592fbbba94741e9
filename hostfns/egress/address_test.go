package egress_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/egress/egresstest"
)

// named lets everybody reach any name and address: what is refused below is
// refused for the address it leads to.
func named(out *egress.Egress, hosts ...string) *egress.Session {
	var rules []egress.Rule
	for _, h := range hosts {
		rules = append(rules, rule(h))
	}
	return out.Session(egress.Permissions{Rules: rules})
}

func newEgress(t *testing.T, c egress.Config) *egress.Egress {
	t.Helper()
	out := egress.New(c)
	t.Cleanup(out.Close)
	return out
}

func TestHTTPRefusesAddressesThatANameLeadsTo(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"loopback":              {"127.0.0.1"},
		"cloud metadata":        {"169.254.169.254"},
		"private":               {"10.0.0.7"},
		"IPv6 loopback":         {"::1"},
		"mapped":                {"::ffff:10.0.0.7"},
		"one private of many":   {"93.184.216.34", "93.184.216.35", "10.0.0.7"},
		"public and IPv6 local": {"93.184.216.34", "fd00:ec2::254"},
	}
	for name, addrs := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := newEgress(t, egress.Config{Resolver: egresstest.Resolver(egresstest.Only(addrs...))})
			_, told := do(t, named(out, "api.example.com"), get("https://api.example.com/x"))
			if told == nil || told.Code != hostfns.CodeAddressRefused {
				t.Fatalf("got %v, want address_refused", told)
			}
			for _, addr := range addrs {
				if strings.Contains(told.Message, addr) {
					t.Errorf("the message names the address: %s", told.Message)
				}
			}
			if want := "https://api.example.com is at an address that guests may not reach"; !strings.Contains(told.Message, want) {
				t.Errorf("got %s, want %s", told.Message, want)
			}
		})
	}
}

func TestHTTPRefusesAddressesThatAreGranted(t *testing.T) {
	t.Parallel()
	out := newEgress(t, egress.Config{DenyAddrs: []netip.Prefix{netip.MustParsePrefix("93.184.216.0/24")}})
	for _, host := range []string{"127.0.0.1:443", "169.254.169.254", "[::1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "93.184.216.34"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			wantError(t, named(out, host), get("https://"+host), hostfns.CodeAddressRefused, "ask the operator for an exception")
		})
	}
}

func TestHTTPChecksTheAddressOfEachConnection(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// The certificate of httptest is for example.com. The name moves to another
	// address once it was found harmless.
	var lookups atomic.Int32
	rebinding := egresstest.Resolver(func(name string, v6 bool) []string {
		if name != "example.com" || v6 {
			return nil
		}
		if lookups.Add(1) == 1 {
			return []string{"127.0.0.1"}
		}
		return []string{"10.0.0.7"}
	})
	out := newEgress(t, egress.Config{AllowAddrs: loopback(), RootCAs: rootsOf(server), Resolver: rebinding})
	s := named(out, "example.com:"+port)
	url := "https://example.com:" + port
	if got, want := must(t, s, get(url)).text(), "example.com:"+port; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	wantError(t, s, get(url), hostfns.CodeAddressRefused, "")
	if got := lookups.Load(); got != 2 {
		t.Errorf("got %d lookups, want one for each connection", got)
	}
}

func TestHTTPSendsInPlainToExceptionsOnly(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") }))
	t.Cleanup(server.Close)
	host := server.Listener.Addr().String()
	t.Run("to one of them", func(t *testing.T) {
		t.Parallel()
		out := newEgress(t, egress.Config{AllowAddrs: loopback()})
		if got, want := must(t, named(out, host), get("http://"+host)).text(), "plain"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("not to the internet", func(t *testing.T) {
		t.Parallel()
		out := newEgress(t, egress.Config{AllowAddrs: loopback(), Resolver: egresstest.Resolver(egresstest.Only("93.184.216.34"))})
		wantError(t, named(out, "api.example.com:80"), get("http://api.example.com"), hostfns.CodeAddressRefused, "for which plain http is refused: use https")
	})
	t.Run("not where there are none", func(t *testing.T) {
		t.Parallel()
		wantError(t, named(newEgress(t, egress.Config{}), host), get("http://"+host), hostfns.CodeDenied, "is plain http")
	})
	t.Run("not without a rule for the port", func(t *testing.T) {
		t.Parallel()
		out := newEgress(t, egress.Config{AllowAddrs: loopback()})
		wantError(t, named(out, "localhost"), get("http://localhost"), hostfns.CodeDenied, "not granted GET http://localhost:")
	})
}

func TestHTTPExplainsTheNetworkWithoutAddresses(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	unknown := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(unknown.Close)
	nowhere := egresstest.Resolver(egresstest.Only())
	tests := map[string]struct {
		host, want string
	}{
		"nobody listens":                  {closed.Listener.Addr().String(), "refuses connections"},
		"no TLS":                          {plain.Listener.Addr().String(), "does not agree on TLS"},
		"a certificate of somebody":       {unknown.Listener.Addr().String(), "certificate that is not valid"},
		"a name that nobody has":          {"nowhere.example", "cannot be resolved"},
		"a name of the machine's network": {"intranet", "cannot be resolved"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := newEgress(t, egress.Config{AllowAddrs: loopback(), Resolver: nowhere})
			wantError(t, named(out, tt.host), get("https://"+tt.host), hostfns.CodeNetwork, "https://"+tt.host)
			wantError(t, named(out, tt.host), get("https://"+tt.host), hostfns.CodeNetwork, tt.want)
		})
	}
}
