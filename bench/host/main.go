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
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
)

// suite is what a run measures with.
type suite struct {
	out     io.Writer
	guest   []byte
	seconds time.Duration
	flood   int
	// figure is the only one to measure, or empty.
	figure string
}

func main() { command.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench/host", flag.ContinueOnError)
	guest := flags.String("guest", "build/hello-go.wasm", "the connector, built from examples/hello-go")
	seconds := flags.Duration("time", 5*time.Second, "how long each rate is measured")
	flood := flags.Int("flood", 100_000, "how many executions the noisy tenant has queued")
	only := flags.String("db", "", "sqlite or postgres; both by default")
	figure := flags.String("figure", "", "accepts, executions, latencies or victims; all by default")
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
	s := &suite{out: out, guest: wasm, seconds: *seconds, flood: *flood, figure: *figure}
	for _, db := range []string{"sqlite", "postgres"} {
		if *only != "" && *only != db {
			continue
		}
		if err := s.measure(ctx, db); err != nil {
			return fmt.Errorf("%s: %w", db, err)
		}
	}
	return nil
}

// measure prints all figures of one database.
func (s *suite) measure(ctx context.Context, db string) error {
	d, err := openDatabase(db) //nolint:contextcheck // A test server waits on its own clock.
	if errors.Is(err, postgrestest.ErrNoServer) {
		fmt.Fprintf(s.out, "NOT MEASURED: %v\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer d.stop()
	for _, f := range []struct {
		name    string
		measure func(context.Context, *database) error
	}{{"accepts", s.accepts}, {"executions", s.executions}, {"latencies", s.latencies}, {"victims", s.victims}} {
		if s.figure != "" && s.figure != f.name {
			continue
		}
		if err := f.measure(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

func (s *suite) print(name string, d *database, value float64, unit string, peers ...string) {
	command.Print(s.out, "host/"+name+"_"+d.name, value, unit, peers...)
}
