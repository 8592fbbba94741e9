package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cofferdam-run/cofferdam/sdk/c"
)

const hintClang = "on Debian: apt-get install clang lld; on macOS: brew install llvm lld"

// llvmVersions are the suffixes of Debian's compilers, newest first.
func llvmVersions(name string) []string {
	names := []string{name}
	for version := 22; version >= 11; version-- {
		names = append(names, fmt.Sprintf("%s-%d", name, version))
	}
	return names
}

// findLinker finds LLVM's linker for WebAssembly.
func (p project) findLinker() (string, bool) { return p.find(llvmVersions("wasm-ld")...) }

// vendored is the folder of a project that may have the SDK's sources, so that they
// stay as they are and an editor finds the header.
const vendored = "vendor/cofferdam"

// compileC compiles the .c files of the project, those at its top and in src, with the
// SDK: the one in its vendor folder, or else the one of this program.
func (p project) compileC(ctx context.Context, dir, out string) error {
	clang, ok := p.find(llvmVersions("clang")...)
	if !ok {
		return wrong(hintClang, "there is no clang, which builds C connectors")
	}
	if _, ok := p.findLinker(); !ok {
		return wrong(hintClang, "there is no wasm-ld, which links C connectors")
	}
	sources, err := p.sources()
	if err != nil {
		return err
	}
	sdk := vendored
	if !exists(p.root, vendored+"/src/cofferdam.h") {
		sdk = filepath.Join(dir, "sdk")
		if err := os.CopyFS(sdk, c.Files()); err != nil {
			return fmt.Errorf("write the C SDK: %w", err)
		}
	}
	command := c.Command(clang, sdk, out, sources...)
	plain := []string{"-fno-color-diagnostics", "-fno-caret-diagnostics"}
	return p.run(ctx, tool{path: command[0], args: append(plain, command[1:]...)})
}

// sources are the .c files, relative to the project, sorted: one that was named, or
// all.
func (p project) sources() ([]string, error) {
	if p.entry != "" {
		return []string{p.entry}, nil
	}
	var sources []string
	for _, folder := range []string{".", "src"} {
		entries, err := os.ReadDir(filepath.Join(p.root, folder))
		if err != nil {
			continue // Not every project has both.
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".c") && !e.IsDir() {
				sources = append(sources, filepath.ToSlash(filepath.Join(folder, e.Name())))
			}
		}
	}
	if len(sources) == 0 {
		return nil, wrong("put the sources at the top of the project or into src", "%s has no .c file", filepath.Base(p.root))
	}
	return sources, nil
}
