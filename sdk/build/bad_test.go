package build_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
)

var update = flag.Bool("update", false, "write the messages of testdata/bad anew")

// TestBadProjects builds the projects of testdata/bad, in which something is wrong, and
// compares what their authors are told with the file want of each.
func TestBadProjects(t *testing.T) {
	t.Parallel()
	tellAuthors(t, "testdata/bad", func(t *testing.T, dir string, archive *txtar.Archive) {
		t.Helper()
		if !strings.Contains(string(archive.Comment), "sdk: none") {
			write(t, dir, &txtar.Archive{Files: fakeSDK()})
		}
	})
}

// TestBadConnectors does the same with those of testdata/loading, in which nothing is
// wrong before they run.
func TestBadConnectors(t *testing.T) {
	t.Parallel()
	buildtest.Modules(t)
	tellAuthors(t, "testdata/loading", func(t *testing.T, dir string, _ *txtar.Archive) {
		t.Helper()
		buildtest.Install(t, dir)
	})
}

// tellAuthors builds the projects of a folder, and compares what is said of them. A
// project's comment may say "check", which has the types checked, and "fuel: N".
func tellAuthors(t *testing.T, folder string, install func(t *testing.T, dir string, archive *txtar.Archive)) {
	t.Helper()
	archives, err := filepath.Glob(folder + "/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("there are no projects: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := take(archive, "want")
			dir := filepath.Join(t.TempDir(), "shop")
			write(t, dir, archive)
			install(t, dir, archive)
			o := build.Options{NoCheck: !strings.Contains(string(archive.Comment), "check\n"), CacheDir: runtimetest.CacheDir(t)}
			if _, fuel, ok := strings.Cut(string(archive.Comment), "fuel: "); ok {
				if o.Limits.Fuel, err = strconv.ParseInt(strings.TrimSpace(fuel), 10, 64); err != nil {
					t.Fatal(err)
				}
			}
			_, err = build.Project(t.Context(), dir, o)
			if wrong, ok := errors.AsType[*build.Error](err); !ok || len(wrong.Problems) == 0 {
				t.Fatalf("got %v, want an *Error", err)
			}
			got := err.Error() + "\n"
			if strings.Contains(got, dir) {
				t.Errorf("the message names the folder of this machine:\n%s", got)
			}
			if *update {
				rewrite(t, path, got)
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the message is another (-want +got):\n%s", diff)
			}
		})
	}
}

// fakeSDK is what the bundler has to find; nothing of it is ever run.
func fakeSDK() []txtar.File {
	const dir = "node_modules/@cofferdam/connector/"
	return []txtar.File{
		{Name: dir + "package.json", Data: []byte(`{"name":"@cofferdam/connector","version":"0.1.0","main":"./index.js"}`)},
		{Name: dir + "index.js", Data: []byte("export const defineConnector = (c) => c;\n")},
		{Name: dir + "prelude.js", Data: []byte("globalThis.prelude = true;\n")},
		{Name: dir + "mount.js", Data: []byte("export const mount = (c) => { globalThis.mounted = c; };\n")},
	}
}

// take removes a file from an archive.
func take(a *txtar.Archive, name string) string {
	for i, f := range a.Files {
		if f.Name == name {
			a.Files = append(a.Files[:i], a.Files[i+1:]...)
			return string(f.Data)
		}
	}
	return ""
}

func write(t *testing.T, dir string, a *txtar.Archive) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// rewrite puts the message into the archive.
func rewrite(t *testing.T, path, got string) {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	take(archive, "want")
	archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
	if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
		t.Fatal(err)
	}
}
