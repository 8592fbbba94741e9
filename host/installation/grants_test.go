package installation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func TestGrant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.0.0", "")
	wish := installation.Grants{
		Egress: []manifest.Egress{
			{Host: "api.github.com:443", Methods: []string{"GET"}},
			{Host: "eu.example.com", Methods: []string{"GET"}},
			{Host: "{config.api_url}", Methods: []string{"POST"}},
		},
		Connections: map[string]string{"slack": "github"}, Limits: manifest.Limits{MemoryMiB: 32, Fuel: 1_000_000},
	}
	got, err := b.Grant(t.Context(), tenant, i.ID, wish)
	if err != nil {
		t.Fatal(err)
	}
	want := wish
	want.Connections, want.Functions = map[string]string{"slack": "con_1"}, []string{}
	if diff := cmp.Diff(want, got.Grants); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	nothing, err := b.Grant(t.Context(), tenant, i.ID, installation.Grants{})
	if diff := cmp.Diff(installation.Grants{Egress: []manifest.Egress{}, Connections: map[string]string{}, Functions: []string{}}, nothing.Grants); err != nil || diff != "" {
		t.Errorf("%v, grants (-want +got):\n%s", err, diff)
	}
}

func TestGrantRefusesMoreThanIsAskedFor(t *testing.T) {
	t.Parallel()
	hosts := func(host string, methods ...string) installation.Grants {
		return installation.Grants{Egress: []manifest.Egress{{Host: "api.github.com", Methods: []string{"GET"}}, {Host: host, Methods: methods}}}
	}
	tests := []struct {
		name, where, says string
		grants            installation.Grants
	}{
		{"another host", "/grants/egress/1/host", "does not ask for the host evil.test", hosts("evil.test", "GET")},
		{"another port", "/grants/egress/1/host", "does not ask for the host api.github.com:8443", hosts("api.github.com:8443", "GET")},
		{"all subdomains", "/grants/egress/1/host", "does not ask for the host *.github.com", hosts("*.github.com", "GET")},
		{"the domain of a wildcard", "/grants/egress/1/host", "does not ask for the host example.com", hosts("example.com", "GET")},
		{"another property", "/grants/egress/1/host", "does not ask for the host {config.label}", hosts("{config.label}", "GET")},
		{"a URL", "/grants/egress/1/host", "not a URL", hosts("https://api.github.com", "GET")},
		{"another method", "/grants/egress/1/methods/1", "does not ask for DELETE at the host api.github.com", hosts("api.github.com", "GET", "DELETE")},
		{"a method of another host", "/grants/egress/1/methods/0", "does not ask for POST at the host a.example.com", hosts("a.example.com", "POST")},
		{"no method", "/grants/egress/1/methods", "names no method", hosts("api.github.com")},
		{"another connection", "/grants/connections", `does not ask for a connection "stripe"`, installation.Grants{Connections: map[string]string{"stripe": "github"}}},
		{"another function", "/grants/functions/1", `does not ask for the function "erp"`, installation.Grants{Functions: []string{"crm_lookup", "erp"}}},
		{"more memory", "/grants/limits/memory_mib", "65 is more than the 64", installation.Grants{Limits: manifest.Limits{MemoryMiB: 65}}},
		{"more fuel", "/grants/limits/fuel", "5000000001 is more than the 5000000000", installation.Grants{Limits: manifest.Limits{Fuel: 5_000_000_001}}},
		{"negative fuel", "/grants/limits/fuel", "must not be negative", installation.Grants{Limits: manifest.Limits{Fuel: -1}}},
		{"negative time", "/grants/limits/timeout_ms", "must not be negative", installation.Grants{Limits: manifest.Limits{TimeoutMS: -1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues", Grants: &tt.grants})
			got := checkFault(t, err, "grant_exceeds_manifest", tt.where)
			if len(got.Problems) > 0 && !strings.Contains(got.Problems[0].Message, tt.says) {
				t.Errorf("got %q, want %q in it", got.Problems[0].Message, tt.says)
			}
		})
	}
}

func TestGrantNeedsTheConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues", Grants: &installation.Grants{Connections: map[string]string{"slack": "con_9"}}})
	got := checkFault(t, err, "connection_missing")
	if got.Where != "/grants/connections/slack" || !strings.Contains(got.Message, `"con_9"`) || got.Hint == "" {
		t.Errorf("got %q at %q with hint %q", got.Message, got.Where, got.Hint)
	}
	b.broken = errors.New("database down")
	for name, grants := range map[string]*installation.Grants{"all": nil, "some": {Connections: map[string]string{"slack": "github"}}} {
		if _, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues", Grants: grants}); !errors.Is(err, b.broken) {
			t.Errorf("%s: got %v, want %v", name, err, b.broken)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	e := func(host string, methods ...string) manifest.Egress {
		return manifest.Egress{Host: host, Methods: methods}
	}
	r := func(host string, methods ...string) egress.Rule { return egress.Rule{Host: host, Methods: methods} }
	tests := []struct {
		name            string
		granted, wished []manifest.Egress
		config          string
		want            []egress.Rule
	}{
		{"the same", []manifest.Egress{e("a.test", "GET")}, []manifest.Egress{e("a.test", "GET")}, "", []egress.Rule{r("a.test", "GET")}},
		{"fewer methods are granted", []manifest.Egress{e("a.test", "GET")}, []manifest.Egress{e("a.test", "POST", "GET")}, "", []egress.Rule{r("a.test", "GET")}},
		{"fewer methods are asked for", []manifest.Egress{e("a.test", "POST", "GET")}, []manifest.Egress{e("a.test", "GET")}, "", []egress.Rule{r("a.test", "GET")}},
		{"no method is left", []manifest.Egress{e("a.test", "GET")}, []manifest.Egress{e("a.test", "POST")}, "", nil},
		{"a grant narrows a wildcard", []manifest.Egress{e("a.x.test", "GET")}, []manifest.Egress{e("*.x.test", "GET")}, "", []egress.Rule{r("a.x.test", "GET")}},
		{"a new version narrows a grant", []manifest.Egress{e("*.x.test", "GET")}, []manifest.Egress{e("a.x.test:80", "GET"), e("b.x.test", "GET")}, "", []egress.Rule{r("b.x.test", "GET")}},
		{"nothing is granted", nil, []manifest.Egress{e("a.test", "GET")}, "", nil},
		{"nothing is asked for any more", []manifest.Egress{e("a.test", "GET")}, nil, "", nil},
		{
			"one rule for a host",
			[]manifest.Egress{e("a.x.test", "GET", "POST")},
			[]manifest.Egress{e("*.x.test", "POST"), e("a.x.test", "GET")},
			"",
			[]egress.Rule{r("a.x.test", "GET", "POST")},
		},
		{"a URL of the config", []manifest.Egress{e("{config.u}", "GET")}, []manifest.Egress{e("{config.u}", "GET")}, `{"u":"https://A.test/v1?x=y"}`, []egress.Rule{r("a.test", "GET")}},
		{"the property of another name", []manifest.Egress{e("{config.u}", "GET")}, []manifest.Egress{e("{config.v}", "GET")}, `{"u":"https://a.test","v":"https://a.test"}`, nil},
		{"a property that is not there", []manifest.Egress{e("{config.u}", "GET")}, []manifest.Egress{e("{config.u}", "GET")}, `{}`, nil},
		{"a host that is none", []manifest.Egress{e("%", "GET")}, []manifest.Egress{e("%", "GET")}, `{}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := installation.Installation{Config: json.RawMessage(tt.config), Grants: installation.Grants{Egress: tt.granted}}
			if diff := cmp.Diff(tt.want, installation.Rules(i, manifest.Manifest{Egress: tt.wished})); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRulesReadTheConfig(t *testing.T) {
	t.Parallel()
	tests := []struct{ value, want string }{
		{`"https://api.example.com"`, "api.example.com"},
		{`"https://api.example.com:443/x"`, "api.example.com"},
		{`"https://api.example.com:8443/x"`, "api.example.com:8443"},
		{`"http://api.example.com/x"`, "api.example.com:80"},
		{`"http://127.0.0.1:9000"`, "127.0.0.1:9000"},
		{`"http://[::1]:9000/x"`, "[::1]:9000"},
		{`"https://[2001:DB8::1]/x"`, "[2001:db8::1]"},
		{`"[::1]"`, "[::1]"},
		{`"API.example.com"`, "api.example.com"},
		{`"api.example.com:8080"`, "api.example.com:8080"},
		{`"*.example.com"`, ""},
		{`"{config.u}"`, ""},
		{`"https://*.example.com"`, ""},
		{`"https://user:pw@a.test"`, ""},
		{`"https://"`, ""},
		{`"https:///path"`, ""},
		{`"ftp://a.test"`, ""},
		{`"a.test/path"`, ""},
		{`"http://[::1"`, ""},
		{`"[fe80::1%25eth0]:80"`, ""},
		{`"http://a.test:99999"`, ""},
		{`""`, ""},
		{`null`, ""},
		{`7`, ""},
		{`["https://a.test"]`, ""},
	}
	m := manifest.Manifest{Egress: []manifest.Egress{{Host: "{config.u}", Methods: []string{"GET"}}}}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			t.Parallel()
			i := installation.Installation{Config: json.RawMessage(`{"u":` + tt.value + `}`), Grants: installation.Grants{Egress: m.Egress}}
			got := ""
			for _, r := range installation.Rules(i, m) {
				got = r.Host
				if err := r.Validate(); err != nil {
					t.Errorf("egress refuses the rule: %v", err)
				}
				if u, err := url.Parse(strings.Trim(tt.value, `"`)); err == nil && u.Host != "" && !r.Allows("GET", u) {
					t.Errorf("the rule for %s does not allow %s", r.Host, u)
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLimitsAreTheLeast(t *testing.T) {
	t.Parallel()
	const mib, usual = 1 << 20, 10_000_000_000
	tests := []struct {
		name            string
		granted, wished manifest.Limits
		most            runtime.Limits
		memory          int64
		deadline        time.Duration
		fuel            int64
	}{
		{"the operator's defaults", manifest.Limits{}, manifest.Limits{}, runtime.Limits{}, 64 * mib, 30 * time.Second, usual},
		{"the manifest asks for less", manifest.Limits{}, manifest.Limits{MemoryMiB: 32, TimeoutMS: 500, Fuel: 7}, runtime.Limits{}, 32 * mib, 500 * time.Millisecond, 7},
		{"a new version asks for less than was granted", manifest.Limits{Fuel: 7}, manifest.Limits{Fuel: 5}, runtime.Limits{}, 64 * mib, 30 * time.Second, 5},
		{"the grant is less", manifest.Limits{MemoryMiB: 16, TimeoutMS: 100, Fuel: 5}, manifest.Limits{MemoryMiB: 32, TimeoutMS: 500, Fuel: 7}, runtime.Limits{}, 16 * mib, 100 * time.Millisecond, 5},
		{"the manifest asks for too much", manifest.Limits{}, manifest.Limits{MemoryMiB: 4096, TimeoutMS: 3_600_000, Fuel: 10_000_000_000_000}, runtime.Limits{MemoryBytes: 128 * mib, Deadline: time.Minute, Fuel: 20_000_000_000}, 128 * mib, time.Minute, 20_000_000_000},
		{"a grant that overflows to nothing", manifest.Limits{MemoryMiB: 1 << 44, TimeoutMS: 1 << 58}, manifest.Limits{}, runtime.Limits{MemoryBytes: 8 * mib, Deadline: time.Second}, 8 * mib, time.Second, usual},
		{"a grant that overflows to less than nothing", manifest.Limits{MemoryMiB: 1 << 43, TimeoutMS: math.MaxInt64 / 1_000_000 * 2, Fuel: math.MaxInt64}, manifest.Limits{}, runtime.Limits{}, 64 * mib, 30 * time.Second, usual},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := installation.Limits(installation.Installation{Grants: installation.Grants{Limits: tt.granted}}, manifest.Manifest{Limits: tt.wished}, tt.most)
			want := tt.most.WithDefaults()
			want.MemoryBytes, want.Deadline, want.Fuel = tt.memory, tt.deadline, tt.fuel
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
		})
	}
}

func ExampleRules() {
	i := installation.Installation{
		Config: json.RawMessage(`{"api_url":"https://shop.example.com/api"}`),
		Grants: installation.Grants{Egress: []manifest.Egress{
			{Host: "eu.example.org", Methods: []string{"GET", "POST"}},
			{Host: "{config.api_url}", Methods: []string{"GET"}},
		}},
	}
	m := manifest.Manifest{Egress: []manifest.Egress{
		{Host: "*.example.org", Methods: []string{"GET"}},
		{Host: "{config.api_url}", Methods: []string{"GET", "PUT"}},
	}}
	for _, r := range installation.Rules(i, m) {
		fmt.Println(r.Host, r.Methods)
	}
	// Output:
	// eu.example.org [GET]
	// shop.example.com [GET]
}
