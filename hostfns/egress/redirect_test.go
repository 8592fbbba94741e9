package egress_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// redirector sends /<status>?to=<url> on, and mirrors the rest.
func redirector(w http.ResponseWriter, r *http.Request) {
	var status int
	if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err == nil {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		if r.URL.Query().Get("to") == "here" {
			w.Header().Set("Location", r.RequestURI)
		}
		w.WriteHeader(status)
		return
	}
	mirror(w, r)
}

func redirecting(host string, status int, to string) string {
	return fmt.Sprintf("https://%s/%d?to=%s", host, status, url.QueryEscape(to))
}

func TestHTTPFollowsRedirectsOfOneOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t, redirector, nil)
	tests := []struct {
		status               int
		method, want, reason string
		body                 string
	}{
		{301, "GET", "GET", "as it was", ""},
		{301, "POST", "GET", "as browsers do", ""},
		{302, "POST", "GET", "as browsers do", ""},
		{302, "PUT", "PUT", "as it was", "body"},
		{303, "PUT", "GET", "as it says", ""},
		{303, "HEAD", "HEAD", "as it was", ""},
		{307, "POST", "POST", "as it says", "body"},
		{308, "DELETE", "DELETE", "as it says", "body"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d after %s", tt.status, tt.method), func(t *testing.T) {
			t.Parallel()
			request := get(redirecting(b.host, tt.status, "/end?x=1#part"))
			request["method"] = tt.method
			request["headers"] = map[string][]string{"X-Mine": {"1"}, "Content-Type": {"text/plain"}, "Authorization": {"own"}}
			if tt.method != "GET" && tt.method != "HEAD" {
				request["body"] = "body"
			}
			a := must(t, b.session(), request)
			if got := a.Headers["x-method"][0]; got != tt.want || a.text() != tt.body {
				t.Errorf("got %s with body %q, want %s with %q, %s", got, a.text(), tt.want, tt.body, tt.reason)
			}
			if got, want := a.Headers["x-uri"][0], "/end?x=1"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if a.Headers["x-got-x-mine"] == nil || a.Headers["x-got-authorization"] == nil {
				t.Error("its headers are lost")
			}
			if a.Headers["x-got-content-type"] != nil && tt.body == "" && tt.want == "GET" && tt.method != "GET" {
				t.Error("the header of a body that was dropped is sent")
			}
		})
	}
}

func TestHTTPChecksWhereARedirectLeads(t *testing.T) {
	t.Parallel()
	other := setup(t, mirror, nil)
	b := setup(t, redirector, func(c *egress.Config) {
		c.RootCAs.AddCert(other.server.Certificate())
		c.AllowAddrs = loopback()
	})
	everything := func() *egress.Session {
		return b.session(rule(other.host), rule("169.254.169.254"), rule("169.254.169.254:80"), rule("[::1]"))
	}
	tests := map[string]struct {
		to   string
		code hostfns.Code
		want string
	}{
		"another host":             {"https://evil.example/", hostfns.CodeDenied, "not granted GET https://evil.example (where https://" + b.host + " redirects to)"},
		"one without a scheme":     {"//evil.example/", hostfns.CodeDenied, "not granted GET https://evil.example"},
		"a private address":        {"https://169.254.169.254/latest", hostfns.CodeAddressRefused, "may not reach"},
		"an IPv6 loopback":         {"https://[::1]/", hostfns.CodeAddressRefused, "may not reach"},
		"plain http":               {"http://169.254.169.254/", hostfns.CodeDenied, "from https to plain http"},
		"a file":                   {"file:///etc/passwd", hostfns.CodeDenied, `the scheme "file" is not https`},
		"gopher":                   {"gopher://127.0.0.1:6379/_x", hostfns.CodeDenied, `the scheme "gopher"`},
		"a user name":              {"https://a:b@" + b.host, hostfns.CodeDenied, "it holds a user name"},
		"another port":             {"https://127.0.0.1:1/", hostfns.CodeDenied, "not granted"},
		"a short address":          {"https://127.1/", hostfns.CodeDenied, "ends in a number"},
		"a final dot":              {"https://localhost./", hostfns.CodeDenied, "ends with a dot"},
		"something that is no URL": {"https://a b/%zz", hostfns.CodeNetwork, "not a URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantError(t, everything(), get(redirecting(b.host, 302, tt.to)), tt.code, tt.want)
		})
	}
	t.Run("a backslash is no host", func(t *testing.T) {
		t.Parallel()
		a := must(t, everything(), get(redirecting(b.host, 302, `/\evil.example`)))
		if got := a.Headers["x-host"][0]; got != b.host {
			t.Errorf("it went to %s", got)
		}
	})
	t.Run("a granted origin, without the first one's headers", func(t *testing.T) {
		t.Parallel()
		request := get(redirecting(b.host, 302, "https://"+other.host+"/x"))
		request["headers"] = map[string][]string{"Authorization": {"own"}, "Cookie": {"a=b"}, "X-Api-Key": {"k"}, "Accept": {"text/csv"}}
		a := must(t, everything(), request)
		if a.Headers["x-host"][0] != other.host || a.Headers["x-got-accept"] == nil {
			t.Errorf("got %v", a.Headers)
		}
		for _, name := range []string{"authorization", "cookie", "x-api-key"} {
			if a.Headers["x-got-"+name] != nil {
				t.Errorf("the other origin got %q", name)
			}
		}
	})
	for _, status := range []int{307, 308} {
		for _, method := range []string{"POST", "DELETE"} {
			t.Run(fmt.Sprintf("a %s is not sent on by %d", method, status), func(t *testing.T) {
				t.Parallel()
				request := get(redirecting(b.host, status, "https://"+other.host))
				request["method"] = method
				wantError(t, everything(), request, hostfns.CodeDenied, "what changes something is not sent on")
			})
		}
	}
}

func TestHTTPStopsFollowing(t *testing.T) {
	t.Parallel()
	loop := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == strings.Repeat("/x", 3) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, strings.TrimSuffix(r.URL.Path, "/")+"/x", http.StatusFound)
	}
	t.Run("after three", func(t *testing.T) {
		t.Parallel()
		b := setup(t, loop, nil)
		wantError(t, b.session(), get("https://"+b.host+"/y"), hostfns.CodeLimitExceeded, "redirects more than 3 times")
		if a := must(t, b.session(), get("https://"+b.host)); a.Status != http.StatusNoContent {
			t.Errorf("three are within: got %d", a.Status)
		}
	})
	t.Run("at once, where the operator says so", func(t *testing.T) {
		t.Parallel()
		b := setup(t, loop, func(c *egress.Config) { c.Redirects = -1 })
		if a := must(t, b.session(), get("https://"+b.host+"/y")); a.Status != http.StatusFound || a.Headers["location"][0] != "/y/x" {
			t.Errorf("got %d %v, want the redirect itself", a.Status, a.Headers)
		}
	})
	t.Run("without a location", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, nil)
		if a := must(t, b.session(), get("https://"+b.host)); a.Status != http.StatusFound {
			t.Errorf("got %d", a.Status)
		}
	})
}

// TestHTTPJudgesEachStatusAndTarget tries each status that redirects with each kind of
// target, all of them granted.
func TestHTTPJudgesEachStatusAndTarget(t *testing.T) {
	t.Parallel()
	other := setup(t, mirror, nil)
	b := setup(t, redirector, func(c *egress.Config) { c.RootCAs.AddCert(other.server.Certificate()) })
	targets := map[string]struct {
		to string
		// code is what is told; empty where it is followed, to path.
		code hostfns.Code
		path string
	}{
		"private":               {"https://10.0.0.1/", hostfns.CodeAddressRefused, ""},
		"metadata":              {"https://169.254.169.254/latest/meta-data/", hostfns.CodeAddressRefused, ""},
		"another scheme":        {"ftp://" + b.host + "/", hostfns.CodeDenied, ""},
		"a user name":           {"https://user@" + b.host + "/", hostfns.CodeDenied, ""},
		"a user as a host":      {"https://" + b.host + "@evil.example/", hostfns.CodeDenied, ""},
		"another port":          {"https://127.0.0.1:1/", hostfns.CodeDenied, ""},
		"plain http":            {"http://" + b.host + "/", hostfns.CodeDenied, ""},
		"no scheme":             {"//evil.example/", hostfns.CodeDenied, ""},
		"a loop":                {"here", hostfns.CodeLimitExceeded, ""},
		"a backslash":           {`\\evil.example/`, "", "/%5C%5Cevil.example/"},
		"a slash and backslash": {`/\evil.example/`, "", "/%5Cevil.example/"},
		"a fragment":            {"/end#@evil.example", "", "/end"},
		"a path":                {"/a/../end?x=//evil.example", "", "/end?x=//evil.example"},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, tt := range targets {
			t.Run(fmt.Sprintf("%d to %s", status, name), func(t *testing.T) {
				t.Parallel()
				request := get(redirecting(b.host, status, tt.to))
				a, told := do(t, b.session(rule("10.0.0.1"), rule("169.254.169.254"), rule(other.host)), request)
				switch {
				case tt.code == "" && (told != nil || a.Headers["x-uri"][0] != tt.path || a.Headers["x-host"][0] != b.host):
					t.Errorf("got %v %v, want %s", told, a.Headers["x-uri"], tt.path)
				case tt.code != "" && (told == nil || told.Code != tt.code):
					t.Errorf("got %d %v, want %s", a.Status, told, tt.code)
				}
			})
		}
	}
	t.Run("a header that refreshes is a header", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Refresh", "0; url=https://evil.example") }, nil)
		if a := must(t, b.session(), get("https://"+b.host)); a.Status != http.StatusOK || a.Headers["refresh"] == nil {
			t.Errorf("got %d %v", a.Status, a.Headers)
		}
	})
}
