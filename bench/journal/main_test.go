package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
)

// TestMain is the vendor's process, too.
func TestMain(m *testing.M) {
	if vendor.Asked(os.Args) {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestMeasures(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a connector in Go, and runs a thousand executions")
	}
	var out bytes.Buffer
	args := []string{"-rounds", "1", "-executions", "256", "-db", "sqlite", "-figure", "throughput", "-guest", "../internal/guest/orders"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"bench journal/execution_bytes_sqlite ", "bench journal/throughput_ratio_sqlite ", "bench journal/throughput_cpu_us_sqlite ",
		"bench journal/throughput_handmade_per_s_sqlite ", "journal goals=1 ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant a line with %q", out.String(), want)
		}
	}
}

func TestRefusesWhatCannotBeMeasured(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-rounds", "0"}, {"-executions", "255"}, {"-unknown"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out); err == nil {
			t.Errorf("%v: got\n%s\nwant an error", args, out.String())
		}
	}
}
