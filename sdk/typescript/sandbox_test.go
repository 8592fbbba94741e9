package typescript_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
	"github.com/cofferdam-run/cofferdam/sdk/typescript"
)

// TestSandboxHasWhatConnectorsUse runs each action of testdata/sandbox/connector.ts,
// which are tests.
func TestSandboxHasWhatConnectorsUse(t *testing.T) {
	t.Parallel()
	g := guestOf(t, project(t, "testdata/sandbox"))
	for _, action := range g.manifest.Actions {
		if _, fails := failures()[action.Name]; fails || action.Name == "draw" {
			continue
		}
		t.Run(action.Name, func(t *testing.T) {
			t.Parallel()
			if _, err := g.action(t, action.Name, 1); err != nil {
				t.Error(describe(err))
			}
		})
	}
}

// failures are the actions of testdata/sandbox/failing.ts, and what must be in what
// the host is told.
func failures() map[string][]string {
	return map[string][]string{
		"throwsText":     {`plugin_bug: the text "boom" was thrown: throw an Error`},
		"throwsNothing":  {"plugin_bug: undefined was thrown"},
		"throwsCause":    {"plugin_bug: Error: outer", `"message":"TypeError: inner"`, "failing.ts:"},
		"throwsCode":     {"rate_limited: slow", `"a":1`, "failing.ts:"},
		"returnsCycle":   {`plugin_bug: what action "returnsCycle" returns has no JSON form: list[0] is the whole again, which is a cycle`},
		"returnsPromise": {"customer is a Promise: await it"},
		"usesBuffer":     {"plugin_bug: ReferenceError: Buffer is not defined (use Uint8Array", "failing.ts:"},
		"usesIntl":       {"Intl is not defined (the sandbox has no locale data"},
		"neverSettles":   {"plugin_bug: deadlock: a promise never settles"},
		"forgets":        {"nowhere.test"},
		"recurses":       {"plugin_bug: ", "stack", "failing.ts:"},
		"hoards":         {"out of memory"},
	}
}

func TestFailuresSayWhatHappenedAndWhere(t *testing.T) {
	t.Parallel()
	g := guestOf(t, project(t, "testdata/sandbox"))
	for name, want := range failures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, err := g.action(t, name, 1)
			if err == nil {
				t.Fatalf("it did not fail, and returned %s", output)
			}
			got := describe(err)
			for _, part := range want {
				if !strings.Contains(got, part) {
					t.Errorf("got %s, want %q in it", got, part)
				}
			}
		})
	}
}

func TestRandomnessIsTheExecutionsOwn(t *testing.T) {
	t.Parallel()
	g := guestOf(t, project(t, "testdata/sandbox"))
	var draws [3][4]any
	for i, seed := range []byte{1, 1, 2} {
		output, err := g.action(t, "draw", seed)
		if err != nil {
			t.Fatal(describe(err))
		}
		if err := json.Unmarshal(output, &draws[i]); err != nil {
			t.Fatal(err)
		}
	}
	if draws[0] != draws[1] {
		t.Errorf("one seed gave %v and %v", draws[0], draws[1])
	}
	if draws[0][0] != draws[2][0] || draws[0][1] == draws[2][1] || draws[0][2] == draws[2][2] {
		t.Errorf("two seeds gave %v and %v; only what was drawn while loading may be equal", draws[0], draws[2])
	}
}

func TestShadowedGlobalsBreakNobodyElse(t *testing.T) {
	t.Parallel()
	dir := project(t, "")
	write(t, dir, "connector.ts", `
import { defineConnector, s } from "@cofferdam/connector";
const g = globalThis as any;
for (const name of ["JSON", "Promise", "Object", "Array", "Map", "Set", "Error", "Date", "String", "Number", "Symbol", "Uint8Array", "TextEncoder", "fetch", "console"]) {
  g[name] = undefined;
}
({}).constructor.prototype.surprise = 1;
export default defineConnector({ name: "shadows", version: "1.0.0", hosts: ["a.test"], config: { n: s.int().default(1) } })
  .action("run", { input: { a: s.array(s.int()) }, async run(ctx, input) {
    const { data } = await ctx.http.post<any>("https://a.test/echo", { sum: input.a[0] });
    ctx.log.info("x", { a: input.a });
    return [data.body, ctx.config.n];
  } })
  .action("fail", { run() { null!.x; } });
`)
	g := guestOf(t, dir)
	output, err := g.call(t, "action", `{"execution":"exe_1","attempt":1,"action":"run","input":{"a":[42]},"config":{},"connections":{}}`, 1)
	if got, want := string(output), `["{\"sum\":42}",1]`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err = g.action(t, "fail", 1); err == nil || !strings.Contains(describe(err), "plugin_bug: TypeError: ") {
		t.Errorf("got %v", err)
	}
}

func TestALibrarysSchemaIsCheckedInTheSandbox(t *testing.T) {
	t.Parallel()
	dir := project(t, "")
	write(t, dir, "connector.ts", `
import { defineConnector } from "@cofferdam/connector";
import { z } from "zod";
export default defineConnector({ name: "zod", version: "1.0.0" })
  .action("run", { input: z.object({ email: z.email(), at: z.iso.datetime().optional(), n: z.number().default(2) }), run: (_, input) => input });
`)
	g := guestOf(t, dir)
	const envelope = `{"execution":"exe_1","attempt":1,"action":"run","input":{"email":"EMAIL"},"config":{},"connections":{}}`
	output, err := g.call(t, "action", strings.Replace(envelope, "EMAIL", "a@b.test", 1), 1)
	if got, want := string(output), `{"email":"a@b.test","n":2}`; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	_, err = g.call(t, "action", strings.Replace(envelope, "EMAIL", "nobody", 1), 1)
	if err == nil || !strings.Contains(describe(err), "invalid_input: the input does not fit: email: Invalid email") {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeLoadedIsExplained(t *testing.T) {
	t.Parallel()
	const define = `import { defineConnector } from "@cofferdam/connector"; const c = defineConnector({ name: "a", version: "1.0.0" }); `
	tests := map[string]struct{ source, want string }{
		"a request":           {define + `fetch("https://a.test/"); export default c;`, "a request is made while the connector is loaded"},
		"randomness":          {define + `const id = crypto.randomUUID(); export default c.action(id, { run() {} });`, "random bytes are asked for while the connector is loaded"},
		"another export":      {define + `export default { c };`, "the entry file exports no connector as default, but an object that defineConnector has not made"},
		"a function":          {define + `export default () => c;`, "but a function"},
		"a promise":           {define + `export default Promise.resolve(c);`, "but a promise"},
		"a timer":             {define + `setTimeout(() => {}, 100); export default c;`, "setTimeout with a delay of 100 ms would never fire"},
		"a name twice":        {define + `export default c.action("a", { run() {} }).action("a", { run() {} });`, `there are two of action "a"`},
		"a part without run":  {define + `export default c.webhook("w", {} as never);`, `webhook "w" has no run`},
		"something of Node's": {define + `export default c.action(process.cwd(), { run() {} });`, "process is not defined"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, "")
			write(t, dir, "connector.ts", tt.source)
			_, err := built(t, dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAWebhookIsVerifiedInTheSandbox(t *testing.T) {
	t.Parallel()
	dir := project(t, "")
	write(t, dir, "connector.ts", `
import { defineConnector, isSignature } from "@cofferdam/connector";
export default defineConnector({ name: "acme", version: "1.0.0" }).webhook("orders", {
  async verify(ctx, delivery) {
    const want = await ctx.sign.hmac("secret", "hmac-sha256", delivery.url + delivery.text());
    return isSignature(want, delivery.headers.get("x-signature")) ? { accept: true, id: "7" } : { accept: false, code: "signature_invalid" };
  },
  run: (_ctx, delivery) => delivery.id,
});
`)
	g := guestOf(t, dir)
	if !g.manifest.Webhooks[0].Verify {
		t.Fatal("the manifest does not say that it verifies")
	}
	for given, want := range map[string]string{"cafe": `{"accept":true,"id":"7"}`, "beef": `{"accept":false,"code":"signature_invalid"}`} {
		output, err := g.call(t, "verify", `{"verify":"orders","time":"2026-03-29T01:00:00Z","request":{"method":"POST","url":"https://a.test/","query":"","headers":{"x-signature":["`+given+`"]},"body":"b"},"config":{}}`, 1)
		if err != nil || string(output) != want {
			t.Errorf("%s: got %s, %v, want %s", given, output, err, want)
		}
	}
	if output, err := g.call(t, "webhook", `{"webhook":"orders","request":{"id":"8"},"config":{}}`, 1); err != nil || string(output) != `"8"` {
		t.Errorf("the webhook: got %s, %v", output, err)
	}
}

func TestTwoCopiesOfTheSDKAreRefused(t *testing.T) {
	t.Parallel()
	dir := project(t, "")
	files, err := typescript.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name, ok := strings.CutPrefix(f.Name, "dist/"); ok {
			write(t, dir, "copied/"+name, string(f.Content))
		}
	}
	write(t, dir, "connector.ts", `
import { ConnectorError } from "./copied/index.js";
import { defineConnector } from "@cofferdam/connector";
export default defineConnector({ name: "a", version: "1.0.0" }).action("a", { run() { throw new ConnectorError("x", "y"); } });
`)
	_, err = built(t, dir)
	if err == nil || !strings.Contains(err.Error(), "there are two copies of @cofferdam/connector in the bundle") {
		t.Errorf("got %v", err)
	}
}

// guest is a built connector.
type guest struct {
	module   *runtime.Module
	manifest struct {
		Actions  []struct{ Name string }
		Webhooks []struct{ Verify bool }
	}
}

func guestOf(t *testing.T, dir string) *guest {
	t.Helper()
	plugin, err := built(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: functions(), CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.WithoutCancel(t.Context())) })
	g := &guest{}
	if g.module, err = rt.Prepare(t.Context(), plugin.Wasm, runtime.Limits{}); err != nil {
		t.Fatal(err)
	}
	described, err := g.call(t, "describe", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(described, &g.manifest); err != nil {
		t.Fatal(err)
	}
	return g
}

func built(t *testing.T, dir string) (*build.Plugin, error) {
	t.Helper()
	return build.Project(t.Context(), dir, build.Options{NoCheck: true, CacheDir: runtimetest.CacheDir(t), Schemes: []string{"github"}})
}

func functions() []string {
	return []string{"http", "state_get", "state_set", "state_delete", "state_cas", "state_add", "state_list", "log", "emit", "tag", "sleep", "sign"}
}

func (g *guest) action(t *testing.T, name string, seed byte) ([]byte, error) {
	t.Helper()
	return g.call(t, "action", `{"execution":"exe_1","attempt":1,"action":"`+name+`","input":{},"config":{},"connections":{"a":{"site":"s"}}}`, seed)
}

func (g *guest) call(t *testing.T, export, input string, seed byte) ([]byte, error) {
	t.Helper()
	result, err := g.module.Call(t.Context(), runtime.Call{
		Export: export, Input: []byte(input), World: runtime.World{Seed: [32]byte{seed}}, Host: vendor{},
	})
	return result.Output, err
}

// describe is all that the host is told of a failure.
func describe(err error) string {
	text := err.Error()
	if f, ok := errors.AsType[*runtime.Failure](err); ok {
		text += " " + string(f.Details)
	}
	return text
}

// vendor is a host, and a third party that tells what it was asked.
type vendor struct{}

// Call implements runtime.Host.
func (vendor) Call(_ context.Context, c runtime.Crossing) (runtime.Answer, error) {
	var asked struct{ URL string }
	if c.Func == "sign" {
		return runtime.Answer{Response: []byte(`{"result":{"hex":"cafe","base64":"yv4="}}`)}, nil
	}
	if c.Func != "http" {
		return runtime.Answer{Response: []byte(`{"result":{}}`)}, nil
	}
	if err := json.Unmarshal(c.Request, &asked); err != nil {
		return runtime.Answer{}, err
	}
	answer := map[string]any{"status": 200, "headers": map[string][]string{"content-type": {"application/json"}}, "body": string(c.Request)}
	switch {
	case strings.HasSuffix(asked.URL, "/gone"):
		answer = map[string]any{"status": 404, "headers": map[string][]string{}}
	case strings.HasSuffix(asked.URL, "/bytes"):
		answer = map[string]any{"status": 200, "headers": map[string][]string{}, "body_base64": "//4A"}
	case !strings.Contains(asked.URL, "://a.test/") && !strings.Contains(asked.URL, "://b.test/"):
		return runtime.Answer{Response: []byte(`{"error":{"code":"denied","message":"the manifest does not ask for ` + asked.URL + `"}}`)}, nil
	}
	response, err := json.Marshal(map[string]any{"result": answer})
	return runtime.Answer{Response: response}, err
}

// project makes a project in a folder of its own, with the files of another and the
// packages that npm would install.
func project(t *testing.T, files string) string {
	t.Helper()
	dir := t.TempDir()
	buildtest.Install(t, dir)
	write(t, dir, "package.json", `{"name":"p","type":"module","dependencies":{"@cofferdam/connector":"*"}}`)
	if files != "" {
		if err := os.CopyFS(dir, os.DirFS(files)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}
