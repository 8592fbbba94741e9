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
	small := []string{
		"-rounds", "1", "-requests", "2", "-turns", "1", "-executions", "256", "-tenants", "20", "-records", "300",
		"-guest", "../internal/guest/orders", "-db", "sqlite",
	}
	for figure, lines := range map[string][]string{
		"egress":     {"egress_overhead ", "egress_request_us "},
		"seal":       {"seal_us ", "open_us ", "opens_per_s "},
		"cold":       {"opens_per_s_cold_sqlite "},
		"rewrap":     {"rewrap_10k_s_sqlite ", "rewrap_10k_s "},
		"throughput": {"sealed_throughput_ratio_sqlite ", "sealed_throughput_ratio ", "sealed_execution_cpu_us_sqlite "},
		"rotation":   {"rotation_100k_s_sqlite ", "rotation_100k_s ", " failed_executions=0 ", " failed_reads=0 "},
	} {
		t.Run(figure, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && figure == "throughput" {
				t.Skip("builds a connector in Go")
			}
			var out bytes.Buffer
			if err := run(t.Context(), append(small, "-figure", figure), &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range append(lines, "credentials goals=") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("got\n%s\nwant a line with %q", out.String(), want)
				}
			}
		})
	}
}

func TestRefusesWhatCannotBeMeasured(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-figure", "none"},
		{"-db", "none"},
		{"-rounds", "0"},
		{"-requests", "0"},
		{"-turns", "0"},
		{"-executions", "255"},
		{"-tenants", "0"},
		{"-records", "0"},
		{"-unknown"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out); err == nil {
			t.Errorf("%v: got\n%s\nwant an error", args, out.String())
		}
	}
}
