package template_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/sdk/build/template"
)

func languages() []string { return []string{"typescript", "go", "rust", "c"} }

func TestProjectsAreComplete(t *testing.T) {
	t.Parallel()
	for _, language := range languages() {
		for kind := range template.Kinds() {
			t.Run(language+" "+kind, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "acme-shop")
				written, err := template.Write(dir, template.Project{Name: "acme-shop", Language: language, Kind: kind})
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{".gitignore", "README.md"} {
					if !slices.Contains(written, want) {
						t.Errorf("there is no %s in %q", want, written)
					}
				}
				for _, folder := range []string{"fixtures/" + strings.Replace(kind, "verify", "webhook", 1) + ".", "tests/"} {
					if !slices.ContainsFunc(written, func(name string) bool { return strings.HasPrefix(name, folder) }) {
						t.Errorf("there is no %s in %q", folder, written)
					}
				}
				for _, name := range written {
					checkFile(t, dir, name)
				}
			})
		}
	}
}

var word = regexp.MustCompile(`\{\{[a-z]+\}\}`)

// checkFile looks for words that were not replaced, and for JSON that is none.
func checkFile(t *testing.T, dir, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if word.Match(text) {
		t.Errorf("%s has a word that nobody replaced:\n%s", name, text)
	}
	if filepath.Ext(name) == ".json" && !json.Valid(text) {
		t.Errorf("%s is not JSON:\n%s", name, text)
	}
	if name == "README.md" && !strings.HasPrefix(string(text), "# Acme Shop\n") {
		t.Errorf("%s does not begin with its title:\n%s", name, text)
	}
}

func TestAFolderThatIsNotEmptyStays(t *testing.T) {
	t.Parallel()
	p := template.Project{Name: "shop", Language: "go", Kind: "action"}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := template.Write(dir, p); !errors.Is(err, template.ErrNotEmpty) {
		t.Errorf("got %v, want ErrNotEmpty", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("got %d entries, want the one that was there", len(entries))
	}
	fresh := t.TempDir()
	if err := os.Mkdir(filepath.Join(fresh, ".git"), 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := template.Write(fresh, p); err != nil {
		t.Errorf("into a new repository: %v", err)
	}
}

func TestProjectsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		project template.Project
		want    string
	}{
		{template.Project{Name: "Acme Shop", Language: "go", Kind: "action"}, `the name "Acme Shop" is not 1 to 63 of a-z, 0-9 and -, or begins with -; "acme-shop" would do`},
		{template.Project{Name: "-", Language: "go", Kind: "action"}, `the name "-" is not 1 to 63 of a-z, 0-9 and -, or begins with -`},
		{template.Project{Name: "shop", Language: "go", Kind: "cron"}, `there is no template "cron": there is action, poll, verify, webhook`},
		{template.Project{Name: "shop", Language: "cobol", Kind: "action"}, `there are no templates for the language "cobol"`},
		{template.Project{Name: "shop", Language: "../action", Kind: "action"}, `there are no templates for the language "../action"`},
	} {
		dir := filepath.Join(t.TempDir(), "new")
		if _, err := template.Write(dir, c.project); err == nil || err.Error() != c.want {
			t.Errorf("%+v: got %v, want %s", c.project, err, c.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%+v: the folder was made", c.project)
		}
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "projects")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	written, err := template.Write(filepath.Join(dir, "shop"), template.Project{Name: "shop", Language: "go", Kind: "webhook"})
	fmt.Println(err, slices.Sorted(maps.Keys(template.Kinds())))
	for _, file := range written {
		fmt.Println(file)
	}
	// Output:
	// <nil> [action poll verify webhook]
	// .gitignore
	// README.md
	// fixtures/webhook.orderPaid.json
	// go.mod
	// main.go
	// tests/no-order.test.json
	// tests/order-paid.test.json
}
