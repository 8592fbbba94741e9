package egress_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testBundle is a server on the loopback, and an Egress that may reach it.
type testBundle struct {
	server *httptest.Server
	egress *egress.Egress
	// host is the server's address with its port.
	host string
}

// setup serves over TLS. change may narrow the configuration.
func setup(t *testing.T, h http.HandlerFunc, change func(*egress.Config)) testBundle {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	config := egress.Config{AllowAddrs: loopback(), RootCAs: rootsOf(server)}
	if change != nil {
		change(&config)
	}
	out := egress.New(config)
	t.Cleanup(out.Close)
	return testBundle{server: server, egress: out, host: server.Listener.Addr().String()}
}

// session may send anything common to the server.
func (b testBundle) session(more ...egress.Rule) *egress.Session {
	return b.egress.Session(egress.Permissions{Rules: append(more, rule(b.host))})
}

func rule(host string) egress.Rule {
	return egress.Rule{Host: host, Methods: []string{"GET", "HEAD", "POST", "PUT", "DELETE"}}
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func rootsOf(s *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return roots
}

// answer is what a guest reads.
type answer struct {
	Status     int                 `json:"status"`
	Headers    map[string][]string `json:"headers"`
	Body       *string             `json:"body"`
	BodyBase64 *string             `json:"body_base64"`
}

func (a answer) text() string {
	if a.Body == nil {
		return ""
	}
	return *a.Body
}

// get is a request without anything special.
func get(url string) map[string]any { return map[string]any{"method": "GET", "url": url} }

// do makes a request, and gives the answer or the error that is told.
func do(t *testing.T, s *egress.Session, request map[string]any) (answer, *hostfns.Error) {
	t.Helper()
	raw, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	a, told, err := doRaw(t.Context(), s, raw)
	if err != nil {
		t.Fatalf("%s: the call ended: %v", raw, err)
	}
	return a, told
}

func doRaw(ctx context.Context, s *egress.Session, raw []byte) (a answer, told *hostfns.Error, err error) {
	result, err := s.Funcs()[0].Answer(ctx, raw)
	if told, ok := errors.AsType[*hostfns.Error](err); ok {
		return a, told, nil
	}
	if err != nil {
		return a, nil, err
	}
	doc, err := json.Marshal(result)
	if err != nil {
		return a, nil, err
	}
	return a, nil, json.Unmarshal(doc, &a)
}

// must makes a request that succeeds.
func must(t *testing.T, s *egress.Session, request map[string]any) answer {
	t.Helper()
	a, told := do(t, s, request)
	if told != nil {
		t.Fatalf("%v: %v", request, told)
	}
	return a
}

// wantError makes a request that is refused.
func wantError(t *testing.T, s *egress.Session, request map[string]any, code hostfns.Code, text string) {
	t.Helper()
	a, told := do(t, s, request)
	if told == nil {
		t.Fatalf("%v: got status %d, want %s", request, a.Status, code)
	}
	if told.Code != code || !strings.Contains(told.Message, text) {
		t.Errorf("%v:\ngot  %v\nwant %s: ...%s...", request, told, code, text)
	}
}
