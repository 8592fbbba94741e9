// Command fairness measures how fairly workers serve tenants, on both databases, and
// prints a line per figure:
//
//	bench ingest/<name>_<database> <value> <unit> [goal=<value>]
//
// Everything runs in this process but Postgres. See the package fairness.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/fairness"
)

func main() { command.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	var only database.Only
	flags := flag.NewFlagSet("bench/fairness", flag.ContinueOnError)
	flags.StringVar(&only.Database, "db", "", "sqlite or postgres; both by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	goals, met := 0, 0
	err := database.Measure(ctx, out, only, database.Figure{Name: "fairness", Measure: func(ctx context.Context, d *database.Database) error {
		all, err := fairness.Measure(ctx, d, fairness.Goals())
		for _, f := range all {
			var peers []string
			if f.Goal != 0 {
				peers = append(peers, "goal="+command.Number(f.Goal))
				goals++
				if f.Met() {
					met++
				}
			}
			command.Print(out, "ingest/"+f.Name+"_"+d.Name, f.Value, f.Unit, peers...)
		}
		return err
	}})
	if err == nil {
		fmt.Fprintf(out, "fairness goals=%d met=%d\n", goals, met)
	}
	return err
}
