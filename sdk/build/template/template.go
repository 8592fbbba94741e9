// Package template writes new connector projects.
//
//	written, err := template.Write("shop", template.Project{Name: "shop", Language: "typescript", Kind: "action"})
//
// A project has all that it needs: the SDK of the program that writes it lies beside
// its sources, so that no registry has to have that version.
package template

import (
	"archive/zip"
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cofferdam-run/cofferdam/sdk/c"
	"github.com/cofferdam-run/cofferdam/sdk/rust"
	"github.com/cofferdam-run/cofferdam/sdk/typescript"
)

// The projects are archives in the form of txtar, one for what a language has, one
// for what a kind has, and one for each of both. The Go SDK is a module of its own,
// whose files cannot be embedded where they are: sdk-go.zip has a copy of them.
//
//go:embed files/*.txtar sdk-go.zip
var embedded embed.FS

// Project says what is written.
type Project struct {
	// Name is the connector's: a-z, 0-9 and -, at most 63, and not beginning with -.
	Name string
	// Language is typescript, go, rust or c.
	Language string
	// Kind is one of Kinds.
	Kind string
}

// Kinds are those of projects, with what each does.
func Kinds() map[string]string {
	return map[string]string{
		"action":  "It has two actions: one remembers whom it greeted, one asks GitHub.",
		"verify":  "It takes a webhook of which it decides itself whether it is authentic, by a secret that it never sees.",
		"webhook": "It takes a webhook, counts orders, and emits a record for each.",
		"poll":    "It looks every five minutes whether a repository on GitHub has new releases.",
	}
}

// ErrNotEmpty says that a folder has something in it.
var ErrNotEmpty = errors.New("the folder is not empty")

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Check says what is wrong with a project that is to be written.
func (p Project) Check() error {
	if !nameForm.MatchString(p.Name) {
		return fmt.Errorf("the name %q is not 1 to 63 of a-z, 0-9 and -, or begins with -%s", p.Name, suggestion(p.Name))
	}
	if _, ok := Kinds()[p.Kind]; !ok {
		return fmt.Errorf("there is no template %q: there is %s", p.Kind, strings.Join(slices.Sorted(maps.Keys(Kinds())), ", "))
	}
	if _, err := fs.Stat(embedded, "files/"+short(p.Language)+".txtar"); err != nil {
		return fmt.Errorf("there are no templates for the language %q", p.Language)
	}
	return nil
}

// suggestion is a name that would do.
func suggestion(name string) string {
	fit := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-")
	if !nameForm.MatchString(fit) {
		return ""
	}
	return fmt.Sprintf("; %q would do", fit)
}

// short is a language as the archives' names have it.
func short(language string) string {
	if language == "typescript" {
		return "ts"
	}
	return language
}

// Write makes the folder, unless it is there and empty, and writes the project into
// it. It gives the files that it wrote, with slashes, sorted; the SDK's own are left
// out.
func Write(dir string, p Project) (written []string, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look into the folder: %w", err)
	}
	// A repository that was just made is as good as empty.
	if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != ".git" {
		return nil, ErrNotEmpty
	}
	sdk, words, err := p.sdk()
	if err != nil {
		return nil, err
	}
	files, err := p.files(words)
	if err != nil {
		return nil, err
	}
	written = slices.Sorted(maps.Keys(files))
	maps.Copy(files, sdk)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), files[name]); err != nil {
			return nil, err
		}
	}
	return written, nil
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // A project is for its author's team.
		return fmt.Errorf("make the project: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // As above.
		return fmt.Errorf("make the project: %w", err)
	}
	return nil
}

// files are those of the archives, with words for what stands in {{}}.
func (p Project) files(words map[string]string) (map[string][]byte, error) {
	words["name"], words["title"], words["what"] = p.Name, title(p.Name), Kinds()[p.Kind]
	var replace []string
	for word, value := range words {
		replace = append(replace, "{{"+word+"}}", value)
	}
	replacer := strings.NewReplacer(replace...)
	files := map[string][]byte{}
	for _, archive := range []string{p.Kind, short(p.Language), short(p.Language) + "-" + p.Kind} {
		text, err := embedded.ReadFile("files/" + archive + ".txtar")
		if err != nil {
			return nil, fmt.Errorf("read the template: %w", err)
		}
		for _, f := range txtar.Parse(text).Files {
			files[f.Name] = []byte(replacer.Replace(string(f.Data)))
		}
	}
	return files, nil
}

// title is a name for people: acme-shop is Acme Shop.
func title(name string) string {
	words := strings.Split(name, "-")
	for i, w := range words {
		if w != "" {
			words[i] = string(unicode.ToUpper(rune(w[0]))) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

// sdk is the language's SDK as it lies beside the sources, and words about it.
func (p Project) sdk() (files map[string][]byte, words map[string]string, err error) {
	files, words = map[string][]byte{}, map[string]string{}
	switch p.Language {
	case "typescript":
		err = addTypeScript(files, words)
	case "go":
		err = addGo(files, words)
	case "rust":
		err = addFolder(files, "vendor/cofferdam", rust.Files())
	case "c":
		err = addFolder(files, "vendor/cofferdam", c.Files())
	}
	return files, words, err
}

// addFolder adds what is in a file system, under a folder.
func addFolder(files map[string][]byte, folder string, from fs.FS) error {
	return fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		files[folder+"/"+name] = content
		return err
	})
}

func addTypeScript(files map[string][]byte, words map[string]string) error {
	name, tarball, err := typescript.Tarball()
	if err != nil {
		return err
	}
	files["vendor/"+name], words["tarball"] = tarball, name
	words["typescript"], err = compilerVersion()
	return err
}

// compilerVersion is the version of tsc that the SDK is tested with.
func compilerVersion() (string, error) {
	own, err := typescript.Files()
	if err != nil {
		return "", err
	}
	var about struct {
		DevDependencies struct {
			TypeScript string `json:"typescript"`
		} `json:"devDependencies"`
	}
	for _, f := range own {
		if f.Name == "package.json" {
			if err := json.Unmarshal(f.Content, &about); err != nil {
				return "", fmt.Errorf("read the SDK's package.json: %w", err)
			}
		}
	}
	return about.DevDependencies.TypeScript, nil
}

// goVersion is the line of a go.mod that a module which depends on it must have, too.
var goVersion = regexp.MustCompile(`(?m)^go (\S+)$`)

func addGo(files map[string][]byte, words map[string]string) error {
	const folder = "cofferdam-sdk"
	text, err := embedded.ReadFile("sdk-go.zip")
	if err != nil {
		return fmt.Errorf("read the Go SDK: %w", err)
	}
	archive, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return fmt.Errorf("read the Go SDK: %w", err)
	}
	if err := addFolder(files, folder, archive); err != nil {
		return fmt.Errorf("read the Go SDK: %w", err)
	}
	m := goVersion.FindSubmatch(files[folder+"/go.mod"])
	if m == nil {
		return errors.New("read the Go SDK: its go.mod has no version of Go")
	}
	words["go"] = string(m[1])
	return nil
}
