package tck_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk"
	"github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
	"github.com/cofferdam-run/cofferdam/sdk/tck"
)

const examples = "../../examples/"

// built builds a project as its author does.
func built(tb testing.TB, project string) []byte {
	tb.Helper()
	plugin, err := build.Project(tb.Context(), project, build.Options{
		NoCheck: true, CacheDir: runtimetest.CacheDir(tb), Schemes: []string{"github", "standard-webhooks"},
	})
	if err != nil {
		tb.Fatalf("build %s: %v", project, err)
	}
	return plugin.Wasm
}

// guests are those in four languages: what is skipped says so.
func guests() map[string]func(tb testing.TB, project string) []byte {
	return map[string]func(tb testing.TB, project string) []byte{
		"go": func(tb testing.TB, project string) []byte {
			tb.Helper()
			return built(tb, project)
		},
		"c": func(tb testing.TB, project string) []byte {
			tb.Helper()
			buildtest.Need(tb, "clang")
			return built(tb, project)
		},
		"rust": func(tb testing.TB, project string) []byte {
			tb.Helper()
			buildtest.NeedRust(tb)
			return built(tb, project)
		},
		"ts": func(tb testing.TB, project string) []byte {
			tb.Helper()
			dir := tb.TempDir()
			for _, name := range []string{"connector.ts", "package.json"} {
				content, err := os.ReadFile(filepath.Join(project, name))
				if err != nil {
					tb.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
					tb.Fatal(err)
				}
			}
			buildtest.Install(tb, dir)
			return built(tb, dir)
		},
	}
}

// TestHellos holds the examples to the contract: in four languages they do one job.
func TestHellos(t *testing.T) {
	t.Parallel()
	for language, guest := range guests() {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			wasm := guest(t, examples+"hello-"+language)
			t.Logf("hello-%s has %d bytes", language, len(wasm))
			tck.Run(t, wasm, tck.Options{})
		})
	}
}

// TestProbes holds all of each SDK to it.
func TestProbes(t *testing.T) {
	t.Parallel()
	for language, guest := range guests() {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			tck.Run(t, guest(t, "testdata/probe-"+language), tck.Options{Vectors: sdk.Vectors("probe")})
		})
	}
}
