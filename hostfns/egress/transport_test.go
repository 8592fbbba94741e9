package egress_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func TestTheHostsTransportReachesNothingInside(t *testing.T) {
	t.Parallel()
	inside := func(t *testing.T, server *httptest.Server, allow ...netip.Prefix) error {
		t.Helper()
		t.Cleanup(server.Close)
		roots := x509.NewCertPool()
		if server.Certificate() != nil {
			roots.AddCert(server.Certificate())
		}
		through := egress.NewTransport(egress.Config{AllowAddrs: allow, RootCAs: roots})
		t.Cleanup(through.CloseIdleConnections)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := through.RoundTrip(r)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for name, tt := range map[string]struct {
		server *httptest.Server
		allow  []netip.Prefix
		want   string
	}{
		"https":                        {httptest.NewTLSServer(nothing), nil, "address refused"},
		"http":                         {httptest.NewServer(nothing), nil, "address refused"},
		"https to an exception":        {httptest.NewTLSServer(nothing), []netip.Prefix{loopback}, ""},
		"http to an exception":         {httptest.NewServer(nothing), []netip.Prefix{loopback}, ""},
		"an exception that is another": {httptest.NewTLSServer(nothing), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "address refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := inside(t, tt.server, tt.allow...)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTheHostsTransportShowsACertificateWhereItIsTold(t *testing.T) {
	t.Parallel()
	shown := make(chan int, 2)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown <- len(r.TLS.PeerCertificates)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	plain := egress.NewTransport(egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: roots})
	t.Cleanup(plain.CloseIdleConnections)
	for want, through := range []http.RoundTripper{plain, plain.Showing(server.TLS.Certificates[0])} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := through.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := <-shown; got != want {
			t.Errorf("got %d certificates, want %d", got, want)
		}
	}
}
