package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
)

// TestMain makes an engine before the tests make theirs side by side: wazero
// writes its version down with the first.
func TestMain(m *testing.M) {
	ctx := context.Background()
	if err := wazero.NewRuntime(ctx).Close(ctx); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestBuildsGuestsAndMeasures(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and compiles a Go guest")
	}
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"overhead of one workload", []string{"-figure", "overhead", "-workload", "handmade_loop", "-time", "50ms"}, []string{
			"bench runtime/fuel_overhead_handmade_loop ", "bench runtime/fuel_overhead_geomean ", "bench runtime/fuel_overhead_worst ",
		}},
		{"fuel of fresh instances", []string{"-figure", "fuel", "-repetitions", "2"}, []string{
			"bench runtime/fuel_identical_go_json 2 calls of=2", "bench runtime/fuel_identical_handmade_fill 2 calls of=2",
			"bench runtime/fuel_identical_call_go 2 calls of=2",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := run(t.Context(), append([]string{"-guests", "guests"}, tc.args...), &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("got\n%s\nwant a line with %q", out.String(), want)
				}
			}
		})
	}
}

func TestRefusesFiguresThatDoNotExist(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), []string{"-figure", "overheads"}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "overhead, fresh") {
		t.Errorf("got %v, want the names that there are", err)
	}
}

func TestHandmadeModulesGiveWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, name := range []string{plain, metered} {
		e, err := newEngine(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.close(context.WithoutCancel(t.Context())) })
		for _, tc := range []struct {
			binary []byte
			export string
			n      uint64
			want   uint64
		}{
			{handmade(), "fib", 3, 3 * 6765},
			{handmade(), "fill", 2, 0x0101010101010101},
			{spinner(), "spin", 1000, 0},
		} {
			t.Run(fmt.Sprintf("%s of %s", tc.export, name), func(t *testing.T) {
				t.Parallel()
				c, err := e.compile(t.Context(), tc.binary)
				if err != nil {
					t.Fatal(err)
				}
				i, err := c.instantiate(t.Context(), time.Now)
				if err != nil {
					t.Fatal(err)
				}
				got, err := i.call(t.Context(), tc.export, tc.n)
				if err != nil || got != tc.want {
					t.Errorf("got %d, %v, want %d", got, err, tc.want)
				}
			})
		}
	}
}
