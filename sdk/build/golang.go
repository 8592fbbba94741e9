package build

import (
	"context"
	"path"
)

// compileGo builds a Go module, or the package in one that the entry file is in.
func (p project) compileGo(ctx context.Context, out string) error {
	compiler, ok := p.find("go")
	if !ok {
		return wrong("install Go 1.24 or later: https://go.dev/dl", "there is no go, which builds Go connectors")
	}
	pkg := "."
	if p.entry != "" {
		pkg = "./" + path.Dir(p.entry)
	}
	return p.run(ctx, tool{
		path: compiler,
		// Without paths, symbols and git's state, so that equal sources give equal bytes.
		args: []string{"build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, pkg},
		env:  []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"},
	})
}
