// Package c is the SDK for connectors in C: a header and one file, which are
// compiled with the connector. See its README for authors.
package c

import (
	"embed"
	"io/fs"
)

//go:embed README.md src
var files embed.FS

// Files are the SDK as it stands beside a project: README.md, and src with
// cofferdam.h and cofferdam.c.
func Files() fs.FS { return files }

// Command is how a connector is built: clang and its arguments, to be run in the
// project's folder. Clang is the compiler, 14 or later, with wasm-ld beside it; sdk
// the folder that Files were written to; sources the project's C files. Equal sources
// give equal bytes, whatever the folders are called.
func Command(clang, sdk, out string, sources ...string) []string {
	command := []string{
		clang, "--target=wasm32", "-std=c17", "-Os", "-flto", "-nostdlib", "-Wall", "-Wextra",
		"-I", sdk + "/src",
		// No main; and a stack below the data, so that one that overflows traps, with
		// room for 512 levels of JSON.
		"-Wl,--no-entry", "-Wl,--stack-first", "-Wl,-z,stack-size=262144", "-Wl,--strip-all",
		"-o", out,
	}
	return append(append(command, sources...), sdk+"/src/cofferdam.c")
}
