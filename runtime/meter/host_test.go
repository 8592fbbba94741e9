package meter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

var (
	errBudget = errors.New("bank: over budget")
	errDepth  = errors.New("bank: stack is out")
)

const (
	plenty = int64(1) << 60
	// deep is the stack of most tests.
	deep = int64(1) << 20
)

// bank is the other side of a rewritten module, in the plainest way that keeps
// the contract; Account is the real one.
type bank struct {
	budget, stack    int64
	granted, charged int64
	refuels          int
	// slice says how long the next slice is.
	slice func() int64
}

func newBank(budget, stack int64, slice func() int64) *bank {
	return &bank{budget: budget, stack: stack, slice: slice}
}

func slicesOf(n int64) func() int64 { return func() int64 { return n } }

// randomSlices are mostly short.
func randomSlices(seed uint64) func() int64 {
	r := rand.New(rand.NewPCG(seed, 1))
	return func() int64 { return 1 + r.Int64N(int64(1)<<r.IntN(20)) }
}

func unpacked(g uint64) (fuel, stack int64) {
	fuel = fuelOf(g)
	return fuel, (int64(g) - fuel) >> 32
}

// open is G before a call.
func (b *bank) open() uint64 { return uint64(b.stack << 32) }

func (b *bank) used(g uint64) int64 { return b.granted - fuelOf(g) + b.charged }

func (b *bank) refuel(f uint64) uint64 {
	fuel, stack := unpacked(f)
	used := b.used(f)
	if used > b.budget {
		panic(errBudget)
	}
	if stack < 0 {
		panic(errDepth)
	}
	b.refuels++
	grant := min(b.slice(), b.budget-used, 2*stack) - fuel
	b.granted += grant
	return f + uint64(grant)
}

func (b *bank) charge(g, units uint64) uint64 {
	b.charged += int64(units)
	if b.used(g) > b.budget {
		panic(errBudget)
	}
	excess := max(0, fuelOf(g)-(b.budget-b.used(g)))
	b.granted -= excess
	return g - uint64(excess)
}

type bankKey struct{}

func bankOf(ctx context.Context) *bank { return ctx.Value(bankKey{}).(*bank) }

// newRuntime has the imports of rewritten modules, and env.double for guests.
func newRuntime(tb testing.TB) wazero.Runtime {
	tb.Helper()
	ctx := tb.Context()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	tb.Cleanup(func() { rt.Close(ctx) })
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	fuel := rt.NewHostModuleBuilder("\x00fuel")
	fuel.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		stack[0] = bankOf(ctx).refuel(stack[0])
	}), []api.ValueType{i64}, []api.ValueType{i64}).Export("refuel")
	fuel.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		stack[0] = bankOf(ctx).charge(stack[0], stack[1])
	}), []api.ValueType{i64, i64}, []api.ValueType{i64}).Export("charge")
	env := rt.NewHostModuleBuilder("env")
	env.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		stack[0] = uint64(uint32(stack[0]) * 2)
	}), []api.ValueType{i32}, []api.ValueType{i32}).Export("double")
	for _, b := range []wazero.HostModuleBuilder{fuel, env} {
		if _, err := b.Instantiate(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	return rt
}

// rewrite decodes, rewrites and encodes.
func rewrite(tb testing.TB, binary []byte) []byte {
	tb.Helper()
	m, err := wasm.Decode(binary, wasm.Limits{})
	if err != nil {
		tb.Fatalf("decode: %v", err)
	}
	if err := meter.Rewrite(m); err != nil {
		tb.Fatalf("rewrite: %v", err)
	}
	return m.Encode()
}

// outcome is all that a call leaves.
type outcome struct {
	results []uint64
	err     string
	memory  []byte
	globals []uint64
	used    int64
	refuels int
}

// instance is of a module that may be rewritten.
type instance struct {
	module  api.Module
	metered bool
}

func instantiate(tb testing.TB, rt wazero.Runtime, binary []byte, b *bank) *instance {
	tb.Helper()
	ctx := context.WithValue(tb.Context(), bankKey{}, b)
	module, err := rt.InstantiateWithConfig(ctx, binary, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		tb.Fatalf("instantiate: %v", err)
	}
	return &instance{module: module, metered: module.ExportedGlobal(meter.Global) != nil}
}

// call calls an export with a bank of its own.
func (i *instance) call(tb testing.TB, b *bank, export string, args ...uint64) outcome {
	tb.Helper()
	ctx := context.WithValue(tb.Context(), bankKey{}, b)
	var g api.MutableGlobal
	if i.metered {
		g = i.module.ExportedGlobal(meter.Global).(api.MutableGlobal)
		g.Set(b.open())
	}
	var out outcome
	results, err := i.module.ExportedFunction(export).Call(ctx, args...)
	out.results = results
	if err != nil {
		out.err = reason(err)
	}
	if g != nil {
		out.used = b.used(g.Get())
		out.refuels = b.refuels
		if out.used > b.budget && err == nil {
			out.err = errBudget.Error()
		}
		if _, stack := unpacked(g.Get()); err == nil && stack != b.stack {
			tb.Errorf("the stack is %d after a call that returned, want %d", stack, b.stack)
		}
	}
	if memory := i.module.ExportedMemory("memory"); memory != nil {
		content, _ := memory.Read(0, memory.Size())
		out.memory = append([]byte(nil), content...)
	}
	for n := 0; ; n++ {
		global := i.module.ExportedGlobal(fmt.Sprintf("global%d", n))
		if global == nil {
			return out
		}
		out.globals = append(out.globals, global.Get())
	}
}

// reason is an error without its trace.
func reason(err error) string {
	for _, known := range []error{errBudget, errDepth} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	text := err.Error()
	for i := range text {
		if text[i] == '\n' {
			return text[:i]
		}
	}
	return text
}

// module builds modules for tests. Functions are exported by their names.
type module struct{ wasm.Module }

func (m *module) signature(params, results string) uint32 {
	t := wasm.FuncType{Params: valueTypes(params), Results: valueTypes(results)}
	m.Types = append(m.Types, t)
	return uint32(len(m.Types) - 1)
}

// valueTypes are written as letters: i, I, f, F, v and r for funcref.
func valueTypes(letters string) []wasm.ValueType {
	types := make([]wasm.ValueType, 0, len(letters))
	for _, l := range letters {
		types = append(types, map[rune]wasm.ValueType{
			'i': wasm.I32, 'I': wasm.I64, 'f': wasm.F32, 'F': wasm.F64, 'v': wasm.V128, 'r': wasm.FuncRef,
		}[l])
	}
	return types
}

func (m *module) importDouble() {
	m.Imports = append(m.Imports, wasm.Import{Module: "env", Name: "double", Kind: wasm.KindFunction, Type: m.signature("i", "i")})
}

// function adds one; its code is without the last end.
func (m *module) function(name, params, results, locals string, write func(c *wasm.Code)) uint32 {
	index := m.ImportCount(wasm.KindFunction) + uint32(len(m.Functions))
	m.Functions = append(m.Functions, m.signature(params, results))
	var c wasm.Code
	write(&c)
	c.Op(wasm.OpEnd)
	body := wasm.Body{Code: c}
	for _, t := range valueTypes(locals) {
		body.Locals = append(body.Locals, wasm.Locals{Count: 1, Type: t})
	}
	m.Code = append(m.Code, body)
	if name != "" {
		m.Exports = append(m.Exports, wasm.Export{Name: name, Kind: wasm.KindFunction, Index: index})
	}
	return index
}

func (m *module) memory(pages, most uint32) {
	m.Memory = &wasm.Memory{Min: pages, Max: most, HasMax: true}
	m.Exports = append(m.Exports, wasm.Export{Name: "memory", Kind: wasm.KindMemory})
}
