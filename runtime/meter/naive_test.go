package meter_test

import (
	"encoding/binary"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// naive makes a module count in the plainest way there is: before each
// instruction, what it costs is added to a global, which is exported as "naive".
// What Rewrite charges in advance, for many at once, must come to the same.
type naive struct {
	m       *wasm.Module
	counter uint32
	units   map[wasm.Opcode]int64
}

func countNaively(m *wasm.Module) {
	n := &naive{m: m, counter: uint32(len(m.Globals)), units: map[wasm.Opcode]int64{}}
	var zero wasm.Code
	zero.I64(0)
	zero.Op(wasm.OpEnd)
	m.Globals = append(m.Globals, wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I64, Mutable: true}, Init: wasm.Expr(zero)})
	m.Exports = append(m.Exports, wasm.Export{Name: "naive", Kind: wasm.KindGlobal, Index: n.counter})
	for i := range m.Code {
		locals := uint32(len(m.Types[m.Functions[i]].Params))
		for _, l := range m.Code[i].Locals {
			locals += l.Count
		}
		m.Code[i].Locals = append(m.Code[i].Locals, wasm.Locals{Count: 1, Type: wasm.I32}, wasm.Locals{Count: 1, Type: wasm.I32})
		m.Code[i].Code = n.body(m.Code[i].Code, locals)
	}
}

func (n *naive) body(code []byte, scratch uint32) []byte {
	var out wasm.Code
	add := func(value func()) {
		out.Index(wasm.OpGlobalGet, n.counter)
		value()
		out.Op(wasm.OpI64Add)
		out.Index(wasm.OpGlobalSet, n.counter)
	}
	units := func(u int64) {
		if u > 0 {
			add(func() { out.I64(u) })
		}
	}
	s := wasm.NewScanner(code)
	for s.Next() {
		if op := s.Instruction().Op; op == wasm.OpCall || op == wasm.OpCallIndirect {
			units(2 * (4 + int64(scratch)/2)) // Its frame.
			break
		}
	}
	s = wasm.NewScanner(code)
	for s.Next() {
		i := s.Instruction()
		units(n.of(i))
		per, shift := bulkPrice(i.Op)
		if per == 0 {
			out.Raw(code[i.Start:i.End])
			if i.Op == wasm.OpLoop {
				units(1)
			}
			continue
		}
		out.Index(wasm.OpLocalTee, scratch)
		out.Raw(code[i.Start:i.End])
		charge := func() {
			add(func() {
				out.Index(wasm.OpLocalGet, scratch)
				out.Op(wasm.OpI64ExtendI32U)
				out.I64(shift)
				out.Op(wasm.OpI64ShrU)
				out.I64(per)
				out.Op(wasm.OpI64Mul)
			})
		}
		if i.Op != wasm.OpMemoryGrow && i.Op != wasm.OpTableGrow {
			charge()
			continue
		}
		out.Index(wasm.OpLocalTee, scratch+1)
		out.I32(-1)
		out.Op(wasm.OpI32Ne)
		out.Block(wasm.OpIf, wasm.BlockEmpty)
		charge()
		out.Op(wasm.OpEnd)
		out.Index(wasm.OpLocalGet, scratch+1)
	}
	return out
}

// of is what an instruction costs whatever its operands are.
func (n *naive) of(i *wasm.Instruction) int64 {
	if _, ok := n.units[i.Op]; !ok {
		n.units[i.Op] = meter.Units(i.Op)
	}
	if i.Op == wasm.OpCall && i.Index < n.m.ImportCount(wasm.KindFunction) {
		return n.units[i.Op] + 16
	}
	return n.units[i.Op]
}

// bulkPrice is what is added for each 2^shift of the last operand.
func bulkPrice(op wasm.Opcode) (per, shift int64) {
	switch op {
	case wasm.OpMemoryCopy, wasm.OpMemoryFill, wasm.OpMemoryInit:
		return 1, 4
	case wasm.OpMemoryGrow:
		return 65536, 0
	case wasm.OpTableCopy, wasm.OpTableFill, wasm.OpTableInit:
		return 4, 0
	case wasm.OpTableGrow:
		return 16, 0
	default:
		return 0, 0
	}
}

// labels are a br_table's, with its default.
func labels(c *wasm.Code, targets ...uint32) {
	c.Index(wasm.OpBrTable, uint32(len(targets)-1))
	for _, t := range targets {
		c.Raw(binary.AppendUvarint(nil, uint64(t)))
	}
}
