package build_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
)

// project writes a TypeScript project and installs its packages.
func project(t *testing.T, files string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	archive := txtar.Parse([]byte(files))
	archive.Files = append(archive.Files, txtar.File{
		Name: "package.json", Data: []byte(`{"name":"shop","type":"module","dependencies":{"@cofferdam/connector":"0.1.0"}}`),
	})
	write(t, dir, archive)
	buildtest.Install(t, dir)
	return dir
}

func options(t *testing.T) build.Options {
	t.Helper()
	return build.Options{NoCheck: true, CacheDir: runtimetest.CacheDir(t), Schemes: []string{"github", "standard-webhooks"}}
}

func built(t *testing.T, dir string, o build.Options) *build.Plugin {
	t.Helper()
	plugin, err := build.Project(t.Context(), dir, o)
	if err != nil {
		t.Fatalf("build %s:\n%v", dir, err)
	}
	return plugin
}

// call runs an action of a plugin in the sandbox.
func call(t *testing.T, wasm []byte, action, input string) (runtime.Result, error) {
	t.Helper()
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: functions(), CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(t.Context()) })
	module, err := rt.Prepare(t.Context(), wasm, runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	envelope := `{"execution":"exe_1","attempt":1,"action":"` + action + `","input":` + input + `,"config":{},"connections":{}}`
	return module.Call(t.Context(), runtime.Call{Export: "action", Input: []byte(envelope)})
}

// functions are those of every host.
func functions() []string {
	return []string{"http", "state_get", "state_set", "state_delete", "state_cas", "state_add", "state_list", "log", "emit", "tag", "sleep"}
}

const greeter = `
-- src/connector.ts --
import { defineConnector, s } from "@cofferdam/connector";
import { greeting } from "./greeting";

export default defineConnector({ name: "shop", version: "1.2.0", title: "Shop", hosts: ["api.example.com"] })
  .action("greet", { input: { name: s.string() }, run: (_, { name }) => ({ greeting: greeting(name) }) })
  .action("fail", {
    run() {
      throw new RangeError("no " + greeting("way"));
    },
  });
-- src/greeting.ts --
/** What is said. */
export function greeting(name: string): string {
  if (name === "nobody") {
    throw new Error("nobody is there");
  }
  return ` + "`Hello, ${name}!`" + `;
}
`

func TestATypeScriptProjectBecomesAPlugin(t *testing.T) {
	t.Parallel()
	plugin := built(t, project(t, greeter), options(t))

	if m := plugin.Manifest; m.Name != "shop" || m.Version != "1.2.0" || len(m.Actions) != 2 || m.Level != 1 {
		t.Errorf("got the manifest %+v", m)
	}
	result, err := call(t, plugin.Wasm, "greet", `{"name":"Ada"}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(result.Output), `{"greeting":"Hello, Ada!"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if plugin.Bundle == nil || plugin.Bundle.Bytes == 0 || plugin.Bundle.Parts[0].Name != "@cofferdam/connector" {
		t.Errorf("got the bundle %+v", plugin.Bundle)
	}
	if len(plugin.Warnings) != 0 {
		t.Errorf("got the warnings %v", plugin.Warnings)
	}
}

func TestAPluginSaysWhatItIs(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Builder = "cofferdam 1.4.0"
	plugin := built(t, project(t, greeter), o)

	section, _ := runtime.Section(plugin.Wasm, build.SectionManifest)
	described, err := manifest.Parse(section)
	if err != nil {
		t.Fatalf("the section %s: %v", build.SectionManifest, err)
	}
	if diff := cmp.Diff(plugin.Manifest, described); diff != "" {
		t.Errorf("the section's manifest is another:\n%s", diff)
	}
	section, _ = runtime.Section(plugin.Wasm, build.SectionInfo)
	info, err := provenance.Parse(section)
	if err != nil {
		t.Fatalf("the section %s: %v", build.SectionInfo, err)
	}
	if info.Builder != "cofferdam 1.4.0" || info.Language != "typescript" || info.Engine == nil || info.Engine.Name != "quickjs-wasi" || info.Revision != "" {
		t.Errorf("got the build %+v", info)
	}
	section, _ = runtime.Section(plugin.Wasm, build.SectionSourceMap)
	var sources struct {
		Sources []string `json:"sources"`
	}
	if err := json.Unmarshal(section, &sources); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(sources.Sources, "src/greeting.ts") {
		t.Errorf("got the sources %q", sources.Sources)
	}
	for _, s := range sources.Sources {
		if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "..") {
			t.Errorf("the source %q tells where the project is", s)
		}
	}
}

func TestWhatIsThrownNamesLinesOfTypeScript(t *testing.T) {
	t.Parallel()
	plugin := built(t, project(t, greeter), options(t))
	for _, c := range []struct{ action, input, message, where string }{
		{"fail", `{}`, "no Hello, way!", "src/connector.ts:8:"},
		{"greet", `{"name":"nobody"}`, "nobody is there", "src/greeting.ts:4:"},
	} {
		_, err := call(t, plugin.Wasm, c.action, c.input)
		failure, ok := errors.AsType[*runtime.Failure](err)
		if !ok {
			t.Fatalf("%s: got %v, want a *Failure", c.action, err)
		}
		if !strings.Contains(failure.Message, c.message) {
			t.Errorf("got the message %q, want %q in it", failure.Message, c.message)
		}
		if !strings.Contains(string(failure.Details), c.where) {
			t.Errorf("%s: got the details %s, want %s in them", c.action, failure.Details, c.where)
		}
	}
}

func TestEqualSourcesGiveEqualBytes(t *testing.T) {
	t.Parallel()
	const packages = `
-- src/connector.ts --
import { defineConnector } from "@cofferdam/connector";
import Ajv from "ajv";
import dayjs from "dayjs";

export default defineConnector({ name: "shop", version: "1.0.0" })
  .action("today", { run: () => [dayjs("2026-01-02").format("DD.MM.YYYY"), new Ajv().validate({ type: "string" }, 1)] });
`
	one, other := project(t, packages), project(t, packages)
	first := built(t, one, options(t))
	if again := built(t, one, options(t)); again.Digest != first.Digest {
		t.Errorf("built again: got %s, want %s", again.Digest, first.Digest)
	}
	// Without what an earlier build has compiled, and in another folder.
	o := options(t)
	o.CacheDir = ""
	if elsewhere := built(t, other, o); elsewhere.Digest != first.Digest {
		t.Errorf("built in another folder: got %s, want %s", elsewhere.Digest, first.Digest)
	}
	if file := built(t, filepath.Join(one, "src", "connector.ts"), options(t)); file.Digest != first.Digest {
		t.Errorf("built by its file: got %s, want %s", file.Digest, first.Digest)
	}
	for _, secret := range []string{one, filepath.Dir(one), buildtest.Root(t)} {
		if bytes.Contains(first.Wasm, []byte(secret)) {
			t.Errorf("the plugin tells the folder %s of this machine", secret)
		}
	}
}

func TestABuilderBuildsWhatHasChanged(t *testing.T) {
	t.Parallel()
	dir := project(t, greeter)
	b, err := build.New(t.Context(), dir, options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(t.Context()) })
	build := func() *build.Plugin {
		t.Helper()
		plugin, err := b.Build(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return plugin
	}
	first := build()
	if again := build(); again.Digest != first.Digest {
		t.Errorf("nothing has changed, and got %s, want %s", again.Digest, first.Digest)
	}
	file := filepath.Join(dir, "src", "greeting.ts")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit(strings.Replace(string(text), "return", "return (", 1))
	if _, err := b.Build(t.Context()); err == nil || !strings.Contains(err.Error(), "src/greeting.ts:6:") {
		t.Errorf("broken: got %v, want the place", err)
	}
	edit(strings.Replace(string(text), "Hello", "Good day", 1))
	result, err := call(t, build().Wasm, "greet", `{"name":"Ada"}`)
	if got, want := string(result.Output), `{"greeting":"Good day, Ada!"}`; err != nil || got != want {
		t.Errorf("edited: got %s, %v, want %s", got, err, want)
	}
	edit(string(text))
	if back := build(); back.Digest != first.Digest {
		t.Errorf("edited back: got %s, want %s", back.Digest, first.Digest)
	}
	if !slices.Contains(b.Inputs(), must(filepath.EvalSymlinks(file))) {
		t.Errorf("the inputs %q lack %s", b.Inputs(), file)
	}
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

func TestTypesAreCheckedBesideTheBuild(t *testing.T) {
	t.Parallel()
	dir := project(t, strings.Replace(greeter, "(name: string): string", "(name: string): number", 1))
	b, err := build.New(t.Context(), dir, options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(t.Context()) })
	if _, err := b.Build(t.Context()); err != nil {
		t.Errorf("without the check: %v", err)
	}
	problems, err := b.Check(t.Context())
	if err != nil || len(problems) != 1 || problems[0].File != "src/greeting.ts" || problems[0].Line != 6 || problems[0].Caret == "" {
		t.Errorf("got %v, %v, want one problem in line 6", problems, err)
	}
	o := options(t)
	o.NoCheck = false
	if plugin := built(t, project(t, greeter), o); plugin.Took.Check == 0 {
		t.Error("the check took no time")
	}
}

func TestFunctionsOfTheHostAppAreLinked(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Functions = []string{"plan_of"}
	plugin := built(t, project(t, `
-- connector.ts --
import { defineConnector } from "@cofferdam/connector";

export default defineConnector({ name: "shop", version: "1.0.0", functions: ["plan_of"] })
  .action("plan", { run: (ctx) => ctx.host.call("plan_of", { tenant: "acme" }) });
`), o)
	if diff := cmp.Diff([]string{"plan_of"}, plugin.Manifest.Functions); diff != "" {
		t.Error(diff)
	}
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: append(functions(), "plan_of"), CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(t.Context()) })
	module, err := rt.Prepare(t.Context(), plugin.Wasm, runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(module.Imports(), "plan_of") {
		t.Errorf("got the imports %q, want plan_of among them", module.Imports())
	}
}

// TestTheSDKMayBeACheckout links the SDK's folder, as "file:../sdk" does, in which
// nothing has been built.
func TestTheSDKMayBeACheckout(t *testing.T) {
	t.Parallel()
	dir := project(t, greeter)
	want := built(t, dir, options(t))
	sdk := filepath.Join(dir, "node_modules", "@cofferdam", "connector")
	if err := os.RemoveAll(filepath.Join(sdk, "dist")); err != nil {
		t.Fatal(err)
	}
	checkout := filepath.Join(t.TempDir(), "sdk")
	if err := os.Rename(sdk, checkout); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(checkout, sdk); err != nil {
		t.Fatal(err)
	}
	plugin := built(t, dir, options(t))
	if diff := cmp.Diff(want.Manifest, plugin.Manifest); diff != "" {
		t.Errorf("(-built +checkout):\n%s", diff)
	}
	if bytes.Contains(plugin.Wasm, []byte(checkout)) {
		t.Error("the plugin tells where the checkout is")
	}
}
