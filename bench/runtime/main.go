// Command runtime measures the sandbox engine, and prints a line per figure:
//
//	bench runtime/<name> <value> <unit> [<peer>=<value>]
//
// Its peers run beside it in the same process: wazero as it comes, wazero with
// its own termination, and go-sdk. Figures of one run compare with each other;
// those of two machines do not. The guests are built from source in guests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
)

// suite is what a run measures with.
type suite struct {
	out io.Writer
	// guests is the folder of the guests' sources.
	guests string
	built  map[string][]byte
	// window is how long each workload, and each figure, is measured.
	window time.Duration
	// only is a part of the names of the workloads to measure, or empty.
	only string
	// sandboxes is how many are kept alive at once.
	sandboxes int
	// repetitions is how often fuel is counted again.
	repetitions int
}

// figure is one measurement, which may print several lines.
type figure struct {
	name    string
	measure func(context.Context) error
	// asked says that it is measured only when it is asked for.
	asked bool
}

func main() { command.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	s := &suite{out: out, built: map[string][]byte{}}
	figures := s.figures()
	names := make([]string, len(figures))
	for i, f := range figures {
		names[i] = f.name
	}
	flags := flag.NewFlagSet("bench/runtime", flag.ContinueOnError)
	flags.StringVar(&s.guests, "guests", "bench/runtime/guests", "the folder of the guests' sources")
	flags.DurationVar(&s.window, "time", 2*time.Second, "how long each workload and each figure is measured")
	flags.StringVar(&s.only, "workload", "", "measure the overhead of the workloads whose names contain this; all by default")
	flags.IntVar(&s.sandboxes, "sandboxes", 10_000, "how many sandboxes are alive at once")
	flags.IntVar(&s.repetitions, "repetitions", 1000, "how often fuel is counted again")
	only := flags.String("figure", "", "some of "+strings.Join(names, ",")+"; all by default")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if name != "" && !slices.Contains(names, name) {
			return fmt.Errorf("there is no figure %q; there is: %s", name, strings.Join(names, ", "))
		}
	}
	stop, err := command.Profile(*profile)
	if err != nil {
		return err
	}
	defer stop()
	for _, f := range figures {
		if f.asked || *only != "" {
			if !slices.Contains(wanted, f.name) {
				continue
			}
		}
		if err := s.skipped(f.measure(ctx), f.name); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

func (s *suite) figures() []figure {
	return []figure{
		{name: "overhead", measure: s.overhead},
		{name: "fresh", measure: s.fresh},
		{name: "reset", measure: s.reset},
		{name: "neighbour", measure: s.neighbour},
		{name: "gc", measure: s.collection},
		{name: "kill", measure: s.kill},
		{name: "memory", measure: s.memory},
		{name: "idle", measure: s.idle},
		{name: "fuel", measure: s.fuel},
		{name: "spec", measure: s.spec},
		{name: "counts", measure: s.listCounts, asked: true},
	}
}

// skipped prints what a command.ErrSkip says is missing, and returns any other error.
func (s *suite) skipped(err error, name string) error {
	if errors.Is(err, command.ErrSkip) {
		fmt.Fprintf(s.out, "%s: %v\n", name, err)
		return nil
	}
	return err
}

func (s *suite) print(name string, value float64, unit string, peers ...string) {
	command.Print(s.out, "runtime/"+name, value, unit, peers...)
}

// peer is a value to print beside a figure.
func peer(name string, value float64) string { return name + "=" + command.Number(value) }
