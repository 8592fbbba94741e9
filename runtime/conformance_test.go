package runtime_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	extism "github.com/extism/go-sdk"
	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// verdict is what a caller sees of a call. An exit code or a return code is
// "failed": the engines word it differently.
type verdict struct {
	Output string
	Failed bool
}

// TestConformance runs the plugins that come with Extism's Go SDK, built by
// others from Go, Rust, C and Haskell, here and there.
func TestConformance(t *testing.T) {
	t.Parallel()
	dir := sdkFolder(t)
	config := map[string]string{"thing": "hello", "duration": "1"}
	for _, test := range []struct {
		file, export, input string
	}{
		{"count_vowels.wasm", "count_vowels", "hello world"},
		{"count_vowels.wasm", "count_vowels", ""},
		{"count_vowels_std.wasm", "_start", "hello world"},
		{"config.wasm", "run_test", ""},
		{"exit.wasm", "_start", ""},
		{"fail.wasm", "run_test", ""},
		{"hello.wasm", "run_test", ""},
		{"hello_haskell.wasm", "testing", "John"},
		{"input_offset.wasm", "input_offset_length", "input"},
		{"log.wasm", "run_test", ""},
		{"noop.wasm", "run_test", ""},
		{"println.wasm", "_start", ""},
		{"std_command.wasm", "_start", ""},
		{"var.wasm", "run_test", ""},
	} {
		t.Run(test.file+" "+test.export+" "+test.input, func(t *testing.T) {
			t.Parallel()
			wasm, err := os.ReadFile(filepath.Join(dir, "wasm", test.file))
			if err != nil {
				t.Fatal(err)
			}
			want := callSDK(t, wasm, test.export, test.input, config)
			result, err := prepare(t, wasm, runtime.Limits{}).Call(t.Context(), runtime.Call{
				Export: test.export, Input: []byte(test.input), World: runtime.World{Config: config}, Host: &host{},
			})
			got := verdict{Output: string(result.Output), Failed: err != nil}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verdict differs from the SDK's (-sdk +ours):\n%s(error %v)", diff, err)
			}
		})
	}
}

func callSDK(t *testing.T, wasm []byte, export, input string, config map[string]string) verdict {
	t.Helper()
	cache, err := wazero.NewCompilationCacheWithDir(runtimetest.CacheDir(t))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close(context.WithoutCancel(t.Context()))
	plugin, err := extism.NewPlugin(t.Context(), extism.Manifest{
		Wasm: []extism.Wasm{extism.WasmData{Data: wasm}}, Config: config,
	}, extism.PluginConfig{EnableWasi: true, RuntimeConfig: wazero.NewRuntimeConfig().WithCompilationCache(cache)}, nil)
	if err != nil {
		t.Fatalf("load into the SDK: %v", err)
	}
	defer plugin.Close(context.WithoutCancel(t.Context()))
	code, output, err := plugin.CallWithContext(t.Context(), export, []byte(input))
	return verdict{Output: string(output), Failed: code != 0 || err != nil}
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
