package provider_test

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// hostile are values that would move a host, or that whoever reads a URL reads
// differently from whoever wrote it.
func hostile() []string {
	return []string{
		"", " ", "evil.com/", "evil.com#", "evil.com?", "evil.com\\", "a.b", "a..b", ".", "..", ".a", "a.", "@", "a@b", "user:pass@evil.com", "evil.com:443", "a:80",
		"#", "a#", "?", "a?b", "/", "//", "/a", "\\", "a\\b", "a b", "a\tb", "a\r\nHost: evil.com", "a\x00", "%2e", "a%2fb", "%", "*", "-a", "a-", "-", "_", "a_b",
		"{shop}", "a,b", "a;b", "a=b", "a&b", "a+b", "a'b", "a\"b", "a|b", "a<b>", "[::1]", "127.0.0.1", "0x7f.1", "2130706433.", "localhost.",
		"exämple", "аpple", "a。b", "a．b", "ａ", "a\u200bb", "a\u00adb", "\u202ea", "xn--pple-43d", "XN--pple-43d", "\u017fhop", "\u212a", "\xff", "\xc0\xae",
		strings.Repeat("a", 64), strings.Repeat("a", 300), "http://a", "https://evil.com", "https:", "javascript:a", "a\nb", "a\u2028b", "a.myshopify.com", "evil.com/.myshopify.com",
	}
}

func TestAHostileLabelIsRefused(t *testing.T) {
	t.Parallel()
	for name, variable := range map[string]string{"shopify": "shop", "zendesk": "subdomain", "bullhorn": "data_center", "adobe-acrobat-sign": "shard", "servicenow": "instance", "snowflake": "account"} {
		p := named(t, name)
		for _, value := range hostile() {
			_, err := p.Resolve(map[string]string{variable: value})
			var f *fault.Error
			if !errors.As(err, &f) || f.Class != fault.InvalidInput || f.Where != "/"+variable {
				t.Errorf("%s with %s %q: got %v", name, variable, value, err)
				continue
			}
			if len(f.Message) > 400 || !strings.Contains(f.Message, "write ") || !strings.Contains(f.Message, p.Variables[variable].Example) {
				t.Errorf("%s with %s %q does not say what to write: %s", name, variable, value, f.Message)
			}
		}
	}
}

func TestALabelIsTakenInEitherCase(t *testing.T) {
	t.Parallel()
	at, err := named(t, "shopify").Resolve(map[string]string{"shop": "North-Wind9"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := at.TokenEndpoint, "https://north-wind9.myshopify.com/admin/oauth/access_token"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAHostIsTakenOnlyWhereTheDescriptorSays(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"login.salesforce.com": true, "ACME.my.salesforce.com": true, "salesforce.com": true,
		"evilsalesforce.com": false, "salesforce.com.evil.com": false, "login.salesforce.com.": false, "login.salesforce.com:443": false,
		"a@login.salesforce.com": false, "login.salesforce.com/": false, "login.salesforce.com#": false, "login..salesforce.com": false,
		"xn--a.salesforce.com": false, "127.0.0.1": false, "": false, strings.Repeat("a.", 130) + "salesforce.com": false,
	}
	for host, want := range tests {
		at, err := named(t, "salesforce").Resolve(map[string]string{"login_host": host})
		if (err == nil) != want {
			t.Errorf("%q: got %v, want taken %v", host, err, want)
		}
		if want && at.TokenEndpoint != "https://"+strings.ToLower(host)+"/services/oauth2/token" {
			t.Errorf("%q becomes %s", host, at.TokenEndpoint)
		}
	}
}

func TestAServerOfTheCustomersIsNoAddress(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"git.acme.example": true, "gitlab.internal": true, "localhost": false, "127.0.0.1": false, "10.1": false, "0x7f.1": false, "[::1]": false, "::1": false,
		"1.2.3.0x4": false, "2130706433": false, "git.acme.example:8443": false, "git.acme.example/x": false, "a@b.c": false,
	} {
		if _, err := named(t, "gitlab").Resolve(map[string]string{"host": host}); (err == nil) != want {
			t.Errorf("%q: got %v, want taken %v", host, err, want)
		}
	}
}

func TestAURLThatCameIsHeldToTheVendorsDomains(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"https://acme.my.salesforce.com": true, "https://ACME.my.salesforce.com/": true, "https://acme.my.salesforce.com/a/b": true,
		"http://acme.my.salesforce.com": false, "https://evil.com": false, "https://evil.com/.salesforce.com": false, "https://salesforce.com@evil.com": false,
		"https://evil.com#.salesforce.com": false, "https://evil.com?.salesforce.com": false, "https://evil.com\\.salesforce.com": false, "https://a.salesforce.com:8443": false,
		"https://a.salesforce.com/../b": false, "https://a.salesforce.com/%2e%2e/b": false, "https://a.salesforce.com/b?c": false, "https://a.salesforce.com//b": false,
		"https:///a": false, "https://": false, "//a.salesforce.com": false, "acme.my.salesforce.com": false,
	} {
		if _, err := named(t, "salesforce").Resolve(map[string]string{"instance_url": value}); (err == nil) != want {
			t.Errorf("%q: got %v, want taken %v", value, err, want)
		}
	}
}

func TestAPathStaysOne(t *testing.T) {
	t.Parallel()
	for realm, want := range map[string]string{
		"acme": "acme", "a/b": "a/b", "a+b": "a+b", "a@b": "a@b", "a:b": "a:b",
		"..": "", "a/../b": "", "a//b": "", "/a": "", "a/": "", "a?b": "", "a#b": "", "a%2fb": "", "a b": "", "é": "", "": "", "a\\b": "",
	} {
		at, err := named(t, "keycloak").Resolve(map[string]string{"host": "id.acme.example", "realm": realm})
		if want == "" {
			if err == nil {
				t.Errorf("%q becomes %s", realm, at.TokenEndpoint)
			}
			continue
		}
		if got, want := at.TokenEndpoint, "https://id.acme.example/realms/"+want+"/protocol/openid-connect/token"; err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", realm, got, err, want)
		}
	}
}

func TestATextIsOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"amzn1.sp.solution.1": true, "a b&c=d": true, "a\r\nb": false, "a\x00": false, "é": false, "": false} {
		at, err := named(t, "amazon-selling-partner").Resolve(map[string]string{"application_id": text})
		if (err == nil) != want {
			t.Errorf("%q: got %v, want taken %v", text, err, want)
		}
		if want && at.Parameters.Authorization["application_id"] != text {
			t.Errorf("%q becomes %q", text, at.Parameters.Authorization["application_id"])
		}
	}
}

func TestOptionsAreAllThatThereAre(t *testing.T) {
	t.Parallel()
	_, err := named(t, "paypal").Resolve(map[string]string{"api_host": "api-s.paypal.com"})
	if err == nil || !strings.Contains(err.Error(), "write api-m.paypal.com or api-m.sandbox.paypal.com") {
		t.Errorf("got %v", err)
	}
}

// FuzzNoValueMovesAHost tries one value as each variable of each provider that has one.
func FuzzNoValueMovesAHost(f *testing.F) {
	for _, value := range hostile() {
		f.Add(value)
	}
	f.Add("acme")
	f.Add("https://acme.my.salesforce.com/a")
	f.Add("accounts.zoho.eu")
	set, err := provider.Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, p := range set.All() {
			values := map[string]string{}
			for name, v := range p.Variables {
				values[name] = v.Example
			}
			for name := range p.Variables {
				tried := maps.Clone(values)
				tried[name] = value
				if at, err := p.Resolve(tried); err == nil {
					stays(t, p, at)
				}
			}
		}
	})
}

// stays fails unless every URL of a resolved provider is at a host that the descriptor
// says, in the words of net/url.
func stays(t *testing.T, p provider.Provider, at provider.Resolved) {
	t.Helper()
	said := domains(p)
	urls := []string{at.Issuer, at.AuthorizationEndpoint, at.TokenEndpoint, at.RefreshEndpoint, at.RevocationEndpoint, at.IntrospectionEndpoint, at.UserInfoEndpoint}
	for _, host := range at.Hosts {
		urls = append(urls, "https://"+strings.TrimPrefix(host, "*."))
	}
	for _, l := range at.Lookups {
		urls = append(urls, l.URL)
	}
	for _, raw := range urls {
		if raw == "" {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || u.Fragment != "" || u.RawQuery != "" {
			t.Fatalf("%s: %q is no plain https URL: %v", p.Name, raw, err)
		}
		below := func(domain string) bool {
			return domain == "*" || u.Host == domain || strings.HasSuffix(u.Host, "."+domain)
		}
		if !slices.ContainsFunc(said, below) || strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			t.Fatalf("%s: %q is at none of %v", p.Name, raw, said)
		}
	}
}

// domains are what is literal in a descriptor's hosts, and * if the customer runs the
// server.
func domains(p provider.Provider) []string {
	all := []string{"*.none"}
	for _, raw := range append([]string{p.Issuer, p.AuthorizationEndpoint, p.TokenEndpoint, p.RefreshEndpoint, p.RevocationEndpoint, p.IntrospectionEndpoint, p.UserInfoEndpoint}, p.Hosts...) {
		host, _, _ := strings.Cut(strings.TrimPrefix(raw, "https://"), "/")
		if i := strings.LastIndex(host, "}"); i >= 0 {
			host = host[i+1:]
			host = host[strings.Index(host, ".")+1:]
		}
		if host = strings.TrimPrefix(host, "*."); host != "" {
			all = append(all, host)
		}
	}
	for _, l := range p.Lookups {
		host, _, _ := strings.Cut(strings.TrimPrefix(l.URL, "https://"), "/")
		all = append(all, host[strings.LastIndex(host, "}")+1:])
	}
	for _, v := range p.Variables {
		all = append(all, v.Under...)
		if v.Anywhere {
			all = append(all, "*")
		}
	}
	return all
}
