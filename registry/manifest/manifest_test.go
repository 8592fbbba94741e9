package manifest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// The manifest of sdk/ABI.md.
const whole = `{
  "name": "hello-go", "version": "0.1.0", "title": "Hello, GitHub", "description": "Counts and labels issues.",
  "config": { "type": "object", "properties": {"api_url": {"type": "string"}} },
  "actions": [{ "name": "label", "title": "Label an issue", "input": {}, "output": null, "idempotent": true }],
  "webhooks": [{ "name": "issues", "title": "Issues", "scheme": "github" }],
  "polls": [{ "name": "issues", "title": "Issues", "every": "5m" }],
  "connections": [{ "name": "github", "title": "GitHub", "type": "bearer", "hosts": ["api.github.com"] },
    { "name": "shop", "type": "api_key", "header": "X-Api-Key", "hosts": ["{config.api_url}"] }],
  "egress": [{ "host": "api.github.com", "methods": ["GET", "POST"] }, { "host": "{config.api_url}", "methods": ["GET"] }],
  "idempotency": [{ "host": "api.github.com", "header": "Idempotency-Key", "ttl": "24h" }],
  "not_done": [{ "host": "{config.api_url}", "status": [409, 503] }],
  "functions": [], "limits": { "memory_mib": 64, "timeout_ms": 30000, "fuel": 10000000000 }, "test": true, "confirm": true
}`

func TestParseReadsWhatTheContractShows(t *testing.T) {
	t.Parallel()
	got, err := manifest.Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := manifest.Manifest{
		Name: "hello-go", Version: "0.1.0", Title: "Hello, GitHub", Description: "Counts and labels issues.",
		Config:   json.RawMessage(`{ "type": "object", "properties": {"api_url": {"type": "string"}} }`),
		Actions:  []manifest.Action{{Name: "label", Title: "Label an issue", Input: json.RawMessage(`{}`), Idempotent: true}},
		Webhooks: []manifest.Webhook{{Name: "issues", Title: "Issues", Scheme: "github"}},
		Polls:    []manifest.Poll{{Name: "issues", Title: "Issues", Every: "5m"}},
		Connections: []manifest.Connection{
			{Name: "github", Title: "GitHub", Type: "bearer", Hosts: []string{"api.github.com"}},
			{Name: "shop", Type: "api_key", Header: "X-Api-Key", Hosts: []string{"{config.api_url}"}},
		},
		Egress:    []manifest.Egress{{Host: "api.github.com", Methods: []string{"GET", "POST"}}, {Host: "{config.api_url}", Methods: []string{"GET"}}},
		Functions: []string{}, Limits: manifest.Limits{MemoryMiB: 64, TimeoutMS: 30000, Fuel: 10_000_000_000}, Level: 1, Test: true, Confirm: true,
		Idempotency: []manifest.Idempotency{{Host: "api.github.com", Header: "Idempotency-Key", TTL: "24h"}},
		NotDone:     []manifest.NotDone{{Host: "{config.api_url}", Status: []int{409, 503}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func TestParseReadsTheExamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../examples/*/testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := manifest.Parse(data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, data string
		want       []manifest.Problem
	}{
		{"nothing", ``, []manifest.Problem{{"", "the manifest is not JSON: unexpected end of JSON input"}}},
		{"not JSON", `{"name":}`, []manifest.Problem{{"", "the manifest is not JSON: invalid character '}' looking for beginning of value"}}},
		{"something after it", `{} {}`, []manifest.Problem{{"", "the manifest is not JSON: invalid character '{' after top-level value"}}},
		{"not UTF-8", "{\"name\":\"\xff\"}", []manifest.Problem{{"", "the manifest is not UTF-8"}}},
		{"not an object", `[1]`, []manifest.Problem{{"", "must be an object, not an array"}}},
		{"null", `null`, []manifest.Problem{
			{"/name", `"" must be 1 to 63 of a-z, 0-9 and -, and not begin with -`},
			{"/version", `"" must be a semantic version of at most 64 bytes, such as 1.2.3 (https://semver.org)`},
		}},
		{"every unknown field", `{"Name":"a","actoins":[],"limits":{"memory":1},"actions":[{"name":"a","schema":{}}]}`, []manifest.Problem{
			{"/Name", "is not a field of a manifest: here it may be one of actions, config, confirm, connections, description, egress, functions, idempotency, level, limits, name, not_done, polls, providers, test, title, version, webhooks"},
			{"/actions/0/schema", "is not a field of a manifest: here it may be one of description, idempotent, input, name, output, title"},
			{"/actoins", "is not a field of a manifest: here it may be one of actions, config, confirm, connections, description, egress, functions, idempotency, level, limits, name, not_done, polls, providers, test, title, version, webhooks"},
			{"/limits/memory", "is not a field of a manifest: here it may be one of fuel, memory_mib, stream_mib, timeout_ms"},
		}},
		{"every wrong type", `{"name":7,"actions":{},"egress":[{"host":"a.test","methods":["GET",1]}],"test":"yes","limits":{"memory_mib":1.5,"timeout_ms":"1s","fuel":1e30}}`, []manifest.Problem{
			{"/actions", "must be an array, not an object"},
			{"/egress/0/methods/1", "must be a string, not a number"},
			{"/limits/fuel", "must be a whole number, not this number"},
			{"/limits/memory_mib", "must be a whole number, not this number"},
			{"/limits/timeout_ms", "must be a whole number, not a string"},
			{"/name", "must be a string, not a number"},
			{"/test", "must be true or false, not a string"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := manifest.Parse([]byte(tt.data))
			var got manifest.Errors
			if !errors.As(err, &got) {
				t.Fatalf("got error %v, want Errors", err)
			}
			if diff := cmp.Diff(manifest.Errors(tt.want), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefusesTooLargeAManifest(t *testing.T) {
	t.Parallel()
	_, err := manifest.Parse([]byte(strings.Repeat(" ", manifest.MaxBytes+1)))
	if want := "the manifest has 1048577 bytes: at most 1048576 are allowed"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func idempotency(host, header, ttl string) manifest.Manifest {
	return manifest.Manifest{Idempotency: []manifest.Idempotency{{Host: host, Header: header, TTL: ttl}}}
}

func TestValidateSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	actions := func(names ...string) []manifest.Action {
		var all []manifest.Action
		for _, n := range names {
			all = append(all, manifest.Action{Name: n})
		}
		return all
	}
	var many []string
	for i := range 257 {
		many = append(many, fmt.Sprintf("a%d", i))
	}
	connection := func(c manifest.Connection) manifest.Manifest {
		if c.Hosts == nil {
			c.Hosts = []string{"a.test"}
		}
		c.Name = "c"
		return manifest.Manifest{Connections: []manifest.Connection{c}}
	}
	egress := func(host string, methods ...string) manifest.Manifest {
		return manifest.Manifest{Egress: []manifest.Egress{{Host: host, Methods: methods}}}
	}
	tests := []struct {
		name           string
		m              manifest.Manifest
		where, message string
	}{
		{"a name with capitals", manifest.Manifest{Name: "Hello"}, "/name", `"Hello" must be 1 to 63`},
		{"a name that is too long", manifest.Manifest{Name: strings.Repeat("a", 64)}, "/name", "must be 1 to 63"},
		{"a version without a patch", manifest.Manifest{Version: "1.0"}, "/version", `"1.0" must be a semantic version`},
		{"a version with a v", manifest.Manifest{Version: "v1.0.0"}, "/version", "must be a semantic version"},
		{"a zero-padded version", manifest.Manifest{Version: "1.02.0"}, "/version", "must be a semantic version"},
		{"a long version", manifest.Manifest{Version: "1.0.0-" + strings.Repeat("a", 60)}, "/version", "of at most 64 bytes"},
		{"a title of two lines", manifest.Manifest{Title: "a\nb"}, "/title", "has a control character"},
		{"a long title", manifest.Manifest{Title: strings.Repeat("x", 201)}, "/title", "has 201 bytes: at most 200"},
		{"a long description", manifest.Manifest{Description: strings.Repeat("x", 10_001)}, "/description", "has 10001 bytes"},
		{"a description with NUL", manifest.Manifest{Description: "\x00"}, "/description", "has a NUL"},
		{"a config that is no object", manifest.Manifest{Config: json.RawMessage(`true`)}, "/config", "must be a JSON Schema"},
		{"an input that is no object", manifest.Manifest{Actions: []manifest.Action{{Name: "a", Input: json.RawMessage(`[]`)}}}, "/actions/0/input", "must be a JSON Schema"},
		{"an action name", manifest.Manifest{Actions: actions("ok", "no spaces")}, "/actions/1/name", `"no spaces" must be a letter`},
		{"two actions of a name", manifest.Manifest{Actions: actions("a", "a")}, "/actions/1/name", `"a" is taken`},
		{"too many actions", manifest.Manifest{Actions: actions(many...)}, "/actions", "there are 257: at most 256"},
		{"a webhook name", manifest.Manifest{Webhooks: []manifest.Webhook{{Name: "", Scheme: "github"}}}, "/webhooks/0/name", `"" must be a letter`},
		{"a time that is none", manifest.Manifest{Polls: []manifest.Poll{{Name: "p", Every: "5 minutes"}}}, "/polls/0/every", `"5 minutes" must be a time`},
		{"a time too short", manifest.Manifest{Polls: []manifest.Poll{{Name: "p", Every: "1ms"}}}, "/polls/0/every", "from 1s to 8784h0m0s"},
		{"a negative time", manifest.Manifest{Polls: []manifest.Poll{{Name: "p", Every: "-5m"}}}, "/polls/0/every", "must be a time"},
		{"a connection's type", connection(manifest.Connection{Type: "oauth"}), "/connections/0/type", `"oauth" must be bearer, basic, api_key or oauth2`},
		{"a bearer with a header", connection(manifest.Connection{Type: "bearer", Header: "X-Key"}), "/connections/0", "which are for the type api_key"},
		{"an api_key without a place", connection(manifest.Connection{Type: "api_key"}), "/connections/0", "either a header or a query"},
		{"an api_key with two places", connection(manifest.Connection{Type: "api_key", Header: "X", Query: "q"}), "/connections/0", "not both"},
		{"an api_key in half a header", connection(manifest.Connection{Type: "api_key", Header: "X: y"}), "/connections/0/header", "is not the name of a header"},
		{"an api_key in no parameter", connection(manifest.Connection{Type: "api_key", Query: "a&b"}), "/connections/0/query", "is not the name of a query parameter"},
		{"an hmac in a query", connection(manifest.Connection{Type: "hmac", Query: "q"}), "/connections/0/query", "an hmac goes into a header"},
		{"a private key in a header", connection(manifest.Connection{Type: "private_key", Header: "X-Key"}), "/connections/0", "which are for the type api_key"},
		{"a bearer that signs", connection(manifest.Connection{Type: "bearer", Sign: []string{"HS256"}}), "/connections/0/sign/0", "must be one of none"},
		{"slots of a key that stays", connection(manifest.Connection{Type: "hmac", Slots: manifest.Slots{Query: []string{"q"}}}), "/connections/0/slots", "are for the types bearer, basic, api_key and oauth2"},
		{"a slot that is no header", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{Headers: []string{"X-A", "a b"}}}), "/connections/0/slots/headers/1", "is not the name of a header"},
		{"a slot in a header of the host's", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{Headers: []string{"Host"}}}), "/connections/0/slots/headers/0", "that a plugin may set"},
		{"a slot that is no parameter", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{Query: []string{"a=b"}}}), "/connections/0/slots/query/0", "query parameter"},
		{"a slot that is no pointer", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{JSON: []string{"auth.token"}}}), "/connections/0/slots/json/0", "such as /auth/token"},
		{"a slot with a broken escape", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{JSON: []string{"/a~2"}}}), "/connections/0/slots/json/0", "JSON pointer"},
		{"a slot that is no field", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{Form: []string{""}}}), "/connections/0/slots/form/0", "a form's field"},
		{"a slot twice", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{Form: []string{"a", "a"}}}), "/connections/0/slots/form/1", "is there twice"},
		{"slots without end", connection(manifest.Connection{Type: "bearer", Slots: manifest.Slots{Form: make([]string, 33)}}), "/connections/0/slots/form", "at most 32"},
		{"a rate of nothing", connection(manifest.Connection{Type: "bearer", Rate: manifest.Rate{Burst: 3}}), "/connections/0/rate/per_second", "from 1 in a day"},
		{"a burst of less", connection(manifest.Connection{Type: "bearer", Rate: manifest.Rate{PerSecond: 1, Burst: -1}}), "/connections/0/rate/burst", "from 0"},
		{"an hmac that signs as another key", connection(manifest.Connection{Type: "hmac", Sign: []string{"hmac-sha256", "RS256"}}), "/connections/0/sign/1", "must be one of hmac-sha1, hmac-sha256"},
		{"a bearer with a provider", connection(manifest.Connection{Type: "bearer", Provider: "acme"}), "/connections/0", "which are for the type oauth2"},
		{"a key with scopes", connection(manifest.Connection{Type: "hmac", Scopes: []string{"a"}}), "/connections/0", "which are for the type oauth2"},
		{"an oauth2 with nobody", connection(manifest.Connection{Type: "oauth2"}), "/connections/0/provider", "must be the name of a provider"},
		{"an oauth2 with an address", connection(manifest.Connection{Type: "oauth2", Provider: "https://acme.example"}), "/connections/0/provider", "must be the name of a provider"},
		{"an oauth2 in a header", connection(manifest.Connection{Type: "oauth2", Provider: "acme", Header: "X-Key"}), "/connections/0", "which are for the type api_key"},
		{"two scopes in one", connection(manifest.Connection{Type: "oauth2", Provider: "acme", Scopes: []string{"a", "b c"}}), "/connections/0/scopes/1", "is not one scope"},
		{"a connection without hosts", connection(manifest.Connection{Type: "bearer", Hosts: []string{}}), "/connections/0/hosts", "names no host"},
		{"a connection's host", connection(manifest.Connection{Type: "bearer", Hosts: []string{"a.test", "https://b.test"}}), "/connections/0/hosts/1", "not a URL"},
		{"egress to a URL", egress("https://a.test/x", "GET"), "/egress/0/host", "must be a host, not a URL"},
		{"egress without methods", egress("a.test"), "/egress/0/methods", "names no method"},
		{"egress in lower case", egress("a.test", "GET", "post"), "/egress/0/methods/1", `"post" must be one of GET, HEAD`},
		{"egress by CONNECT", egress("a.test", "CONNECT"), "/egress/0/methods/0", "must be one of"},
		{"egress to a property that is not there", manifest.Manifest{
			Config: json.RawMessage(`{"properties":{"base":{}}}`), Egress: []manifest.Egress{{Host: "{config.api_url}", Methods: []string{"GET"}}},
		}, "/egress/0/host", `the config has no property "api_url"`},
		{"a key for a URL", idempotency("https://a.test", "Key", "1h"), "/idempotency/0/host", "must be a host, not a URL"},
		{"a key in no header", idempotency("a.test", "", "1h"), "/idempotency/0/header", "is not the name of a header"},
		{"a key in a header with a line break", idempotency("a.test", "Key\r\nX", "1h"), "/idempotency/0/header", "is not the name of a header"},
		{"a key in a header of HTTP's", idempotency("a.test", "content-type", "1h"), "/idempotency/0/header", "has a meaning of its own in HTTP"},
		{"a key in a credential's", idempotency("a.test", "authorization", "1h"), "/idempotency/0/header", "has a meaning of its own in HTTP"},
		{"a key without a life", idempotency("a.test", "Key", ""), "/idempotency/0/ttl", "must be a time such as 24h, from 5m0s to 8784h0m0s"},
		{"a key that is forgotten at once", idempotency("a.test", "Key", "1m"), "/idempotency/0/ttl", `"1m" must be a time`},
		{"a key that is never forgotten", idempotency("a.test", "Key", "9000h"), "/idempotency/0/ttl", `"9000h" must be a time`},
		{"two keys for one host", manifest.Manifest{Idempotency: []manifest.Idempotency{{"a.test", "Key", "1h"}, {"a.test", "Key", "2h"}}}, "/idempotency/1/host", `"a.test" is taken`},
		{"a key for a property that is not there", manifest.Manifest{
			Config: json.RawMessage(`{"properties":{"base":{}}}`), Idempotency: []manifest.Idempotency{{"{config.api_url}", "Key", "1h"}},
		}, "/idempotency/0/host", `the config has no property "api_url"`},
		{"not done nowhere", manifest.Manifest{NotDone: []manifest.NotDone{{"", []int{409}}}}, "/not_done/0/host", "is not a host name"},
		{"not done never", manifest.Manifest{NotDone: []manifest.NotDone{{"a.test", nil}}}, "/not_done/0/status", "has 0: name 1 to 32"},
		{"not done often", manifest.Manifest{NotDone: []manifest.NotDone{{"a.test", slices.Repeat([]int{409}, 33)}}}, "/not_done/0/status", "has 33: name 1 to 32"},
		{"not done that was", manifest.Manifest{NotDone: []manifest.NotDone{{"a.test", []int{409, 201}}}}, "/not_done/0/status/1", "201 must be from 400 to 599"},
		{"a function", manifest.Manifest{Functions: []string{"http", "No"}}, "/functions/1", `"No" must be a-z`},
		{"negative memory", manifest.Manifest{Limits: manifest.Limits{MemoryMiB: -1}}, "/limits/memory_mib", "-1 must be from 1 to 4096"},
		{"too much memory", manifest.Manifest{Limits: manifest.Limits{MemoryMiB: 4097}}, "/limits/memory_mib", "4097 must be"},
		{"too much time", manifest.Manifest{Limits: manifest.Limits{TimeoutMS: 3_600_001}}, "/limits/timeout_ms", "from 1 to 3600000"},
		{"negative fuel", manifest.Manifest{Limits: manifest.Limits{Fuel: -1}}, "/limits/fuel", "-1 must be from 1 to 10000000000000"},
		{"too much fuel", manifest.Manifest{Limits: manifest.Limits{Fuel: 10_000_000_000_001}}, "/limits/fuel", "10000000000001 must be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.m.Name == "" {
				tt.m.Name = "plugin"
			}
			if tt.m.Version == "" {
				tt.m.Version = "1.0.0"
			}
			var got manifest.Errors
			if err := tt.m.Validate(); !errors.As(err, &got) || len(got) != 1 {
				t.Fatalf("got %v, want one problem", err)
			}
			if got[0].Where != tt.where || !strings.Contains(got[0].Message, tt.message) {
				t.Errorf("got %q at %q, want %q at %q", got[0].Message, got[0].Where, tt.message, tt.where)
			}
		})
	}
}

func TestValidateCapsItsList(t *testing.T) {
	t.Parallel()
	m := manifest.Manifest{Name: "plugin", Version: "1.0.0"}
	for range 100 {
		m.Functions = append(m.Functions, "NO")
	}
	var got manifest.Errors
	if err := m.Validate(); !errors.As(err, &got) || len(got) != 50 {
		t.Errorf("got %d problems, want 50", len(got))
	}
}

func TestValidateAcceptsVersionsOfSemver(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"0.0.0", "1.2.3-alpha.1", "1.0.0+build.5", "1.0.0-0A.is.legal", "99999999999999999999.0.0"} {
		if err := (manifest.Manifest{Name: "p", Version: version}).Validate(); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestValidateTrustsSchemasThatArePutTogether(t *testing.T) {
	t.Parallel()
	for _, config := range []string{`{"$ref":"#/$defs/c"}`, `{"allOf":[]}`, `{"properties":{"u":{}}}`, ``} {
		m := manifest.Manifest{Name: "p", Version: "1.0.0", Egress: []manifest.Egress{{Host: "{config.u}", Methods: []string{"GET"}}}}
		if config != "" {
			m.Config = json.RawMessage(config)
		}
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", config, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"name":"a","version":"1.0.0","egress":[{"host":"*.a.test:80","methods":["GET"]}]}`))
	f.Add([]byte(`{"actions":[null,{}],"limits":{"memory_mib":1e2}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := manifest.Parse(data)
		if err != nil {
			var problems manifest.Errors
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Errorf("got error %v, want Errors", err)
			}
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("encode what was parsed: %v", err)
		}
		if len(again) > manifest.MaxBytes {
			return // HTML escapes made it longer.
		}
		if _, err := manifest.Parse(again); err != nil {
			t.Errorf("what was parsed does not parse again: %v", err)
		}
	})
}

func ExampleParse() {
	_, err := manifest.Parse([]byte(`{
		"name": "orders", "version": "1.0",
		"egress": [{"host": "https://api.example.com", "methods": ["GET"]}]
	}`))
	if problems, ok := errors.AsType[manifest.Errors](err); ok {
		for _, p := range problems {
			fmt.Println(p.Where, p.Message)
		}
	}
	// Output:
	// /version "1.0" must be a semantic version of at most 64 bytes, such as 1.2.3 (https://semver.org)
	// /egress/0/host "https://api.example.com" must be a host, not a URL: leave out the scheme and the path
}
