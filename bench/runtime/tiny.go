package main

import "github.com/cofferdam-run/cofferdam/runtime/wasm"

// tiny is a guest that copies its input to its output, word by word, as the PDKs
// of Extism do: what it costs is what a call costs.
func tiny() []byte {
	const size, at, offset = 0, 1, 2
	var a assembled
	word, byt, none := []wasm.ValueType{wasm.I64}, []wasm.ValueType{wasm.I32}, []wasm.ValueType(nil)
	length := a.extism("input_length", values(none, word))
	load64 := a.extism("input_load_u64", values(word, word))
	load8 := a.extism("input_load_u8", values(word, byt))
	alloc := a.extism("alloc", values(word, word))
	store64 := a.extism("store_u64", values([]wasm.ValueType{wasm.I64, wasm.I64}, none))
	store8 := a.extism("store_u8", values([]wasm.ValueType{wasm.I64, wasm.I32}, none))
	output := a.extism("output_set", values([]wasm.ValueType{wasm.I64, wasm.I64}, none))

	// move copies step bytes at a time for as long as there are so many left.
	move := func(c *wasm.Code, step int64, load, store uint32) {
		c.Block(wasm.OpBlock, wasm.BlockEmpty)
		c.Block(wasm.OpLoop, wasm.BlockEmpty)
		c.Index(wasm.OpLocalGet, at)
		c.I64(step)
		c.Op(wasm.OpI64Add)
		c.Index(wasm.OpLocalGet, size)
		c.Op(wasm.OpI64GtU)
		c.Index(wasm.OpBrIf, 1)
		c.Index(wasm.OpLocalGet, offset)
		c.Index(wasm.OpLocalGet, at)
		c.Op(wasm.OpI64Add)
		c.Index(wasm.OpLocalGet, at)
		c.Index(wasm.OpCall, load)
		c.Index(wasm.OpCall, store)
		c.Index(wasm.OpLocalGet, at)
		c.I64(step)
		c.Op(wasm.OpI64Add)
		c.Index(wasm.OpLocalSet, at)
		c.Index(wasm.OpBr, 0)
		c.Op(wasm.OpEnd, wasm.OpEnd)
	}
	a.module.Memory = &wasm.Memory{Min: 2}
	a.module.Exports = []wasm.Export{{Name: "memory", Kind: wasm.KindMemory}}
	a.function("transform", values(none, byt), []wasm.Locals{{Count: 3, Type: wasm.I64}}, func(c *wasm.Code) {
		c.Index(wasm.OpCall, length)
		c.Index(wasm.OpLocalTee, size)
		c.Index(wasm.OpCall, alloc)
		c.Index(wasm.OpLocalSet, offset)
		move(c, 8, load64, store64)
		move(c, 1, load8, store8)
		c.Index(wasm.OpLocalGet, offset)
		c.Index(wasm.OpLocalGet, size)
		c.Index(wasm.OpCall, output)
		c.I32(0)
	})
	return a.module.Encode()
}

// spinner counts down, as long as it is told to.
func spinner() []byte {
	var a assembled
	word := []wasm.ValueType{wasm.I64}
	a.function("spin", values(word, word), nil, func(c *wasm.Code) {
		c.Block(wasm.OpLoop, wasm.BlockEmpty)
		c.Index(wasm.OpLocalGet, 0)
		c.I64(1)
		c.Op(wasm.OpI64Sub)
		c.Index(wasm.OpLocalTee, 0)
		c.Op(wasm.OpI64Eqz, wasm.OpI32Eqz)
		c.Index(wasm.OpBrIf, 0)
		c.Op(wasm.OpEnd)
		c.Index(wasm.OpLocalGet, 0)
	})
	return a.module.Encode()
}

// runaway has an export for each way of running on and on: a loop, calls that
// never loop, and memory that is filled in one instruction.
func runaway() []byte {
	var a assembled
	result := values(nil, []wasm.ValueType{wasm.I32})
	a.module.Memory = &wasm.Memory{Min: 512}
	a.module.Exports = []wasm.Export{{Name: "memory", Kind: wasm.KindMemory}}
	forever := func(write func(*wasm.Code)) func(*wasm.Code) {
		return func(c *wasm.Code) {
			c.Block(wasm.OpLoop, wasm.BlockEmpty)
			write(c)
			c.Index(wasm.OpBr, 0)
			c.Op(wasm.OpEnd, wasm.OpUnreachable)
		}
	}
	a.function("loop", result, nil, forever(func(*wasm.Code) {}))
	a.function("fill", result, nil, forever(func(c *wasm.Code) {
		c.I32(0)
		c.I32(7)
		c.I32(512 * wasm.PageBytes)
		c.Index(wasm.OpMemoryFill, 0)
	}))
	self := uint32(2)
	tree := a.function("fibonacci", values([]wasm.ValueType{wasm.I64}, []wasm.ValueType{wasm.I64}), nil,
		func(c *wasm.Code) { fibonacci(c, self) })
	a.function("calls", result, nil, func(c *wasm.Code) {
		c.I64(50) // Some minutes.
		c.Index(wasm.OpCall, tree)
		c.Op(wasm.OpI32WrapI64)
	})
	return a.module.Encode()
}
