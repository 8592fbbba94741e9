package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// inspection is what there is to know of a module.
type inspection struct {
	Source string `json:"source"`
	Digest string `json:"digest"`
	// Connector is set for a typed connector.
	Connector *connectorSelf `json:"connector,omitempty"`
	runtime.Facts
	// Compiled says where machine code came from: child, cache or process.
	Compiled string `json:"compiled"`
	// Call is the call that was measured; nil when there was none.
	Call *measuredCall `json:"call,omitempty"`
	// Sandbox is set with Call.
	Sandbox *runtime.Cost `json:"sandbox,omitempty"`
}

// connectorSelf is what a typed connector says of itself.
type connectorSelf struct {
	Name    string          `json:"name"`
	Version string          `json:"version"`
	Limits  manifest.Limits `json:"limits"`
	// Signs are the algorithms by which it may have things signed, by connection.
	Signs map[string][]string `json:"signs,omitempty"`
}

type measuredCall struct {
	Export string        `json:"export"`
	Usage  runtime.Usage `json:"usage"`
}

// inspecting is a call of the verb.
type inspecting struct {
	*app
	export, input string
	raw           bool
	functions     []string
}

func (a *app) pluginInspect() *cobra.Command {
	v := inspecting{app: a}
	c := &cobra.Command{
		Use:   "inspect FILE.wasm|NAME@VERSION",
		Short: "Show what a plugin imports, exports and costs, without publishing it",
		Long: "Show what a plugin imports, exports and costs. It is checked, compiled and started in this process\n" +
			"as a server would do it, and needs no server. A plugin that would be refused is refused here, for the\n" +
			"same reason. NAME@VERSION is read from the database that --db names.\n\n" +
			"What sandboxes cost is measured by calls of describe, or of --export with --input, to which every\n" +
			"question to the host is denied.",
		Example: "  cofferdam plugin inspect build/hello-go.wasm\n" +
			"  cofferdam plugin inspect hello-go@0.1.0 --json\n" +
			"  cofferdam plugin inspect count_vowels.wasm --export count_vowels --input 'Hello' --raw",
		Args: exactly("FILE.wasm"),
		RunE: func(c *cobra.Command, args []string) error { return v.run(c.Context(), args[0]) },
	}
	a.jsonFlag(c)
	a.compilerFlags(c)
	flags := c.Flags()
	flags.Lookup("cache-dir").Usage = scratchCacheUsage
	flags.StringVar(&a.DB, "db", a.DB, "where NAME@VERSION is: a SQLite file, or a postgres:// URL (COFFERDAM_DB)")
	flags.StringVar(&v.export, "export", "", "measure a call of this export instead of describe")
	flags.StringVar(&v.input, "input", "", "its input: JSON, @file, or - for standard input")
	flags.BoolVar(&v.raw, "raw", false, "the input is no JSON")
	flags.StringSliceVar(&v.functions, "function", nil, "a function that the plugin may import besides the built-in ones, such as your own app's")
	return c
}

// jsonFlag adds --json, which is -o json.
func (a *app) jsonFlag(c *cobra.Command) {
	var on bool
	c.Flags().BoolVar(&on, "json", false, "show JSON")
	c.PreRun = func(*cobra.Command, []string) {
		if on {
			a.Output = "json"
		}
	}
}

func (v *inspecting) run(ctx context.Context, ref string) error {
	binary, err := v.module(ctx, ref)
	if err != nil {
		return err
	}
	input, err := v.inputOf(v.input, v.raw)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(binary)
	i := inspection{Source: ref, Digest: "sha256:" + hex.EncodeToString(sum[:])}
	call := runtime.Call{Export: v.export, Input: input, World: registry.World(sum)}
	if err := v.inspect(ctx, binary, call, &i); err != nil {
		// What was found out before describe failed is worth showing.
		if i.Functions == 0 {
			return blamed(err)
		}
		return errors.Join(v.show(i, func(w io.Writer) { printInspection(w, i) }), blamed(err))
	}
	return v.show(i, func(w io.Writer) { printInspection(w, i) })
}

// blamed puts an error about a plugin into the words that a server has for it.
func blamed(err error) error {
	_, invalid := errors.AsType[*runtime.InvalidModule](err)
	_, failed := errors.AsType[*runtime.Failure](err)
	_, refused := errors.AsType[*registry.Error](err)
	if !invalid && !failed && !refused {
		return err
	}
	f := *fault.From(err)
	f.Err = nil // It says the same.
	return &f
}

// inspect prepares the module and fills i.
func (v *inspecting) inspect(ctx context.Context, binary []byte, call runtime.Call, i *inspection) (err error) {
	dir, remove, err := v.scratchCache("cofferdam-inspect-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	compiler, kind, err := v.compilerInto(dir)
	if err != nil {
		return err
	}
	rt, err := runtime.New(ctx, runtime.Config{
		Functions: offered(v.functions), CacheDir: dir, Compiler: compiler,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	module, err := rt.Prepare(ctx, binary, runtime.Limits{})
	if err != nil {
		return err
	}
	i.Facts, i.Compiled = module.Facts(), kind
	if child, ok := compiler.(*compile.Child); ok && child.Compiled() == 0 {
		i.Compiled = "cache"
	}
	if i.Connector, err = v.connector(ctx, module, call.World.Seed); err != nil {
		return err
	}
	return measure(ctx, module, call, i)
}

// connector has the module judged as at its upload; nil is a plain plugin.
func (v *inspecting) connector(ctx context.Context, module *runtime.Module, sum [sha256.Size]byte) (*connectorSelf, error) {
	typed := slices.Contains(module.Exports(), registry.Describe)
	var u registry.Upload
	if !typed {
		u.Name, u.Version = "plain", "1.0.0" // Whoever publishes it says them.
	}
	rules := registry.New(registry.Config{Functions: v.functions, Schemes: webhook.Schemes(), Provider: provider.Set{}.Check, Descriptor: webhook.CheckDescriptor})
	m, err := rules.Examine(ctx, module, sum, u)
	if err != nil || !typed {
		return nil, err
	}
	return &connectorSelf{Name: m.Name, Version: m.Version, Limits: m.Limits, Signs: m.Signs()}, nil
}

// offered are the names that guests may import: those of a server, and further.
func offered(further []string) []string {
	names := slices.Concat(worker.Functions(nil), further)
	slices.Sort(names)
	return slices.Compact(names)
}

// measure makes the call: of describe, if there is one and no other is wanted.
func measure(ctx context.Context, module *runtime.Module, call runtime.Call, i *inspection) error {
	if call.Export == "" {
		if i.Connector == nil {
			return nil
		}
		call.Export, call.Input = registry.Describe, nil
	}
	cost, result, err := module.Measure(ctx, call)
	if err != nil {
		return fmt.Errorf("call %s: %w", call.Export, err)
	}
	i.Sandbox, i.Call = &cost, &measuredCall{Export: call.Export, Usage: result.Usage}
	return nil
}

// module reads a file, or else the version of that name from the database.
func (a *app) module(ctx context.Context, ref string) ([]byte, error) {
	limit := int64(runtime.Limits{}.WithDefaults().ModuleBytes)
	info, err := os.Stat(ref)
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(ref, "@") {
		return a.published(ctx, ref)
	}
	if err == nil && info.Size() > limit {
		f := fault.New(fault.InvalidInput, registry.CodeModuleTooLarge, "the module has %d bytes; the limit is %d", info.Size(), limit)
		f.Hint = "leave out debug information (for Go: -ldflags='-s -w') and what the plugin does not use"
		return nil, f
	}
	if err != nil {
		return nil, usagef("open the module: %v", err)
	}
	binary, err := os.ReadFile(ref)
	if err != nil {
		return nil, usagef("open the module: %v", err)
	}
	return binary, nil
}

func (a *app) published(ctx context.Context, ref string) (_ []byte, err error) {
	if _, err := os.Stat(a.DB); !isPostgres(a.DB) && err != nil {
		return nil, usagef("%s is not a file, and there is no database to find a plugin of that name in: %v\n  hint: --db or COFFERDAM_DB names it", ref, err)
	}
	s, err := a.openShared(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	plugins := registry.New(registry.Config{Store: s, Blobs: s})
	version, err := plugins.Resolve(ctx, registry.Viewer{Operator: true}, ref)
	if err != nil {
		return nil, blamed(err)
	}
	return plugins.Wasm(ctx, version)
}

// inputOf reads an input: JSON unless it is raw, @file, or - . The name of a file
// that is there is taken for @file.
func (a *app) inputOf(value string, raw bool) ([]byte, error) {
	if info, err := os.Stat(value); err == nil && info.Mode().IsRegular() {
		value = "@" + value
	}
	if raw {
		return a.raw(value)
	}
	return a.document("--input", value)
}

func printInspection(w io.Writer, i inspection) {
	fmt.Fprintf(w, "%s  %s\n", i.Source, i.Digest)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s  %s\n", name, fmt.Sprintf(format, args...))
	}
	if i.Connector != nil {
		line("connector", "%s %s, %s", i.Connector.Name, i.Connector.Version, limitsText(i.Connector.Limits))
		for _, name := range slices.Sorted(maps.Keys(i.Connector.Signs)) {
			line("signs", "with %s, by %s", name, strings.Join(i.Connector.Signs[name], ", "))
		}
	}
	line("module", "%s, %d functions; %s with fuel", byteCount(int64(i.ModuleBytes)), i.Functions, byteCount(int64(i.RewrittenBytes)))
	line("compiled", "in %s, %s", duration(i.CompileTime), map[string]string{
		"child": "by a process of its own", "cache": "from the cache", "process": "in this process",
	}[i.Compiled])
	line("start", "%s fuel in %s, once", fuelCount(i.StartFuel), duration(i.StartTime))
	line("image", "%s of memory, which every sandbox begins as", byteCount(i.ImageBytes))
	if i.Fresh == "" {
		line("", "%s", i.ImageDigest)
		line("sandbox", "is reset after each call")
	} else {
		line("sandbox", "is made and started for each call: %s", i.Fresh)
	}
	if i.Sandbox == nil {
		line("", "no call was measured: --export and --input say which")
	} else {
		printCost(line, i)
	}
	printFunctions(w, "imports", i.Imports, func(f runtime.Function) string { return f.Module + "." + f.Name }, "offered")
	printFunctions(w, "exports", i.Exports, func(f runtime.Function) string { return f.Name }, "")
}

func printCost(line func(name, format string, args ...any), i inspection) {
	line("", "made in %s", duration(i.Sandbox.MakeTime))
	if i.Fresh == "" {
		line("", "reset in %s, %d pages of 4 KiB", duration(i.Sandbox.ResetTime), i.Sandbox.ResetPages)
		line("", "%s of its own while it is idle", byteCount(i.Sandbox.IdleBytes))
	}
	line(i.Call.Export, "%s fuel in %s, %s of memory", fuelCount(i.Call.Usage.Fuel), duration(i.Call.Usage.CPU), byteCount(i.Call.Usage.MemoryBytes))
}

// limitsText is what a connector wishes for a call.
func limitsText(l manifest.Limits) string {
	var wishes []string
	if l.MemoryMiB > 0 {
		wishes = append(wishes, byteCount(int64(l.MemoryMiB)<<20)+" of memory")
	}
	if l.TimeoutMS > 0 {
		wishes = append(wishes, (time.Duration(l.TimeoutMS) * time.Millisecond).String())
	}
	if l.StreamMiB > 0 {
		wishes = append(wishes, "bodies of up to "+byteCount(int64(l.StreamMiB)<<20)+" in chunks")
	}
	if l.Fuel > 0 {
		wishes = append(wishes, fuelCount(l.Fuel)+" fuel")
	}
	if len(wishes) == 0 {
		return "no limits of its own"
	}
	return "asks for " + strings.Join(wishes, ", ")
}

func printFunctions(w io.Writer, heading string, all []runtime.Function, name func(runtime.Function) string, note string) {
	var rows [][]string
	for _, f := range all {
		about := note
		if f.Callable {
			about = "callable"
		}
		rows = append(rows, []string{"  " + name(f), f.Type, about})
	}
	fmt.Fprintf(w, "\n")
	table(w, []string{strings.ToUpper(heading), "TYPE", ""}, rows)
}
