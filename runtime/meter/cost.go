package meter

import (
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	// loopUnits is what each round of a loop costs, so that none is free.
	loopUnits = 1
	// importUnits is what a call of the host costs beyond a call: its functions of
	// constant time are not metered themselves.
	importUnits = 16
	// defaultUnits is the price of what no class names.
	defaultUnits = 1
	// wideUnits is that of SIMD.
	wideUnits = 2
)

// Cost is what the instructions of one class cost.
type Cost struct {
	// Class is what they do, Instructions their names.
	Class, Instructions string
	// Units is what each costs.
	Units int64
	// Extra is what is added for what it moves, or is empty.
	Extra string
}

// span is the instructions from one to another.
type span struct{ first, last wasm.Opcode }

func one(op wasm.Opcode) span { return span{op, op} }

// class is a Cost and the instructions that have it.
type class struct {
	Cost
	spans []span
}

// Costs returns the price list, in COSTS.md's order.
func Costs() []Cost {
	var list []Cost
	for _, c := range classes() {
		list = append(list, c.Cost)
	}
	return list
}

// classes are cheap when they compile to nothing, and otherwise roughly as dear
// as they are slow.
func classes() []class {
	return []class{
		{
			Cost{Class: "Structure and names", Instructions: "block, else, end, nop, drop, local.get, local.set, local.tee, const, ref.null"},
			[]span{
				one(wasm.OpNop), one(wasm.OpBlock), one(wasm.OpLoop), one(wasm.OpElse), one(wasm.OpEnd), one(wasm.OpDrop),
				{wasm.OpLocalGet, wasm.OpLocalTee},
				{wasm.OpI32Const, wasm.OpF64Const},
				one(wasm.OpRefNull), one(wasm.OpV128Const),
			},
		},
		{Cost{Class: "A round of a loop", Instructions: "loop", Units: loopUnits}, nil},
		{
			Cost{Class: "Arithmetic and control", Instructions: "all that are not listed", Units: defaultUnits},
			nil,
		},
		{
			Cost{Class: "Memory access", Instructions: "load, store, table.get, table.set", Units: 2},
			[]span{{wasm.OpI32Load, wasm.OpI64Store32}, {wasm.OpTableGet, wasm.OpTableSet}},
		},
		{Cost{Class: "SIMD", Instructions: "v128 and lanes, but for const, div and sqrt", Units: wideUnits}, nil},
		{Cost{Class: "Jump table", Instructions: "br_table", Units: 3}, []span{one(wasm.OpBrTable)}},
		{Cost{Class: "Division and root", Instructions: "div, rem, sqrt", Units: 8}, slowSpans()},
		{Cost{Class: "Call", Instructions: "call", Units: 4}, []span{one(wasm.OpCall)}},
		{Cost{Class: "Call by table", Instructions: "call_indirect", Units: 7}, []span{one(wasm.OpCallIndirect)}},
		{
			Cost{
				Class: "Frame", Instructions: "entry of a function that calls", Units: frameUnits * frameFuel,
				Extra: fmt.Sprintf("%d for two of its parameters and locals", frameFuel),
			},
			nil,
		},
		{
			// What is extra is charged by the functions themselves: see runtime/abi.
			Cost{
				Class: "Call of the host", Instructions: "call of an import", Units: 4 + importUnits,
				Extra: "1 for a byte that it moves, and 2,000 for what it asks or tells the world outside",
			},
			nil,
		},
		{Cost{Class: "Reference", Instructions: "ref.func", Units: 80}, []span{one(wasm.OpRefFunc)}},
		{
			Cost{Class: "Bulk memory", Instructions: "memory.copy, memory.fill, memory.init", Units: 2, Extra: "1 for 16 bytes"},
			[]span{{wasm.OpMemoryInit, wasm.OpMemoryInit}, {wasm.OpMemoryCopy, wasm.OpMemoryFill}},
		},
		{
			Cost{Class: "Growth of memory", Instructions: "memory.grow", Units: 30, Extra: "1 for a byte, when it succeeds"},
			[]span{one(wasm.OpMemoryGrow)},
		},
		{
			Cost{Class: "Bulk table", Instructions: "table.copy, table.fill, table.init", Units: 30, Extra: "4 for an entry"},
			[]span{one(wasm.OpTableInit), one(wasm.OpTableCopy), one(wasm.OpTableFill)},
		},
		{
			Cost{Class: "Growth of a table", Instructions: "table.grow", Units: 30, Extra: "16 for an entry, when it succeeds"},
			[]span{one(wasm.OpTableGrow)},
		},
		{Cost{Class: "End of a segment", Instructions: "data.drop, elem.drop", Units: 2}, []span{one(wasm.OpDataDrop), one(wasm.OpElemDrop)}},
	}
}

// slowSpans are the divisions and roots, of lanes as well.
func slowSpans() []span {
	return []span{
		{wasm.OpI32DivS, wasm.OpI32RemU},
		{wasm.OpI64DivS, wasm.OpI64RemU},
		one(wasm.OpF32Sqrt), one(wasm.OpF32Div), one(wasm.OpF64Sqrt), one(wasm.OpF64Div),
		one(0xfde3), one(0xfde7), one(0xfdef), one(0xfdf3),
	}
}

// costs are the prices of the plain instructions and of those behind each of the
// two prefixes.
type costs struct{ plain, misc, wide [256]int64 }

func newCosts() costs {
	var c costs
	for i := range c.plain {
		c.plain[i], c.misc[i], c.wide[i] = defaultUnits, defaultUnits, wideUnits
	}
	for _, class := range classes() {
		for _, s := range class.spans {
			for op := s.first; op <= s.last; op++ {
				*c.at(op) = class.Units
			}
		}
	}
	return c
}

func (c *costs) at(op wasm.Opcode) *int64 {
	switch op >> 8 {
	case 0xfd:
		return &c.wide[op&0xff]
	case 0xfc:
		return &c.misc[op&0xff]
	default:
		return &c.plain[op&0xff]
	}
}

func (c *costs) of(op wasm.Opcode) int64 { return *c.at(op) }

const (
	// frameUnits is the least stack that a function takes which calls, in units of
	// 16 bytes: what is saved at a call, and where to return.
	frameUnits = 4
	// localsPerUnit is how many locals of 8 bytes are in a unit.
	localsPerUnit = 2
	// frameFuel is the price of a unit of stack.
	frameFuel = 2
)

// frameWeight is the stack of a function that calls; one that does not takes none.
func frameWeight(locals uint32) int64 { return frameUnits + int64(locals)/localsPerUnit }
