package meter_test

import (
	"context"
	goruntime "runtime"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// BenchmarkRewrite rewrites a Go program.
func BenchmarkRewrite(b *testing.B) {
	original := runtimetest.Guest(b)
	b.SetBytes(int64(len(original)))
	for b.Loop() {
		b.StopTimer()
		m, err := wasm.Decode(original, wasm.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := meter.Rewrite(m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOverhead reports how many times as long a workload takes when it is
// metered: of rounds in which the original and the rewritten module alternate, the
// median.
func BenchmarkOverhead(b *testing.B) {
	workloads := runtimetest.BuildGo(b, workloadsSource)
	tests := []struct {
		name, export string
		module       []byte
		arg          uint64
	}{
		{"calls alone", "run", fib(), 27},
		{"fib", "fib", workloads, 3},
		{"sieve", "sieve", workloads, 5},
		{"matrix", "matrix", workloads, 20},
		{"mandelbrot", "mandelbrot", workloads, 5},
		{"nbody", "nbody", workloads, 20},
		{"sort", "sort", workloads, 4},
		{"strings", "strings", workloads, 5},
		{"maps", "maps", workloads, 10},
		{"copy", "copy", workloads, 2},
		{"trees", "trees", workloads, 5},
		{"interpreter", "interpreter", workloads, 200},
		{"channels", "channels", workloads, 5},
		{"sha256", "sha256", workloads, 10},
		{"json", "json", workloads, 20},
		{"regexp", "regexp", workloads, 3},
		{"flate", "flate", workloads, 3},
	}
	rt := newRuntime(b)
	open := func(module []byte) *instance {
		i := instantiate(b, rt, module, newBank(plenty, deep, slicesOf(1_000_000)))
		if i.module.ExportedFunction("_initialize") != nil {
			i.call(b, newBank(plenty, deep, slicesOf(1_000_000)), "_initialize")
		}
		return i
	}
	plain, metered := open(workloads), open(rewrite(b, workloads))
	for _, test := range tests {
		b.Run(test.name, func(b *testing.B) {
			goruntime.LockOSThread()
			defer goruntime.UnlockOSThread()
			original, rewritten := plain, metered
			if test.export == "run" {
				original, rewritten = open(test.module), open(rewrite(b, test.module))
			}
			var ratios []float64
			for b.Loop() {
				without := timed(b, original, test.export, test.arg)
				ratios = append(ratios, timed(b, rewritten, test.export, test.arg)/without)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x")
		})
	}
}

// timed returns the CPU time of a call.
func timed(b *testing.B, i *instance, export string, arg uint64) float64 {
	b.Helper()
	account := newBank(plenty, deep, slicesOf(1_000_000))
	ctx := context.WithValue(b.Context(), bankKey{}, account)
	if i.metered {
		i.module.ExportedGlobal(meter.Global).(api.MutableGlobal).Set(account.open())
	}
	f := i.module.ExportedFunction(export)
	begun := threadTime(b)
	if _, err := f.Call(ctx, arg); err != nil {
		b.Fatal(err)
	}
	return float64(threadTime(b) - begun)
}
