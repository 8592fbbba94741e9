package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMeasures(t *testing.T) {
	t.Parallel()
	small := []string{"-db", "sqlite", "-connections", "40", "-calls", "50", "-window", "1s", "-lifetime", "5s", "-rounds", "1", "-windows", "3"}
	for figure, lines := range map[string][]string{
		"warm":   {"warm_token_us_sqlite ", " x_oauth2_reuse=", " ratio=", " version_read="},
		"window": {"lost_window_ms_sqlite ", " p99=", " refreshes=3"},
		"storm":  {"storm_p99_ms_sqlite ", "refreshes_sqlite 40 ", " connections=40", " families_revoked=0"},
	} {
		t.Run(figure, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := run(t.Context(), append([]string{"-figure", figure}, small...), &out); err != nil {
				t.Fatal(err)
			}
			for _, line := range lines {
				if !strings.Contains(out.String(), line) {
					t.Errorf("there is no %q in\n%s", line, out.String())
				}
			}
		})
	}
	for _, args := range [][]string{{"-connections", "0"}, {"-db", "oracle"}, {"-figure", "none"}} {
		if run(t.Context(), args, &bytes.Buffer{}) == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
