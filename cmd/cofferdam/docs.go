package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/docs"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
)

// documenting is a call of the verb.
type documenting struct {
	*app
	file  string
	check bool
}

func (a *app) pluginDocs() *cobra.Command {
	v := documenting{app: a}
	c := &cobra.Command{
		Use:   "docs FILE|DIR",
		Short: "Write a connector's page of documentation from its manifest",
		Long: "Write a connector's page of documentation, in Markdown, from its manifest. FILE is a module (.wasm) or\n" +
			"a manifest (.json); DIR is a connector's folder, which is built first. The page depends on the manifest\n" +
			"alone: with --check it is compared with the file of -o instead, and a difference is an error.",
		Example: "  cofferdam plugin docs build/hello-go.wasm\n" +
			"  cofferdam plugin docs plugins/github -o plugins/github/README.md\n" +
			"  cofferdam plugin docs plugins/github -o plugins/github/README.md --check",
		Args: exactly("FILE|DIR"),
		RunE: func(c *cobra.Command, args []string) error { return v.run(c.Context(), args[0]) },
	}
	a.compilerFlags(c)
	flags := c.Flags()
	flags.Lookup("cache-dir").Usage = scratchCacheUsage
	flags.StringVarP(&v.file, "output", "o", "", "the file to write; standard output by default")
	flags.BoolVar(&v.check, "check", false, "write nothing: compare the page with the file of -o")
	return c
}

func (v *documenting) run(ctx context.Context, source string) error {
	if v.check && v.file == "" {
		return usagef("--check needs the file to compare with: -o FILE")
	}
	m, err := v.manifestOf(ctx, source)
	if err != nil {
		return err
	}
	page, err := docs.Markdown(m)
	if err != nil {
		return err
	}
	switch {
	case v.check:
		return v.compare(source, page)
	case v.file == "":
		_, err = fmt.Fprint(v.out, page)
	default:
		err = os.WriteFile(v.file, []byte(page), 0o644) //nolint:gosec // It is made to be read.
	}
	return err
}

func (v *documenting) compare(source, page string) error {
	is, err := os.ReadFile(v.file)
	if err != nil {
		return usagef("open the page: %v", err)
	}
	if string(is) != page {
		return fmt.Errorf("%s is not what the manifest says today\n  hint: cofferdam plugin docs %s -o %s", v.file, source, v.file)
	}
	return nil
}

// manifestOf reads a manifest from wherever it is.
func (v *documenting) manifestOf(ctx context.Context, source string) (manifest.Manifest, error) {
	info, err := os.Stat(source)
	if err != nil {
		return manifest.Manifest{}, usagef("open %s: %v", source, err)
	}
	if info.IsDir() {
		return v.built(ctx, source)
	}
	if filepath.Ext(source) == ".json" {
		data, err := os.ReadFile(source)
		if err != nil {
			return manifest.Manifest{}, usagef("open %s: %v", source, err)
		}
		return manifest.Parse(data)
	}
	binary, err := v.module(ctx, source)
	if err != nil {
		return manifest.Manifest{}, err
	}
	return v.described(ctx, binary)
}

// built builds a connector's folder, for what it says of itself.
func (v *documenting) built(ctx context.Context, folder string) (m manifest.Manifest, err error) {
	options, remove, err := v.buildOptions("", nil)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	options.NoCheck = true // Of types, the manifest says nothing.
	plugin, err := sdk.Project(ctx, folder, options)
	if err != nil {
		return m, v.notBuilt(err)
	}
	return plugin.Manifest, nil
}

// described asks a module what it is, as a server does.
func (v *documenting) described(ctx context.Context, binary []byte) (m manifest.Manifest, err error) {
	dir, remove, err := v.scratchCache("cofferdam-docs-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	compiler, _, err := v.compilerInto(dir)
	if err != nil {
		return m, err
	}
	rt, err := runtime.New(ctx, runtime.Config{Functions: offered(nil), CacheDir: dir, Compiler: compiler})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	module, err := rt.Prepare(ctx, binary, runtime.Limits{})
	if err != nil {
		return m, blamed(err)
	}
	rules := registry.New(registry.Config{Schemes: webhook.Schemes(), Provider: provider.Set{}.Check, Descriptor: webhook.CheckDescriptor})
	m, err = rules.Examine(ctx, module, sha256.Sum256(binary), registry.Upload{})
	return m, blamed(err)
}
