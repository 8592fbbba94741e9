package egress_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// mirror answers with what it was sent.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("X-Method", r.Method)
	w.Header().Set("X-Uri", r.RequestURI)
	w.Header().Set("X-Host", r.Host)
	for name, values := range r.Header {
		w.Header()["X-Got-"+name] = values
	}
	w.WriteHeader(http.StatusTeapot)
	w.Write(body)
}

func TestHTTPSendsAndReceives(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	url := "https://" + b.host

	t.Run("method, path, headers and body", func(t *testing.T) {
		t.Parallel()
		a := must(t, b.session(), map[string]any{
			"method": "post", "url": url + "/a%2Fb?q=1#fragment", "body": "grüße\x00",
			"headers": map[string]any{
				"x-list": []string{"1", "2"}, "Content-Type": []string{"text/plain"},
				"content-length": []string{"8"}, "host": []string{b.host}, "user-agent": []string{"mine"},
			},
		})
		if a.Status != http.StatusTeapot || a.text() != "grüße\x00" || a.BodyBase64 != nil {
			t.Errorf("got %d %q: a status of 400 and above is a result", a.Status, a.text())
		}
		want := map[string][]string{
			"x-method": {"POST"}, "x-uri": {"/a%2Fb?q=1"}, "x-host": {b.host}, "x-got-x-list": {"1", "2"},
			"x-got-content-type": {"text/plain"}, "x-got-content-length": {"8"}, "x-got-user-agent": {"mine"},
			"x-got-accept-encoding": {"gzip"},
		}
		for name, values := range want {
			if diff := cmp.Diff(values, a.Headers[name]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
	t.Run("bytes that are not UTF-8, both ways", func(t *testing.T) {
		t.Parallel()
		body := base64.StdEncoding.EncodeToString([]byte{0xff, 0, 1})
		a := must(t, b.session(), map[string]any{"method": "PUT", "url": url, "body_base64": body})
		if a.BodyBase64 == nil || *a.BodyBase64 != body || a.Body != nil {
			t.Errorf("got %v", a)
		}
	})
	t.Run("no body", func(t *testing.T) {
		t.Parallel()
		a := must(t, b.session(), get(url))
		if a.Body == nil || *a.Body != "" || a.Headers["x-got-user-agent"][0] != "Cofferdam" {
			t.Errorf("got %v", a)
		}
	})
	t.Run("a host that is written in capitals", func(t *testing.T) {
		t.Parallel()
		must(t, b.session(), get(strings.Replace(url, "https", "HTTPS", 1)))
	})
}

func TestHTTPDeniesWhatIsNotGranted(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }, nil)
	s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{
		{Host: b.host, Methods: []string{"PATCH"}}, {Host: "*.example.com", Methods: []string{"GET", "POST"}}, {Host: "{broken}", Methods: []string{"GET"}},
	}})
	want := fmt.Sprintf("the installation is not granted GET https://%s: granted are PATCH %s; GET,POST *.example.com; "+
		"name it under \"egress\" in the manifest, and ask the tenant to grant egress to %s", b.host, b.host, b.host)
	wantError(t, s, get("https://"+b.host), hostfns.CodeDenied, want)
	wantError(t, s, get("https://x.example"), hostfns.CodeDenied, "not granted GET https://x.example:")
	wantError(t, s, get("https://{broken}"), hostfns.CodeInvalidRequest, "is not a URL")
	wantError(t, b.egress.Session(egress.Permissions{}), get("https://x.example"), hostfns.CodeDenied, "granted is nothing")
	var many []egress.Rule
	for i := range 15 {
		many = append(many, rule(fmt.Sprintf("host%d.example", i)))
	}
	wantError(t, b.egress.Session(egress.Permissions{Rules: many}), get("https://x.example"), hostfns.CodeDenied, "host9.example; 5 more;")
}

func TestHTTPRefusesBadRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }, func(c *egress.Config) {
		c.RequestBytes, c.HeaderBytes = 10, 1000
	})
	url := "https://" + b.host
	header := func(name string, values ...string) map[string]any {
		return map[string]any{"method": "POST", "url": url, "headers": map[string][]string{name: values}}
	}
	with := func(field string, value any) map[string]any {
		r := map[string]any{"method": "POST", "url": url}
		r[field] = value
		return r
	}
	many := map[string][]string{"x": make([]string, 101)}
	tests := map[string]struct {
		request map[string]any
		code    hostfns.Code
		want    string
	}{
		"no method":               {with("method", ""), hostfns.CodeInvalidRequest, `"method" is ""`},
		"a method with a break":   {with("method", "GET / HTTP/1.1\r\nX: y"), hostfns.CodeInvalidRequest, `"method" is`},
		"CONNECT":                 {with("method", "connect"), hostfns.CodeInvalidRequest, "CONNECT"},
		"TRACE":                   {with("method", "TRACE"), hostfns.CodeInvalidRequest, "TRACE"},
		"no URL":                  {with("url", ""), hostfns.CodeInvalidRequest, `the scheme "" is not https`},
		"another scheme":          {with("url", "file:///etc/passwd"), hostfns.CodeInvalidRequest, `the scheme "file" is not https`},
		"no host":                 {with("url", "https:///x"), hostfns.CodeInvalidRequest, "it names no host"},
		"a user name":             {with("url", "https://user:pw@"+b.host), hostfns.CodeInvalidRequest, "it holds a user name"},
		"a line break in the URL": {with("url", url+"/\r\nX: y"), hostfns.CodeInvalidRequest, "is not a URL"},
		"other letters":           {with("url", "https://bücher.example"), hostfns.CodeInvalidRequest, "punycode"},
		"dots of other alphabets": {with("url", "https://127。0。0。1"), hostfns.CodeInvalidRequest, "punycode"},
		"a final dot":             {with("url", "https://localhost./"), hostfns.CodeInvalidRequest, "ends with a dot"},
		"a short address":         {with("url", "https://127.1/"), hostfns.CodeInvalidRequest, "ends in a number"},
		"a hexadecimal address":   {with("url", "https://0x7f.0.0.0x1/"), hostfns.CodeInvalidRequest, "ends in a number"},
		"an octal address":        {with("url", "https://0177.0.0.01/"), hostfns.CodeInvalidRequest, "ends in a number"},
		"a zone":                  {with("url", "https://[fe80::1%25lo]/"), hostfns.CodeInvalidRequest, "zone"},
		"a long URL":              {with("url", url+"/"+strings.Repeat("x", 9000)), hostfns.CodeInvalidRequest, "8192 is the limit"},
		"an unknown field":        {with("auth", "github"), hostfns.CodeInvalidRequest, `unknown field "auth"`},
		"a negative timeout":      {with("timeout_ms", -1), hostfns.CodeInvalidRequest, `"timeout_ms" is -1`},
		"a text as header":        {with("headers", map[string]string{"a": "b"}), hostfns.CodeInvalidRequest, "cannot be a JSON string"},
		"two bodies":              {map[string]any{"method": "POST", "url": url, "body": "", "body_base64": ""}, hostfns.CodeInvalidRequest, "send one"},
		"a body that is too long": {with("body", "12345678901"), hostfns.CodeLimitExceeded, "the body is 11 bytes long, and 10 is the limit"},
		"a body not in base64":    {with("body_base64", "%%"), hostfns.CodeInvalidRequest, "is not base64"},
		"a name with a colon":     {header("X: y"), hostfns.CodeInvalidRequest, `a header is named "X: y"`},
		"an empty name":           {header(""), hostfns.CodeInvalidRequest, `a header is named ""`},
		"a CR LF":                 {header("x-a", "b\r\nX-Injected: 1"), hostfns.CodeInvalidRequest, `the header "x-a" has a character`},
		"a LF":                    {header("x-a", "b\n c"), hostfns.CodeInvalidRequest, `the header "x-a" has a character`},
		"a NUL":                   {header("x-a", "\x00"), hostfns.CodeInvalidRequest, `the header "x-a" has a character`},
		"a line end of Unicode":   {header("x-a", "b\u2028c"), hostfns.CodeInvalidRequest, `the header "x-a" has a character`},
		"a letter that folds":     {header("x-a", "b\u010d\u010ac"), hostfns.CodeInvalidRequest, `the header "x-a" has a character`},
		"another host":            {header("HOST", "internal"), hostfns.CodeInvalidRequest, `the header "host" is set by the host`},
		"a wrong length":          {header("Content-Length", "5"), hostfns.CodeInvalidRequest, `"content-length" is set by the host`},
		"chunks":                  {header("transfer-encoding", "chunked"), hostfns.CodeInvalidRequest, `"transfer-encoding"`},
		"an upgrade":              {header("Upgrade", "websocket"), hostfns.CodeInvalidRequest, `"upgrade"`},
		"a connection option":     {header("connection", "authorization"), hostfns.CodeInvalidRequest, `"connection"`},
		"proxy credentials":       {header("proxy-authorization", "x"), hostfns.CodeInvalidRequest, `"proxy-authorization"`},
		"a forged origin":         {header("X-forwarded-For", "127.0.0.1"), hostfns.CodeInvalidRequest, `"x-forwarded-for"`},
		"too many headers":        {with("headers", many), hostfns.CodeLimitExceeded, "there are 101 headers"},
		"too long headers":        {header("x-a", strings.Repeat("x", 1000)), hostfns.CodeLimitExceeded, "100 of 1000 bytes are the limit"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, b.session(), tt.request, tt.code, tt.want)
		})
	}
}

func TestHTTPCountsCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, func(c *egress.Config) { c.CallsPerRun = 2 })
	s := b.session()
	must(t, s, get("https://"+b.host))
	wantError(t, s, get("https://denied.example"), hostfns.CodeDenied, "")
	wantError(t, s, get("https://"+b.host), hostfns.CodeLimitExceeded, "the 2 HTTP calls that it may")
	must(t, b.session(), get("https://"+b.host))
}

func TestHTTPKeepsTime(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 8)
	hang := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow-body" {
			w.Write([]byte("some"))
			w.(http.Flusher).Flush()
		}
		reached <- struct{}{}
		<-r.Context().Done()
	}
	b := setup(t, hang, func(c *egress.Config) { c.Timeout = 200 * time.Millisecond })
	for _, path := range []string{"/", "/slow-body"} {
		for _, ms := range []int{50, 3_600_000} {
			t.Run(fmt.Sprintf("at %s within %d ms", path, ms), func(t *testing.T) {
				t.Parallel()
				request := get("https://" + b.host + path)
				request["timeout_ms"] = ms
				wantError(t, b.session(), request, hostfns.CodeTimeout, fmt.Sprintf("%d ms are the limit", min(ms, 200)))
			})
		}
	}
	t.Run("of the guest's call, which it ends", func(t *testing.T) {
		t.Parallel()
		waiting := setup(t, hang, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-reached
			cancel()
		}()
		_, told, err := doRaw(ctx, waiting.session(), []byte(`{"method":"GET","url":"https://`+waiting.host+`"}`))
		if !errors.Is(err, context.Canceled) || told != nil {
			t.Errorf("got %v, %v, want context.Canceled", told, err)
		}
	})
}

func TestHTTPThroughTheGateShowsNoQueryValues(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: b.session().Funcs(), Now: time.Now})
	for _, request := range []string{
		`{"method":"post","url":"https://` + b.host + `/orders?key=value","body":"x"}`,
		`{"method":"get","url":"https://u:p@` + b.host + `/"}`,
		`nonsense`,
		`{"method":"get","url":"\u0000"}`,
	} {
		if _, err := gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: []byte(request)}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"POST https://" + b.host + "/orders?... -> 418", "GET https://" + b.host + "/", "", "GET"}
	var got []string
	for _, s := range gate.Steps() {
		got = append(got, s.Summary)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summaries (-want +got):\n%s", diff)
	}
}

func TestHTTPSharesConnectionsWithinAPoolOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }, func(c *egress.Config) { c.Pools = 2 })
	from := func(pool string) string {
		s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: pool})
		return must(t, s, get("https://"+b.host)).text()
	}
	first := from("ten_a")
	if got := from("ten_a"); got != first {
		t.Errorf("one tenant: a second connection, %s after %s", got, first)
	}
	if got := from("ten_b"); got == first {
		t.Error("two tenants share a connection")
	}
	if x, y := from(""), from(""); x == y || x == first {
		t.Error("without a pool, a connection is shared")
	}
	from("ten_c")
	from("ten_d")
	if got := from("ten_a"); got == first {
		t.Error("a pool that was dropped is used still")
	}
}

func FuzzHTTPRequest(f *testing.F) {
	for _, s := range []string{
		`{"method":"GET","url":"https://a.example/","headers":{"x":["y"]},"timeout_ms":5}`,
		`{"method":"POST","url":"http://[::1]:80","body_base64":"AAAA","connection":"c"}`,
		`{"method":"GET","url":"https://a.example","body":"x","body_base64":"x"}`, `null`, `[]`, `{"headers":{"":null}}`,
	} {
		f.Add([]byte(s))
	}
	out := egress.New(egress.Config{})
	f.Cleanup(out.Close)
	f.Fuzz(func(t *testing.T, raw []byte) {
		// Nothing is granted, so that nothing is dialled.
		f := out.Session(egress.Permissions{}).Funcs()[0]
		_, err := f.Answer(t.Context(), raw)
		told, ok := errors.AsType[*hostfns.Error](err)
		if !ok {
			t.Fatalf("%q: got %v, want an error that is told", raw, err)
		}
		switch told.Code {
		case hostfns.CodeInvalidRequest, hostfns.CodeDenied, hostfns.CodeLimitExceeded:
		default:
			t.Errorf("%q: got %v", raw, told)
		}
		_ = f.Summarize(raw)
		_ = f.SummarizeResult(json.RawMessage(raw))
	})
}
