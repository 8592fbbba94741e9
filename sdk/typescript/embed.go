// Package typescript is the npm package @cofferdam/connector, in which connectors are
// written in TypeScript, as this program brings it along.
//
//	name, tgz, err := typescript.Tarball()
//	err = os.WriteFile(filepath.Join("vendor", name), tgz, 0o644)
//
// A project depends on that file ("file:vendor/..."), so that it has the SDK of the
// program that builds it, and no registry is asked for it. The sources are in src,
// README.md is the author's guide.
package typescript

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

//go:embed package.json README.md src
var sources embed.FS

// File is a file of the package.
type File struct {
	// Name is relative to the package's folder, with slashes.
	Name    string
	Content []byte
}

// Files are those of the package, by name: the sources, which hold its types, and the
// JavaScript made of them.
func Files() ([]File, error) {
	var files []File
	err := fs.WalkDir(sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := sources.ReadFile(name)
		if err != nil {
			return err
		}
		switch {
		case name == "package.json":
			content, err = published(content)
		case path.Ext(name) == ".ts":
			var script File
			script, err = transpile(name, content)
			files = append(files, script)
		}
		files = append(files, File{name, content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pack @cofferdam/connector: %w", err)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return files, nil
}

// published is package.json without what is for the package's own developers: npm warns
// authors of scripts.
func published(content []byte) ([]byte, error) {
	var about map[string]json.RawMessage
	if err := json.Unmarshal(content, &about); err != nil {
		return nil, fmt.Errorf("read package.json: %w", err)
	}
	delete(about, "scripts")
	delete(about, "devDependencies")
	return json.MarshalIndent(about, "", "  ")
}

// transpile makes dist/x.js of src/x.ts: it leaves the types out, and nothing else.
func transpile(name string, content []byte) (File, error) {
	result := api.Transform(string(content), api.TransformOptions{
		Loader: api.LoaderTS, Format: api.FormatESModule, Target: api.ES2022, Charset: api.CharsetUTF8, Sourcefile: name,
	})
	if len(result.Errors) > 0 {
		return File{}, fmt.Errorf("transpile %s: %w", name, errors.New(result.Errors[0].Text))
	}
	script := "dist/" + strings.TrimSuffix(strings.TrimPrefix(name, "src/"), ".ts") + ".js"
	return File{script, result.Code}, nil
}

// Tarball is the package as npm installs it, and the name that such a file has. The
// same program makes the same bytes.
func Tarball() (name string, tgz []byte, err error) {
	files, err := Files()
	if err != nil {
		return "", nil, err
	}
	version, err := Version()
	if err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, f := range files {
		// No times, users or groups: what is packed is all that counts.
		header := &tar.Header{Name: "package/" + f.Name, Mode: 0o644, Size: int64(len(f.Content)), Format: tar.FormatUSTAR}
		if err := errors.Join(archive.WriteHeader(header), write(archive, f.Content)); err != nil {
			return "", nil, fmt.Errorf("pack @cofferdam/connector: %w", err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		return "", nil, fmt.Errorf("pack @cofferdam/connector: %w", err)
	}
	return "cofferdam-connector-" + version + ".tgz", out.Bytes(), nil
}

func write(archive *tar.Writer, content []byte) error {
	_, err := archive.Write(content)
	return err
}

// Version is the package's.
func Version() (string, error) {
	content, err := sources.ReadFile("package.json")
	if err != nil {
		return "", fmt.Errorf("read package.json: %w", err)
	}
	var about struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(content, &about); err != nil {
		return "", fmt.Errorf("read package.json: %w", err)
	}
	return about.Version, nil
}
