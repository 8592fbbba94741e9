package meter_test

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	goruntime "runtime"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// busy is a module whose export works in loops and in a recursion, grows its
// memory, fills and copies it in long pieces, and calls the host.
func busy() []byte {
	m := &module{}
	m.importDouble()
	m.memory(8, 64)
	const recurse = 1
	m.function("", "i", "i", "", func(c *wasm.Code) {
		c.Index(wasm.OpLocalGet, 0)
		c.Block(wasm.OpIf, wasm.BlockOf(wasm.I32))
		c.Index(wasm.OpLocalGet, 0)
		c.I32(1)
		c.Op(wasm.OpI32Sub)
		c.Index(wasm.OpCall, recurse)
		c.Index(wasm.OpLocalGet, 0)
		c.Index(wasm.OpCall, 0)
		c.Op(wasm.OpI32Add, wasm.OpElse)
		c.I32(7)
		c.Op(wasm.OpEnd)
	})
	m.function("work", "i", "i", "i", func(c *wasm.Code) {
		c.Block(wasm.OpLoop, wasm.BlockEmpty)
		c.I32(1)
		c.Index(wasm.OpMemoryGrow, 0)
		c.Index(wasm.OpLocalSet, 1)
		c.I32(16)
		c.Index(wasm.OpLocalGet, 0)
		c.I32(400_000)
		c.Index(wasm.OpMemoryFill, 0)
		c.I32(100)
		c.I32(16)
		c.I32(300_000)
		c.Index2(wasm.OpMemoryCopy, 0, 0)
		c.I32(2000)
		c.Index(wasm.OpCall, recurse)
		c.Index(wasm.OpLocalGet, 1)
		c.Op(wasm.OpI32Add)
		c.Index(wasm.OpLocalSet, 1)
		c.I32(0)
		c.Index(wasm.OpLocalGet, 1)
		c.Access(wasm.OpI32Store, 2, 0)
		c.Index(wasm.OpLocalGet, 0)
		c.I32(1)
		c.Op(wasm.OpI32Sub)
		c.Index(wasm.OpLocalTee, 0)
		c.Index(wasm.OpBrIf, 0)
		c.Op(wasm.OpEnd)
		c.Index(wasm.OpLocalGet, 1)
	})
	return m.Encode()
}

// determined is all that must be the same each time.
type determined struct {
	used   int64
	ended  error
	result uint64
	memory [32]byte
}

// TestFuelIsTheSameEachTime uses the real account, with clocks that make slices of
// all lengths.
//
//nolint:paralleltest // It sets GOMAXPROCS.
func TestFuelIsTheSameEachTime(t *testing.T) {
	// Of four budgets, with one and two processors, by two workers each.
	const repetitions = 1000/16 + 1
	ctx := t.Context()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))
	defer rt.Close(ctx)
	if err := meter.Instantiate(ctx, rt); err != nil {
		t.Fatal(err)
	}
	env := rt.NewHostModuleBuilder("env").NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
		stack[0] = uint64(uint32(stack[0]) * 2)
	}), []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export("double")
	if _, err := env.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	compiled, err := rt.CompileModule(ctx, rewrite(t, busy()))
	if err != nil {
		t.Fatal(err)
	}
	run := func(seed uint64, budget int64) (determined, int) {
		clock, random, slices := newClock(), rand.New(rand.NewPCG(seed, 3)), 0
		account := meter.NewAccount(meter.Options{
			Now: func() time.Time {
				clock.at = clock.at.Add(time.Duration(random.Int64N(1 << random.IntN(24))))
				return clock.at
			},
			Pause: func(context.Context, int64) error { slices++; return nil },
		})
		instance, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Error(err)
			return determined{}, 0
		}
		defer instance.Close(ctx)
		g := instance.ExportedGlobal(meter.Global).(api.MutableGlobal)
		g.Set(account.Open(budget, 1<<20))
		var d determined
		results, err := instance.ExportedFunction("work").Call(&callContext{ctx, account}, 12)
		if err != nil {
			d.used, d.ended = account.SettleTrap(g.Get())
		} else {
			d.result = results[0]
			d.used, d.ended = account.Settle(g.Get())
		}
		memory, _ := instance.Memory().Read(0, instance.Memory().Size())
		d.memory = sha256.Sum256(memory)
		return d, slices
	}
	full, _ := run(0, 1<<40)
	if full.ended != nil || full.used < 1_500_000 {
		t.Fatalf("the call used %d units, %v, want at least 1,500,000", full.used, full.ended)
	}
	defer goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(0))
	seen := map[int]bool{}
	for _, budget := range []int64{1 << 40, full.used, full.used - 1, full.used / 2} {
		want, _ := run(0, budget)
		for _, procs := range []int{1, 2} {
			goruntime.GOMAXPROCS(procs)
			var workers sync.WaitGroup
			var mu sync.Mutex
			for worker := range 2 {
				workers.Go(func() {
					for i := range repetitions {
						got, slices := run(uint64(worker*repetitions+i+1), budget)
						if got != want {
							t.Errorf("with a budget of %d: got %d units, %v, want %d, %v, with the same result and memory",
								budget, got.used, got.ended, want.used, want.ended)
						}
						mu.Lock()
						seen[slices] = true
						mu.Unlock()
					}
				})
			}
			workers.Wait()
		}
	}
	if len(seen) < 5 {
		t.Errorf("the calls took %d different numbers of slices, want at least 5", len(seen))
	}
}
