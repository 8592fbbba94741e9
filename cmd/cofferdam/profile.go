package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// profiling is a call of the verb.
type profiling struct {
	*app
	export, input, file string
	raw                 bool
	fuel                int64
	answers             []string
}

// profiled is what the verb shows.
type profiled struct {
	File   string `json:"file"`
	Export string `json:"export"`
	Fuel   int64  `json:"fuel"`
	// Stacks is how many the profile has, and Functions those with the most fuel.
	Stacks    int                `json:"stacks"`
	Functions []profiledFunction `json:"functions"`
	// Nameless says that the module lacks names of functions.
	Nameless bool `json:"nameless,omitempty"`
}

type profiledFunction struct {
	Name  string `json:"name"`
	Calls int64  `json:"calls"`
	Fuel  int64  `json:"fuel"`
}

// profiledMost is how many functions are shown; the profile has all.
const profiledMost = 10

func (a *app) pluginProfile() *cobra.Command {
	p := profiling{app: a}
	c := &cobra.Command{
		Use:   "profile FILE.wasm",
		Short: "Write a pprof profile of the fuel that a call uses, by function",
		Long: "Make a call of a plugin and write a pprof profile of the fuel that it used, by function. Nothing is\n" +
			"sampled: the profile adds up to what the call is billed, and is the same each time. What a plugin does\n" +
			"when it starts, once, is not in it.\n\n" +
			"The host is one that is offline: state is in memory and empty at first, log goes to standard error,\n" +
			"emit, tag and sleep succeed at once, and all else is denied, unless --answer has an answer to it.\n\n" +
			"Names come from the module: build it without -s (-ldflags=-w in Go, strip = \"debuginfo\" in Rust).\n" +
			"Otherwise functions are exports and func[N]. Go moves its goroutines from stack to stack, so that a\n" +
			"function may stand below the scheduler instead of its caller. Stacks of more than 128 functions are cut.",
		Example: "  cofferdam plugin profile hello.wasm --export action --input call.json -o hello.pb.gz\n" +
			"  cofferdam plugin profile hello.wasm --export action --input '{\"action\":\"label\",\"input\":{\"number\":7}}' \\\n" +
			"      --answer http='{\"status\":200,\"headers\":{},\"body\":\"[]\"}'\n" +
			"  go tool pprof -top profile.pb.gz",
		Args: exactly("FILE.wasm"),
		RunE: func(c *cobra.Command, args []string) error { return p.run(c.Context(), args[0]) },
	}
	a.jsonFlag(c)
	a.compilerFlags(c)
	flags := c.Flags()
	flags.Lookup("cache-dir").Usage = scratchCacheUsage
	flags.StringVar(&p.export, "export", "action", "the export to call")
	flags.StringVar(&p.input, "input", "", "its input, as sdk/ABI.md has it: JSON, @file, or - for standard input")
	flags.BoolVar(&p.raw, "raw", false, "the input is no JSON")
	// It takes the place of the text or json of other verbs.
	flags.StringVarP(&p.file, "output", "o", "profile.pb.gz", "where the profile is written")
	flags.Int64Var(&p.fuel, "fuel", 0, "what the call may use; 10 billion by default")
	flags.StringArrayVar(&p.answers, "answer", nil, "the result of a host function: NAME=JSON, or NAME=@file; may be repeated")
	return c
}

func (p *profiling) run(ctx context.Context, ref string) error {
	if p.file == "text" || p.file == "json" {
		return usagef("--output names the file of the profile here; for JSON there is --json")
	}
	if p.fuel < 0 {
		return usagef("--fuel is %d, and must not be negative", p.fuel)
	}
	binary, err := p.module(ctx, ref)
	if err != nil {
		return err
	}
	input, err := p.inputOf(p.input, p.raw)
	if err != nil {
		return err
	}
	functions, err := p.offline()
	if err != nil {
		return err
	}
	world := registry.World(sha256.Sum256(binary))
	now := func() time.Time { return world.Start }
	// Listening to each call takes its time, and is not what is looked at.
	limits := runtime.Limits{Deadline: time.Hour, Fuel: p.fuel}
	samples, result, callErr := p.profile(ctx, offered(hostfns.Names(functions)), binary, limits, runtime.Call{
		Export: p.export, Input: input, World: world,
		Host: hostfns.NewGate(hostfns.GateConfig{Funcs: functions, Now: now}),
	})
	if _, failed := errors.AsType[*runtime.Failure](callErr); callErr != nil && (!failed || len(samples) == 0) {
		return blamed(callErr)
	}
	// A call that failed has used fuel too.
	if err := p.write(ref, samples); err != nil {
		return err
	}
	summary := p.summarize(samples, result)
	return errors.Join(p.show(summary, func(w io.Writer) { printProfiled(w, summary) }), blamed(callErr))
}

// profile makes the call. A server's compiler has the plugin first, in a process that
// is bounded: it may be anybody's.
func (p *profiling) profile(ctx context.Context, functions []string, binary []byte, l runtime.Limits, c runtime.Call) (_ []runtime.Sample, _ runtime.Result, err error) {
	dir, remove, err := p.scratchCache("cofferdam-profile-")
	if err != nil {
		return nil, runtime.Result{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	compiler, _, err := p.compilerInto(dir)
	if err != nil {
		return nil, runtime.Result{}, err
	}
	return runtime.Profile(ctx, runtime.Config{Functions: functions, Compiler: compiler}, binary, l, c)
}

// offline are the functions of a host that reaches nothing.
func (p *profiling) offline() ([]hostfns.Func, error) {
	answers, err := p.answered()
	if err != nil {
		return nil, err
	}
	log := guestlog.New(guestlog.Config{
		Now:  func() time.Time { return time.Time{} },
		Sink: func(l guestlog.Line) { fmt.Fprintf(p.err, "%s: %s%s\n", l.Level, l.Message, fieldsText(l.Fields)) },
	})
	all := slices.Concat(answers,
		state.NewSession(noState{}, state.Limits{}).Funcs(), log.Funcs(), emit.New(emit.Limits{}).Funcs(), []hostfns.Func{passing()})
	for _, name := range worker.Functions(nil) {
		all = append(all, denied(name))
	}
	var first []hostfns.Func // Of each name.
	for _, f := range all {
		if !slices.ContainsFunc(first, func(o hostfns.Func) bool { return o.Name == f.Name }) {
			first = append(first, f)
		}
	}
	return first, nil
}

// denied is a function that is not to be had offline.
func denied(name string) hostfns.Func {
	return hostfns.Func{Name: name, Answer: func(context.Context, json.RawMessage) (any, error) {
		return nil, hostfns.Errorf(hostfns.CodeDenied, "this host is offline, and --answer has no answer to %q", name)
	}}
}

// fieldsText is what follows a message of a guest's.
func fieldsText(fields json.RawMessage) string {
	if len(fields) == 0 {
		return ""
	}
	return " " + string(fields)
}

// answered are the functions that --answer has answers to.
func (p *profiling) answered() ([]hostfns.Func, error) {
	var all []hostfns.Func
	for _, text := range p.answers {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || value == "" {
			return nil, usagef("--answer is %q: it is NAME=JSON, such as http='{\"status\":200,\"headers\":{}}'", text)
		}
		result, err := p.document("--answer "+name, value)
		if err != nil {
			return nil, err
		}
		all = append(all, hostfns.Func{Name: name, Answer: func(context.Context, json.RawMessage) (any, error) { return result, nil }})
	}
	return all, nil
}

// noState is an installation's state that nobody has written to.
type noState struct{}

// Get implements state.Reader.
func (noState) Get(_ context.Context, key string) (state.Entry, error) {
	return state.Entry{Key: key}, nil
}

// List implements state.Reader.
func (noState) List(context.Context, string, string, int) ([]state.Entry, error) { return nil, nil }

// passing is the function sleep, for which no time passes however long it is.
func passing() hostfns.Func {
	return hostfns.Func{Name: "sleep", Answer: func(context.Context, json.RawMessage) (any, error) { return nil, nil }}
}

// write writes the profile whole or not at all.
func (p *profiling) write(module string, samples []runtime.Sample) (err error) {
	f, err := os.CreateTemp(filepath.Dir(p.file), ".profile-*")
	if err != nil {
		return usagef("write the profile: %v", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write the profile: %w", err), os.Remove(f.Name()))
		}
	}()
	err = pprofOf(filepath.Base(module), p.export, samples).Write(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), p.file)
}

// pprofOf makes pprof's form of a profile.
// https://github.com/google/pprof/blob/main/proto/profile.proto
func pprofOf(module, export string, samples []runtime.Sample) *profile.Profile {
	all := &profile.Profile{
		SampleType:        []*profile.ValueType{{Type: "calls", Unit: "count"}, {Type: "fuel", Unit: "count"}},
		DefaultSampleType: "fuel",
		Comments:          []string{"export " + export},
		// All is found out already: nothing is to be looked up in a binary.
		Mapping: []*profile.Mapping{{ID: 1, File: module, HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: true}},
	}
	locations := map[string]*profile.Location{}
	locate := func(name string) *profile.Location {
		if l := locations[name]; l != nil {
			return l
		}
		id := uint64(len(locations) + 1)
		f := &profile.Function{ID: id, Name: name, SystemName: name}
		l := &profile.Location{ID: id, Mapping: all.Mapping[0], Address: id, Line: []profile.Line{{Function: f}}}
		locations[name] = l
		all.Function, all.Location = append(all.Function, f), append(all.Location, l)
		return l
	}
	for _, s := range samples {
		sample := &profile.Sample{Value: []int64{s.Calls, s.Fuel}}
		for _, name := range s.Stack {
			sample.Location = append(sample.Location, locate(name))
		}
		all.Sample = append(all.Sample, sample)
	}
	return all
}

func (p *profiling) summarize(samples []runtime.Sample, result runtime.Result) profiled {
	s := profiled{File: p.file, Export: p.export, Fuel: result.Usage.Fuel, Stacks: len(samples)}
	functions := map[string]profiledFunction{}
	for _, sample := range samples {
		f := functions[sample.Stack[0]]
		f.Name = sample.Stack[0]
		f.Calls += sample.Calls
		f.Fuel += sample.Fuel
		functions[f.Name] = f
		s.Nameless = s.Nameless || strings.HasPrefix(f.Name, "func[")
	}
	s.Functions = slices.SortedFunc(maps.Values(functions), func(a, b profiledFunction) int {
		return cmp.Or(cmp.Compare(b.Fuel, a.Fuel), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name))
	})
	s.Functions = s.Functions[:min(len(s.Functions), profiledMost)]
	return s
}

func printProfiled(w io.Writer, s profiled) {
	var rows [][]string
	for _, f := range s.Functions {
		share := 100 * float64(f.Fuel) / float64(max(s.Fuel, 1))
		rows = append(rows, []string{strconv.FormatInt(f.Fuel, 10), fmt.Sprintf("%.1f%%", share), strconv.FormatInt(f.Calls, 10), f.Name})
	}
	table(w, []string{"FUEL", "SHARE", "CALLS", "FUNCTION"}, rows)
	fmt.Fprintf(w, "\n%s used %d units of fuel; %s has all %d stacks: go tool pprof -top %s\n", s.Export, s.Fuel, s.File, s.Stacks, s.File)
	if s.Nameless {
		fmt.Fprintln(w, "the module lacks names of functions: build it without -s (-ldflags=-w in Go)")
	}
}
