// Command ingest measures how webhooks are taken, and how fairly what they cause is
// claimed, on both databases, and prints a line per figure:
//
//	bench ingest/<name> <value> <unit> [<peer>=<value>]
//
// Everything runs in this process but Postgres, the vendors too, and deliveries go through
// the HTTP handler without a socket. The workers are switched off: what is measured is the
// door. Figures of one run compare with each other; those of two machines do not.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/fairness"
)

// suite is what a run measures with.
type suite struct {
	out io.Writer
	// seconds is how long each rate is measured, and overload how long too much comes.
	seconds, overload time.Duration
	// size is that of the queues.
	size fairness.Size
	// goals are those that were looked at, and met those that were met.
	goals, met int
}

// parts are what can be measured. Whoever has more to measure adds a line.
func (s *suite) parts() []database.Figure {
	return []database.Figure{
		{Name: "accept", Measure: s.accept},
		{Name: "overload", Measure: s.overloaded},
		{Name: "fairness", Measure: s.fair},
	}
}

// fair measures the queue behind the door, by itself.
func (s *suite) fair(ctx context.Context, d *database.Database) error {
	all, err := fairness.Measure(ctx, d, s.size)
	for _, f := range all {
		var peers []string
		if f.Goal != 0 {
			peers = append(peers, s.goal(f.Met(), f.Goal))
		}
		s.print(f.Name, d, f.Value, f.Unit, peers...)
	}
	return err
}

func main() { command.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	s := &suite{out: out, size: fairness.Goals()}
	var names []string
	for _, p := range s.parts() {
		names = append(names, p.Name)
	}
	flags := flag.NewFlagSet("bench/ingest", flag.ContinueOnError)
	flags.DurationVar(&s.seconds, "time", 10*time.Second, "how long each rate is measured")
	flags.DurationVar(&s.overload, "overload", time.Minute, "how long ten times too much comes")
	var only database.Only
	flags.StringVar(&only.Database, "db", "", "sqlite or postgres; both by default")
	flags.StringVar(&only.Figure, "figure", "", strings.Join(names, " or ")+"; all by default")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.seconds < time.Second/2 || s.overload < time.Second {
		return fmt.Errorf("-time is %s and -overload %s: 500ms and 1s are the least", s.seconds, s.overload)
	}
	stop, err := command.Profile(*profile)
	if err != nil {
		return err
	}
	defer stop()
	if err := database.Measure(ctx, out, only, s.parts()...); err != nil {
		return err
	}
	fmt.Fprintf(out, "ingest goals=%d met=%d\n", s.goals, s.met)
	return nil
}

func (s *suite) print(name string, d *database.Database, value float64, unit string, peers ...string) {
	command.Print(s.out, "ingest/"+name+"_"+d.Name, value, unit, peers...)
}

// goal counts whether a goal is met, and is the peer that says it.
func (s *suite) goal(met bool, goal float64) string {
	s.goals++
	if met {
		s.met++
	}
	return peer("goal", goal)
}

// peer is a value to print beside a figure.
func peer(name string, value float64) string { return name + "=" + command.Number(value) }
