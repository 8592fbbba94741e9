// Package rust is the SDK for connectors in Rust: the crate cofferdam, which has no
// dependencies. See its README for authors.
package rust

import (
	"embed"
	"io/fs"
)

//go:embed Cargo.toml README.md src
var files embed.FS

// Files are the crate: a project depends on the folder that they were written to, by
// its path.
func Files() fs.FS { return files }
