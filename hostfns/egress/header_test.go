package egress_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// TestHTTPRefusesHeadersOfTheHost: each is refused, and nothing is sent.
func TestHTTPRefusesHeadersOfTheHost(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }, nil)
	tests := map[string]map[string][]string{
		"CR LF in a value":           {"X-A": {"b\r\nX-B: c"}},
		"LF in a value":              {"X-A": {"b\nX-B: c"}},
		"CR in a value":              {"X-A": {"b\rX-B: c"}},
		"NUL in a value":             {"X-A": {"b\x00c"}},
		"an obsolete fold":           {"X-A": {"b\r\n c"}},
		"a line separator":           {"X-A": {"b\u2028X-B: c"}},
		"a next line":                {"X-A": {"b\u0085X-B: c"}},
		"a full-width CR LF":         {"X-A": {"b\u560d\u560aX-B: c"}},
		"a vertical tab":             {"X-A": {"b\vc"}},
		"DEL":                        {"X-A": {"b\x7f"}},
		"a letter outside of ASCII":  {"X-A": {"ü"}},
		"CR LF in a name":            {"X-A\r\nX-B": {"c"}},
		"a colon in a name":          {"X-A: b": {"c"}},
		"a space after a name":       {"Transfer-Encoding ": {"chunked"}},
		"a space before a name":      {" Host": {"evil.example"}},
		"a tab in a name":            {"Transfer-\tEncoding": {"chunked"}},
		"an empty name":              {"": {"c"}},
		"a name that looks like one": {"Ηost": {"evil.example"}},
		"chunked":                    {"Transfer-Encoding": {"chunked"}},
		"chunked, in another case":   {"tRANSFER-eNCODING": {"chunked"}},
		"chunked, underscored":       {"Transfer_Encoding": {"chunked"}},
		"chunked twice":              {"transfer-encoding": {"identity", "chunked"}},
		"chunked and a length":       {"transfer-encoding": {"chunked"}, "content-length": {"0"}},
		"another length":             {"Content-Length": {"5"}},
		"two lengths":                {"Content-Length": {"0", "6"}},
		"a length with a sign":       {"Content-Length": {"+0"}},
		"a length, underscored":      {"content_length": {"0"}},
		"another host":               {"Host": {"evil.example"}},
		"another host, lower":        {"host": {"evil.example"}},
		"two hosts":                  {"Host": {b.host, "evil.example"}},
		"a host of a proxy":          {"X-Forwarded-Host": {"evil.example"}},
		"a host for some":            {"X-Host": {"evil.example"}},
		"a source":                   {"X-Forwarded-For": {"127.0.0.1"}},
		"a source, underscored":      {"X_Forwarded_For": {"127.0.0.1"}},
		"a source as in the RFC":     {"Forwarded": {"for=127.0.0.1"}},
		"a source of nginx":          {"X-Real-IP": {"127.0.0.1"}},
		"a source of Akamai":         {"True-Client-IP": {"127.0.0.1"}},
		"another path":               {"X-Original-URL": {"/admin"}},
		"another path, for IIS":      {"X-Rewrite-URL": {"/admin"}},
		"an option of the hop":       {"Connection": {"authorization"}},
		"an option, upper":           {"CONNECTION": {"close, x-token"}},
		"keep-alive":                 {"Keep-Alive": {"timeout=1000"}},
		"a credential for a proxy":   {"Proxy-Authorization": {"Basic eDp5"}},
		"a connection of a proxy":    {"proxy-connection": {"keep-alive"}},
		"an upgrade":                 {"Upgrade": {"h2c"}, "HTTP2-Settings": {"AAMAAABkAAQAAP__"}},
		"trailers":                   {"TE": {"trailers"}},
		"a trailer":                  {"Trailer": {"X-A"}},
		"an expectation":             {"Expect": {"100-continue"}},
		"a web socket":               {"Sec-WebSocket-Key": {"x"}},
		"a proxy of its own":         {"Via": {"1.1 x"}},
		"a method by the side":       {"X-HTTP-Method-Override": {"DELETE"}},
	}
	for name, headers := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := get("https://" + b.host)
			request["headers"] = headers
			wantError(t, b.session(), request, hostfns.CodeInvalidRequest, "header")
		})
	}
	sizes := map[string]map[string][]string{
		"a header of 1 MB": {"X-A": {strings.Repeat("x", 1<<20)}},
		"a name of 1 MB":   {strings.Repeat("x", 1<<20): {"y"}},
		"10,000 headers":   {"X-A": slices.Repeat([]string{"x"}, 10_000)},
		"101 headers":      {"X-A": slices.Repeat([]string{""}, 101)},
	}
	for name, headers := range sizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := get("https://" + b.host)
			request["headers"] = headers
			wantError(t, b.session(), request, hostfns.CodeLimitExceeded, "headers")
		})
	}
}

func TestHTTPRefusesMethodsAndTargets(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }, nil)
	for name, change := range map[string]func(map[string]any){
		"a method with a line":  func(r map[string]any) { r["method"] = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET" },
		"a method with a space": func(r map[string]any) { r["method"] = "GET /admin" },
		"CONNECT":               func(r map[string]any) { r["method"] = "connect" },
		"TRACE":                 func(r map[string]any) { r["method"] = "TRACE" },
		"a path with a line":    func(r map[string]any) { r["url"] = "https://" + b.host + "/ HTTP/1.1\r\nX: y" },
		"a path with a NUL":     func(r map[string]any) { r["url"] = "https://" + b.host + "/\x00" },
		"a path of 9 KiB":       func(r map[string]any) { r["url"] = "https://" + b.host + "/" + strings.Repeat("x", 9<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := get("https://" + b.host)
			change(request)
			wantError(t, b.session(), request, hostfns.CodeInvalidRequest, "")
		})
	}
	t.Run("a path with a space is escaped", func(t *testing.T) {
		t.Parallel()
		b := setup(t, mirror, nil)
		if got, want := must(t, b.session(), get("https://"+b.host+"/a b")).Headers["x-uri"][0], "/a%20b"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestHTTPJudgesMethodsThatHeadersStandFor(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	post := func(value string) map[string]any {
		r := get("https://" + b.host)
		r["method"], r["headers"] = "POST", map[string][]string{"x-http-method-override": {value}}
		return r
	}
	granted := func(methods ...string) *egress.Session {
		return b.egress.Session(egress.Permissions{Rules: []egress.Rule{{Host: b.host, Methods: methods}}})
	}
	if a := must(t, granted("POST", "PATCH"), post("patch")); a.Headers["x-got-x-http-method-override"][0] != "patch" {
		t.Errorf("got %v", a.Headers)
	}
	wantError(t, granted("POST"), post("DELETE"), hostfns.CodeDenied, fmt.Sprintf("not granted DELETE https://%s", b.host))
}
