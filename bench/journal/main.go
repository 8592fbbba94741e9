// Command journal measures what the journal costs and what it gives, on both
// databases, and prints a line per figure:
//
//	bench journal/<name> <value> <unit> [<peer>=<value>]
//
// The peer of each cost is the same host with its journal switched off: the two run
// in turns, each on a database of its own, in this process. The vendor that the
// connectors call is another process, and so is Postgres: their CPU is in no figure.
// Figures of one run compare with each other; those of two machines do not.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/guest"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
)

// suite is what a run measures with.
type suite struct {
	out io.Writer
	// rounds is how many turns each side has.
	rounds int
	// executions is how many a turn of the throughput has.
	executions int
	// wasm are the plugins, the Go guest in its two versions first.
	wasm [][]byte
	// vendor is the URL that the plugins call.
	vendor string
	// cache is a folder for compiled code.
	cache string
	// goals are those that were looked at, and met those that were met.
	goals, met int
}

func main() {
	if vendor.Asked(os.Args) {
		command.Main(vendor.Serve)
		return
	}
	command.Main(run)
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	s := &suite{out: out}
	flags := flag.NewFlagSet("bench/journal", flag.ContinueOnError)
	source := flags.String("guest", guest.OrdersSource, "the folder of the Go guest's source")
	flags.IntVar(&s.rounds, "rounds", 7, "how many turns each side has")
	flags.IntVar(&s.executions, "executions", 1500, "how many executions a turn of the throughput has")
	var only database.Only
	flags.StringVar(&only.Database, "db", "", "sqlite or postgres; both by default")
	flags.StringVar(&only.Figure, "figure", "", "throughput, calls, shadow or resume; all by default")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file, labelled side=on and side=off, of the journal")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.executions < 4*slots || s.rounds < 1 {
		return fmt.Errorf("-executions is %d and -rounds %d: %d and 1 are the least", s.executions, s.rounds, 4*slots)
	}
	clean, err := s.prepare(ctx, *source)
	if err != nil {
		return err
	}
	defer clean()
	stop, err := command.Profile(*profile)
	if err != nil {
		return err
	}
	defer stop()
	err = database.Measure(ctx, out, only,
		database.Figure{Name: "throughput", Measure: s.throughput}, database.Figure{Name: "calls", Measure: s.calls},
		database.Figure{Name: "resume", Measure: s.resume}, database.Figure{Name: "shadow", Measure: s.shadow})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "journal goals=%d met=%d\n", s.goals, s.met)
	return nil
}

// prepare builds the guests and starts the vendor.
func (s *suite) prepare(ctx context.Context, source string) (clean func(), err error) {
	if s.cache, err = os.MkdirTemp("", "cofferdam-bench-cache"); err != nil {
		return nil, fmt.Errorf("make a folder for compiled code: %w", err)
	}
	for _, version := range []string{"1.0.0", "1.0.1"} {
		wasm, err := guest.BuildOrders(ctx, source, version)
		if err != nil {
			return nil, err
		}
		s.wasm = append(s.wasm, wasm)
	}
	v, err := vendor.Start(ctx, vendor.Plain)
	if err != nil {
		return nil, err
	}
	s.vendor = v.URL
	s.wasm = append(s.wasm, handmade(v.URL)...)
	return func() { _ = v.Close(); _ = os.RemoveAll(s.cache) }, nil
}

func (s *suite) print(name string, value float64, unit string, peers ...string) {
	command.Print(s.out, "journal/"+name, value, unit, peers...)
}

// goal is a peer: what the figure should be at least. It is counted.
func (s *suite) goal(value, least float64) string {
	s.goals++
	if value >= least {
		s.met++
	}
	return peer("goal", least)
}

// peer is a value to print beside a figure.
func peer(name string, value float64) string { return name + "=" + command.Number(value) }

// sole says that a database is the one on which figures are measured that have
// little to do with databases.
func sole(d *database.Database) bool { return d.Name == database.SQLite }
