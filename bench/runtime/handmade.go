package main

import "github.com/cofferdam-run/cofferdam/runtime/wasm"

// Opcodes that only guests here use.
const (
	opI64Rotl     wasm.Opcode = 0x89
	opI32x4Splat  wasm.Opcode = 0xfd11
	opI64x2Lane   wasm.Opcode = 0xfd1d
	opV128Load    wasm.Opcode = 0xfd00
	opV128Store   wasm.Opcode = 0xfd0b
	opI32x4Add    wasm.Opcode = 0xfdae
	opI32x4Mul    wasm.Opcode = 0xfdb5
	fillBytes                 = 64 << 10
	vectorsBytes              = 16 << 10
	handmadePages             = 16
)

// assembled is a module that is written by hand.
type assembled struct {
	module wasm.Module
}

// function adds an exported function and returns its index. Imports come first.
func (a *assembled) function(name string, t wasm.FuncType, locals []wasm.Locals, write func(*wasm.Code)) uint32 {
	m := &a.module
	m.Types = append(m.Types, t)
	m.Functions = append(m.Functions, uint32(len(m.Types)-1))
	var code wasm.Code
	write(&code)
	code.Op(wasm.OpEnd)
	m.Code = append(m.Code, wasm.Body{Locals: locals, Code: code})
	index := m.ImportCount(wasm.KindFunction) + uint32(len(m.Functions)) - 1
	m.Exports = append(m.Exports, wasm.Export{Name: name, Kind: wasm.KindFunction, Index: index})
	return index
}

// extism adds a function that is imported from Extism's kernel, and returns its
// index.
func (a *assembled) extism(name string, t wasm.FuncType) uint32 {
	m := &a.module
	m.Types = append(m.Types, t)
	m.Imports = append(m.Imports, wasm.Import{
		Module: "extism:host/env", Name: name, Kind: wasm.KindFunction, Type: uint32(len(m.Types) - 1),
	})
	return uint32(len(m.Imports) - 1)
}

// values are the types of parameters and results.
func values(params, results []wasm.ValueType) wasm.FuncType {
	return wasm.FuncType{Params: params, Results: results}
}

// handmade has the workloads that no compiler makes like this.
func handmade() []byte {
	var a assembled
	a.module.Memory = &wasm.Memory{Min: handmadePages}
	a.module.Exports = []wasm.Export{{Name: "memory", Kind: wasm.KindMemory}}
	workload := values([]wasm.ValueType{wasm.I32}, []wasm.ValueType{wasm.I64})
	a.function("loop", workload, []wasm.Locals{{Count: 2, Type: wasm.I64}}, tightLoop)
	recursive := values([]wasm.ValueType{wasm.I64}, []wasm.ValueType{wasm.I64})
	index := a.function("fibonacci", recursive, nil, func(c *wasm.Code) { fibonacci(c, 1) })
	a.function("fib", workload, []wasm.Locals{{Count: 1, Type: wasm.I64}}, func(c *wasm.Code) {
		times(c, func() {
			c.Index(wasm.OpLocalGet, 1)
			c.I64(20)
			c.Index(wasm.OpCall, index)
			c.Op(wasm.OpI64Add)
			c.Index(wasm.OpLocalSet, 1)
		})
		c.Index(wasm.OpLocalGet, 1)
	})
	a.function("fill", workload, nil, fill)
	a.function("simd", workload, []wasm.Locals{{Count: 1, Type: wasm.I32}, {Count: 1, Type: wasm.V128}}, vectors)
	return a.module.Encode()
}

// times does what write writes as often as the i32 in local 0 says, once at least.
func times(c *wasm.Code, write func()) {
	c.Block(wasm.OpLoop, wasm.BlockEmpty)
	write()
	c.Index(wasm.OpLocalGet, 0)
	c.I32(1)
	c.Op(wasm.OpI32Sub)
	c.Index(wasm.OpLocalTee, 0)
	c.Index(wasm.OpBrIf, 0)
	c.Op(wasm.OpEnd)
}

// tightLoop is 1,000 turns of a loop of a few instructions: nothing hides the
// check in it.
func tightLoop(c *wasm.Code) {
	const x, left = 1, 2
	times(c, func() {
		c.I64(1000)
		c.Index(wasm.OpLocalSet, left)
		c.Block(wasm.OpLoop, wasm.BlockEmpty)
		c.Index(wasm.OpLocalGet, x)
		c.I64(5)
		c.Op(opI64Rotl)
		c.Index(wasm.OpLocalGet, left)
		c.Op(wasm.OpI64Add)
		c.Index(wasm.OpLocalSet, x)
		c.Index(wasm.OpLocalGet, left)
		c.I64(1)
		c.Op(wasm.OpI64Sub)
		c.Index(wasm.OpLocalTee, left)
		c.Op(wasm.OpI64Eqz, wasm.OpI32Eqz)
		c.Index(wasm.OpBrIf, 0)
		c.Op(wasm.OpEnd)
	})
	c.Index(wasm.OpLocalGet, x)
}

// fibonacci calls itself, which is at index self.
func fibonacci(c *wasm.Code, self uint32) {
	c.Index(wasm.OpLocalGet, 0)
	c.I64(2)
	c.Op(wasm.OpI64LtS)
	c.Block(wasm.OpIf, wasm.BlockOf(wasm.I64))
	c.Index(wasm.OpLocalGet, 0)
	c.Op(wasm.OpElse)
	for _, less := range []int64{1, 2} {
		c.Index(wasm.OpLocalGet, 0)
		c.I64(less)
		c.Op(wasm.OpI64Sub)
		c.Index(wasm.OpCall, self)
	}
	c.Op(wasm.OpI64Add, wasm.OpEnd)
}

// fill fills and copies 64 KiB.
func fill(c *wasm.Code) {
	times(c, func() {
		c.I32(0)
		c.Index(wasm.OpLocalGet, 0)
		c.I32(fillBytes)
		c.Index(wasm.OpMemoryFill, 0)
		c.I32(2 * fillBytes)
		c.I32(0)
		c.I32(fillBytes)
		c.Index2(wasm.OpMemoryCopy, 0, 0)
	})
	c.I32(2 * fillBytes)
	c.Access(wasm.OpI64Load, 3, 0)
}

// vectors multiplies and adds 16 KiB of vectors.
func vectors(c *wasm.Code) {
	const at, sum = 1, 2
	times(c, func() {
		c.I32(vectorsBytes)
		c.Index(wasm.OpLocalSet, at)
		c.Block(wasm.OpLoop, wasm.BlockEmpty)
		c.Index(wasm.OpLocalGet, at)
		c.I32(16)
		c.Op(wasm.OpI32Sub)
		c.Index(wasm.OpLocalTee, at)
		c.Index(wasm.OpLocalGet, sum)
		c.Index(wasm.OpLocalGet, at)
		c.Access(opV128Load, 4, 0)
		c.Op(opI32x4Add)
		c.Index(wasm.OpLocalGet, at)
		c.Op(opI32x4Splat, opI32x4Mul)
		c.Index(wasm.OpLocalTee, sum)
		c.Access(opV128Store, 4, 0)
		c.Index(wasm.OpLocalGet, at)
		c.Index(wasm.OpBrIf, 0)
		c.Op(wasm.OpEnd)
	})
	c.Index(wasm.OpLocalGet, sum)
	c.Op(opI64x2Lane)
	c.Raw([]byte{0})
}
