package build_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cofferdam-run/cofferdam/sdk/build"
)

func TestAProblemAsText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		problem build.Problem
		want    string
	}{
		{"text alone", build.Problem{Text: "there is no node_modules"}, "there is no node_modules"},
		{"with a hint", build.Problem{Text: "it is not installed", Hint: "run: npm install"}, "it is not installed\n  hint: run: npm install"},
		{"a file without a line", build.Problem{File: "package.json", Text: "is no JSON"}, "package.json: is no JSON"},
		{
			"a place",
			build.Problem{File: "src/a.ts", Line: 12, Column: 3, Text: "wrong", Source: "\tlet x = ;", Caret: "\t        ^"},
			"src/a.ts:12:3: wrong\n  12 | \tlet x = ;\n     | \t        ^",
		},
		{
			"all of it",
			build.Problem{File: "a.ts", Line: 1, Column: 1, Text: "wrong", Source: "x", Caret: "^", Notes: []string{"at f (a.ts:1:1)"}, Hint: "mend it"},
			"a.ts:1:1: wrong\n  1 | x\n    | ^\n  at f (a.ts:1:1)\n  hint: mend it",
		},
		{"a line without its source", build.Problem{File: "gone.ts", Line: 7, Text: "wrong"}, "gone.ts:7:1: wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, c.problem.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnErrorSaysAllProblems(t *testing.T) {
	t.Parallel()
	err := &build.Error{Problems: []build.Problem{{Text: "one"}, {Text: "two", Hint: "mend it"}}}
	if got, want := err.Error(), "one\ntwo\n  hint: mend it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSourcesCannotDriveTheTerminal has a source with what a terminal would obey.
func TestSourcesCannotDriveTheTerminal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "shop")
	write(t, dir, &txtar.Archive{Files: append(fakeSDK(),
		txtar.File{Name: "package.json", Data: []byte(`{"dependencies":{"@cofferdam/connector":"0.1.0"}}`)},
		txtar.File{Name: "connector.ts", Data: []byte("export default \"\x1b]0;title\x07\x1b[2J\" oops \xff;\n")},
	)})
	_, err := build.Project(t.Context(), dir, build.Options{NoCheck: true})
	if err == nil {
		t.Fatal("it was built")
	}
	for _, r := range err.Error() {
		if r < ' ' && r != '\n' && r != '\t' {
			t.Fatalf("got %q", err)
		}
	}
	if !strings.Contains(err.Error(), "oops") {
		t.Errorf("got %q, want the line in it", err)
	}
}

func TestLanguagesHaveShortNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]build.Language{
		"ts": build.TypeScript, "typescript": build.TypeScript, "js": build.TypeScript, "go": build.Go, "rust": build.Rust, "rs": build.Rust, "c": build.C,
	} {
		if got, ok := build.ParseLanguage(name); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, ok, want)
		}
	}
	if got, ok := build.ParseLanguage("cobol"); ok {
		t.Errorf("cobol: got %q", got)
	}
}

func TestWhereAProjectIs(t *testing.T) {
	t.Parallel()
	const npm = "-- package.json --\n{ \"dependencies\": { \"@cofferdam/connector\": \"0.1.0\" } }\n"
	for _, c := range []struct {
		name, files, path string
		language          build.Language
		want              build.Language
		root              string
	}{
		{name: "a folder with package.json", files: npm + "-- src/connector.ts --\n", path: ".", want: build.TypeScript, root: "."},
		{name: "its entry in package.json", files: "-- package.json --\n{\"main\":\"./lib/app.ts\",\"dependencies\":{\"@cofferdam/connector\":\"0.1.0\"}}\n-- lib/app.ts --\n", path: ".", want: build.TypeScript, root: "."},
		{name: "a file below package.json", files: npm + "-- src/deep/own.ts --\n", path: "src/deep/own.ts", want: build.TypeScript, root: "."},
		{name: "go.mod", files: "-- go.mod --\nmodule x\n", path: ".", want: build.Go, root: "."},
		{name: "go.mod beside a Makefile and C", files: "-- go.mod --\nmodule x\n-- a.c --\n-- Makefile --\n", path: ".", want: build.Go, root: "."},
		{name: "Cargo.toml", files: "-- Cargo.toml --\n", path: ".", want: build.Rust, root: "."},
		{name: "C in src", files: "-- src/a.c --\n", path: ".", want: build.C, root: "."},
		{name: "a C file", files: "-- src/a.c --\n", path: "src/a.c", want: build.C, root: "src"},
		{name: "two languages, and one is said", files: npm + "-- go.mod --\nmodule x\n", path: ".", language: build.Go, want: build.Go, root: "."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := must(filepath.EvalSymlinks(t.TempDir()))
			archive := txtar.Parse([]byte(c.files))
			archive.Files = append(archive.Files, fakeSDK()...)
			write(t, dir, archive)
			b, err := build.New(t.Context(), filepath.Join(dir, c.path), build.Options{Language: c.language})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close(t.Context()) })
			if b.Language() != c.want || b.Root() != filepath.Join(dir, c.root) {
				t.Errorf("got %s in %s, want %s in %s", b.Language(), b.Root(), c.want, c.root)
			}
		})
	}
}

func TestWhatIsNoProject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "missing"), "there is no file or folder "},
		{filepath.Join(dir, "notes.txt"), "notes.txt is a file of no language that is known"},
	} {
		_, err := build.New(t.Context(), c.path, build.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.path, err, c.want)
		}
	}
}
