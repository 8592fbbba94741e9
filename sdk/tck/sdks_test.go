package tck_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
	"github.com/cofferdam-run/cofferdam/sdk/c"
	"github.com/cofferdam-run/cofferdam/sdk/rust"
)

// call makes a call that may ask for nothing.
func call(t *testing.T, wasm []byte, export, input string) (string, *runtime.Failure) {
	t.Helper()
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: append(slices.Clone(builtIn), "sign"), CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())
	module, err := rt.Prepare(t.Context(), wasm, runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	result, err := module.Call(t.Context(), runtime.Call{Export: export, Input: []byte(input)})
	var failure *runtime.Failure
	if err != nil && !errors.As(err, &failure) {
		t.Fatal(err)
	}
	return string(result.Output), failure
}

// compileC builds a connector as the SDK's README says, with every warning an error.
func compileC(t *testing.T, source string) []byte {
	t.Helper()
	buildtest.Need(t, "clang")
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "sdk"), c.Files()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hello.c"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	command := append(c.Command("clang", "sdk", "hello.wasm", "hello.c"), "-Werror")
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	wasm, err := os.ReadFile(filepath.Join(dir, "hello.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestTheCREADMEsConnectorWorks(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../c/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```c\n")
	if len(blocks) != 3 {
		t.Fatalf("it has %d blocks of C, want 2", len(blocks)-1)
	}
	source, _, _ := strings.Cut(blocks[1], "```")
	verify, _, _ := strings.Cut(blocks[2], "```")
	shop := compileC(t, `#include "cofferdam.h"
static cd_value on_order(cd_context *ctx, cd_value delivery) { (void)ctx; return delivery; }
`+verify)
	const unsigned = `{"verify":"orders","time":"2026-03-29T01:00:00Z","request":{"method":"POST","headers":{},"body":"b"},"config":{}}`
	if output, failure := call(t, shop, "verify", unsigned); !strings.Contains(output, `"code":"signature_missing"`) {
		t.Errorf("got %s, %v", output, failure)
	}
	output, failure := call(t, compileC(t, source), "action", `{"action":"greet","input":{"name":"Mona"}}`)
	if want := `{"greeting":"Hello, Mona!"}`; output != want {
		t.Errorf("got %s, %v, want %s", output, failure, want)
	}
}

// TestCConnectorsThatAreWrongSaySo: whoever uploads one reads what describe fails with.
func TestCConnectorsThatAreWrongSaySo(t *testing.T) {
	t.Parallel()
	const begin = `#include "cofferdam.h"
cd_value run(cd_context *ctx, cd_value in) { (void)ctx; return in; }
const cd_connector cofferdam = { .manifest = `
	tests := map[string]struct{ source, want string }{
		"no JSON":        {begin + `"{"};`, "the manifest is not a JSON object"},
		"no handler":     {begin + `CD_JSON({ "actions": [{ "name": "a" }] })};`, `the manifest's actions have "a", for which there is no handler`},
		"no action":      {begin + `CD_JSON({}), .actions = CD_HANDLERS({ "a", run }) };`, `there is a handler "a", which is not among the manifest's actions`},
		"no webhook":     {begin + `CD_JSON({ "webhooks": [] }), .webhooks = CD_HANDLERS({ "a", run }) };`, `not among the manifest's webhooks`},
		"no poll":        {begin + `CD_JSON({ "polls": [{ "name": "b" }] }), .polls = CD_HANDLERS({ "a", run }) };`, `the manifest's polls have "b"`},
		"untold test":    {begin + `CD_JSON({}), .test = run };`, `"test" must say whether there is a test`},
		"no test":        {begin + `CD_JSON({ "test": true }) };`, `"test" must say whether there is a test`},
		"no confirm":     {begin + `CD_JSON({ "confirm": true }) };`, `"confirm" must say whether there is a confirm`},
		"untold verify":  {begin + `CD_JSON({ "webhooks": [{ "name": "a" }] }), .webhooks = CD_HANDLERS({ "a", run }), .verify = CD_HANDLERS({ "a", run }) };`, `the webhook "a" must say by "verify": true whether there is a verify of it`},
		"no verify":      {begin + `CD_JSON({ "webhooks": [{ "name": "a", "verify": true }] }), .webhooks = CD_HANDLERS({ "a", run }) };`, `the webhook "a" must say by "verify": true`},
		"verify of none": {begin + `CD_JSON({}), .verify = CD_HANDLERS({ "a", run }) };`, `there is a verify "a", which is not among the webhooks`},
		"all in order":   {begin + `CD_JSON({ "confirm": true, "actions": [{ "name": "a" }] }), .actions = CD_HANDLERS({ "a", run }), .confirm = run };`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, failure := call(t, compileC(t, tt.source), "describe", "")
			if tt.want == "" && failure != nil || tt.want != "" && (failure == nil || failure.Code != "plugin_bug" || !strings.Contains(failure.Message, tt.want)) {
				t.Errorf("got %v, want %q", failure, tt.want)
			}
		})
	}
}

// TestWhatIsNoVerdictIsTheConnectorsBug: C has no type that would say so.
func TestWhatIsNoVerdictIsTheConnectorsBug(t *testing.T) {
	t.Parallel()
	wasm := compileC(t, `#include "cofferdam.h"
static cd_value run(cd_context *ctx, cd_value in) { (void)ctx; return in; }
static cd_value odd(cd_context *ctx, cd_value in) { (void)ctx; return cd_get(in, "body"); }
const cd_connector cofferdam = {
    .manifest = CD_JSON({ "webhooks": [{ "name": "a", "verify": true }, { "name": "b", "verify": true }] }),
    .webhooks = CD_HANDLERS({ "a", run }, { "b", run }), .verify = CD_HANDLERS({ "a", run }, { "b", odd }),
};`)
	for _, name := range []string{"a", "b"} {
		for _, request := range []string{`{"body":"b"}`, `{"accept":1}`, `[]`, `null`} {
			_, failure := call(t, wasm, "verify", `{"verify":"`+name+`","time":"2026-03-29T01:00:00Z","request":`+request+`,"config":{}}`)
			if failure == nil || failure.Code != "plugin_bug" || !strings.Contains(failure.Message, "verify returned no verdict") {
				t.Errorf("%s of %s: got %v", name, request, failure)
			}
		}
	}
}

// TestRustPanicsSayWhere: a trap would say nothing.
func TestRustPanicsSayWhere(t *testing.T) {
	t.Parallel()
	buildtest.NeedRust(t)
	_, failure := call(t, built(t, "testdata/probe-rust"), "action", `{"action":"bug"}`)
	if failure == nil || failure.Code != "plugin_bug" || !strings.Contains(failure.Message, "no error of ours") || !strings.Contains(failure.Message, "src/lib.rs:") {
		t.Errorf("got %v", failure)
	}
}

// TestRustCratesPassTheirOwnTests runs cargo where there is one, on the SDK as it is
// given to authors, and on the example.
func TestRustCratesPassTheirOwnTests(t *testing.T) {
	t.Parallel()
	buildtest.NeedRust(t)
	buildtest.Need(t, "cargo")
	dir := t.TempDir()
	for _, crate := range []string{"sdk", "example"} {
		t.Run(crate, func(t *testing.T) {
			t.Parallel()
			folder, err := filepath.Abs(examples + "hello-rust")
			if err != nil {
				t.Fatal(err)
			}
			if crate == "sdk" {
				folder = filepath.Join(dir, "sdk")
				if err := os.CopyFS(folder, rust.Files()); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "cargo", "test", "--offline", "--quiet", "--target-dir", filepath.Join(dir, "target-"+crate))
			cmd.Dir = folder
			cmd.Env = append(cmd.Environ(), "RUSTFLAGS=-D warnings")
			said, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(said), "test result: ok") {
				t.Errorf("%v\n%s", err, said)
			}
		})
	}
}
