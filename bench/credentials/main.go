// Command credentials measures what it costs that guests hold no credential and have
// no network of their own, and that what is private is sealed, and prints a line per
// figure:
//
//	bench credentials/<name> <value> <unit> [<peer>=<value>]
//
// Both sides of a comparison run in turns, in this process. The server that is called
// is another process, and so is Postgres: their CPU is in no figure. A figure that has
// to do with databases has a line for each, and one more for the worse of them.
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

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/guest"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
)

// suite is what a run measures with.
type suite struct {
	out io.Writer
	// rounds is how many turns each side has of what takes little.
	rounds int
	// requests is how many a turn has.
	requests int
	// turns is how many each side has of executions, and executions how many one has.
	turns, executions int
	// tenants and records are how many there are whose keys change.
	tenants, records int
	// source is the folder of the Go guest.
	source string
	// worse has the value of each figure on the database where it is worse.
	worse map[string]float64
	// goals are those that were looked at, and met those that were met.
	goals, met int
}

// figures are those that can be asked for by name. Of databases, egress has none.
func (s *suite) figures() []database.Figure {
	return []database.Figure{
		{Name: "egress", Measure: s.onSQLite(s.egress)},
		{Name: "seal", Measure: s.onSQLite(s.seal)},
		{Name: "cold", Measure: s.cold},
		{Name: "rewrap", Measure: s.rewrap},
		{Name: "throughput", Measure: s.throughput},
		{Name: "rotation", Measure: s.rotation},
	}
}

func main() {
	if vendor.Asked(os.Args) {
		command.Main(vendor.Serve)
		return
	}
	command.Main(run)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s := &suite{out: out, worse: map[string]float64{}}
	var names []string
	for _, f := range s.figures() {
		names = append(names, f.Name)
	}
	flags := flag.NewFlagSet("bench/credentials", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 31, "how many turns each side has of requests and of sealing")
	flags.IntVar(&s.requests, "requests", 300, "how many requests a turn has")
	flags.IntVar(&s.turns, "turns", 7, "how many turns each side has of executions")
	flags.IntVar(&s.executions, "executions", 1500, "how many executions a turn has")
	flags.IntVar(&s.tenants, "tenants", 10_000, "how many tenants' keys are wrapped anew")
	flags.IntVar(&s.records, "records", 100_000, "how many records of a tenant are sealed anew")
	flags.StringVar(&s.source, "guest", guest.OrdersSource, "the folder of the Go guest's source")
	var only database.Only
	flags.StringVar(&only.Database, "db", "", "sqlite or postgres; both by default")
	flags.StringVar(&only.Figure, "figure", "", strings.Join(names, ", ")+"; all by default")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file, labelled side=on and side=off where payloads are sealed or not")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if least := min(s.rounds, s.requests, s.turns, s.tenants, s.records); least < 1 || s.executions < 4*slots {
		return fmt.Errorf("-executions is %d and of the other numbers %d is the least: %d and 1 are needed", s.executions, least, 4*slots)
	}
	stop, err := command.Profile(*profile)
	if err != nil {
		return err
	}
	defer stop()
	if err := database.Measure(ctx, out, only, s.figures()...); err != nil {
		return err
	}
	s.overall()
	fmt.Fprintf(out, "credentials goals=%d met=%d\n", s.goals, s.met)
	return nil
}

// onSQLite is of figures that have little to do with databases.
func (s *suite) onSQLite(measure func(context.Context, *database.Database) error) func(context.Context, *database.Database) error {
	return func(ctx context.Context, d *database.Database) error {
		if d.Name != database.SQLite {
			return nil
		}
		return measure(ctx, d)
	}
}

func (s *suite) print(name string, value float64, unit string, peers ...string) {
	command.Print(s.out, "credentials/"+name, value, unit, peers...)
}

// on prints the line of a figure of overall on a database.
func (s *suite) on(d *database.Database, name string, value float64, unit string, peers ...string) {
	s.print(name+"_"+d.Name, value, unit, peers...)
	before, ok := s.worse[name]
	if !ok || (name == throughputRatio) == (value < before) {
		s.worse[name] = value
	}
}

// The figures of which a line says how they are on the database where they are worse.
const (
	throughputRatio = "sealed_throughput_ratio"
	rewrapSeconds   = "rewrap_10k_s"
	rotationSeconds = "rotation_100k_s"
)

// overall prints those that were measured.
func (s *suite) overall() {
	if v, ok := s.worse[rewrapSeconds]; ok {
		s.print(rewrapSeconds, v, "s", s.atMost(v, 5))
	}
	if v, ok := s.worse[throughputRatio]; ok {
		s.print(throughputRatio, v, "ratio", s.atLeast(v, .9))
	}
	if v, ok := s.worse[rotationSeconds]; ok {
		s.print(rotationSeconds, v, "s")
	}
}

// atMost is a peer: what the figure should be at most. It is counted.
func (s *suite) atMost(value, most float64) string { return s.goal(value <= most, most) }

// atLeast is a peer: what the figure should be at least. It is counted.
func (s *suite) atLeast(value, least float64) string { return s.goal(value >= least, least) }

func (s *suite) goal(met bool, goal float64) string {
	s.goals++
	if met {
		s.met++
	}
	return peer("goal", goal)
}

// peer is a value to print beside a figure.
func peer(name string, value float64) string { return name + "=" + command.Number(value) }

// closeAll closes what a figure has opened, the last first.
func closeAll(opened []io.Closer) (err error) {
	for _, c := range slices.Backward(opened) {
		err = errors.Join(err, c.Close())
	}
	return err
}
