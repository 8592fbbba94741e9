package abi //nolint:testpackage // It compares with the host's half, which is not exported.

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// BenchmarkKernel is what one load or store costs a guest: from module to module,
// as they are done, and by a host function, as they could be.
func BenchmarkKernel(b *testing.B) {
	e := theEngine(b)
	const module = "other"
	builder := e.rt.NewHostModuleBuilder(module)
	host := map[string]function{
		"load_u64": {"load_u64", "I", "I", inside(func(_ context.Context, g *Guest, s []uint64) {
			s[0] = g.kernel.heap.word(int(s[0]))
		})},
		"store_u64": {"store_u64", "II", "", inside(func(_ context.Context, g *Guest, s []uint64) {
			g.kernel.heap.setWord(int(s[0]), s[1])
		})},
	}
	for name, f := range host {
		builder.NewFunctionBuilder().WithGoModuleFunction(bound(f.call), values(f.params), values(f.results)).Export(name)
	}
	other, err := builder.Instantiate(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { other.Close(context.Background()) }) //nolint:usetesting // Its own has ended.
	for _, name := range []string{"load_u64", "store_u64"} {
		f := host[name]
		for where, from := range map[string]string{"wasm": EnvModule, "go": module} {
			b.Run(name+"/"+where, func(b *testing.B) {
				const loops = 1 << 20
				run := repeated(b, imported(wasm.Import{Module: from, Name: name}, f.params, f.results), loops)
				for b.Loop() {
					run()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/loops, "ns/access")
			})
		}
	}
}

// repeated returns a call of a guest that calls a function in a loop.
func repeated(b *testing.B, f importedFunction, times int64) func() {
	b.Helper()
	e := theEngine(b)
	var c assembler
	c.I64(times)
	c.set(0)
	c.Block(wasm.OpLoop, wasm.BlockEmpty)
	c.I64(firstOffset)
	for range len(f.params) - 1 {
		c.get(0)
	}
	c.Index(wasm.OpCall, 0)
	for range len(f.results) {
		c.Op(wasm.OpDrop)
	}
	c.get(0)
	c.minus(1)
	c.set(0)
	c.get(0)
	c.Op(wasm.OpI64Eqz, wasm.OpI32Eqz)
	c.Index(wasm.OpBrIf, 0)
	c.Op(wasm.OpEnd)
	s := setup(b, Options{Input: []byte("12345678")})
	ctx := s.kernel.Import(b.Context())
	module, err := e.rt.InstantiateWithConfig(ctx, guestOf(c.Code, "", f), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		b.Fatal(err)
	}
	run := module.ExportedFunction("run")
	bound := s.guest.Bind(b.Context())
	return func() {
		if _, err := run.Call(bound); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is what a call costs beside the guest's own work: its state made
// anew, its input put, a guest that outputs its input, the output, the reset.
func BenchmarkCall(b *testing.B) {
	e := theEngine(b)
	var c assembler
	for i := range uint32(3) {
		c.Index(wasm.OpCall, i)
	}
	env := func(name string) wasm.Import { return wasm.Import{Module: EnvModule, Name: name} }
	binary := guestOf(c.Code, "",
		imported(env("input_offset"), "", "I"), imported(env("input_length"), "", "I"), imported(env("output_set"), "II", ""))
	k := newKernel(b, 32<<20)
	module, err := e.rt.InstantiateWithConfig(k.Import(b.Context()), binary, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		b.Fatal(err)
	}
	echo := module.ExportedFunction("run")
	o := Options{Kernel: k, Input: make([]byte, 300), KernelBytes: 32 << 20}
	var g Guest
	b.Run("echo", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g = Guest{}
			if err := g.Begin(o); err != nil {
				b.Fatal(err)
			}
			if err := echo.CallWithStack(g.Bind(b.Context()), nil); err != nil || len(g.Output()) != len(o.Input) {
				b.Fatal(err)
			}
			k.Reset()
		}
	})
	b.Run("begin", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g = Guest{}
			if err := g.Begin(o); err != nil {
				b.Fatal(err)
			}
			k.Reset()
		}
	})
}

// BenchmarkNewKernel is what a kernel adds to a new sandbox.
func BenchmarkNewKernel(b *testing.B) {
	e := theEngine(b)
	memory := fixed(make([]byte, KernelSize(1<<20)))
	allocator := experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory { return memory })
	b.ReportAllocs()
	for b.Loop() {
		k, err := NewKernel(b.Context(), e.rt, e.kernel, allocator)
		if err != nil {
			b.Fatal(err)
		}
		if err := k.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
