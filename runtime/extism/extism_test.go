package extism_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/extism/go-sdk"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/extism"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

const (
	content = "\x00asm-content"
	hash    = "5cb77e9f9e4f5a5d2c3b4a69788796a5b4c3d2e1f00f1e2d3c4b5a6978879605"
)

// folder has plugin.wasm, deep/plugin.wasm, and links out of it. Beside it is
// outside.wasm.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	inner := filepath.Join(dir, "manifests")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(inner, "deep"), 0o700),
		os.WriteFile(filepath.Join(dir, "outside.wasm"), []byte(content), 0o600),
		os.WriteFile(filepath.Join(inner, "plugin.wasm"), []byte(content), 0o600),
		os.WriteFile(filepath.Join(inner, "deep", "plugin.wasm"), []byte(content), 0o600),
		os.Symlink(filepath.Join("..", "outside.wasm"), filepath.Join(inner, "link.wasm")),
		os.Symlink("plugin.wasm", filepath.Join(inner, "inner.wasm")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return inner
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func read(t *testing.T, text, dir string) (extism.Plugin, error) {
	t.Helper()
	m, err := extism.Parse([]byte(text))
	if err != nil {
		return extism.Plugin{}, err
	}
	return extism.Read(m, dir)
}

func TestManifestsAreTaken(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	const wasm = `"wasm":[{"path":"plugin.wasm"}]`
	for _, test := range []struct {
		name, text string
		want       extism.Plugin
	}{
		{"with a module beside it", `{` + wasm + `}`, extism.Plugin{}},
		{"with a module below it", `{"wasm":[{"path":"deep/../deep/plugin.wasm"}]}`, extism.Plugin{}},
		{"with a link within its folder", `{"wasm":[{"path":"inner.wasm"}]}`, extism.Plugin{}},
		{"with a name, which is of no use", `{"wasm":[{"path":"./plugin.wasm","name":"main"}]}`, extism.Plugin{}},
		{"with the module's bytes", `{"wasm":[{"data":"AGFzbS1jb250ZW50","url":"","path":null}]}`, extism.Plugin{}},
		{"with the right hash", `{"wasm":[{"path":"plugin.wasm","hash":"` + sum(content) + `"}]}`, extism.Plugin{}},
		{"with the right hash in capitals", `{"wasm":[{"path":"plugin.wasm","hash":"` + strings.ToUpper(sum(content)) + `"}]}`, extism.Plugin{}},
		{"with nothing in it", `{` + wasm + `,"memory":null,"config":null,"allowed_hosts":[],"allowed_paths":{},"timeout_ms":0}`, extism.Plugin{}},
		{"with a configuration", `{` + wasm + `,"config":{"vowels":"aeiou","":"x"}}`, extism.Plugin{Config: map[string]string{"vowels": "aeiou", "": "x"}}},
		{"with pages", `{` + wasm + `,"memory":{"max_pages":100}}`, extism.Plugin{Limits: runtime.Limits{MemoryBytes: 6_553_600}}},
		{"with all pages", `{` + wasm + `,"memory":{"max_pages":65536}}`, extism.Plugin{Limits: runtime.Limits{MemoryBytes: 1 << 32}}},
		{"with limits above those of here", `{` + wasm + `,"memory":{"max_http_response_bytes":52428800,"max_var_bytes":33554432}}`, extism.Plugin{}},
		{"with the SDK's word for no limit", `{` + wasm + `,"memory":{"max_http_response_bytes":-1,"max_var_bytes":-1}}`, extism.Plugin{}},
		{"with a timeout", `{` + wasm + `,"timeout_ms":1500}`, extism.Plugin{Limits: runtime.Limits{Deadline: 1500 * time.Millisecond}}},
		{"with a field twice, of which the last counts", `{"timeout_ms":"x",` + wasm + `,"timeout_ms":1}`, extism.Plugin{Limits: runtime.Limits{Deadline: time.Millisecond}}},
		{
			"with hosts", `{` + wasm + `,"allowed_hosts":["API.example.com","*.example.org","localhost:8080","192.0.2.1","api.example.com","a.b.c.d.example","xn--bcher-kva.example:443"]}`,
			extism.Plugin{Hosts: []string{"api.example.com", "*.example.org", "localhost:8080", "192.0.2.1", "a.b.c.d.example", "xn--bcher-kva.example:443"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := read(t, test.text, dir)
			if err != nil {
				t.Fatal(err)
			}
			test.want.Wasm = []byte(content)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("plugin (-want +got):\n%s", diff)
			}
		})
	}
}

func TestManifestsAreRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	wasm := func(entry string) string { return `{"wasm":[` + entry + `]}` }
	with := func(more string) string { return `{"wasm":[{"path":"plugin.wasm"}],` + more + `}` }
	const needs = `a manifest is like {"wasm": [{"path": "plugin.wasm"}]}`
	for _, test := range []struct {
		name, text string
		want       []extism.Error
	}{
		{"nothing", ``, []extism.Error{{"", "the manifest is not JSON: line 1: unexpected end of JSON input", needs}}},
		{"broken JSON", "{\n\"wasm\":\n}", []extism.Error{{"", "the manifest is not JSON: line 3: invalid character '}' looking for beginning of value", needs}}},
		{"the module itself", "\x00asm\x01\x00\x00\x00", []extism.Error{{"", "the manifest is not JSON: line 1: invalid character '\\x00' looking for beginning of value", needs}}},
		{"other bytes", "{\"wasm\":\"\xff\"}", []extism.Error{{"", "the manifest is not UTF-8", "manifests are JSON, and not the module itself"}}},
		{"a list", `[]`, []extism.Error{{"", "the manifest is not a JSON object", needs}}},
		{"null", `null`, []extism.Error{{"", "the manifest is not a JSON object", needs}}},
		{"fields that are unknown", `{"wasm":[{"path":"plugin.wasm","sha":"x"}],"allowed_host":["a.example"],"a/b~":1,"memory":{"max":1}}`, []extism.Error{
			{"/a~1b~0", "is not a field of an Extism manifest", "there may be allowed_hosts, allowed_paths, config, memory, timeout_ms, wasm"},
			{"/allowed_host", "is not a field of an Extism manifest", "there may be allowed_hosts, allowed_paths, config, memory, timeout_ms, wasm"},
			{"/memory/max", "is not a field of an Extism manifest", "there may be max_http_response_bytes, max_pages, max_var_bytes"},
			{"/wasm/0/sha", "is not a field of an Extism manifest", "there may be data, hash, headers, method, name, path, url"},
		}},
		{"fields in capitals, which the SDK takes", with(`"Timeout_MS":1`), []extism.Error{
			{"/Timeout_MS", "is not a field of an Extism manifest", "there may be allowed_hosts, allowed_paths, config, memory, timeout_ms, wasm"},
		}},
		{"a timeout that is text", with(`"timeout_ms":"1s"`), []extism.Error{{"/timeout_ms", "must be a whole number in range, not string", ""}}},
		{"a negative timeout", with(`"timeout_ms":-1`), []extism.Error{{"/timeout_ms", "must be a whole number in range, not number -1", ""}}},
		{"pages past 32 bits", with(`"memory":{"max_pages":4294967296}`), []extism.Error{{"/memory/max_pages", "must be a whole number in range, not number 4294967296", ""}}},
		{"memory that is a number", with(`"memory":5`), []extism.Error{{"/memory", "must be an object, not number", ""}}},
		{"a configuration that is a list", with(`"config":[]`), []extism.Error{{"/config", "must be an object, not array", ""}}},
		{"data that is no base64", wasm(`{"data":"?"}`), []extism.Error{{"", "the manifest cannot be read: illegal base64 data at input byte 0", ""}}},
		{"no field for modules", `{}`, []extism.Error{{"/wasm", "names no module", `give one, as in "wasm": [{"path": "plugin.wasm"}]`}}},
		{"no modules", wasm(``), []extism.Error{{"/wasm", "names no module", `give one, as in "wasm": [{"path": "plugin.wasm"}]`}}},
		{"a module that is nowhere", wasm(`{}`), []extism.Error{{"/wasm/0", "has 0 of data, path and url", "say in one way where the module is"}}},
		{"a module that is null", wasm(`null`), []extism.Error{{"/wasm/0", "has 0 of data, path and url", "say in one way where the module is"}}},
		{"a module in two places", wasm(`{"path":"plugin.wasm","url":"https://a.example"}`), []extism.Error{{"/wasm/0", "has 2 of data, path and url", "say in one way where the module is"}}},
		{"modules to be linked", wasm(`{"path":"lib.wasm","name":"lib"},{"path":"plugin.wasm"}`), []extism.Error{
			{"/wasm", "has 2 modules, and a plugin is one", "link them into one first, such as with wasm-merge, and name that"},
		}},
		{"a module at a URL", wasm(`{"url":"https://a.example/p.wasm","method":"GET","headers":{"a":"b"}}`), []extism.Error{
			{"/wasm/0/url", "modules are not fetched from URLs", `download "https://a.example/p.wasm" first, and name the file as "path"`},
		}},
		{"another hash", wasm(`{"path":"plugin.wasm","hash":"` + hash + `"}`), []extism.Error{
			{"/wasm/0/hash", fmt.Sprintf("is %q, and the SHA-256 of the module's 12 bytes is %s", hash, sum(content)), "get the module that was meant, or correct the hash"},
		}},
		{"a hash that is none", wasm(`{"data":"AGFzbS1jb250ZW50","hash":"------"}`), []extism.Error{
			{"/wasm/0/hash", fmt.Sprintf("is %q, and the SHA-256 of the module's 12 bytes is %s", "------", sum(content)), "get the module that was meant, or correct the hash"},
		}},
		{"a module that is not there", wasm(`{"path":"other.wasm"}`), []extism.Error{{"/wasm/0/path", `there is no file "other.wasm" in the manifest's folder`, "build the plugin, or correct the path"}}},
		{"a folder", wasm(`{"path":"deep"}`), []extism.Error{{"/wasm/0/path", `"deep" is no regular file`, "name the module's own file"}}},
		{"a path out of the folder", wasm(`{"path":"../outside.wasm"}`), []extism.Error{{"/wasm/0/path", `"../outside.wasm" is not within the manifest's folder`, "put the module there, and name it by its path from there"}}},
		{"a path from the root", wasm(`{"path":"/etc/passwd"}`), []extism.Error{{"/wasm/0/path", `"/etc/passwd" is not within the manifest's folder`, "put the module there, and name it by its path from there"}}},
		{"a link out of the folder", wasm(`{"path":"link.wasm"}`), []extism.Error{{"/wasm/0/path", "statat link.wasm: path escapes from parent", ""}}},
		{"folders of the host's", with(`"allowed_paths":{"data":"/mnt"}`), []extism.Error{
			{"/allowed_paths", "guests have no files", "remove it, and give the plugin what it reads as input or configuration"},
		}},
		{"more pages than there are", with(`"memory":{"max_pages":65537}`), []extism.Error{
			{"/memory/max_pages", "is 65537: memories have at most 65536 pages of 64 KiB", "lower it, or remove it"},
		}},
		{"limits that do not exist here", with(`"memory":{"max_var_bytes":0,"max_http_response_bytes":33554431}`), []extism.Error{
			{
				"/memory/max_http_response_bytes", "is 33554431: answers have no limit of their own here, they share 33554432 bytes with input and output",
				"remove it (in Go, set it to -1), and limit KernelBytes if that is too much",
			},
			{
				"/memory/max_var_bytes", "is 0: variables have no limit of their own here, they share 33554432 bytes with input and output",
				"remove it (in Go, set it to -1), and limit KernelBytes if that is too much",
			},
		}},
		{"a timeout of ages", with(`"timeout_ms":9223372036855`), []extism.Error{{"/timeout_ms", "is 9223372036855, which is longer than can be counted", "at most 9223372036854"}}},
		{"everything at once", `{"wasm":[],"memory":{"max_pages":65537},"allowed_hosts":["*"],"allowed_paths":{"a":"b"}}`, []extism.Error{
			{"/wasm", "names no module", `give one, as in "wasm": [{"path": "plugin.wasm"}]`},
			{"/memory/max_pages", "is 65537: memories have at most 65536 pages of 64 KiB", "lower it, or remove it"},
			{"/allowed_hosts/0", `"*" would let the plugin reach every host`, "name each host that the plugin needs"},
			{"/allowed_paths", "guests have no files", "remove it, and give the plugin what it reads as input or configuration"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := read(t, test.text, dir)
			if diff := cmp.Diff(test.want, problems(err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if got.Wasm != nil {
				t.Errorf("got a plugin beside the error")
			}
		})
	}
}

// problems takes a joined error apart.
func problems(err error) []extism.Error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []extism.Error
		for _, one := range joined.Unwrap() {
			all = append(all, problems(one)...)
		}
		return all
	}
	if e, ok := errors.AsType[*extism.Error](err); ok {
		return []extism.Error{*e}
	}
	if err != nil {
		return []extism.Error{{Message: "another error: " + err.Error()}}
	}
	return nil
}

func TestHostsThatCannotBeGrantedAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ host, want string }{
		{"", "is not a host name"},
		{"*", "every host"},
		{"**", "every host"},
		{"*.", "is not a host name"},
		{"*.*", "a pattern"},
		{"*.com", "too wide"},
		{"*.com:8080", "too wide"},
		{"*.192.0.2.1", "too wide"},
		{"jsonplaceholder.*.com", "a pattern"},
		{"google.*", "a pattern"},
		{"*example.com", "a pattern"},
		{"api-?.example.com", "a pattern"},
		{"{a,b}.example.com", "a pattern"},
		{"[ab].example.com", "a pattern"},
		{"[::1]", "a pattern"},
		{"{config.api_url}", "a pattern"},
		{`a\.example.com`, "a pattern"},
		{"https://api.example.com", "leave out the scheme and the path"},
		{"api.example.com/v1", "leave out the scheme and the path"},
		{"::1", "is not a host name"},
		{"a b.example", "is not a host name"},
		{"-a.example", "is not a host name"},
		{"a..example", "is not a host name"},
		{"a.example.", "is not a host name"},
		{"bücher.example", "is not a host name"},
		{"user@a.example", "is not a host name"},
		{"a.example:", "is not a host name"},
		{"a.example:0", "is not a host name"},
		{"a.example:65536", "is not a host name"},
		{"a.example:099", "is not a host name"},
		{strings.Repeat("a.", 125) + "example", "is not a host name"},
		{strings.Repeat("a", 64) + ".example", "is not a host name"},
	} {
		t.Run(test.host, func(t *testing.T) {
			t.Parallel()
			_, err := extism.Read(sdk.Manifest{Wasm: []sdk.Wasm{sdk.WasmData{Data: []byte(content)}}, AllowedHosts: []string{"a.example", test.host}}, "")
			if err == nil || !strings.HasPrefix(err.Error(), "/allowed_hosts/1: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
}

// What only a Go program can write.
func TestManifestsOfGoProgramsAreRead(t *testing.T) {
	t.Parallel()
	wasm := []sdk.Wasm{sdk.WasmData{Data: []byte(content)}}
	for _, test := range []struct {
		name string
		m    sdk.Manifest
		want string // Empty when it is taken.
	}{
		{"bytes", sdk.Manifest{Wasm: wasm}, ""},
		{"limits", sdk.Manifest{Wasm: wasm, Memory: &sdk.ManifestMemory{MaxPages: 1, MaxHttpResponseBytes: -1, MaxVarBytes: -1}}, ""},
		{"limits of which some were not thought of", sdk.Manifest{Wasm: wasm, Memory: &sdk.ManifestMemory{MaxPages: 1}}, "in Go, set it to -1"},
		{"no bytes", sdk.Manifest{Wasm: []sdk.Wasm{sdk.WasmData{}}}, "/wasm/0/data: is empty"},
		{"a file without a folder", sdk.Manifest{Wasm: []sdk.Wasm{sdk.WasmFile{Path: "plugin.wasm"}}}, "there is no folder"},
		{"a pointer", sdk.Manifest{Wasm: []sdk.Wasm{&sdk.WasmData{Data: []byte(content)}}}, "is a *extism.WasmData"},
		{"no module at all", sdk.Manifest{Wasm: []sdk.Wasm{nil}}, "is a <nil>"},
		{"the longest timeout", sdk.Manifest{Wasm: wasm, Timeout: math.MaxUint64}, "longer than can be counted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := extism.Read(test.m, "")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	t.Run("a folder that is not there", func(t *testing.T) {
		t.Parallel()
		_, err := extism.Read(sdk.Manifest{Wasm: []sdk.Wasm{sdk.WasmFile{Path: "plugin.wasm"}}}, filepath.Join(t.TempDir(), "none"))
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want os.ErrNotExist", err)
		}
	})
}

func TestPluginsDoNotShareTheManifestsConfiguration(t *testing.T) {
	t.Parallel()
	m := sdk.Manifest{Wasm: []sdk.Wasm{sdk.WasmData{Data: []byte(content)}}, Config: map[string]string{"a": "1"}}
	p, err := extism.Read(m, "")
	if err != nil {
		t.Fatal(err)
	}
	m.Config["a"] = "2"
	if got, want := p.Config["a"], "1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPluginsRun(t *testing.T) {
	t.Parallel()
	p, err := extism.Read(sdk.Manifest{Wasm: []sdk.Wasm{sdk.WasmData{Data: runtimetest.Loop("run")}}, Timeout: 20}, "")
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(t.Context(), runtime.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())
	module, err := rt.Prepare(t.Context(), p.Wasm, p.Limits)
	if err != nil {
		t.Fatal(err)
	}
	_, err = module.Call(t.Context(), runtime.Call{Export: "run"})
	if f, ok := errors.AsType[*runtime.Failure](err); !ok || f.Code != runtime.CodeDeadlineExceeded {
		t.Errorf("got %v, want %s", err, runtime.CodeDeadlineExceeded)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"wasm":[{"path":"plugin.wasm","hash":"x","name":"main"}],"memory":{"max_pages":4,"max_http_response_bytes":5,"max_var_bytes":6},"config":{"a":"b"},"allowed_hosts":["*.example.com"],"allowed_paths":{"a":"b"},"timeout_ms":7}`,
		`{"wasm":[{"data":"AGFzbS1jb250ZW50"}],"allowed_hosts":["A.example:80"],"timeout_ms":18446744073709551615}`,
		`{"wasm":[{"url":"https://a.example","method":"GET","headers":{"a":"b"}}]}`,
		`{"wasm":[null],"wasm":[{}]}`, `null`, `[`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := extism.Parse(text)
		if err != nil {
			return
		}
		p, err := extism.Read(m, "")
		if err != nil {
			for _, problem := range problems(err) {
				if problem.Where == "" {
					t.Errorf("refused without saying where: %v", problem.Error())
				}
			}
			return
		}
		if len(p.Wasm) == 0 || p.Limits.Deadline < 0 || p.Limits.MemoryBytes < 0 || p.Limits.MemoryBytes > 4<<30 {
			t.Errorf("read %d bytes and %+v", len(p.Wasm), p.Limits)
		}
		again, err := extism.Read(sdk.Manifest{Wasm: m.Wasm, AllowedHosts: p.Hosts}, "")
		if err != nil || !cmp.Equal(p.Hosts, again.Hosts) {
			t.Errorf("hosts %q are read again as %q, %v", p.Hosts, again.Hosts, err)
		}
	})
}

func ExampleRead() {
	m, err := extism.Parse([]byte(`{
		"wasm": [{"url": "https://github.com/extism/plugins/releases/latest/download/count_vowels.wasm"}],
		"allowed_hosts": ["*.example.com", "*"]
	}`))
	if err == nil {
		_, err = extism.Read(m, "")
	}
	fmt.Println(err)
	// Output:
	// /wasm/0/url: modules are not fetched from URLs: download "https://github.com/extism/plugins/releases/latest/download/count_vowels.wasm" first, and name the file as "path"
	// /allowed_hosts/1: "*" would let the plugin reach every host: name each host that the plugin needs
}
