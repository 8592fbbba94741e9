package unittest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/unittest"
)

// project has files of names and contents.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func tools() unittest.Tools {
	return unittest.Tools{Look: exec.LookPath, Env: append(os.Environ(), "GOWORK=off", "GOFLAGS=")}
}

// shown is a case without what differs between machines.
type shown struct {
	Where, Name, State string
}

func summed(cases []unittest.Case) []shown {
	var all []shown
	for _, c := range cases {
		state := "failed"
		if c.Passed {
			state = "passed"
		}
		if c.Skipped {
			state = "skipped"
		}
		all = append(all, shown{c.Where, c.Name, state})
	}
	return all
}

func saidOf(t *testing.T, cases []unittest.Case, name string) string {
	t.Helper()
	for _, c := range cases {
		if c.Name == name {
			return c.Said
		}
	}
	t.Fatalf("there is no case %q", name)
	return ""
}

func TestGoTests(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{
		"go.mod": "module example.com/shop\n\ngo 1.24\n",
		"a_test.go": `package shop
import "testing"
func TestGood(t *testing.T) { t.Run("inner", func(t *testing.T) {}) }
func TestBad(t *testing.T) { t.Run("inner", func(t *testing.T) { t.Error("seven is not eight") }) }
func TestLater(t *testing.T) { t.Skip("not today") }
func TestRecordings(t *testing.T) { t.Error("is left to others") }
`,
		"broken/b_test.go": "package broken\nimport \"testing\"\nfunc TestX(t *testing.T) { return 1 }\n",
	})
	if has, err := unittest.HasGo(dir); err != nil || !has {
		t.Fatalf("got %v, %v, want tests", has, err)
	}
	cases, err := unittest.Go(t.Context(), dir, tools())
	if err != nil {
		t.Fatal(err)
	}
	want := []shown{{"", "TestGood", "passed"}, {"", "TestBad", "failed"}, {"", "TestLater", "skipped"}, {"broken", "the package", "failed"}}
	got := summed(cases)
	if len(got) == len(want) && got[0].Where == "broken" { // Packages are tested side by side.
		got = append(got[1:], got[0])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if said := saidOf(t, cases, "TestBad"); !strings.Contains(said, "seven is not eight") {
		t.Errorf("it does not say why: %q", said)
	}
}

func TestNoGoProject(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{
		"no module": project(t, map[string]string{"a_test.go": "package a"}),
		"no tests":  project(t, map[string]string{"go.mod": "module a", "a.go": "package a", "vendor/b_test.go": "package b", ".x/b_test.go": "package b"}),
	} {
		if has, err := unittest.HasGo(dir); has || err != nil {
			t.Errorf("%s: got %v, %v", name, has, err)
		}
	}
}

func TestNodeTests(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("COFFERDAM_TEST_REQUIRE_NODE") == "1" {
			t.Fatal(err)
		}
		t.Skip("skipped: node is not in PATH")
	}
	dir := project(t, map[string]string{
		"src/price.ts": `export const price = (n: number): string => n.toFixed(2);`,
		"src/price.test.ts": `import { test } from "node:test";
import assert from "node:assert/strict";
import { price } from "./price";
test("prices have cents", () => assert.equal(price(7), "7.00"));
test("rounding", async (t) => {
  await t.test("up", () => assert.equal(price(1.006), "1.01"));
  await t.test("never", () => {
    assert.equal(price(1), "1");
  });
});
test.skip("later", () => {});
`,
		"src/typo.test.ts":           `import { cost } from "./price"; cost(`,
		"src/crash.test.ts":          `throw new Error("at once");`,
		"node_modules/x/x.test.js":   `throw 1`,
		"dist/old.test.js":           `throw 1`,
		"src/price.ts.snap.unlisted": "",
	})
	files, err := unittest.NodeFiles(dir)
	if diff := cmp.Diff([]string{"src/crash.test.ts", "src/price.test.ts", "src/typo.test.ts"}, files); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	cases, err := unittest.Node(t.Context(), dir, t.TempDir(), files, tools())
	if err != nil {
		t.Fatal(err)
	}
	want := []shown{
		{"src/typo.test.ts", "cannot be bundled", "failed"},
		{"src/crash.test.ts", "the file", "failed"},
		{"src/price.test.ts", "prices have cents", "passed"},
		{"src/price.test.ts", "rounding > up", "passed"},
		{"src/price.test.ts", "rounding > never", "failed"},
		{"src/price.test.ts", "later", "skipped"},
	}
	if diff := cmp.Diff(want, summed(cases)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if said := saidOf(t, cases, "rounding > never"); !strings.Contains(said, "src/price.test.ts:8:12") || strings.Contains(said, dir) {
		t.Errorf("it does not say where in the sources: %s", said)
	}
	if said := saidOf(t, cases, "cannot be bundled"); !strings.Contains(said, "src/typo.test.ts:1:37") {
		t.Errorf("it does not say where: %s", said)
	}
}

func TestToolsThatAreMissingAreNamed(t *testing.T) {
	t.Parallel()
	none := unittest.Tools{Look: func(string) (string, error) { return "", exec.ErrNotFound }}
	if _, err := unittest.Node(t.Context(), t.TempDir(), t.TempDir(), []string{"a.test.ts"}, none); err == nil || !strings.Contains(err.Error(), "install Node 20 or later") {
		t.Errorf("got %v", err)
	}
	if _, err := unittest.Go(t.Context(), t.TempDir(), none); err == nil || !strings.Contains(err.Error(), "find the go command") {
		t.Errorf("got %v", err)
	}
}
