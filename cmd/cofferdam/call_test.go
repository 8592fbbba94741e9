package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func TestConfigurationOfFlagsHasTheTypesOfTheSchema(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"shop":"file","deep":{"a":1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	schema := json.RawMessage(`{"type":"object","properties":{"shop":{"type":"string"},"size":{"type":"integer"},"on":{"type":"boolean"}}}`)
	a := &app{settings: &settings{}}
	for name, tt := range map[string]struct {
		objects, flags []string
		schema         json.RawMessage
		want           string
	}{
		"nothing":       {nil, nil, schema, `{}`},
		"text":          {nil, []string{"shop=7"}, schema, `{"shop":"7"}`},
		"a number":      {nil, []string{"size=7", "on=true"}, schema, `{"on":true,"size":7}`},
		"what is none":  {nil, []string{"size=seven"}, schema, `{"size":"seven"}`},
		"a plain one":   {nil, []string{"n=7"}, nil, `{"n":"7"}`},
		"no value":      {nil, []string{"shop"}, schema, `{"shop":""}`},
		"a file":        {nil, []string{"@" + file, "shop=flag"}, schema, `{"deep":{"a":1},"shop":"flag"}`},
		"later objects": {[]string{`{"shop":"a","size":1}`, `{"shop":"b"}`}, []string{"size=2"}, schema, `{"shop":"b","size":2}`},
	} {
		got, err := a.configured(tt.objects, tt.flags, tt.schema)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, tt.want)
		}
	}
	for _, wrong := range []string{`[1]`, `{`, `@/does/not/exist`} {
		if _, err := a.configured([]string{wrong}, nil, nil); err == nil {
			t.Errorf("%s became a configuration", wrong)
		}
	}
}

func TestCredentialsComeFromTheEnvironment(t *testing.T) {
	t.Setenv("COFFERDAM_CONNECTION_MY_CRM_2", "token-1")
	t.Setenv("SHOP_LOGIN", "ada:with:colons")
	t.Setenv("A_KEY", "key-1")
	m := manifest.Manifest{Connections: []manifest.Connection{
		{Name: "my-crm.2", Type: "bearer", Hosts: []string{"crm.example", "{config.url}"}},
		{Name: "shop", Type: "basic", Hosts: []string{"shop.example"}},
		{Name: "maps", Type: "api_key", Header: "X-Key", Hosts: []string{"maps.example"}},
		{Name: "none", Type: "bearer", Hosts: []string{"none.example"}},
		{Name: "agreed", Type: "oauth2", Provider: "acme"},
	}, Egress: []manifest.Egress{{Host: "api.example", Methods: []string{"GET"}}}}
	a := &app{settings: &settings{}, terminal: terminal{in: strings.NewReader(""), out: io.Discard, err: io.Discard}}
	all, err := a.accounts(m, accountWishes{
		config: json.RawMessage(`{"url":"https://own.example/api"}`), flags: []string{"shop=SHOP_LOGIN"},
		declared: map[string]accountOptions{"maps": {Env: "A_KEY", Hosts: []string{"127.0.0.1:8081"}, Fields: json.RawMessage(`{"plan":"pro"}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Credentials print as nothing: they are compared one by one.
	crm, shop, maps := all["my-crm.2"], all["shop"], all["maps"]
	if crm.spec.Credential.Token != "token-1" || crm.from != "COFFERDAM_CONNECTION_MY_CRM_2" || !cmp.Equal(crm.spec.Hosts, []string{"crm.example", "own.example"}) {
		t.Errorf("my-crm.2: %+v", crm.spec)
	}
	if c := shop.spec.Credential; c.Username != "ada" || c.Password != "with:colons" || shop.spec.Type != connection.Basic {
		t.Errorf("shop: %+v", shop.spec)
	}
	if maps.spec.Credential.Key != "key-1" || !cmp.Equal(maps.spec.Hosts, []string{"maps.example", "127.0.0.1:8081"}) {
		t.Errorf("maps: %+v", maps.spec)
	}
	if agreed := all["agreed"].spec; agreed.Type != connection.OAuth2 || !cmp.Equal(agreed.Hosts, []string{"api.example"}) {
		t.Errorf("agreed: %+v", agreed)
	}
	if !all["none"].missing || len(all.fields()) != 3 || string(all.fields()["maps"]) != `{"plan":"pro"}` {
		t.Errorf("fields: %s", all.fields())
	}
	if _, err := all.credentials(); err != nil {
		t.Error(err)
	}
	if _, err := a.accounts(m, accountWishes{flags: []string{"none"}}); err == nil || !strings.Contains(err.Error(), "set COFFERDAM_CONNECTION_NONE") {
		t.Errorf("got %v, want the variable that is missing", err)
	}
}

func TestStacksAreTheGuestsOwnOrTheSandboxes(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]runtime.Failure{
		"at run (src/a.ts:1:2)": {Details: json.RawMessage(`{"stack":"at run (src/a.ts:1:2)\n"}`), Stack: "wasm"},
		"wasm":                  {Details: json.RawMessage(`{"stack":7}`), Stack: "wasm\n"},
		"":                      {},
	} {
		if got := stackOf(&f); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	err := &callFailedError{what: "action a", failure: &runtime.Failure{Code: "rate_limited", Message: "later", RetryAfter: 7e9, Stack: "at x\nat y"}}
	if got, want := err.Error(), "action a failed: rate_limited: later (again in 7s)\n    at x\n    at y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheOfflineWorldAnswersFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	world := &offlineWorld{folder: dir}
	get := func(method, url, body string) (string, error) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := world.RoundTrip(r)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		return resp.Status + " " + string(got), err
	}
	write("one.json", `{"request": "GET https://a.example/x", "response": {"body": {"n": 1}}}`)
	write("two.json", `[{"request": {"method": "POST", "body": {"a": 1}}, "response": {"status": 201}}, {"request": {"method": "POST"}, "response": {"status": 409, "body": {"$text": "no"}}}]`)
	write("README.md", "not read")
	for range 2 { // However often it is asked.
		for _, tt := range [][4]string{
			{"GET", "https://a.example/x", "", `200 OK {"n":1}`},
			{"POST", "https://b.example/", `{ "a": 1.0 }`, "201 Created "},
			{"POST", "https://b.example/", `{}`, "409 Conflict no"},
		} {
			if got, err := get(tt[0], tt[1], tt[2]); err != nil || got != tt[3] {
				t.Errorf("%s %s: got %q, %v, want %q", tt[0], tt[1], got, err, tt[3])
			}
		}
	}
	if _, err := get("GET", "https://c.example/", ""); err == nil || !strings.Contains(err.Error(), "offline, and no file in fixtures/http answers GET https://c.example/") {
		t.Errorf("got %v", err)
	}
	write("bad.json", `{"request": "GET"}`)
	if _, err := get("GET", "https://a.example/x", ""); err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("got %v, want the file that is wrong", err)
	}
	if _, err := (&offlineWorld{folder: filepath.Join(dir, "none")}).exchanges(); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
