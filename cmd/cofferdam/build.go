package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
)

// building is a call of the verb.
type building struct {
	*app
	out, language string
	noCheck       bool
	functions     []string
}

func (a *app) buildCommand() *cobra.Command {
	v := building{app: a}
	c := &cobra.Command{
		Use:   "build [FOLDER|FILE]",
		Short: "Make a plugin of a project in TypeScript, Go, Rust or C",
		Long: "Make a plugin of a project: one .wasm file, which describes itself. The project is a folder, this one by\n" +
			"default, or an entry file. A TypeScript project needs what 'npm install' gives and nothing else; the other\n" +
			"languages are built by their own compilers, which have to be installed.\n\n" +
			"What is built is judged as a server does it at an upload. Equal sources give equal bytes.",
		Example: "  cofferdam build\n" +
			"  cofferdam build shop -o build/shop.wasm\n" +
			"  cofferdam build src/connector.ts --no-check",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("'%s' takes one folder or file, got %d; for example:\n%s", c.CommandPath(), len(args), c.Example)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return v.run(c.Context(), append(args, ".")[0])
		},
	}
	a.jsonFlag(c)
	flags := c.Flags()
	flags.StringVarP(&v.out, "output", "o", "", "the file to write; NAME.wasm in this folder by default, NAME being the connector's")
	flags.StringVar(&v.language, "lang", "", "the language: ts, go, rust or c; by default what the project's files say")
	flags.BoolVar(&v.noCheck, "no-check", false, "do not check the types of TypeScript, which takes a second or so")
	flags.StringVar(&a.CacheDir, "cache-dir", a.CacheDir, authorCacheUsage)
	flags.StringSliceVar(&v.functions, "function", nil, "a function of your own app's that the plugin may ask for")
	return c
}

func (v *building) run(ctx context.Context, path string) (err error) {
	options, remove, err := v.buildOptions(v.language, v.functions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	options.NoCheck = v.noCheck
	plugin, err := sdk.Project(ctx, path, options)
	if err != nil {
		return v.notBuilt(err)
	}
	if v.out == "" {
		v.out = plugin.Manifest.Name + ".wasm"
	}
	if err := os.WriteFile(v.out, plugin.Wasm, 0o644); err != nil { //nolint:gosec // It is made to be passed on.
		return fmt.Errorf("write the plugin: %w", err)
	}
	result := built{File: v.out, Bytes: len(plugin.Wasm), Plugin: plugin}
	return v.show(result, func(w io.Writer) { printBuilt(w, result) })
}

// buildOptions are those of all verbs that build.
func (a *app) buildOptions(language string, functions []string) (o sdk.Options, remove func() error, err error) {
	if language != "" {
		var known bool
		if o.Language, known = sdk.ParseLanguage(language); !known {
			return o, nil, usagef("--lang is %q: it is ts, go, rust or c", language)
		}
	}
	o.Functions, o.Schemes, o.Provider, o.Descriptor = functions, webhook.Schemes(), provider.Set{}.Check, webhook.CheckDescriptor
	o.Builder, o.Stamp = "cofferdam "+buildVersion().Version, true
	o.CacheDir, remove, err = a.authorCache()
	return o, remove, err
}

// built is what the verb did.
type built struct {
	File  string `json:"file"`
	Bytes int    `json:"bytes"`
	*sdk.Plugin
}

// notBuilt shows what is wrong with a project, and sums it up.
func (a *app) notBuilt(err error) error {
	wrong, ok := errors.AsType[*sdk.Error](err)
	if !ok {
		return err
	}
	show := a.show(struct {
		Problems []sdk.Problem `json:"problems"`
	}{wrong.Problems}, func(io.Writer) { fmt.Fprintln(a.err, wrong) })
	problems := "1 problem"
	if n := len(wrong.Problems); n != 1 {
		problems = fmt.Sprintf("%d problems", n)
	}
	return errors.Join(show, fmt.Errorf("nothing was built: %s", problems))
}

func printBuilt(w io.Writer, b built) {
	fmt.Fprintf(w, "built %s@%s in %s\n", b.Manifest.Name, b.Manifest.Version, duration(b.Took.Total))
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("file", "%s, %s", b.File, byteCount(int64(b.Bytes)))
	line("digest", "%s", b.Digest)
	from := b.Info.Language
	if e := b.Info.Engine; e != nil {
		from += ", run by " + e.Name + " " + e.Version
	}
	line("language", "%s", from)
	if b.Bundle != nil {
		line("bundle", "%s", bundleText(*b.Bundle))
	}
	if b.Info.Revision != "" {
		line("revision", "%s", revisionText(b.Info.Revision, b.Info.Modified))
	}
	line("took", "%s", tookText(b.Took))
	for _, p := range b.Warnings {
		fmt.Fprintf(w, "warning: %s\n", p)
	}
}

// bundleText names the largest parts.
func bundleText(b sdk.Bundle) string {
	const most = 4
	var parts []string
	rest := 0
	for i, p := range b.Parts {
		if i >= most {
			rest += p.Bytes
			continue
		}
		name := p.Name
		if name == "" {
			name = "the project"
		}
		parts = append(parts, name+" "+byteCount(int64(p.Bytes)))
	}
	if rest > 0 {
		parts = append(parts, "others "+byteCount(int64(rest)))
	}
	return byteCount(int64(b.Bytes)) + ": " + strings.Join(parts, ", ")
}

func revisionText(revision string, modified bool) string {
	if modified {
		return revision + ", modified since"
	}
	return revision
}

func tookText(t sdk.Times) string {
	text := "compile " + duration(t.Compile)
	if t.Freeze > 0 {
		text = "bundle " + duration(t.Compile) + ", load and freeze " + duration(t.Freeze)
	}
	text += ", describe " + duration(t.Describe)
	if t.Check > 0 {
		text += "; type check beside that " + duration(t.Check)
	}
	return text
}
