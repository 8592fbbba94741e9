package runtime_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	extism "github.com/extism/go-sdk"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// scenario is one call, made on both engines.
type scenario struct {
	file, export, input string
	// name tells scenarios of one file and export apart.
	name string
	// module is what runs instead of the file.
	module []byte
	// further are modules to link with.
	further []string
	config  map[string]string
	hosts   []string
	paths   map[string]string
	memory  *extism.ManifestMemory
	// timeout is in milliseconds.
	timeout uint64
	// headers lets the guest see an answer's headers on the SDK, where that is an option.
	headers bool
}

func (s scenario) String() string {
	return strings.TrimSpace(s.file + " " + s.export + " " + s.name)
}

// outcome is what a caller sees of a call, in words that both engines' can be
// brought to.
type outcome struct {
	// Ended is how: "returned 0", "exit 2", "error: ", "trap: " or "host: " and a
	// text, or one of the words below endedNotLoaded.
	Ended  string
	Output string
	// Logs are "level message", lines of standard output as info, of standard error as warn.
	Logs []string
}

// TestConformance runs the plugins that come with Extism's Go SDK, built by
// others from Go, Rust, C and Haskell, with all that the SDK's own tests ask of
// them and every further export that can be called, on the SDK and here. A
// difference that is not listed fails, and so does one that is listed and is not
// there.
func TestConformance(t *testing.T) {
	t.Parallel()
	peer, ours := newPeer(t), newOurs(t, newWeb(t))
	all := scenarios(t, peer.dir)
	all = append(all, ours.furtherExports(t, all)...)
	modules := map[string]bool{}
	var equal, listed atomic.Int64
	t.Run("calls", func(t *testing.T) {
		for _, s := range all {
			modules[s.file] = true
			t.Run(s.String(), func(t *testing.T) {
				t.Parallel()
				want, got := peer.call(t, s), ours.call(t, s)
				diff := cmp.Diff(want, got)
				expected, known := differences()[s.String()]
				switch {
				case !known && diff == "":
					equal.Add(1)
				case !known:
					t.Errorf("differs from the SDK (-sdk +ours):\n%s", diff)
				case diff == "":
					t.Errorf("no longer differs from the SDK: take it off the list (%s)", expected.why)
				case want.Ended != expected.sdk || got.Ended != expected.ours:
					t.Errorf("ended as %q there and %q here, want %q and %q:\n%s", want.Ended, got.Ended, expected.sdk, expected.ours, diff)
				default:
					listed.Add(1)
				}
			})
		}
	})
	t.Logf("%d modules, %d calls: %d equal, %d differ as listed", len(modules), len(all), equal.Load(), listed.Load())
	for name := range differences() {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.String() == name }) {
			t.Errorf("the list has %q, which no call is named", name)
		}
	}
}

// scenarios are what the SDK's own tests call, and with what.
func scenarios(t *testing.T, dir string) []scenario {
	t.Helper()
	all := []scenario{
		{file: "alloc.wasm", export: "run_test"},
		{file: "alloc.wasm", export: "i_dont_exist"},
		{file: "config.wasm", export: "run_test", name: "set", config: map[string]string{"thing": "hello"}},
		{file: "config.wasm", export: "run_test", name: "unset"},
		{file: "count_vowels.wasm", export: "count_vowels", name: "config", input: "aXbX", config: map[string]string{"vowels": "X"}},
		{file: "count_vowels_std.wasm", export: "_start", input: "hello world"},
		{file: "exit.wasm", export: "_start", name: "-1", config: map[string]string{"code": "-1"}},
		{file: "exit.wasm", export: "_start", name: "500", config: map[string]string{"code": "500"}},
		{file: "exit.wasm", export: "_start", name: "abc", config: map[string]string{"code": "abc"}},
		{file: "exit.wasm", export: "_start", name: "0", config: map[string]string{"code": "0"}},
		{file: "exit.wasm", export: "_start", name: "unset"},
		{file: "fail.wasm", export: "run_test"},
		{file: "fs.wasm", export: "run_test", name: "mounted", paths: map[string]string{filepath.Join(dir, "..", "testdata"): "/mnt"}},
		{file: "fs.wasm", export: "run_test", name: "not mounted"},
		{file: "fs_std.wasm", export: "run_test", name: "not mounted"},
		{file: "hello.wasm", export: "run_test"},
		{file: "hello_haskell.wasm", export: "testing", input: "John", config: map[string]string{"greeting": "Howdy"}},
		{file: "host.wasm", export: "run_test"},
		{file: "host_memory.wasm", export: "run_test", input: "Frodo"},
		{file: "host_multiple.wasm", export: "say_green", input: "John Doe"},
		{file: "host_multiple.wasm", export: "say_purple", input: "Jane Doe"},
		{file: "http.wasm", export: "run_test", name: "allowed", hosts: []string{"jsonplaceholder.*.com"}},
		{file: "http.wasm", export: "run_test", name: "denied"},
		{file: "http.wasm", export: "run_test", name: "another allowed", hosts: []string{"google.*"}},
		{file: "http_headers.wasm", export: "http_get", name: "headers", input: `{"url":"https://extism.org"}`, hosts: []string{"extism.org"}, headers: true},
		{file: "http_headers.wasm", export: "http_get", name: "no headers", input: `{"url":"https://extism.org"}`, hosts: []string{"extism.org"}},
		{file: "http_headers.wasm", export: "http_get", name: "denied", input: `{"url":"https://extism.org"}`, headers: true},
		{file: "http_headers.wasm", export: "http_get", name: "redirect", input: `{"url":"https://extism.org/away"}`, hosts: []string{"extism.org"}, headers: true},
		{file: "http_headers.wasm", export: "http_get", name: "not found", input: `{"url":"https://extism.org/missing"}`, hosts: []string{"extism.org"}, headers: true},
		{file: "http_headers.wasm", export: "http_get", name: "not JSON", input: `https://extism.org`, hosts: []string{"extism.org"}, headers: true},
		{file: "input_offset.wasm", export: "input_offset_length", input: "hello world"},
		{file: "log.wasm", export: "run_test"},
		{file: "main.wasm", export: "run_test", name: "linked", input: "benjamin", further: []string{"lib.wasm"}},
		{file: "main.wasm", export: "run_test", name: "alone", input: "benjamin"},
		{file: "nested.c.instr.wasm", export: "_start", input: "hello world"},
		{file: "noop.wasm", export: "run_test"},
		{file: "read_write.wasm", export: "try_read", name: "mounted", config: map[string]string{"path": "/mnt/test.txt"}, paths: map[string]string{"ro:" + filepath.Join(dir, "..", "testdata"): "/mnt"}},
		{file: "read_write.wasm", export: "try_write", name: "mounted", input: "hello hello!", config: map[string]string{"path": "/mnt/test.txt"}, paths: map[string]string{"ro:" + filepath.Join(dir, "..", "testdata"): "/mnt"}},
		{file: "read_write.wasm", export: "try_read", name: "not mounted", config: map[string]string{"path": "/mnt/test.txt"}},
		{file: "sleep.wasm", export: "run_test", name: "0 s", config: map[string]string{"duration": "0"}},
		{file: "sleep.wasm", export: "run_test", name: "3 s of 100 ms", config: map[string]string{"duration": "3"}, timeout: 100},
		{file: "sleep.wasm", export: "run_test", name: "from JSON", config: map[string]string{"duration": "3"}, timeout: 100, memory: &extism.ManifestMemory{MaxPages: 100, MaxHttpResponseBytes: -1, MaxVarBytes: -1}},
		{file: "sleep.wasm", export: "run_test", name: "1 s of 3 s", config: map[string]string{"duration": "1"}, timeout: 3000},
		{file: "std_command.wasm", export: "_start", input: "ben"},
		{file: "var.wasm", export: "run_test", name: "no variables", memory: &extism.ManifestMemory{MaxHttpResponseBytes: -1}},
		{file: "var.wasm", export: "twice", module: withVariable(t, filepath.Join(dir, "var.wasm"))},
		{file: "var.wasm", export: "twice", name: "no variables", module: withVariable(t, filepath.Join(dir, "var.wasm")), memory: &extism.ManifestMemory{MaxHttpResponseBytes: -1}},
	}
	all = append(all,
		scenario{file: "alloc.wasm", export: "run_test", name: "too little memory", memory: &extism.ManifestMemory{MaxPages: 1, MaxHttpResponseBytes: -1, MaxVarBytes: -1}},
		scenario{file: "ours", export: "grow", module: runtimetest.Grow("grow"), memory: &extism.ManifestMemory{MaxPages: 100, MaxHttpResponseBytes: -1, MaxVarBytes: -1}},
		scenario{file: "ours", export: "loop", module: runtimetest.Loop("loop"), timeout: 100},
		scenario{file: "ours", export: "recurse", module: runtimetest.Recurse("recurse")},
		scenario{file: "ours", export: "trap", module: runtimetest.Trap("trap")},
		scenario{file: "ours", export: "fail", name: "with code 0", module: runtimetest.Fail("fail", "no", 0)},
		scenario{file: "ours", export: "fail", name: "with code -1", module: runtimetest.Fail("fail", "no", -1)},
		scenario{file: "ours", export: "echo", module: runtimetest.Echo("echo"), input: strings.Repeat("x", 1<<20)})
	for _, input := range []string{"hello world", "aaaaaa", "", "bbbbbbb", "benjamin", strings.Repeat("yellow, world! ", 20_000)} {
		all = append(all, scenario{file: "count_vowels.wasm", export: "count_vowels", name: fmt.Sprintf("%.12q of %d bytes", input, len(input)), input: input})
	}
	for _, times := range []int{0, 1, 2, 4, 8, 16} {
		input := strings.Repeat(benchmarkText(t, dir), times)
		all = append(all, scenario{file: "replace.wasm", export: "run_test", name: fmt.Sprintf("%d bytes", len(input)), input: input})
	}
	return all
}

// benchmarkText is what the SDK's benchmarks have replaced.
func benchmarkText(t *testing.T, dir string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(dir, "..", "extism_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Regex2048 = "([^"]+)"`).FindSubmatch(source)
	if found == nil {
		t.Fatal("the SDK's tests have no Regex2048")
	}
	return string(found[1])
}

// withVariable is var.wasm with an export that sets the variable as the SDK's
// test does from outside, has it doubled twice, and outputs it: variables are
// seen by both engines' guests, but by the SDK's host alone.
func withVariable(t *testing.T, path string) []byte {
	t.Helper()
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := wasm.Decode(binary, wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string) uint32 { return functionNamed(t, m, name) }
	const name, value = 0, 1 // Locals: the offsets.
	var c wasm.Code
	place := func(local uint32, content string) {
		c.I64(int64(len(content)))
		c.Index(wasm.OpCall, f("alloc"))
		c.Index(wasm.OpLocalSet, local)
		for i := range content {
			c.Index(wasm.OpLocalGet, local)
			c.I64(int64(i))
			c.Op(wasm.OpI64Add)
			c.I32(int32(content[i]))
			c.Index(wasm.OpCall, f("store_u8"))
		}
		c.Index(wasm.OpLocalGet, local)
	}
	place(name, "a")
	place(value, "\x0a\x00\x00\x00")
	c.Index(wasm.OpCall, f("var_set"))
	for range 2 {
		c.Index(wasm.OpCall, f("run_test"))
		c.Op(wasm.OpDrop)
	}
	place(name, "a")
	c.Index(wasm.OpCall, f("var_get"))
	c.Index(wasm.OpLocalTee, value)
	c.Index(wasm.OpLocalGet, value)
	c.Index(wasm.OpCall, f("length"))
	c.Index(wasm.OpCall, f("output_set"))
	c.I32(0)
	c.Op(wasm.OpEnd)
	m.Exports = append(m.Exports, wasm.Export{Name: "twice", Index: m.ImportCount(wasm.KindFunction) + uint32(len(m.Functions))})
	m.Types = append(m.Types, wasm.FuncType{Results: []wasm.ValueType{wasm.I32}})
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	m.Code = append(m.Code, wasm.Body{Locals: []wasm.Locals{{Count: 2, Type: wasm.I64}}, Code: c})
	return m.Encode()
}

// functionNamed finds a function by the name under which it is imported or exported.
func functionNamed(t *testing.T, m *wasm.Module, name string) uint32 {
	t.Helper()
	for i := range m.Imports {
		if m.Imports[i].Name == name {
			return uint32(i) // All imports are functions.
		}
	}
	for _, e := range m.Exports {
		if e.Name == name {
			return e.Index
		}
	}
	t.Fatalf("the module has no function %q", name)
	return 0
}

// sdkFolder is where the SDK's source is, which this test is built with.
func sdkFolder(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatalf("find the SDK: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// furtherExports are the exports of the SDK's modules that its tests do not call.
func (o *ours) furtherExports(t *testing.T, called []scenario) []scenario {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(o.dir, "*.wasm"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("find the SDK's modules: %v", err)
	}
	var all []scenario
	for _, path := range paths {
		exports := []string{"_start"}
		file := filepath.Base(path)
		if module, err := o.prepare(t, scenario{file: file}, runtime.Limits{}); err == nil {
			exports = module.Exports()
		}
		for _, export := range exports {
			if !slices.ContainsFunc(called, func(s scenario) bool { return s.file == file && s.export == export }) {
				all = append(all, scenario{file: file, export: export, name: "as it is", input: "as it is"})
			}
		}
	}
	return all
}
