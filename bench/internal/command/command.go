// Package command is what the benchmarks' commands have in common: how they
// start, what they profile, clock and weigh, and the lines that they print.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"
)

// Run is a benchmark, given its arguments and where its lines go.
type Run func(ctx context.Context, args []string, out io.Writer) error

// Main runs a command until it ends or is interrupted, and exits with 1 if it
// fails.
func Main(run Run) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Profile writes a CPU profile to the file at path until stop is called. An empty
// path is none.
func Profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("start the profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// CPU is the CPU time that this process has used, in seconds.
func CPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// Print writes a figure's line: "bench <name> <value> <unit> [<peer>=<value>]".
func Print(out io.Writer, name string, value float64, unit string, peers ...string) {
	fmt.Fprintf(out, "bench %s %s %s", name, Number(value), unit)
	for _, p := range peers {
		fmt.Fprintf(out, " %s", p)
	}
	fmt.Fprintln(out)
}

// Number writes four digits, and all of those before the point.
func Number(value float64) string {
	if value >= 1000 {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.4g", value)
}
