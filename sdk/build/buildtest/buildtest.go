// Package buildtest helps tests that build connectors.
//
//	buildtest.Install(t, dir)   // as npm install does, without npm
//	plugin, err := build.Project(ctx, dir, build.Options{CacheDir: runtimetest.CacheDir(t)})
//
// What it cannot find is a reason to skip a test, loudly; with
// COFFERDAM_TEST_REQUIRE_NODE=1 or COFFERDAM_TEST_REQUIRE_COMPILERS=1 in the environment,
// to fail it.
package buildtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/sdk/typescript"
)

// Install puts the TypeScript SDK as it is into the node_modules of the project in dir,
// with the engine, tsc and the packages that the SDK's own tests have: zod, dayjs, ajv
// and fast-xml-parser.
func Install(t testing.TB, dir string) {
	t.Helper()
	from := Modules(t)
	to := filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(to, 0o750); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Name() == "@cofferdam" {
			continue
		}
		if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	files, err := typescript.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(to, "@cofferdam", "connector", filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Modules is the node_modules that the SDK's tests have.
func Modules(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Root(t), "sdk", "typescript", "node_modules")
	if _, err := os.Stat(filepath.Join(dir, "quickjs-wasi", "package.json")); err != nil {
		missing(t, "COFFERDAM_TEST_REQUIRE_NODE", "sdk/typescript/node_modules is not there: run npm ci in sdk/typescript")
	}
	return dir
}

// Need skips or fails a test that needs a compiler which is not here.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, "COFFERDAM_TEST_REQUIRE_COMPILERS", p+" is not here")
		}
	}
}

// NeedRust skips or fails a test where no rustc has the target of connectors.
func NeedRust(t testing.TB) {
	t.Helper()
	for _, rustc := range []string{"rustc", "/usr/bin/rustc"} {
		out, err := exec.CommandContext(t.Context(), rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
		if err != nil {
			continue
		}
		if _, err := os.Stat(strings.TrimSpace(string(out))); err == nil {
			return
		}
	}
	missing(t, "COFFERDAM_TEST_REQUIRE_COMPILERS", "no rustc has the target wasm32-unknown-unknown")
}

func missing(t testing.TB, variable, what string) {
	t.Helper()
	if os.Getenv(variable) == "1" {
		t.Fatalf("%s, and %s=1 says that it must be", what, variable)
	}
	t.Skipf("SKIPPED: %s", what)
}

// Root is the folder of the repository.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/cofferdam-run/cofferdam\n") {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("this is not the repository")
		}
		dir = up
	}
}
