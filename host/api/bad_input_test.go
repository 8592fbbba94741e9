package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// bad is what a stranger does wrong, and what they are told.
type bad struct {
	name   string
	status int
	code   string
	where  string
	// detail and hint are what the answer's must have in them: what was wrong, the
	// limit and the value, and what to do.
	detail, hint string
}

// check holds an answer to what it should say.
func (want bad) check(t *testing.T, a answer) {
	t.Helper()
	p := a.problem(t)
	said := func(name string) string {
		s, _ := p[name].(string)
		return s
	}
	if a.status != want.status || said("code") != want.code || said("where") != want.where {
		t.Errorf("got %d %s at %q, want %d %s at %q: %s", a.status, said("code"), said("where"), want.status, want.code, want.where, a.body)
	}
	if !strings.Contains(said("detail"), want.detail) || !strings.Contains(said("hint"), want.hint) {
		t.Errorf("got %q, hint %q, want %q and %q in them", said("detail"), said("hint"), want.detail, want.hint)
	}
	if said("hint") == "" {
		t.Errorf("it does not say what to do: %s", a.body)
	}
}

// tight is a server with small limits, so that it is quick to break them.
func tight(t *testing.T) *bundle {
	t.Helper()
	return setupHost(t, api.Options{MaxBodyBytes: 1000}, func(c *host.Config) {
		c.Limits = runtime.Limits{ModuleBytes: 100_000, MemoryBytes: 4 << 20, Deadline: 500 * time.Millisecond}
	})
}

// described is a connector whose describe gives a text.
func described(manifest string) []byte {
	return runtimetest.Outputs(map[string]string{"describe": manifest})
}

func TestBadUploads(t *testing.T) {
	t.Parallel()
	b := tight(t)
	if a := b.publish(t, b.operator, connector("hello", "0.1.0"), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	const minimal = `{"name":"a","version":"1.0.0"`
	for _, tt := range []struct {
		wasm []byte
		bad
	}{
		{[]byte("#!/bin/sh\necho hello\n"), bad{"not wasm", 422, "not_wasm", "", `\0asm`, "wasm"}},
		{nil, bad{"nothing", 422, "not_wasm", "", "0 bytes", "wasm"}},
		{runtimetest.Ask("run", "launch_rocket", `{}`), bad{
			"an import that nobody offers", 422, "import_not_offered", "", `"extism:host/user"."launch_rocket"`, "functions",
		}},
		{bytes.Repeat([]byte{0}, 100_001), bad{"a module over the limit", 413, "module_too_large", "", "100000 bytes", "debug information"}},
		{runtimetest.Trap("describe"), bad{"a describe that traps", 422, "describe_failed", "describe", "trapped: ", "in a test of the plugin"}},
		{runtimetest.Loop("describe"), bad{"a describe that loops", 422, "describe_failed", "describe", "did not return within 500ms", "constant"}},
		{described(`{"name":`), bad{"a describe that is not JSON", 422, "describe_failed", "describe", "not JSON: at byte 8", "sdk/ABI.md"}},
		{described(minimal + `,"colour":"red"}`), bad{
			"a manifest with a field too many", 422, "invalid_manifest", "manifest/colour", "is not a field of a manifest", "sdk/ABI.md",
		}},
		{described(minimal + `,"config":{"type":"object","properties":{"label":{"type":"text"}}}}`), bad{
			"a schema that is none", 422, "invalid_manifest", "manifest/config/properties/label/type", "must be one of", "sdk/ABI.md",
		}},
		{described(minimal + `,"config":{"type":"object","properties":{"key":{"type":"string","format":"password"}}}}`), bad{
			"a secret in the configuration", 422, "secret_in_config", "manifest/config/properties/key", "secret", "connection",
		}},
		{described(minimal + `,"actions":[{"name":"go"}]}`), bad{
			"an action without its export", 422, "invalid_manifest", "manifest/actions", `does not export "action"`, "",
		}},
		{append(connector("hello", "0.1.0"), 0, 3, 1, 'x', 0), bad{
			"other bytes under the same version", 409, "version_exists", "version", "hello 0.1.0", "Raise the version",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check(t, b.publish(t, b.operator, tt.wasm, nil))
		})
	}
}

func TestBadUploadThatEatsMemory(t *testing.T) {
	t.Parallel()
	// Time must not run out before the memory does, however slow the machine is.
	b := setupHost(t, api.Options{}, func(c *host.Config) {
		c.Limits = runtime.Limits{ModuleBytes: 100_000, MemoryBytes: 4 << 20, Deadline: time.Minute}
	})
	bad{"a describe that eats memory", 422, "describe_failed", "describe", "4194304", "in a test of the plugin"}.
		check(t, b.publish(t, b.operator, runtimetest.Grow("describe"), nil))
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := tight(t)
	acmeID, acme := b.tenant(t, "acme")
	_, globex := b.tenant(t, "globex")
	installed := b.installed(t, "acme")
	const installations, action = "/v1/tenants/acme/installations", "/v1/tenants/acme/installations/hello/actions/"
	for _, tt := range []struct {
		secret, path, body string
		bad
	}{
		{b.operator, installations, `{"plugin":"hello","name":"b","config":{"label":7,"lable":"bug"}}`, bad{
			"a configuration that breaks its schema", 422, "config_invalid", "/config", "hello 0.1.0", "cofferdam plugin show hello -o json",
		}},
		{b.operator, "/v1/tenants/nobody/installations", `{"plugin":"hello"}`, bad{"an unknown tenant", 404, "not_found", "", `tenant "nobody"`, "Check the id or name"}},
		{globex, "/v1/tenants/" + acmeID + "/installations", `{"plugin":"hello"}`, bad{"another tenant's id", 404, "not_found", "", acmeID, ""}},
		{globex, "/v1/tenants/me/installations/" + installed + "/pause", ``, bad{"another tenant's installation", 404, "not_found", "", installed, ""}},
		{acme, installations, `{"plugin":"goodbye"}`, bad{"an unknown plugin", 404, "not_found", "", `"goodbye"`, ""}},
		{acme, installations, `{"plugin":"hello","name":"c","grants":{"connections":{"github":"gh"}}}`, bad{
			"a connection that is missing", 422, "connection_missing", "/grants/connections/github", `"gh"`, "Create the connection",
		}},
		{acme, installations, `{"plugin":"hello","name":"d","grants":{"egress":[{"host":"evil.example","methods":["GET"]}]}}`, bad{
			"a grant that the plugin does not ask for", 422, "grant_exceeds_manifest", "/grants", "hello 0.1.0", "or less",
		}},
		{acme, action + "dance", `{}`, bad{"an action that is not there", 422, "no_such_action", "", `"dance"`, "It has greet"}},
		{acme, action + "greet", `{"x":"` + strings.Repeat("x", 1<<20) + `"}`, bad{"a body over the cap", 413, "body_too_large", "", "1048576", ""}},
		{acme, action + "greet", `7`, bad{"an input that breaks its schema", 422, "input_invalid", "", `"greet"`, ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := b.raw(t, http.MethodPost, tt.path, tt.secret, tt.body)
			tt.check(t, a)
			if tt.code == "config_invalid" {
				for _, want := range []string{`"where":"/config/label"`, "must be of type string, not number", "lable"} {
					if !strings.Contains(string(a.body), want) {
						t.Errorf("got %s, want %s in it", a.body, want)
					}
				}
			}
		})
	}
}

func TestBadDeliveries(t *testing.T) {
	t.Parallel()
	b := tight(t)
	path, secret := b.hooked(t)
	for _, tt := range []struct {
		answer answer
		bad
	}{
		{b.raw(t, http.MethodPost, path, "", `{}`, "X-GitHub-Event", "issues", "X-GitHub-Delivery", "d-1"), bad{
			"without a signature", 401, "signature_missing", "", "refused", "verify-sample",
		}},
		{b.deliver(t, path, "another-"+secret, "d-1", `{}`), bad{"with a wrong signature", 401, "signature_invalid", "", "refused", "verify-sample"}},
		{b.deliver(t, "/hooks/end_00000000000000000000000000", secret, "d-1", `{}`), bad{"at no endpoint", 404, "not_found", "", "end_0000", ""}},
		{b.deliver(t, path, secret, "d-1", strings.Repeat("x", 1001)), bad{"over the cap", 413, "body_too_large", "", "1001 bytes", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check(t, tt.answer)
		})
	}
}

// A guest that does wrong ends as an execution that says what it did.
func TestBadGuests(t *testing.T) {
	t.Parallel()
	b := tight(t)
	b.tenant(t, "acme")
	const request = `{"method":"GET","url":"https://api.example.com/v1"%s}`
	const egress = `[{"host":"api.example.com","methods":["GET"]}]`
	for name, tt := range map[string]struct {
		wasm          []byte
		egress        string
		code          string
		message, hint string
	}{
		"that loop":    {runtimetest.Loop("run"), "", "deadline_exceeded", "500ms", "limits.timeout_ms"},
		"that grow":    {runtimetest.Grow("run"), "", "memory_exceeded", "4194304", "limits.memory_mib"},
		"that recurse": {runtimetest.Recurse("run"), "", "stack_exhausted", "too deep", "recursion"},
		"that trap":    {runtimetest.Trap("run"), "", "trapped", "the guest crashed: unreachable", "stack trace"},
		"that call a host that is not granted": {
			runtimetest.Ask("run", "http", fmt.Sprintf(request, "")), "", "denied", "GET https://api.example.com", "",
		},
		"that name a connection that is missing": {
			runtimetest.Ask("run", "http", fmt.Sprintf(request, `,"connection":"crm"`)), egress, "no_connection", `"crm"`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plugin := strings.ReplaceAll(name, " ", "-")
			query := url.Values{"name": {plugin}, "version": {"1.0.0"}}
			if tt.egress != "" {
				query.Set("egress", tt.egress)
			}
			if a := b.publish(t, b.operator, tt.wasm, query); a.status != 201 {
				t.Fatalf("publish: %d %s", a.status, a.body)
			}
			b.do(t, 201, "createInstallation", map[string]any{"tenant": "acme"}, map[string]any{"plugin": plugin})
			got := b.do(t, 200, "callAction", map[string]any{"tenant": "acme", "installation": plugin, "action": "run"}, map[string]any{})
			// A limit ends the execution; what the host refuses is an answer, which these guests give on.
			failed, dead := got["error"].(map[string]any)
			if out, ok := got["output"].(map[string]any); ok {
				failed, _ = out["error"].(map[string]any)
			}
			message, _ := failed["message"].(string)
			hint, _ := failed["hint"].(string)
			if failed["code"] != tt.code || !strings.Contains(message, tt.message) || !strings.Contains(hint, tt.hint) {
				t.Errorf("got %v, want %s with %q and hint %q", got, tt.code, tt.message, tt.hint)
			}
			if dead != (got["state"] == "dead") {
				t.Errorf("it is %v with error %v", got["state"], got["error"])
			}
		})
	}
}
