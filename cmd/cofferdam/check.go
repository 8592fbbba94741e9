package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/runtime"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
)

// review is what there is to know of a plugin before it is uploaded.
type review struct {
	Source   string            `json:"source"`
	Digest   string            `json:"digest"`
	Manifest manifest.Manifest `json:"manifest"`
	// Build is what the file says of how it was built; nil if it says nothing.
	Build *provenance.Build `json:"build,omitempty"`
	// Facts are zero for a module that was refused.
	Facts    runtime.Facts `json:"facts"`
	Describe runtime.Usage `json:"describe"`
	// Diff is against the version that it was compared with, if there is one.
	Diff *diff.Diff `json:"diff,omitempty"`
	// Problems keep a server from taking it, Warnings do not.
	Problems []manifest.Problem `json:"problems"`
	Warnings []string           `json:"warnings"`
}

// checking is a call of the verb.
type checking struct {
	*app
	against, language string
	functions         []string
}

func (a *app) pluginCheck() *cobra.Command {
	v := checking{app: a}
	c := &cobra.Command{
		Use:   "check FILE.wasm|FOLDER",
		Short: "Review a plugin before it is uploaded: what it asks for, and what is wrong",
		Long: "Review a plugin before it is uploaded: what it asks for, what it costs, what of it a reviewer would look at\n" +
			"twice, and what would keep a server from taking it. A project's folder is built first.\n\n" +
			"--against compares it with another .wasm file, or with a version that is published on a server. Without it,\n" +
			"and with a token in COFFERDAM_TOKEN, it is compared with the newest one that the server has.\n\n" +
			"The exit code is 1 if there is a problem.",
		Example: "  cofferdam plugin check shop.wasm\n" +
			"  cofferdam plugin check . --against shop@1.0.0\n" +
			"  cofferdam plugin check new.wasm --against old.wasm --json",
		Args: exactly("FILE.wasm"),
		RunE: func(c *cobra.Command, args []string) error { return v.run(c.Context(), args[0]) },
	}
	a.jsonFlag(c)
	flags := c.Flags()
	flags.StringVar(&v.against, "against", "", "compare with this: a .wasm file, NAME, or NAME@VERSION of the server")
	flags.StringVar(&v.language, "lang", "", "the language of a project: ts, go, rust or c; by default what its files say")
	flags.StringSliceVar(&v.functions, "function", nil, "a function of your own app's that the plugin may ask for")
	flags.StringVar(&a.CacheDir, "cache-dir", a.CacheDir, authorCacheUsage)
	return c
}

func (v *checking) run(ctx context.Context, path string) error {
	r := &review{Source: path, Problems: []manifest.Problem{}, Warnings: []string{}}
	binary, err := v.binary(ctx, path, r)
	if err != nil {
		return err
	}
	if err := v.examine(ctx, binary, r); err != nil {
		return err
	}
	if err := v.compare(ctx, r); err != nil {
		return err
	}
	r.Warnings = append(r.Warnings, warningsOf(r)...)
	err = v.show(r, func(w io.Writer) { printReview(w, r) })
	if n := len(r.Problems); n > 0 {
		err = errors.Join(err, fmt.Errorf("a server would refuse this plugin: %d problem(s)", n))
	}
	return err
}

// binary reads the module, or builds it.
func (v *checking) binary(ctx context.Context, path string, r *review) (_ []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usagef("open the plugin: %v", err)
	}
	if !info.IsDir() {
		return v.module(ctx, path)
	}
	options, remove, err := v.buildOptions(v.language, v.functions)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	plugin, err := sdk.Project(ctx, path, options)
	if err != nil {
		return nil, v.notBuilt(err)
	}
	for _, w := range plugin.Warnings {
		r.Warnings = append(r.Warnings, w.String())
	}
	return plugin.Wasm, nil
}

// examine prepares the module as a server does, and judges it.
func (v *checking) examine(ctx context.Context, binary []byte, r *review) (err error) {
	sum := sha256.Sum256(binary)
	r.Digest = "sha256:" + hex.EncodeToString(sum[:])
	if section, ok := runtime.Section(binary, provenance.Section); ok {
		if r.Build, err = provenance.Parse(section); err != nil {
			r.Problems = append(r.Problems, manifest.Problem{Where: "section " + provenance.Section, Message: err.Error()})
		}
	}
	dir, remove, err := v.authorCache()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	rt, err := runtime.New(ctx, runtime.Config{Functions: offered(v.functions), CacheDir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	module, err := rt.Prepare(ctx, binary, runtime.Limits{})
	if err != nil {
		return r.refused(err)
	}
	r.Facts = module.Facts()
	rules := registry.New(registry.Config{Functions: v.functions, Schemes: webhook.Schemes(), Provider: provider.Set{}.Check, Descriptor: webhook.CheckDescriptor})
	if r.Manifest, err = rules.Examine(ctx, module, sum, registry.Upload{}); err != nil {
		return r.refused(err)
	}
	result, err := module.Call(ctx, runtime.Call{Export: registry.Describe, World: registry.World(sum)})
	r.Describe = result.Usage
	return err
}

// refused puts what a server would say into the review; what is not the plugin's
// fault comes back.
func (r *review) refused(err error) error {
	f, ok := errors.AsType[*fault.Error](blamed(err))
	if !ok {
		return err
	}
	if len(f.Problems) == 0 {
		r.Problems = append(r.Problems, manifest.Problem{Where: f.Where, Message: message(f)})
	}
	for _, p := range f.Problems {
		r.Problems = append(r.Problems, manifest.Problem{Where: "manifest" + p.Where, Message: p.Message})
	}
	if f.Hint != "" {
		r.Problems[len(r.Problems)-1].Message += "\n  hint: " + f.Hint
	}
	return nil
}
