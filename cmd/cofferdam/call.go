package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/extism"
)

// calling is a call of the verb.
type calling struct {
	*app
	input, inputFile, checkpoint string
	stdin                        bool
	headers                      []string
	config, state                []string
	setConfig                    string
	hosts, connections           []string
	memory, responseMax          byteSize
	pages                        int
	fuel                         int64
	timeout                      patienceFlag
	loop                         int
	logLevel                     string
	usage, trace                 bool
	refused                      map[string]*[]string
}

func (a *app) callCommand() *cobra.Command {
	v := calling{app: a}
	c := &cobra.Command{
		Use:   "call PLUGIN.wasm EXPORT [NAME]",
		Short: "Run one export of a plugin in the sandbox, here, with the limits of a server",
		Long: "Run one export of a plugin in the sandbox, on this machine, with the limits of a server. No server is\n" +
			"needed, and nothing is kept. PLUGIN is any Extism plugin: a module, or an Extism manifest (.json).\n\n" +
			"Of a typed connector, EXPORT and NAME may be 'action NAME', 'webhook NAME', 'poll NAME' or 'test': --input is\n" +
			"then the action's input, the delivery's body or the poll's cursor, and what is around it is made. It may reach what its\n" +
			"manifest asks for; any other plugin may reach the hosts of --allow-host. HTTP is real.\n\n" +
			"The output goes to standard output as it is, logs go to standard error. The exit code is 1 if the plugin fails.\n\n" +
			aboutConnections,
		Example: "  cofferdam call count_vowels.wasm count_vowels --input 'Hello, World!'\n" +
			"  cofferdam call build/shop.wasm action createCustomer --input '{\"email\":\"a@example.com\"}' --config shop=acme \\\n" +
			"      --connection acme=ACME_TOKEN --usage\n" +
			"  cofferdam call build/shop.wasm webhook orderPaid --input @fixtures/webhook.orderPaid.json --json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return usagef("'%s' takes a plugin, an export, and for some exports a name; for example:\n%s", c.CommandPath(), c.Example)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return v.run(c.Context(), args) },
	}
	v.addFlags(c)
	return c
}

func (v *calling) addFlags(c *cobra.Command) {
	v.jsonFlag(c)
	v.compilerFlags(c)
	flags := c.Flags()
	flags.Lookup("cache-dir").Usage = authorCacheUsage
	flags.StringVarP(&v.input, "input", "i", "", "the input: text, @file, or - for standard input")
	flags.StringVar(&v.inputFile, "input-file", "", "a file with the input")
	flags.BoolVar(&v.stdin, "stdin", false, "read the input from standard input")
	flags.StringArrayVarP(&v.headers, "header", "H", nil, "a header of a webhook's, 'Name: value'")
	flags.StringVar(&v.checkpoint, "checkpoint", "", "go on from a checkpoint: JSON")
	flags.StringArrayVar(&v.config, "config", nil, "configuration: KEY=VALUE, or @file with a JSON object; may be repeated")
	flags.StringVar(&v.setConfig, "set-config", "", "configuration as a JSON object; --config comes on top of it")
	flags.StringArrayVar(&v.state, "set-state", nil, "what is stored: KEY=JSON, or @file with a JSON object; may be repeated")
	flags.StringArrayVar(&v.hosts, "allow-host", nil, "a host that may be reached, such as api.example.com or *.example.com; may be repeated")
	flags.StringSliceVar(&v.EgressAllow, "egress-allow", v.EgressAllow, "addresses or networks that may be reached although they are private, over plain http too (COFFERDAM_EGRESS_ALLOW)")
	flags.StringArrayVar(&v.connections, "connection", nil, "a connection's credential: NAME=VARIABLE of the environment")
	flags.Var(&v.memory, "memory", "the most memory, as 64MiB, which is the default")
	flags.IntVar(&v.pages, "memory-max", 0, "the same in pages of 64 KiB")
	flags.Int64Var(&v.fuel, "fuel", 0, "the most fuel; 10 billion by default")
	flags.Var(&v.timeout, "timeout", "the most time, as 1.5s, or in milliseconds; 30s by default")
	flags.Var(&v.responseMax, "http-response-max", "the most that an HTTP answer may have, as 8MiB, which is the default")
	flags.IntVar(&v.loop, "loop", 1, "how often to call it, each time in a sandbox of its own")
	flags.StringVar(&v.logLevel, "log-level", "info", "which lines of the plugin's log are shown: trace, debug, info, warn, error or off")
	flags.BoolVar(&v.usage, "usage", false, "show on standard error what the call has used")
	flags.BoolVar(&v.trace, "trace", false, "show on standard error each host call as it is made")
	// Of extism's command, what has no meaning here or is not to be had.
	flags.Bool("wasi", true, "plugins always have what there is of WASI: clocks, random, and no files")
	flags.BoolP("manifest", "m", false, "an Extism manifest is known by its name, which ends in .json")
	v.refused = map[string]*[]string{}
	for name, short := range map[string]string{"allow-path": "is refused: plugins have no files", "link": "is refused: a plugin is one module", "var-max": "is refused: see --memory"} {
		v.refused[name] = flags.StringArray(name, nil, short)
		flags.Lookup(name).Hidden = true
	}
}

// check refuses what cannot be had, with the reason.
func (v *calling) check() error {
	for name, why := range map[string]string{
		"allow-path": "plugins have no files here, and neither do they on a server: pass what is in them with --input or --config",
		"link":       "a plugin is one module: link them into one first",
		"var-max":    "variables have no limit of their own: they count as what the plugin holds of Extism's memory, at most 32 MiB",
	} {
		if len(*v.refused[name]) > 0 {
			return usagef("--%s: %s", name, why)
		}
	}
	given := 0
	for _, on := range []bool{v.input != "", v.inputFile != "", v.stdin} {
		if on {
			given++
		}
	}
	switch {
	case given > 1:
		return usagef("give one of --input, --input-file and --stdin")
	case v.loop < 1:
		return usagef("--loop is %d, and must be 1 at least", v.loop)
	case v.fuel < 0 || v.pages < 0:
		return usagef("--fuel and --memory-max must not be negative")
	case v.memory > 0 && v.pages > 0:
		return usagef("give one of --memory and --memory-max")
	case !known(v.logLevel):
		return usagef("--log-level is %q: it is trace, debug, info, warn, error or off", v.logLevel)
	}
	return nil
}

func (v *calling) run(ctx context.Context, args []string) (err error) {
	if err := v.check(); err != nil {
		return err
	}
	plugin, err := v.plugin(args[0])
	if err != nil {
		return err
	}
	bench, closeBench, err := v.openBench(ctx, plugin.Wasm, v.limits(plugin.Limits))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBench()) }()
	c, done, err := v.prepare(bench, plugin, args[1:])
	if err != nil {
		return err
	}
	defer done()
	for range v.loop {
		report, err := trial.Run(ctx, bench.Module, c)
		if err != nil {
			return err
		}
		if err := v.report(args[1:], report); err != nil {
			return err
		}
	}
	return nil
}

// plugin reads a module, or an Extism manifest with its module.
func (v *calling) plugin(path string) (extism.Plugin, error) {
	u, err := openUpload(path)
	if err != nil {
		return extism.Plugin{}, err
	}
	defer u.Close()
	limit := int64(runtime.Limits{}.WithDefaults().ModuleBytes)
	wasm, err := io.ReadAll(io.LimitReader(u, limit+1)) // What is more, Prepare refuses.
	if err != nil {
		return extism.Plugin{}, usagef("read the module: %v", err)
	}
	return extism.Plugin{Wasm: wasm, Hosts: u.hosts, Config: u.config, Limits: u.limits}, nil
}

// limits are those of flags, then of an Extism manifest, then the usual ones.
func (v *calling) limits(l runtime.Limits) runtime.Limits {
	if v.memory > 0 {
		l.MemoryBytes = int64(v.memory)
	}
	if v.pages > 0 {
		const page = 64 << 10
		l.MemoryBytes = int64(min(v.pages, math.MaxInt32)) * page
	}
	if v.fuel > 0 {
		l.Fuel = v.fuel
	}
	if v.timeout > 0 {
		l.Deadline = time.Duration(v.timeout)
	}
	return l
}

// payload is the input as bytes.
func (v *calling) payload() ([]byte, error) {
	switch {
	case v.stdin:
		return v.raw("-")
	case v.inputFile != "":
		return v.raw("@" + v.inputFile)
	default:
		return v.raw(v.input)
	}
}

// line shows a line of log.
func (v *calling) line(l guestlog.Line) {
	if rank(l.Level) >= rank(v.logLevel) {
		fmt.Fprintf(v.err, "%-5s  %s%s\n", l.Level, l.Message, fieldsText(l.Fields))
	}
}

// levels are those of logs, the least first.
func levels() []string { return []string{"trace", "debug", "info", "warn", "error", "off"} }

func known(level string) bool { return rank(level) >= 0 }

func rank(level string) int {
	for i, l := range levels() {
		if l == level {
			return i
		}
	}
	return -1
}

// patienceFlag is a duration, or milliseconds.
type patienceFlag time.Duration

// Set implements pflag.Value.
func (p *patienceFlag) Set(s string) error {
	if strings.Trim(s, "0123456789") == "" && s != "" {
		s += "ms"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time: write 1.5s, or milliseconds", s)
	}
	*p = patienceFlag(d)
	return nil
}

// String implements pflag.Value.
func (p *patienceFlag) String() string { return time.Duration(*p).String() }

// Type implements pflag.Value.
func (p *patienceFlag) Type() string { return "time" }

const authorCacheUsage = "a private folder for compiled plugins; in the user's cache by default (COFFERDAM_CACHE_DIR)"

// authorCache is the folder for compiled code of the verbs for authors: the user's,
// so that a plugin that did not change is not compiled again. Without one it is
// scratch.
func (a *app) authorCache() (dir string, remove func() error, err error) {
	if a.CacheDir == "" {
		if dir, err := os.UserCacheDir(); err == nil {
			a.CacheDir = dir + "/cofferdam/plugins"
		}
	}
	return a.scratchCache("cofferdam-author-")
}

// openBench prepares a plugin as a server does.
func (a *app) openBench(ctx context.Context, wasm []byte, l runtime.Limits) (_ *trial.Bench, closeAll func() error, err error) {
	dir, remove, err := a.authorCache()
	if err != nil {
		return nil, nil, err
	}
	compiler, _, err := a.compilerInto(dir)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	bench, err := trial.Open(ctx, wasm, trial.Options{Limits: l, CacheDir: dir, Compiler: compiler})
	if err != nil {
		return nil, nil, errors.Join(blamed(err), remove())
	}
	return bench, func() error { return errors.Join(bench.Close(context.WithoutCancel(ctx)), remove()) }, nil
}
