package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// compileCommand is what a server starts as a child of its own for each plugin
// that is uploaded. It is hidden: no person has an order for it.
func (a *app) compileCommand() *cobra.Command {
	return &cobra.Command{
		Use:                compile.Verb,
		Short:              "Compile a plugin under limits, for a server that asks for it",
		Example:            "  cofferdam compile '{\"protocol\":1,...}' <plugin.wasm",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return compile.Work(c.Context(), args, a.in, a.out)
		},
	}
}

// compiler configures what compiles, but for its folder.
func (a *app) compiler() (compile.Config, error) {
	path, err := a.compilerPath()
	return compile.Config{Path: path, CPU: a.CompileCPU, Memory: a.CompileMiB << 20}, err
}

// compilerPath is the binary that compiles: this one unless it is said. It is
// empty where no process can be bounded.
func (a *app) compilerPath() (string, error) {
	switch goruntime.GOOS {
	case "linux":
		// This very binary, though an upgrade may have put another in its place.
		const self = "/proc/self/exe"
		if _, err := os.Stat(self); err == nil && a.Compiler == "" {
			return self, nil
		}
	case "darwin":
	default:
		return "", nil
	}
	if a.Compiler != "" {
		return a.Compiler, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this binary: %w\n  hint: name it: --compiler or COFFERDAM_COMPILER", err)
	}
	return self, nil
}

const scratchCacheUsage = "a private folder for compiled plugins, such as a server's; by default none is kept (COFFERDAM_CACHE_DIR)"

// scratchCache is a folder for compiled code: one that was asked for, or one
// that is gone afterwards.
func (a *app) scratchCache(name string) (dir string, remove func() error, err error) {
	if a.CacheDir != "" {
		dir, err = compile.OpenDir(a.CacheDir)
		return dir, func() error { return nil }, err
	}
	if dir, err = os.MkdirTemp("", name); err != nil {
		return "", nil, fmt.Errorf("make a folder to compile in: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// compilerInto is what a server would compile with, into a folder of the caller's.
func (a *app) compilerInto(dir string) (compiler compile.Compiler, kind string, err error) {
	config, err := a.compiler()
	if err != nil {
		return nil, "", err
	}
	if config.Path == "" {
		return compile.InProcess{}, "process", nil
	}
	config.CacheDir = dir
	compiler, err = compile.NewChild(config)
	return compiler, "child", err
}

// cachePath is the folder for compiled code: beside an embedded database, and in
// the user's cache, unless it is said.
func (a *app) cachePath() (string, error) {
	if a.CacheDir != "" {
		return a.CacheDir, nil
	}
	if !isPostgres(a.DB) {
		return filepath.Join(filepath.Dir(a.DB), "cache"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", usagef("name a private folder for compiled plugins: --cache-dir or COFFERDAM_CACHE_DIR (%v)", err)
	}
	return filepath.Join(dir, "cofferdam"), nil
}

// examineCache looks at the folder for compiled code.
func (a *app) examineCache() check {
	const name = "cache"
	dir, err := a.cachePath()
	if err != nil {
		return check{Name: name, Said: message(err)}
	}
	size, err := compile.Inspect(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return check{Name: name, OK: true, Said: dir + " does not exist yet: 'cofferdam serve' makes it"}
	case err != nil:
		return check{Name: name, Said: message(err)}
	default:
		return check{Name: name, OK: true, Said: fmt.Sprintf("%s is private, and holds %d files of machine code, %s", dir, size.Files, byteCount(size.Bytes))}
	}
}

// examineCompiler has the compiler compile a plugin of a few bytes, in a folder
// that is not the server's.
func (a *app) examineCompiler(ctx context.Context) check {
	const name = "compiler"
	config, err := a.compiler()
	if err != nil {
		return check{Name: name, Said: message(err)}
	}
	if config.Path == "" {
		return check{Name: name, OK: true, Said: "plugins are compiled in the server's own process: no other can be bounded on " + goruntime.GOOS}
	}
	dir, err := os.MkdirTemp("", "cofferdam-doctor-")
	if err != nil {
		return check{Name: name, Said: message(err)}
	}
	defer os.RemoveAll(dir)
	config.CacheDir = dir
	child, err := compile.NewChild(config)
	if err == nil {
		err = child.Check(ctx)
	}
	if err != nil {
		return check{Name: name, Said: message(err)}
	}
	return check{Name: name, OK: true, Said: "plugins are compiled in processes of their own, under limits, by " + config.Path}
}
