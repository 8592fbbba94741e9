// Package build makes a plugin of a project: one .wasm file of TypeScript, Go, Rust
// or C sources.
//
//	b, err := build.New(ctx, "shop", build.Options{CacheDir: dir})
//	defer b.Close(ctx)
//	plugin, err := b.Build(ctx)
//	var wrong *build.Error
//	if errors.As(err, &wrong) { ... } // each problem with file, line and caret
//	err = os.WriteFile("shop.wasm", plugin.Wasm, 0o644)
//
// A TypeScript project needs Node's package manager and nothing else. Its files and
// packages are bundled, evaluated once in the sandbox by the engine that is in its
// node_modules, and what that leaves in memory is the plugin. The other languages are
// built by their own compilers.
//
// A plugin's file holds three custom sections: cofferdam.manifest, what describe
// returns; cofferdam.sourcemap, by which stack traces show lines of TypeScript; and
// cofferdam.build, how it was built (package registry/provenance).
//
// Equal sources give equal bytes, in whatever folder and on whatever machine, with
// equal compilers. Options.Stamp adds the revision of git to what counts.
//
// A project is its author's own: bundling reads what its sources import, and the
// compilers and tsc run with the author's rights. Only what is built is sandboxed.
package build
