package quickjs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	extism "github.com/extism/go-sdk"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
	"github.com/cofferdam-run/cofferdam/sdk/build/quickjs"
)

func decode(t *testing.T, binary []byte) *wasm.Module {
	t.Helper()
	m, err := wasm.Decode(binary, wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestModulesHaveWhatTheHostServesAndCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	linked, frozen := decode(t, b.engine), decode(t, b.frozen)
	var exports []string
	for _, e := range linked.Exports {
		exports = append(exports, e.Name)
	}
	want := []string{"memory", "load", "describe", "action", "webhook", "verify", "poll", "test", "confirm"}
	if diff := cmp.Diff(want, exports); diff != "" {
		t.Errorf("exports: -want +got\n%s", diff)
	}
	if linked.Start != nil {
		t.Error("there is a start function, which a frozen module would run again")
	}
	for _, e := range frozen.Exports {
		if e.Name == "load" {
			t.Error("the frozen module still has load")
		}
	}
	imports := map[string][]string{}
	for _, i := range linked.Imports {
		if i.Kind != wasm.KindFunction {
			t.Errorf("%s.%s is imported, and no function", i.Module, i.Name)
		}
		imports[i.Module] = append(imports[i.Module], i.Name)
	}
	if diff := cmp.Diff(functions(), imports["extism:host/user"]); diff != "" {
		t.Errorf("functions: -want +got\n%s", diff)
	}
	if len(imports) != 3 || len(imports["wasi_snapshot_preview1"]) != 6 || len(imports["extism:host/env"]) != 12 {
		t.Errorf("got the imports %v, want WASI's six, Extism's twelve, and the functions", imports)
	}
}

func TestLinkingIsDeterministic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	again, err := quickjs.Link(packageDir(t), []string{"state_get", "log", "http", "log"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, b.engine) {
		t.Error("the same functions in another order give another module")
	}
	frozen, err := b.freeze(t.Context(), probe)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(frozen, b.frozen) {
		t.Error("the same bundle gives another frozen module")
	}
}

func TestModulesCanBePutBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if reason := b.probe.Facts().Fresh; reason != "" {
		t.Errorf("each call needs an instance of its own: %s", reason)
	}
}

func TestFunctionNamesAreChecked(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a\x00b", "a\xffb"} {
		_, err := quickjs.Link(packageDir(t), []string{"http", name})
		want := fmt.Sprintf("link the engine: the function %q has a name that cannot be imported", name)
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// pattern is what the heap is filled with to see where it lies.
const pattern = 0xa5

func TestTheHeapDoesNotGrowIntoTheModulesData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Small blocks, which fill every hole, and large ones, which grow the memory.
	frozen, err := b.freeze(t.Context(), fmt.Sprintf(`globalThis.blocks = [];
		for (let i = 0; i < 6000; i++) blocks.push(new Uint8Array(512).fill(%[1]d));
		for (let i = 0; i < 8; i++) blocks.push(new Uint8Array(1 << 20).fill(%[1]d));
		__cofferdam_dispatch = () => {}`, pattern))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := os.ReadFile(filepath.Join(packageDir(t), "quickjs.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	low := int(decode(t, engine).Memory.Min) * wasm.PageBytes
	high := int(decode(t, b.engine).Memory.Min) * wasm.PageBytes
	if high-low < 270<<10 {
		t.Fatalf("the modules' data lies in %d to %d, which has no room for it", low, high)
	}
	run := bytes.Repeat([]byte{pattern}, 256)
	within, beyond := 0, 0
	for _, d := range decode(t, frozen).Data {
		at := offset(t, d.Offset)
		for i := 0; i+len(run) <= len(d.Init); i += len(run) {
			if !bytes.Equal(d.Init[i:i+len(run)], run) {
				continue
			}
			if place := at + i; place >= low && place < high {
				within++
			} else if place >= high {
				beyond++
			}
		}
	}
	if within > 0 {
		t.Errorf("%d blocks of the heap lie in the modules' data, at %d to %d", within, low, high)
	}
	if most := 8 << 20 / len(run); beyond < most {
		t.Errorf("the heap was looked for, and %d of %d blocks found", beyond, most)
	}
}

func offset(t *testing.T, e wasm.Expr) int {
	t.Helper()
	s := wasm.NewScanner(e)
	if !s.Next() || s.Instruction().Op != wasm.OpI32Const {
		t.Fatalf("the offset %x is no number", []byte(e))
	}
	return int(uint32(s.Instruction().Value))
}

// copyPackage is a copy that may be spoilt.
func copyPackage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(packageDir(t))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOtherPackagesAreRefused(t *testing.T) {
	t.Parallel()
	const sum = "d4c9375f2b1ca4dc95f72c8aa2982a7a9951ac8011490d79c6582df732b4bbd9"
	for _, test := range []struct {
		name  string
		spoil func(dir string) error
		file  string
		want  string
	}{
		{"no package", os.RemoveAll, "package.json", "is missing: run npm install"},
		{"no engine", remove("quickjs.wasm"), "quickjs.wasm", "is missing: run npm install"},
		{"no side module", remove("extensions/url/url.so"), "extensions/url/url.so", "is missing: run npm install"},
		{
			"an altered engine", write("quickjs.wasm", "altered"), "quickjs.wasm",
			"was altered: its SHA-256 is 4aa009153649a0a7c1425387f3da9c72330ad069ea9f69ce1640abe46f92a83b instead of " + sum + ": delete node_modules and run npm install",
		},
		{"another version", write("package.json", `{"name":"quickjs-wasi","version":"4.0.0"}`), "package.json", "is of quickjs-wasi 4.0.0 instead of quickjs-wasi 3.6.2: run npm install --save-exact quickjs-wasi@3.6.2"},
		{"another package", write("package.json", `{"name":"left-pad","version":"3.6.2"}`), "package.json", "is of left-pad 3.6.2 instead of quickjs-wasi 3.6.2: run npm install --save-exact quickjs-wasi@3.6.2"},
		{"a manifest that is no JSON", write("package.json", `{`), "package.json", "is not JSON: unexpected end of JSON input: delete node_modules and run npm install"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := copyPackage(t)
			if err := test.spoil(dir); err != nil {
				t.Fatal(err)
			}
			_, err := quickjs.Link(dir, functions())
			if _, ok := errors.AsType[*quickjs.EngineError](err); !ok {
				t.Fatalf("got %v, want an EngineError", err)
			}
			path := filepath.Join(dir, filepath.FromSlash(test.file))
			want := "engine file " + path + " " + test.want
			if err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func remove(file string) func(string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, filepath.FromSlash(file))) }
}

func write(file, content string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, filepath.FromSlash(file))
		return errors.Join(os.Remove(path), os.WriteFile(path, []byte(content), 0o600))
	}
}

// TestTheGlueIsWhatItsSourceCompilesTo runs the command of the go:generate line.
// Other versions of clang compile to other bytes.
func TestTheGlueIsWhatItsSourceCompilesTo(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"clang-14", "wasm-ld-14"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, "COFFERDAM_TEST_REQUIRE_COMPILERS", tool+" is not here")
		}
	}
	source, err := os.ReadFile("quickjs.go")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(source), "//go:generate ")
	line, _, _ = strings.Cut(line, "\n")
	args := strings.Fields(line)
	const committed = "glue/glue.wasm"
	made := filepath.Join(t.TempDir(), "glue.wasm")
	for i := range args {
		if args[i] == committed {
			args[i] = made
		}
	}
	if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what glue.c compiles to: run go generate ./sdk/build/quickjs", committed)
	}
}

func TestFrozenModulesRunInStockExtism(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var user []extism.HostFunction
	for _, name := range functions() {
		f := extism.NewHostFunctionWithStack(name, func(_ context.Context, p *extism.CurrentPlugin, stack []uint64) {
			request, err := p.ReadString(stack[0])
			if err == nil {
				stack[0], err = p.WriteString(`{"result":{"function":"` + name + `","request":` + request + `}}`)
			}
			if err != nil {
				t.Error(err)
			}
		}, []extism.ValueType{extism.ValueTypePTR}, []extism.ValueType{extism.ValueTypePTR})
		user = append(user, f)
	}
	plugin, err := extism.NewPlugin(t.Context(), extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: b.frozen}}},
		extism.PluginConfig{EnableWasi: true}, user)
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close(t.Context())
	const code = `[new URL("https://a/ü").href, JSON.parse(call("http", '"😀"')).result.request, [1, 2].map(x => x * 2)]`
	input := []byte(fmt.Sprintf(`{"code":%q}`, code))
	want, err := b.probe.Call(t.Context(), runtime.Call{Export: "action", Input: input, World: world(1), Host: host{}})
	if err != nil {
		t.Fatal(err)
	}
	exit, got, err := plugin.Call("action", input)
	if err != nil || exit != 0 {
		t.Fatalf("it exits with %d: %v", exit, err)
	}
	if !bytes.Equal(got, want.Output) {
		t.Errorf("there it is %s, here %s", got, want.Output)
	}
	if _, _, err := plugin.Call("action", []byte(`{"raw":"() => { throw new Error('wrong') }"}`)); err == nil || !strings.Contains(err.Error(), "Error: wrong") {
		t.Errorf("got %v, want the error that was thrown", err)
	}
}

func TestWhatLoadingLeavesBehindTakesNoRoom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const mount = `__cofferdam_dispatch = () => {};`
	small, err := b.freeze(t.Context(), mount)
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"a comment":            "/*" + strings.Repeat("comment ", 1<<17) + "*/",
		"code that ran":        "(() => {" + strings.Repeat("[1, 'two', { three: x => x + 1 }].map(y => y);", 5000) + "})();",
		"values":               "let a = []; for (let i = 0; i < 50000; i++) a.push('text ' + i, { i }); a = null;",
		"a cycle":              "for (let i = 0; i < 5000; i++) { const a = { text: 'text ' + i }; a.a = a }",
		"a string":             "JSON.parse(JSON.stringify('x'.repeat(1 << 20))).length;",
		"an array grown":       "{ const a = []; for (let i = 0; i < 1e5; i++) a.push(0x12345678) }",
		"a regular expression": "/(?:a|b)*$/.test('ab'.repeat(1e5));",
	} {
		large, err := b.freeze(t.Context(), script+mount)
		if err != nil {
			t.Fatal(err)
		}
		const most = 64 << 10
		if more := len(large) - len(small); more > most {
			t.Errorf("%s: the frozen module is %d bytes larger, want at most %d", name, more, most)
		}
	}
}
