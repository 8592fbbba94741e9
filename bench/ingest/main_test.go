package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMeasures(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("measures for seconds")
	}
	var out bytes.Buffer
	for _, figure := range []string{"accept", "overload"} { // Of fairness, its package has a test.
		if err := run(t.Context(), []string{"-db", "sqlite", "-figure", figure, "-time", "500ms", "-overload", "1s"}, &out); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	for _, want := range []string{
		"bench ingest/accept_per_s_sqlite ", "bench ingest/accept_p99_ms_sqlite ", "bench ingest/overload_lost_sqlite 0 deliveries ", " wrong=0 ",
		"bench ingest/overload_peak_mib_sqlite ", "bench ingest/overload_again_s_sqlite ", "ingest goals=",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant a line with %q", out.String(), want)
		}
	}
}

func TestRefusesWhatCannotBeMeasured(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-time", "1ms"}, {"-overload", "0s"}, {"-unknown"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out); err == nil {
			t.Errorf("%v: got\n%s\nwant an error", args, out.String())
		}
	}
}
