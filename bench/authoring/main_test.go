package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// modules is where the engine is, if npm has run.
const modules = "../../sdk/typescript/node_modules"

func needEngine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds connectors in TypeScript and Go")
	}
	if _, err := os.Stat(modules + "/quickjs-wasi"); err != nil {
		if os.Getenv("COFFERDAM_TEST_REQUIRE_NODE") == "1" {
			t.Fatalf("COFFERDAM_TEST_REQUIRE_NODE=1, and the engine is not in %s", modules)
		}
		t.Skipf("NOT TESTED: the engine is not in %s: run npm ci in sdk/typescript", modules)
	}
}

func TestBuildsConnectorsAndMeasures(t *testing.T) {
	t.Parallel()
	needEngine(t)
	var out bytes.Buffer
	args := []string{"-source", ".", "-modules", modules, "-time", "50ms", "-edits", "2", "-plugins", "3"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"bench authoring/rebuild_ms ", "bench authoring/ts_call_us ", "bench authoring/ts_map_vs_go ", "bench authoring/mb_per_ts_plugin ", "plugins=3",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want a line with %q", out.String(), want)
		}
	}
}

func TestSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-source", ".", "-modules", t.TempDir(), "-figure", "rebuild,plugins"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rebuild", "plugins"} {
		if want := "skip authoring/" + name + ": not measured: the engine is not in "; !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want a line with %q", out.String(), want)
		}
	}
}

func TestKnowsItsFigures(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), []string{"-figure", "speed"}, &bytes.Buffer{})
	if want := `there is no figure "speed"; there is: rebuild, call, map, plugins`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
