package build_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
	"github.com/cofferdam-run/cofferdam/sdk/build/template"
)

// newProject writes a project of a language, as authors begin.
func newProject(t *testing.T, l build.Language) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	if _, err := template.Write(dir, template.Project{Name: "shop", Language: string(l), Kind: "webhook"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// need skips a test where the language's compiler is not here.
func need(t *testing.T, l build.Language) {
	t.Helper()
	switch l {
	case build.Rust:
		buildtest.NeedRust(t)
	case build.C:
		buildtest.Need(t, "clang", "wasm-ld")
	case build.TypeScript, build.Go:
	}
}

// entries are the files that the templates have their connector in.
func entry(l build.Language) string {
	return map[build.Language]string{build.Go: "main.go", build.Rust: "src/lib.rs", build.C: "src/connector.c"}[l]
}

func TestProjectsOfOtherLanguages(t *testing.T) {
	t.Parallel()
	for _, l := range []build.Language{build.Go, build.Rust, build.C} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			need(t, l)
			one, other := newProject(t, l), newProject(t, l)
			plugin := built(t, one, options(t))
			if m := plugin.Manifest; m.Name != "shop" || len(m.Webhooks) != 1 {
				t.Errorf("got the manifest %+v", m)
			}
			if got := plugin.Info.Language; got != string(l) {
				t.Errorf("got the language %q, want %q", got, l)
			}
			if got := built(t, other, options(t)).Digest; got != plugin.Digest {
				t.Errorf("in another folder: got %s, want %s", got, plugin.Digest)
			}
			for _, folder := range []string{one, buildtest.Root(t)} {
				if strings.Contains(string(plugin.Wasm), folder) {
					t.Errorf("the plugin tells the folder %s of this machine", folder)
				}
			}
		})
	}
}

func TestErrorsOfCompilersHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		language build.Language
		old, new string
		want     []string
	}{
		{build.Go, `order == nil`, `ordre == nil`, []string{"main.go:", ": undefined: ordre\n", "| \tif ordre == nil {\n", "^~~~~"}},
		{build.Rust, `order.is_null()`, `ordre.is_null()`, []string{"src/lib.rs:", "cannot find value `ordre`", "|     if ordre.is_null() {\n", "^~~~~"}},
		{build.C, `if (!event) return NULL;`, `if (!evnt) return NULL;`, []string{"src/connector.c:", "use of undeclared identifier 'evnt'", "|     if (!evnt) return NULL;\n", "^~~~"}},
	} {
		t.Run(string(c.language), func(t *testing.T) {
			t.Parallel()
			need(t, c.language)
			dir := newProject(t, c.language)
			file := filepath.Join(dir, entry(c.language))
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = build.Project(t.Context(), dir, options(t))
			if _, ok := errors.AsType[*build.Error](err); !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwant %q in it", err, want)
				}
			}
		})
	}
}

func TestAMissingCompilerIsNamed(t *testing.T) {
	t.Parallel()
	without := func(missing ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			for _, m := range missing {
				if strings.HasPrefix(filepath.Base(name), m) {
					return "", exec.ErrNotFound
				}
			}
			return exec.LookPath(name)
		}
	}
	for _, c := range []struct {
		name     string
		language build.Language
		missing  string
		want     string
	}{
		{"Go", build.Go, "go", "there is no go, which builds Go connectors\n  hint: install Go 1.24 or later: https://go.dev/dl"},
		{"Rust", build.Rust, "rustc", "there is no rustc, which builds Rust connectors\n  hint: with rustup: rustup target add wasm32-unknown-unknown; on Debian: apt-get install rustc cargo libstd-rust-dev-wasm32 lld"},
		{"cargo", build.Rust, "cargo", "there is no cargo beside "},
		{"C", build.C, "clang", "there is no clang, which builds C connectors\n  hint: on Debian: apt-get install clang lld; on macOS: brew install llvm lld"},
		{"a linker", build.C, "wasm-ld", "there is no wasm-ld, which links C connectors\n  hint: on Debian: apt-get install clang lld"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.missing == "cargo" || c.missing == "wasm-ld" {
				need(t, c.language)
			}
			o := options(t)
			o.Look = without(c.missing)
			_, err := build.Project(t.Context(), newProject(t, c.language), o)
			if _, ok := errors.AsType[*build.Error](err); !ok || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestTypesAreCheckedByNode(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.NoCheck = false
	o.Look = func(string) (string, error) { return "", exec.ErrNotFound }
	_, err := build.Project(t.Context(), project(t, greeter), o)
	if want := "there is no node, which tsc needs"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestASingleFileIsAProject(t *testing.T) {
	t.Parallel()
	for _, l := range []build.Language{build.Rust, build.C} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			need(t, l)
			text, err := os.ReadFile(filepath.Join(newProject(t, l), entry(l)))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			name := filepath.Base(entry(l))
			write(t, dir, &txtar.Archive{Files: []txtar.File{{Name: name, Data: text}}})
			if got := built(t, filepath.Join(dir, name), options(t)).Manifest.Name; got != "shop" {
				t.Errorf("got the connector %q, want shop", got)
			}
		})
	}
}

func TestWhatIsNoConnectorIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, txtar.Parse([]byte("-- go.mod --\nmodule example.com/none\n\ngo 1.24\n-- main.go --\npackage main\n\nfunc main() {}\n")))
	_, err := build.Project(t.Context(), dir, options(t))
	if want := "what was built exports no describe, so it is no connector"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestTheRevisionIsStamped(t *testing.T) {
	t.Parallel()
	buildtest.Need(t, "git")
	dir := newProject(t, build.Go)
	git := func(args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	o := options(t)
	o.Stamp = true
	if info := built(t, dir, o).Info; info.Revision != "" || info.Modified {
		t.Errorf("without a checkout: got %+v", info)
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "shop: begin")
	head := git("rev-parse", "HEAD")
	plugin := built(t, dir, o)
	if plugin.Info.Revision != head || plugin.Info.Modified {
		t.Errorf("committed: got %+v, want the revision %s", plugin.Info, head)
	}
	// What is built is no reason to build something else the next time.
	if err := os.Remove(filepath.Join(dir, ".gitignore")); err != nil {
		t.Fatal(err)
	}
	git("commit", "-q", "-a", "-m", "shop: ignore nothing")
	if err := os.WriteFile(filepath.Join(dir, "shop.wasm"), plugin.Wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	if info := built(t, dir, o).Info; info.Modified {
		t.Errorf("with a plugin that lies there: got %+v", info)
	}
	if err := os.WriteFile(filepath.Join(dir, "more.go"), []byte("package main\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info := built(t, dir, o).Info; !info.Modified {
		t.Errorf("with a file that is in no commit: got %+v", info)
	}
	o.Stamp = false
	if info := built(t, dir, o).Info; info.Revision != "" {
		t.Errorf("without Stamp: got %+v", info)
	}
}
