package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// replaying is a call of the verb.
type replaying struct {
	*app
	plugin, testDir string
	quiet           bool
}

// replayed is what the verb shows of a file.
type replayed struct {
	File      string         `json:"file"`
	Execution string         `json:"execution,omitempty"`
	Plugin    string         `json:"plugin,omitempty"`
	Recorded  recordedRun    `json:"recorded"`
	Verdict   replay.Verdict `json:"verdict"`
	// Other says that other code was run than the recorded.
	Other  bool           `json:"other_code"`
	Report *replay.Report `json:"report"`
	// Written are the files of --as-test.
	Written []string `json:"written,omitempty"`

	recording replay.Recording
}

// recordedRun is what a recording says of its run.
type recordedRun struct {
	Module  string         `json:"module"`
	Outcome replay.Outcome `json:"outcome"`
	Error   *replay.Error  `json:"error,omitempty"`
	Fuel    int64          `json:"fuel,omitempty"`
	Entries int            `json:"entries"`
}

func (a *app) replayCommand() *cobra.Command {
	r := replaying{app: a}
	c := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Run recorded executions again, offline, and show what they did",
		Long: "Run recorded executions again, offline. Each call is answered with what was recorded, so that the\n" +
			"output is the recorded one byte for byte, and the fuel too. Nothing can be reached, and no server is\n" +
			"needed. A FILE is from 'cofferdam execution export'; - is standard input.\n\n" +
			"--plugin runs other code than the recorded: it is told what the recorded code was told for as long as\n" +
			"it asks for the same, in the same order, and ends at the first call that differs, which is shown.\n" +
			"Logs may differ.\n\n" +
			"--as-test makes a test of it, in the folder of a plugin's sources: the recording with what the run has\n" +
			"come to now, and for a plugin in Go the test that replays all such recordings.\n\n" +
			"The exit code is 0 if everything is as it was recorded, and 1 if not.",
		Example: "  cofferdam execution export exe_... --with-module --tenant acme >run.bhx\n" +
			"  cofferdam replay run.bhx\n" +
			"  cofferdam replay run.bhx --plugin mended.wasm\n" +
			"  cofferdam replay run.bhx --plugin mended.wasm --as-test .",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("'%s' takes at least one FILE; for example:\n%s", c.CommandPath(), c.Example)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return r.run(c.Context(), args) },
	}
	a.jsonFlag(c)
	a.compilerFlags(c)
	flags := c.Flags()
	flags.Lookup("cache-dir").Usage = scratchCacheUsage
	flags.StringVar(&r.plugin, "plugin", "", "run this module: a file, or NAME@VERSION in the database that --db names")
	flags.StringVar(&a.DB, "db", a.DB, "where NAME@VERSION is: a SQLite file, or a postgres:// URL (COFFERDAM_DB)")
	flags.StringVar(&r.testDir, "as-test", "", "write what the run came to as a test into this folder, of the plugin's sources")
	flags.BoolVarP(&r.quiet, "quiet", "q", false, "show only what differs")
	return c
}

func (r *replaying) run(ctx context.Context, files []string) (err error) {
	recordings := make([]replay.Recording, len(files))
	for i, file := range files {
		if recordings[i], err = r.read(file); err != nil {
			return err
		}
	}
	modules, err := r.modules(ctx, files, recordings)
	if err != nil {
		return err
	}
	dir, remove, err := r.scratchCache("cofferdam-replay-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	player, err := r.open(ctx, dir, modules)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, player.rt.Close(ctx)) }()
	return r.all(ctx, player, files, recordings)
}

// all replays the recordings, and fails if one of them differs.
func (r *replaying) all(ctx context.Context, p *player, files []string, recordings []replay.Recording) error {
	var shown []replayed
	differ := 0
	for i, recording := range recordings {
		one, err := r.one(ctx, p, files[i], recording)
		if err != nil {
			return err
		}
		if !one.Report.Same() {
			differ++
		}
		if r.testDir != "" {
			if one.Written, err = r.writeTest(&one); err != nil {
				return err
			}
		}
		if r.Output != "json" {
			r.print(&one)
		}
		shown = append(shown, one)
	}
	if r.Output == "json" {
		if err := r.show(shown, nil); err != nil {
			return err
		}
	}
	if differ > 0 && r.testDir == "" {
		return fmt.Errorf("%d of %d recordings were not replayed as they were recorded", differ, len(recordings))
	}
	return nil
}

// read reads a recording.
func (r *replaying) read(file string) (replay.Recording, error) {
	in := r.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return replay.Recording{}, usagef("open the recording: %v", err)
		}
		defer f.Close()
		in = f
	}
	recording, err := replay.Read(in)
	if err != nil {
		return recording, fmt.Errorf("%s: %w", file, err)
	}
	return recording, nil
}

// modules finds what is to be run, by digest.
func (r *replaying) modules(ctx context.Context, files []string, recordings []replay.Recording) (map[string][]byte, error) {
	modules := map[string][]byte{}
	if r.plugin != "" {
		binary, err := r.module(ctx, r.plugin)
		if err != nil {
			return nil, err
		}
		modules[replay.DigestOf(binary)] = binary
		return modules, nil
	}
	for i := range recordings {
		recording := &recordings[i]
		if recording.Module == nil {
			f := fault.New(fault.InvalidInput, "no_module", "%s holds no module: its execution ran %s, which is %s", files[i], named(recording), recording.World.Module)
			f.Hint = "name the module with --plugin, or export the execution again with 'cofferdam execution export --with-module'"
			return nil, f
		}
		modules[recording.World.Module] = recording.Module
	}
	return modules, nil
}

// named is the plugin of a recording, for people.
func named(r *replay.Recording) string {
	if r.Plugin == "" {
		return "a plugin"
	}
	return strings.TrimSuffix(r.Plugin+"@"+r.Version, "@")
}

// player holds the modules that recordings are run on.
type player struct {
	rt      *runtime.Runtime
	modules map[string][]byte
	// ready are the prepared ones.
	ready map[string]*runtime.Module
}

// open makes a runtime that offers what the modules import: an embedder's functions
// are answered like all others.
func (r *replaying) open(ctx context.Context, dir string, modules map[string][]byte) (*player, error) {
	names := offered(nil)
	for _, binary := range modules {
		// What is no module is refused when it is prepared, with a hint.
		functions, _ := replay.Functions(binary)
		names = append(names, functions...)
	}
	slices.Sort(names)
	compiler, _, err := r.compilerInto(dir)
	if err != nil {
		return nil, err
	}
	rt, err := runtime.New(ctx, runtime.Config{Functions: slices.Compact(names), CacheDir: dir, Compiler: compiler})
	if err != nil {
		return nil, err
	}
	return &player{rt: rt, modules: modules, ready: map[string]*runtime.Module{}}, nil
}

// prepared is the module for a recording: its own, or the only one that there is. It
// is prepared with that recording's limits, unless those of its start have been the
// same before.
func (p *player) prepared(ctx context.Context, r *replay.Recording) (*runtime.Module, string, error) {
	digest := r.World.Module
	if _, own := p.modules[digest]; !own {
		for digest = range p.modules { // There is one.
			break
		}
	}
	limits := replay.Limits(*r)
	key := fmt.Sprint(digest, limits)
	if m := p.ready[key]; m != nil {
		return m, digest, nil
	}
	m, err := p.rt.Prepare(ctx, p.modules[digest], limits)
	if err != nil {
		return nil, digest, blamed(err)
	}
	p.ready[key] = m
	return m, digest, nil
}

func (r *replaying) one(ctx context.Context, p *player, file string, recording replay.Recording) (replayed, error) {
	module, digest, err := p.prepared(ctx, &recording)
	if err != nil {
		return replayed{}, err
	}
	report, err := replay.Run(ctx, module, recording, replay.Options{Module: digest})
	if err != nil {
		return replayed{}, fmt.Errorf("%s: %w", file, err)
	}
	return replayed{
		File: file, Execution: recording.Execution, Plugin: named(&recording),
		Recorded: recordedRun{
			Module: recording.World.Module, Outcome: recording.Outcome, Error: recording.Error, Fuel: recording.Fuel,
			Entries: max(0, len(recording.Entries)-1),
		},
		Verdict: report.Verdict(), Other: digest != recording.World.Module, Report: report, recording: recording,
	}, nil
}

// writeTest writes the test of --as-test, under the name of its file.
func (r *replaying) writeTest(of *replayed) ([]string, error) {
	expected, err := of.Report.Expecting(of.recording)
	if err != nil {
		f := fault.New(fault.Conflict, "not_replayed_to_the_end", "%v", err)
		return nil, f.WithHint("have the execution run on this version, by 'cofferdam execution redrive', and export it then")
	}
	name := strings.TrimSuffix(filepath.Base(of.File), replay.Extension)
	if of.File == "-" {
		name = of.Execution
	}
	written, err := replay.WriteTest(r.testDir, name, expected)
	slices.Sort(written)
	return written, err
}

// print prints the run as a trace, and what differs.
func (r *replaying) print(of *replayed) {
	if !r.quiet || !of.Report.Same() {
		printReplayed(r.out, of)
	}
	for _, path := range of.Written {
		fmt.Fprintln(r.out, "wrote", path)
	}
}
