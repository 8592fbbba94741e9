// Command authoring measures what authors of connectors in TypeScript meet, and
// prints a line per figure:
//
//	bench authoring/<name> <value> <unit> [<peer>=<value>]
//
// Its peers run beside it in the same process: a connector in Go that does the
// same, and goja, a JavaScript engine in Go, without a sandbox. Figures of one run
// compare with each other; those of two machines do not. The connectors are built
// from source: in Go from guest, in TypeScript from project, with the SDK of this
// tree and the engine in sdk/typescript/node_modules.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
)

// suite is what a run measures with.
type suite struct {
	out io.Writer
	// source is the folder of this command, and modules a node_modules with the
	// engine.
	source, modules string
	// window is how long each figure that is a time is measured.
	window time.Duration
	// edits is how often the project is built again, and plugins how many are on one
	// server.
	edits, plugins int
	// dir is a folder of this run.
	dir string
}

// rounds is how many turns each peer gets.
const rounds = 15

type figure struct {
	name    string
	measure func(context.Context) error
}

func (s *suite) figures() []figure {
	return []figure{{"rebuild", s.rebuild}, {"call", s.call}, {"map", s.mapping}, {"plugins", s.server}}
}

func main() { command.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	s := &suite{out: out}
	flags := flag.NewFlagSet("bench/authoring", flag.ContinueOnError)
	flags.StringVar(&s.source, "source", "bench/authoring", "the folder of the connectors' sources")
	flags.StringVar(&s.modules, "modules", "sdk/typescript/node_modules", "the node_modules with the engine")
	flags.DurationVar(&s.window, "time", 2*time.Second, "how long each figure is measured")
	flags.IntVar(&s.edits, "edits", 30, "how often a file is changed and the project built again")
	flags.IntVar(&s.plugins, "plugins", 100, "how many plugins are on one server")
	only := flags.String("figure", "", "some of rebuild,call,map,plugins; all by default")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if name != "" && !slices.ContainsFunc(s.figures(), func(f figure) bool { return f.name == name }) {
			return fmt.Errorf("there is no figure %q; there is: rebuild, call, map, plugins", name)
		}
	}
	if s.dir, err = os.MkdirTemp("", "cofferdam-authoring-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	stop, err := command.Profile(*profile)
	if err != nil {
		return err
	}
	defer stop()
	for _, f := range s.figures() {
		if *only != "" && !slices.Contains(wanted, f.name) {
			continue
		}
		err := f.measure(ctx)
		if errors.Is(err, command.ErrSkip) {
			fmt.Fprintf(out, "skip authoring/%s: %v\n", f.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("measure %s: %w", f.name, err)
		}
	}
	return nil
}

func (s *suite) print(name string, value float64, unit string, peers ...string) {
	command.Print(s.out, "authoring/"+name, value, unit, peers...)
}

func peer(name string, value float64) string { return name + "=" + command.Number(value) }
