// Package plugins_test holds the connectors that ship with Cofferdam to their tests and
// to their pages, as their authors would: by the program.
package plugins_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
)

var update = flag.Bool("update", false, "write the README.md of each connector anew")

// maxBytes is what one may have: the engine has 1.2 MB of it, and a Go module 4.3 MB.
var maxBytes = map[string]int{"http": 5_000_000, "github": 2_000_000, "shopify": 2_000_000, "slack": 2_000_000, "stripe": 2_000_000}

// program is cofferdam, built from here.
type program struct {
	path, cache string
}

func build(t *testing.T) program {
	t.Helper()
	p := program{path: filepath.Join(t.TempDir(), "cofferdam"), cache: runtimetest.CacheDir(t)}
	c := exec.CommandContext(t.Context(), "go", "build", "-o", p.path, "../cmd/cofferdam")
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build cofferdam: %v\n%s", err, said)
	}
	return p
}

// run runs a verb, and gives what it has said.
func (p program) run(t *testing.T, arguments ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), p.path, arguments...)
	c.Env = append(os.Environ(), "COFFERDAM_CACHE_DIR="+p.cache)
	var errors strings.Builder
	c.Stderr = &errors
	said, err := c.Output()
	if err != nil {
		t.Fatalf("cofferdam %s: %v\n%s\n%s", strings.Join(arguments, " "), err, said, errors.String())
	}
	return string(said)
}

// TestConnectors builds each, runs its golden and unit tests in the sandbox, offline,
// and compares its page with what it says of itself today.
func TestConnectors(t *testing.T) {
	t.Parallel()
	cofferdam := build(t)
	for name, most := range maxBytes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project := name
			if name != "http" {
				project = install(t, name)
			}
			wasm := filepath.Join(t.TempDir(), name+".wasm")
			var built struct {
				Bytes    int               `json:"bytes"`
				Manifest manifest.Manifest `json:"manifest"`
			}
			if err := json.Unmarshal([]byte(cofferdam.run(t, "build", project, "-o", wasm, "--json")), &built); err != nil {
				t.Fatal(err)
			}
			if built.Bytes > most {
				t.Errorf("it has %d bytes; the most is %d", built.Bytes, most)
			}
			t.Log(cofferdam.run(t, "test", project, "--plugin", wasm))
			checkCovered(t, name, built.Manifest)
			page := filepath.Join(name, "README.md")
			if *update {
				cofferdam.run(t, "plugin", "docs", wasm, "-o", page)
			}
			cofferdam.run(t, "plugin", "docs", wasm, "-o", page, "--check")
		})
	}
}

// install copies a connector to where its packages are, as npm install puts them.
func install(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"package.json", "tsconfig.json"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	project := filepath.Join(dir, name)
	if err := os.CopyFS(project, os.DirFS(name)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	buildtest.Install(t, dir)
	return project
}

// checkCovered wants a golden test for each action, webhook and poll, and for the test.
func checkCovered(t *testing.T, name string, m manifest.Manifest) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(name, "tests", "*.test.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are %d golden tests, %v", len(files), err)
	}
	covered := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var asked struct {
			Action, Webhook, Poll string
			Test                  bool
		}
		if err := json.Unmarshal(content, &asked); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		covered["action "+asked.Action], covered["webhook "+asked.Webhook], covered["poll "+asked.Poll] = true, true, true
		covered["test"] = covered["test"] || asked.Test
	}
	want := []string{"test"}
	for _, a := range m.Actions {
		want = append(want, "action "+a.Name)
	}
	for _, w := range m.Webhooks {
		want = append(want, "webhook "+w.Name)
	}
	for _, p := range m.Polls {
		want = append(want, "poll "+p.Name)
	}
	for _, one := range want {
		if !covered[one] {
			t.Errorf("no golden test has its %s", one)
		}
	}
}
