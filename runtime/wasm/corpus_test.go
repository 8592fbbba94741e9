package wasm_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// corpus returns the folders of wazero's compiled spec suites, and of modules that
// once crashed it.
func corpus(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("find wazero's source: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test")
	return []string{
		filepath.Join(root, "spectest", "v1", "testdata"),
		filepath.Join(root, "spectest", "v2", "testdata"),
		filepath.Join(root, "fuzzcases", "testdata"),
	}
}

func TestAcceptsWhatTheCompilerAccepts(t *testing.T) {
	t.Parallel()
	for _, folder := range corpus(t) {
		t.Run(filepath.Base(filepath.Dir(folder)), func(t *testing.T) {
			t.Parallel()
			paths, err := filepath.Glob(filepath.Join(folder, "*.wasm"))
			if err != nil || len(paths) < 40 {
				t.Fatalf("got %d modules in %s, %v", len(paths), folder, err)
			}
			accepted := 0
			engine := newCompiler(t)
			for _, path := range paths {
				binary, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if compare(t, engine, filepath.Base(path), binary) {
					accepted++
				}
			}
			t.Logf("%d of %d modules are accepted", accepted, len(paths))
		})
	}
}

func newCompiler(t *testing.T) wazero.Runtime {
	t.Helper()
	engine := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { engine.Close(context.WithoutCancel(t.Context())) })
	return engine
}

// compare holds Decode against the compiler, and reports whether both accept.
func compare(t *testing.T, engine wazero.Runtime, name string, binary []byte) bool {
	t.Helper()
	before := compile(t, engine, binary)
	if _, err := wasm.Decode(binary, wasm.Limits{}); err != nil {
		if before == nil && !refusedOnPurpose(err) {
			t.Errorf("%s compiles, and is refused: %v", name, err)
		}
		return false
	}
	after := compile(t, engine, roundTrip(t, binary, wasm.Limits{}).Encode())
	if (before == nil) != (after == nil) {
		t.Errorf("%s compiled with %v, and with %v after it was encoded", name, before, after)
	}
	return before == nil
}

// refusedOnPurpose knows what is refused though it compiles.
func refusedOnPurpose(err error) bool {
	for _, reason := range []string{
		// names.2, 888, 1792a, 1793a, 1797b, 1797c, 2137: what rewriters add has such
		// names.
		"has a NUL, which is reserved",
		// br_table.0, which has 24,615.
		"limit BranchTargets is 4096",
		// data.57, data.60, elem.47, elem.50, global.22: the suite has them as invalid,
		// and wazero does not look.
		"in a constant expression can change",
	} {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	return false
}

func compile(t *testing.T, engine wazero.Runtime, binary []byte) error {
	t.Helper()
	compiled, err := engine.CompileModule(t.Context(), binary)
	if err == nil {
		err = compiled.Close(t.Context())
	}
	return err
}

// TestRefusesWhatTheSuitesCallMalformed also takes those that only the compiler
// refuses, of which there are none but where Decode is as lenient as the compiler.
func TestRefusesWhatTheSuitesCallMalformed(t *testing.T) {
	t.Parallel()
	for _, folder := range corpus(t)[:2] {
		t.Run(filepath.Base(filepath.Dir(folder)), func(t *testing.T) {
			t.Parallel()
			for _, path := range malformed(t, folder) {
				binary, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := wasm.Decode(binary, wasm.Limits{}); err == nil {
					t.Errorf("%s is malformed, and is accepted", filepath.Base(path))
				}
			}
		})
	}
}

// malformed returns the modules that a suite's scripts say cannot be decoded.
func malformed(t *testing.T, folder string) []string {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, script := range scripts {
		var content struct {
			Commands []struct {
				Type, Filename string
				ModuleType     string `json:"module_type"`
			}
		}
		b, err := os.ReadFile(script)
		if err == nil {
			err = json.Unmarshal(b, &content)
		}
		if err != nil {
			t.Fatalf("read %s: %v", script, err)
		}
		for _, c := range content.Commands {
			if c.Type == "assert_malformed" && c.ModuleType == "binary" {
				paths = append(paths, filepath.Join(folder, c.Filename))
			}
		}
	}
	if len(paths) < 50 {
		t.Fatalf("got %d modules", len(paths))
	}
	return paths
}
