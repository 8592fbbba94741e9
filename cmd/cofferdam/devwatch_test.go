package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestWhatIsNoSourceIsNotWatched(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"src/connector.ts": false, "main.go": false, "fixtures/action.greet.json": false, "dev.json": false, "package.json": false, "src/build/a.ts": false,
		"node_modules/a/index.js": true, "packages/a/node_modules/b": true, "tests/a.test.json": true, ".git/index": true, "src/.connector.ts.swp": true,
		"src/connector.ts~": true, "shop.wasm": true, "target/debug/a": true, "src/a.test.ts": true, "main_test.go": true, "README.md": true, "4913": true, "vendor/a.tgz": true,
	} {
		if got := ignored(path); got != want {
			t.Errorf("%s is ignored: %t, want %t", path, got, want)
		}
	}
}

func TestChangesComeOnceTheyHaveSettled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("src/a.ts")
	changed, stop, err := watchProject(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	next := func(want ...string) changes {
		t.Helper()
		var all changes
		for deadline := time.After(time.Minute); ; {
			select {
			case c := <-changed:
				all = append(all, c...)
			case <-deadline:
				t.Fatalf("got %q, want %q in it", all, want)
			}
			if !slices.ContainsFunc(want, func(path string) bool { return !slices.Contains(all, path) }) {
				return all
			}
		}
	}
	write("src/a.ts")
	write("src/b.ts")
	write("node_modules/x/index.js")
	if got := next("src/a.ts", "src/b.ts"); slices.ContainsFunc(got, ignored) {
		t.Errorf("got %q", got)
	}
	// A folder that is new is watched too.
	write("src/deep/c.ts")
	next("src/deep")
	write("src/deep/d.ts")
	next("src/deep/d.ts")
	if err := os.Remove(filepath.Join(dir, "src", "b.ts")); err != nil {
		t.Fatal(err)
	}
	next("src/b.ts")
	if err := stop(); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := watchProject(ended, filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there is watched")
	}
}

func TestChangesAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, c := range map[string]changes{
		"a changed":               {"a", "gone"},
		"gone changed":            {"gone"},
		"a, b, c, 2 more changed": {"a", "b", "c", "d", "e"},
	} {
		if got := c.text(dir); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if !(changes{"fixtures/a", "fixtures/http/b"}).only("fixtures") || (changes{"fixtures/a", "src/b"}).only("fixtures") {
		t.Error("changes of fixtures alone are not told from others")
	}
}
