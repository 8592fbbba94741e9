package build

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

const (
	// sdkPackage is the SDK's name in npm.
	sdkPackage = "@cofferdam/connector"
	// entryPoint is the file that is bundled: it joins the author's to the SDK.
	entryPoint = "cofferdam:entry"
	// warnBytes is from which size of a bundle on it is worth a warning: what is
	// bundled is evaluated into memory that each sandbox begins with.
	warnBytes = 500_000
)

// bundler bundles a TypeScript project, again and again.
type bundler struct {
	project project
	context api.BuildContext
	// inputs are the files that were read last, absolute.
	inputs []string
}

// bundled is what a bundler made.
type bundled struct {
	code, sourceMap []byte
	bundle          Bundle
	warnings        []Problem
}

func newBundler(p project) (*bundler, error) {
	b := &bundler{project: p}
	_, pnpm := findUp(p.root, "node_modules/.pnpm")
	context, err := api.Context(api.BuildOptions{
		EntryPointsAdvanced: []api.EntryPoint{{InputPath: entryPoint, OutputPath: strings.TrimSuffix(sourcemap.Bundle, ".js")}},
		AbsWorkingDir:       p.root,
		Outdir:              p.root,
		Bundle:              true,
		Metafile:            true,
		LogLevel:            api.LogLevelSilent,
		Format:              api.FormatIIFE,
		Target:              api.ES2022,
		// What packages have for browsers asks for the least: no files, no sockets.
		Platform:   api.PlatformBrowser,
		Conditions: []string{"worker", "module"},
		Define:     map[string]string{"process.env.NODE_ENV": `"production"`, "global": "globalThis"},
		Loader: map[string]api.Loader{
			".txt": api.LoaderText, ".md": api.LoaderText, ".graphql": api.LoaderText,
			".xml": api.LoaderText, ".html": api.LoaderText, ".csv": api.LoaderText,
		},
		Sourcemap:      api.SourceMapExternal,
		SourcesContent: api.SourcesContentExclude,
		LegalComments:  api.LegalCommentsNone,
		// Names stay: they are in stack traces.
		MinifyWhitespace: true,
		LineLimit:        100,
		MinifySyntax:     true,
		// The engine counts columns in bytes, the source map in units of UTF-16.
		Charset: api.CharsetASCII,
		// The names of files are in the bundle. Behind links they would tell where the
		// project is; only pnpm has packages that are not found unless links are followed.
		PreserveSymlinks: !pnpm,
		Plugins:          []api.Plugin{b.entryPlugin(), b.builtinPlugin(), b.sdkPlugin()},
	})
	if err != nil {
		return nil, fmt.Errorf("configure the bundler: %w", err)
	}
	b.context = context
	return b, nil
}

func (b *bundler) close() { b.context.Dispose() }

// entryPlugin is the virtual file that is bundled.
func (b *bundler) entryPlugin() api.Plugin {
	entry, _ := json.Marshal("./" + path.Base(b.project.entry)) // Strings always encode.
	contents := fmt.Sprintf("import %q;\nimport c from %s;\nimport { mount } from %q;\nmount(c);\n", sdkPackage+"/prelude", entry, sdkPackage+"/mount")
	return api.Plugin{Name: "cofferdam-entry", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: "^" + entryPoint + "$"}, func(api.OnResolveArgs) (api.OnResolveResult, error) {
			return api.OnResolveResult{Path: "entry", Namespace: "cofferdam"}, nil
		})
		build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "cofferdam"}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
			dir := filepath.Join(b.project.root, filepath.FromSlash(path.Dir(b.project.entry)))
			return api.OnLoadResult{Contents: &contents, ResolveDir: dir, Loader: api.LoaderJS}, nil
		})
	}}
}

// bundle makes the bundle. The error is an *Error where the sources are to blame.
func (b *bundler) bundle() (bundled, error) {
	result := b.context.Rebuild()
	if len(result.Errors) > 0 {
		return bundled{}, &Error{Problems: b.problems(result.Errors), reading: true}
	}
	var meta metafile
	if err := json.Unmarshal([]byte(result.Metafile), &meta); err != nil {
		return bundled{}, fmt.Errorf("read the bundler's account: %w", err)
	}
	b.inputs = meta.files(b.project.root)
	if err := b.oneSDK(meta); err != nil {
		return bundled{}, err
	}
	out := bundled{warnings: b.warnings(result.Warnings)}
	for _, f := range result.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			out.sourceMap = f.Contents
		} else {
			out.code = f.Contents
		}
	}
	var err error
	if out.sourceMap, err = tidy(out.sourceMap); err != nil {
		return bundled{}, err
	}
	out.bundle = meta.bundle(len(out.code))
	if out.bundle.Bytes > warnBytes {
		out.warnings = append(out.warnings, out.bundle.warning())
	}
	return out, nil
}

// metafile is what esbuild says of a build
// (<https://esbuild.github.io/api/#metafile>).
type metafile struct {
	Inputs map[string]struct {
		Imports []struct {
			Path string `json:"path"`
		} `json:"imports"`
	} `json:"inputs"`
	Outputs map[string]struct {
		Inputs map[string]struct {
			BytesInOutput int `json:"bytesInOutput"`
		} `json:"inputs"`
	} `json:"outputs"`
}

// files are the inputs that are files.
func (m metafile) files(root string) []string {
	var files []string
	for input := range m.Inputs {
		if !strings.HasPrefix(input, "cofferdam:") && !strings.HasPrefix(input, "(disabled):") {
			files = append(files, filepath.Join(root, filepath.FromSlash(input)))
		}
	}
	slices.Sort(files)
	return files
}

// bundle says which package has how much of it.
func (m metafile) bundle(size int) Bundle {
	packages, folders := map[string]int{}, map[string]map[string]int{}
	for _, output := range m.Outputs {
		for input, in := range output.Inputs {
			name, rest, _ := packageOf(input)
			packages[name] += in.BytesInOutput
			if folders[name] == nil {
				folders[name] = map[string]int{}
			}
			folders[name][path.Dir(rest)] += in.BytesInOutput
		}
	}
	b := Bundle{Bytes: size, Parts: []Part{}}
	for name, bytes := range packages {
		part := Part{Name: name, Bytes: bytes}
		for folder, of := range folders[name] {
			if name != "" && folder != "." && of > max(part.FolderBytes, bytes/4) {
				part.Folder, part.FolderBytes = folder, of
			}
		}
		if bytes > 0 {
			b.Parts = append(b.Parts, part)
		}
	}
	slices.SortFunc(b.Parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return b
}

// shown is how many parts a message names.
const shown = 5

// largest are lines on the largest packages.
func (b Bundle) largest() []string {
	var lines []string
	for _, p := range b.Parts {
		if len(lines) == shown {
			break
		}
		lines = append(lines, fmt.Sprintf("%8s  %s", kilobytes(p.Bytes), p.title()))
	}
	return lines
}

func (p Part) title() string {
	switch {
	case p.Name == "":
		return "your own files"
	case p.Folder != "":
		return fmt.Sprintf("%s, of which %s in its %s", p.Name, kilobytes(p.FolderBytes), p.Folder)
	default:
		return p.Name
	}
}

func (b Bundle) warning() Problem {
	p := Problem{
		Text:  fmt.Sprintf("the bundle has %s: above %s, each sandbox takes noticeably longer to make and more memory", kilobytes(b.Bytes), kilobytes(warnBytes)),
		Notes: b.largest(),
		Hint:  hintSmaller,
	}
	if slices.ContainsFunc(b.Parts, func(p Part) bool { return p.Name == "zod" }) {
		p.Hint += "; zod/mini is a small zod"
	}
	if slices.ContainsFunc(b.Parts, func(p Part) bool { return strings.Contains(p.Folder, "locale") }) {
		p.Hint += "; import single locales instead of all"
	}
	return p
}

func kilobytes(n int) string { return fmt.Sprintf("%.0f KB", float64(n)/1000) }

// packageOf splits the path of a file into the npm package that it belongs to, its
// name in that, and the folder where the package is. All is empty but rest for the
// project's own files.
func packageOf(file string) (name, rest, folder string) {
	const modules = "node_modules/"
	at := strings.LastIndex(file, modules)
	if at < 0 || at > 0 && file[at-1] != '/' {
		return "", file, ""
	}
	at += len(modules)
	parts := strings.SplitN(file[at:], "/", 3)
	n := 1
	if strings.HasPrefix(parts[0], "@") {
		n = 2
	}
	if len(parts) <= n {
		return "", file, ""
	}
	name = strings.Join(parts[:n], "/")
	return name, strings.Join(parts[n:], "/"), file[:at] + name
}
