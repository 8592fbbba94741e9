package egress_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func TestRuleAllows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		host, url string
		want      bool
	}{
		{"api.example.com", "https://api.example.com/x?y", true},
		{"api.example.com", "https://API.Example.COM", true},
		{"API.example.com", "HTTPS://api.example.com", true},
		{"api.example.com", "https://api.example.com:443/", true},
		{"api.example.com:443", "https://api.example.com/", true},
		{"api.example.com", "https://api.example.com:0443/", true},
		{"api.example.com", "https://api.example.com:8443/", false},
		{"api.example.com:8443", "https://api.example.com:8443/", true},
		{"api.example.com:8443", "https://api.example.com/", false},
		{"api.example.com", "http://api.example.com/", false},
		{"api.example.com", "http://api.example.com:443/", true},
		{"api.example.com:80", "http://api.example.com/", true},
		{"api.example.com", "https://example.com/", false},
		{"api.example.com", "https://api.example.com.evil.com/", false},
		{"api.example.com", "https://evil-api.example.com/", false},
		{"api.example.com", "https://apixexample.com/", false},
		{"api.example.com", "https://api.example.com@evil.com/", false},
		{"api.example.com", "https://evil.com@api.example.com/", false},
		{"api.example.com", "https://evil.com/#@api.example.com", false},
		{"api.example.com", "https://evil.com?api.example.com", false},
		{"api.example.com", "https://api.example.com./", false},
		{"api.example.com", "https://api.example.com:/", false},
		{"api.example.com", "https://api.example.com:99999/", false},
		{"api.example.com", "ftp://api.example.com/", false},
		{"api.example.com", "https:api.example.com", false},
		{"api.example.com", "//api.example.com/", false},
		{"api.example.com", "https://api。example.com/", false},
		{"*.example.com", "https://a.example.com/", true},
		{"*.example.com", "https://a.b.example.com/", true},
		{"*.example.com", "https://example.com/", false},
		{"*.example.com", "https://.example.com/", false},
		{"*.example.com", "https://evilexample.com/", false},
		{"*.example.com", "https://a.example.com.evil.com/", false},
		{"*.example.com:8443", "https://a.example.com:8443/", true},
		{"xn--bcher-kva.example", "https://xn--bcher-kva.example/", true},
		{"xn--bcher-kva.example", "https://bücher.example/", false},
		{"93.184.216.34", "https://93.184.216.34/", true},
		{"93.184.216.34", "https://[::ffff:93.184.216.34]/", true},
		{"93.184.216.34", "https://93.184.216.034/", false},
		{"93.184.216.34:8443", "https://93.184.216.34:8443/", true},
		{"2606:4700::1", "https://[2606:4700::1]/", true},
		{"[2606:4700::1]", "https://[2606:4700:0:0::1]/", true},
		{"[2606:4700::1]:8443", "https://[2606:4700::1]:8443/", true},
		{"[2606:4700::1]", "https://[2606:4700::1%25eth0]/", false},
		{"*.4.5.6", "https://3.4.5.6/", false},
		{"127.1", "https://127.1/", false},
		{"0x7f000001", "https://0x7f000001/", false},
		{"2130706433", "https://2130706433/", false},
		{"localhost:8443", "https://localhost:8443/", true},
	}
	for _, tt := range tests {
		t.Run(tt.host+" "+tt.url, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			r := egress.Rule{Host: tt.host, Methods: []string{"GET"}}
			if got := r.Allows("GET", u); got != tt.want {
				t.Errorf("got %v, want %v (rule: %v)", got, tt.want, r.Validate())
			}
			for _, method := range []string{"POST", "get", ""} {
				if r.Allows(method, u) {
					t.Errorf("it allows the method %q", method)
				}
			}
		})
	}
}

func TestRuleValidateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	get := []string{"GET"}
	tests := map[string]struct {
		rule egress.Rule
		want string
	}{
		"a URL":               {egress.Rule{Host: "https://a.example", Methods: get}, "write the host alone"},
		"nothing":             {egress.Rule{Methods: get}, "it names no host"},
		"a star alone":        {egress.Rule{Host: "*", Methods: get}, `"*" cannot be a part of a host name`},
		"a star inside":       {egress.Rule{Host: "a.*.example.com", Methods: get}, `"*" cannot be a part`},
		"a star before all":   {egress.Rule{Host: "*.com", Methods: get}, `"*." goes before a domain`},
		"a star and address":  {egress.Rule{Host: "*.10.0.0.1", Methods: get}, `"*." goes before a domain`},
		"a placeholder":       {egress.Rule{Host: "{config.url}", Methods: get}, `cannot be a part of a host name`},
		"a final dot":         {egress.Rule{Host: "a.example.", Methods: get}, "ends with a dot"},
		"other letters":       {egress.Rule{Host: "bücher.example", Methods: get}, "punycode"},
		"a port of 0":         {egress.Rule{Host: "a.example:0", Methods: get}, "from 1 to 65535"},
		"a port of 70000":     {egress.Rule{Host: "a.example:70000", Methods: get}, "from 1 to 65535"},
		"an unclosed bracket": {egress.Rule{Host: "[::1", Methods: get}, "in brackets goes an IPv6 address"},
		"more after it":       {egress.Rule{Host: "[::1]x", Methods: get}, "a colon and a port"},
		"a zone":              {egress.Rule{Host: "fe80::1%eth0", Methods: get}, "zone"},
		"a long name":         {egress.Rule{Host: strings.Repeat("a.", 130) + "example", Methods: get}, "253 is the limit"},
		"no methods":          {egress.Rule{Host: "a.example"}, "no methods"},
		"a small method":      {egress.Rule{Host: "a.example", Methods: []string{"get"}}, "in capitals"},
		"no method":           {egress.Rule{Host: "a.example", Methods: []string{"GET POST"}}, `method "GET POST"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.rule.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if err := (egress.Rule{Host: "*.example.com:8443", Methods: get}).Validate(); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func FuzzRuleAllows(f *testing.F) {
	for _, s := range []string{
		"https://api.example.com", "https://a.example.com:443/x", "https://api.example.com@evil.com", "https://evil.com#.example.com",
		"https://evil.com\\.example.com", "https://[::1].example.com", "https://a.example.com%2f.evil.com", "https:///a.example.com",
	} {
		f.Add("*.example.com", s)
		f.Add("api.example.com", s)
	}
	f.Fuzz(func(t *testing.T, host, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		r := egress.Rule{Host: host, Methods: []string{"GET"}}
		if !r.Allows("GET", u) {
			return
		}
		if r.Validate() != nil {
			t.Fatalf("the invalid rule %q allows %q", host, raw)
		}
		if u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			t.Fatalf("%q allows %q", host, raw)
		}
		base, wild := strings.CutPrefix(strings.ToLower(host), "*.")
		name := strings.ToLower(u.Hostname())
		base, _, _ = strings.Cut(base, ":")
		// Addresses have several spellings, which the table has.
		if strings.ContainsAny(base+name, ":[") {
			return
		}
		if wild && !strings.HasSuffix(name, "."+base) || !wild && name != base {
			t.Fatalf("%q allows %q", host, raw)
		}
	})
}
