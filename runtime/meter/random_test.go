package meter_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// TestRandomModulesDoTheSame compares original and rewritten modules: what they
// return, how they trap, and what they leave in memory and globals. And what they
// used must be what was executed.
func TestRandomModulesDoTheSame(t *testing.T) {
	t.Parallel()
	modules := uint64(160)
	if testing.Short() {
		modules = 40
	}
	const parts = 4
	for part := range uint64(parts) {
		t.Run(fmt.Sprintf("part %d", part), func(t *testing.T) {
			t.Parallel()
			var seen tally
			for seed := part; seed < modules; seed += parts {
				compareRandom(t, newRuntime(t), seed, &seen)
				if t.Failed() {
					t.Fatalf("the module of seed %d", seed)
				}
			}
			t.Logf("%+v", seen)
			if seen.returned < seen.trapped/4 || seen.units < 1000 {
				t.Errorf("the modules do too little: %+v", seen)
			}
		})
	}
}

type tally struct {
	returned, trapped, refuels int
	units                      int64
}

func compareRandom(t *testing.T, rt wazero.Runtime, seed uint64, seen *tally) {
	t.Helper()
	b := newBank(plenty, deep, slicesOf(1))
	counted := runtimetest.Random(seed)
	countNaively(counted)
	original := instantiate(t, rt, runtimetest.Random(seed).Encode(), b)
	naive := instantiate(t, rt, counted.Encode(), b)
	rewritten := rewrite(t, runtimetest.Random(seed).Encode())
	metered := []*instance{instantiate(t, rt, rewritten, b), instantiate(t, rt, rewritten, b)}

	args := rand.New(rand.NewPCG(seed, 3))
	for n := range len(counted.Functions) {
		export := fmt.Sprintf("f%d", n)
		call := callRandom{t: t, export: export, args: arguments(args, counted.Types[counted.Functions[n]])}
		counter := naive.module.ExportedGlobal("naive").(api.MutableGlobal)
		counter.Set(0)
		want := call.of(original, nil)
		call.of(naive, nil)
		slices := []func() int64{slicesOf(1), randomSlices(seed)}
		for i, instance := range metered {
			b := newBank(plenty, deep, slices[i])
			got := call.of(instance, b)
			if diff := cmp.Diff(want, got, ignoreFuel()); diff != "" {
				t.Errorf("%s(%v) rewritten (-original +rewritten):\n%.2000s", export, call.args, diff)
			}
			used := int64(counter.Get())
			if want.err == "" && got.used != used {
				t.Errorf("%s(%v) used %d, what it executed costs %d", export, call.args, got.used, used)
			}
			if i > 0 {
				seen.refuels += got.refuels
				seen.units += got.used
			}
		}
		if want.err != "" {
			seen.trapped++
			continue
		}
		seen.returned++
	}
}

// callRandom is a call of each of several instances.
type callRandom struct {
	t      *testing.T
	export string
	args   []uint64
}

func (c callRandom) of(i *instance, b *bank) outcome {
	c.t.Helper()
	if b == nil {
		b = newBank(plenty, deep, slicesOf(1))
	}
	i.module.ExportedGlobal("global0").(api.MutableGlobal).Set(runtimetest.RandomSteps)
	return i.call(c.t, b, c.export, c.args...)
}

func ignoreFuel() cmp.Option {
	return cmp.Transformer("effects", func(o outcome) map[string]any {
		return map[string]any{"results": o.results, "err": o.err, "memory": string(o.memory), "globals": o.globals}
	})
}

func arguments(r *rand.Rand, t wasm.FuncType) []uint64 {
	args := make([]uint64, len(t.Params))
	for i, p := range t.Params {
		switch p {
		case wasm.I32:
			args[i] = uint64(r.Uint32())
		case wasm.I64:
			args[i] = r.Uint64()
		default:
			args[i] = api.EncodeF64(float64(r.Int32()))
		}
	}
	return args
}
