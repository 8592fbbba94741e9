package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// project is where the sources are.
type project struct {
	language Language
	// root is an absolute folder, without symbolic links.
	root string
	// entry is a file in it, relative, with slashes; it is empty where the language's
	// own build file says what is built.
	entry string
	// look finds a program.
	look func(name string) (string, error)
}

// locate finds out what there is at path, which is a folder or an entry file.
func locate(path string, l Language) (project, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return project{}, wrong("name the project's folder or its entry file; 'cofferdam new' makes one", "there is no file or folder %s", path)
	}
	if err != nil {
		return project{}, fmt.Errorf("open project: %w", err)
	}
	absolute, err := filepath.Abs(path)
	if err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
	}
	if err != nil {
		return project{}, fmt.Errorf("open project: %w", err)
	}
	if info.IsDir() {
		return locateFolder(absolute, l)
	}
	return locateFile(absolute, l)
}

func locateFile(path string, l Language) (project, error) {
	if l == "" {
		l = languageOf(path)
	}
	if l == "" {
		return project{}, wrong("give a .ts, .js, .go, .rs or .c file, or the project's folder, or say --lang",
			"%s is a file of no language that is known", filepath.Base(path))
	}
	root := filepath.Dir(path)
	// The folder of package.json is where node_modules and tsconfig.json are.
	if l == TypeScript {
		if up, ok := findUp(root, "package.json"); ok {
			root = filepath.Dir(up)
		}
	}
	entry, err := filepath.Rel(root, path)
	if err != nil {
		return project{}, fmt.Errorf("open project: %w", err)
	}
	return project{language: l, root: root, entry: filepath.ToSlash(entry)}, nil
}

// marks are files that say what language a project is written in.
func marks() []struct {
	file     string
	language Language
} {
	return []struct {
		file     string
		language Language
	}{{"package.json", TypeScript}, {"go.mod", Go}, {"Cargo.toml", Rust}}
}

func locateFolder(root string, l Language) (project, error) {
	p := project{language: l, root: root}
	if l == "" {
		var err error
		if p.language, err = detect(root); err != nil {
			return p, err
		}
	}
	switch p.language {
	case TypeScript:
		return p.withEntry(scriptEntries(root))
	case Rust:
		if exists(root, "Cargo.toml") {
			return p, nil
		}
		return p.withEntry([]string{"src/lib.rs", "lib.rs", only(root, ".rs")})
	default:
		return p, nil
	}
}

// detect tells the language by the files at the top of a project.
func detect(root string) (Language, error) {
	var found []string
	var language Language
	for _, m := range marks() {
		if exists(root, m.file) {
			found, language = append(found, m.file), m.language
		}
	}
	if len(found) > 1 {
		return "", wrong("say which is meant with --lang", "%s has %s: projects of several languages", filepath.Base(root), strings.Join(found, " and "))
	}
	if language != "" {
		return language, nil
	}
	for _, folder := range []string{root, filepath.Join(root, "src")} {
		entries, _ := os.ReadDir(folder) // A folder that is not there has no files.
		for _, e := range entries {
			if l := languageOf(e.Name()); l != "" && !e.IsDir() {
				return l, nil
			}
		}
	}
	return "", wrong("'cofferdam new NAME' makes a project", "%s is no project: there is no package.json, go.mod or Cargo.toml, and no .ts, .rs or .c file",
		filepath.Base(root))
}

// languageOf tells a language by a file's name; it is empty for other files.
func languageOf(name string) Language {
	if strings.HasSuffix(name, ".d.ts") {
		return ""
	}
	switch filepath.Ext(name) {
	case ".ts", ".mts", ".cts", ".js", ".mjs", ".cjs":
		return TypeScript
	case ".go":
		return Go
	case ".rs":
		return Rust
	case ".c":
		return C
	default:
		return ""
	}
}

// scriptEntries are where a TypeScript project may begin: what its package.json
// says, then the usual names.
func scriptEntries(root string) []string {
	var entries []string
	pkg, err := readPackage(root)
	if err == nil && pkg.Main != "" {
		entries = append(entries, filepath.ToSlash(filepath.Clean(pkg.Main)))
	}
	for _, name := range []string{"connector", "index", "main"} {
		for _, ext := range []string{".ts", ".mts", ".js", ".mjs"} {
			entries = append(entries, "src/"+name+ext, name+ext)
		}
	}
	return entries
}

func (p project) withEntry(candidates []string) (project, error) {
	for _, c := range candidates {
		if c != "" && filepath.IsLocal(c) && exists(p.root, c) {
			p.entry = c
			return p, nil
		}
	}
	looked := slices.DeleteFunc(candidates, func(c string) bool { return c == "" || strings.HasSuffix(c, "js") || strings.HasSuffix(c, ".mts") })
	return p, wrong("name the entry file: cofferdam build FILE, or, for TypeScript, \"main\" in package.json",
		"%s has no entry file; looked for %s", filepath.Base(p.root), strings.Join(looked, ", "))
}

// only is the one file of a folder with an extension, or empty.
func only(root, ext string) string {
	names, _ := filepath.Glob(filepath.Join(root, "*"+ext)) // The pattern is a good one.
	if len(names) != 1 {
		return ""
	}
	return filepath.Base(names[0])
}

func exists(root, name string) bool {
	info, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
	return err == nil && !info.IsDir()
}

// findUp is the path of a file or folder of a name in dir or the nearest folder
// above.
func findUp(dir, name string) (string, bool) {
	for {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}

// packageJSON is what of a package.json is of use here.
type packageJSON struct {
	Name            string            `json:"name"`
	Version         string            `json:"version"`
	Main            string            `json:"main"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
}

// readPackage reads the package.json of a folder.
func readPackage(dir string) (packageJSON, error) {
	var p packageJSON
	text, err := os.ReadFile(filepath.Join(dir, "package.json")) //nolint:gosec // The author's own.
	if err != nil {
		return p, fmt.Errorf("read package.json: %w", err)
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("read package.json: %w", err)
	}
	return p, nil
}

func (p packageJSON) dependsOn(name string) bool {
	_, direct := p.Dependencies[name]
	_, dev := p.DevDependencies[name]
	return direct || dev
}
