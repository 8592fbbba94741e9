// Command host measures the main job end to end, on both databases, and prints
// a line per figure:
//
//	bench host/<name> <value> <unit> [<peer>=<ratio>]
//
// Everything runs in this process but Postgres. Figures of one run compare with
// each other; those of two machines do not.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
)

// suite is what a run measures with.
type suite struct {
	out     io.Writer
	guest   []byte
	seconds time.Duration
	flood   int
}

func main() { command.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench/host", flag.ContinueOnError)
	guest := flags.String("guest", "build/hello-go.wasm", "the connector, built from examples/hello-go")
	seconds := flags.Duration("time", 5*time.Second, "how long each rate is measured")
	flood := flags.Int("flood", 100_000, "how many executions the noisy tenant has queued")
	var only database.Only
	flags.StringVar(&only.Database, "db", "", "sqlite or postgres; both by default")
	flags.StringVar(&only.Figure, "figure", "", "accepts, executions, latencies or victims; all by default")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wasm, err := os.ReadFile(*guest)
	if err != nil {
		return fmt.Errorf("read the guest (make build/hello-go.wasm builds it): %w", err)
	}
	stop, err := command.Profile(*profile)
	if err != nil {
		return err
	}
	defer stop()
	s := &suite{out: out, guest: wasm, seconds: *seconds, flood: *flood}
	return database.Measure(ctx, out, only,
		database.Figure{Name: "accepts", Measure: s.accepts}, database.Figure{Name: "executions", Measure: s.executions},
		database.Figure{Name: "latencies", Measure: s.latencies}, database.Figure{Name: "victims", Measure: s.victims})
}

func (s *suite) print(name string, d *database.Database, value float64, unit string, peers ...string) {
	command.Print(s.out, "host/"+name+"_"+d.Name, value, unit, peers...)
}
