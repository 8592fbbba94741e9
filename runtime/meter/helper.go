package meter

import (
	"slices"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// helper is a function that is added to a module whose code calls it.
type helper byte

const (
	// helperRefuelLocal (F) -> F.
	helperRefuelLocal helper = iota
	// helperRefuelGlobal works on G.
	helperRefuelGlobal
	// helperCopy and helperFill do what the instructions do, in chunks.
	helperCopy
	helperFill
	// helperMemoryGrow (pages) -> size.
	helperMemoryGrow
	// helperTableGrown (size, entries) -> size, after the instruction.
	helperTableGrown
)

func (h helper) name() string {
	switch h {
	case helperRefuelLocal:
		return "fuel.refuel_local"
	case helperRefuelGlobal:
		return "fuel.refuel_global"
	case helperCopy:
		return "fuel.memory_copy"
	case helperFill:
		return "fuel.memory_fill"
	case helperMemoryGrow:
		return "fuel.memory_grow"
	default:
		return "fuel.table_grown"
	}
}

// helpers are the functions that are added, in the order of their first use.
type helpers struct {
	// first is the index of the first one.
	first uint32
	used  []helper
}

func (h *helpers) index(x helper) uint32 {
	at := slices.Index(h.used, x)
	if at < 0 {
		at = len(h.used)
		h.used = append(h.used, x)
	}
	return h.first + uint32(at)
}

func refuelType() wasm.FuncType {
	return wasm.FuncType{Params: []wasm.ValueType{wasm.I64}, Results: []wasm.ValueType{wasm.I64}}
}

func chargeType() wasm.FuncType {
	return wasm.FuncType{Params: []wasm.ValueType{wasm.I64, wasm.I64}, Results: []wasm.ValueType{wasm.I64}}
}

func bulkType() wasm.FuncType {
	return wasm.FuncType{Params: []wasm.ValueType{wasm.I32, wasm.I32, wasm.I32}}
}

// helper returns a helper's type and code.
func (r *rewriter) helper(h helper) (wasm.FuncType, wasm.Body) {
	w := &helperWriter{rewriter: r}
	t := bulkType()
	locals := []wasm.Locals{{Count: 1, Type: wasm.I32}}
	switch h {
	case helperRefuelLocal:
		t = refuelType()
		locals[0].Type = wasm.I64
		w.refuelLocal()
	case helperRefuelGlobal:
		t, locals = wasm.FuncType{}, nil
		w.refuelGlobal()
	case helperCopy:
		w.copy()
	case helperFill:
		w.fill()
	case helperMemoryGrow:
		t = wasm.FuncType{Params: []wasm.ValueType{wasm.I32}, Results: []wasm.ValueType{wasm.I32}}
		w.memoryGrow()
	case helperTableGrown:
		t = wasm.FuncType{Params: []wasm.ValueType{wasm.I32, wasm.I32}, Results: []wasm.ValueType{wasm.I32}}
		locals = nil
		w.tableGrown()
	}
	w.Op(wasm.OpEnd)
	return t, wasm.Body{Locals: locals, Code: w.Code}
}

// helperWriter writes helpers. They work on G.
type helperWriter struct {
	wasm.Code
	rewriter *rewriter
}

func (w *helperWriter) local(index uint32) { w.Index(wasm.OpLocalGet, index) }
func (w *helperWriter) setLocal(i uint32)  { w.Index(wasm.OpLocalSet, i) }
func (w *helperWriter) getFuel()           { w.Index(wasm.OpGlobalGet, w.rewriter.global) }
func (w *helperWriter) setFuel()           { w.Index(wasm.OpGlobalSet, w.rewriter.global) }

// refuelLocal adds what is granted to G as well, and does not set it to F, which
// would let the count at a trap depend on where slices ended.
func (w *helperWriter) refuelLocal() {
	const before, after = 0, 1
	w.local(before)
	w.Index(wasm.OpCall, w.rewriter.refuel)
	w.Index(wasm.OpLocalTee, after)
	w.getFuel()
	w.local(after)
	w.local(before)
	w.Op(wasm.OpI64Sub, wasm.OpI64Add)
	w.setFuel()
}

func (w *helperWriter) refuelGlobal() {
	w.getFuel()
	w.Index(wasm.OpCall, w.rewriter.refuel)
	w.setFuel()
}

// The parameters of copy and fill, and their one local.
const (
	bulkTo, bulkFrom, bulkValue = 0, 1, 1
	bulkLeft, bulkChunk         = 2, 3
)

// copy copies from the lower end when it copies downwards, else from the upper,
// so that no chunk overwrites what a later one reads.
func (w *helperWriter) copy() {
	w.beyond(bulkTo)
	w.beyond(bulkFrom)
	w.Op(wasm.OpI32Or)
	w.trap(func() { w.Index2(wasm.OpMemoryCopy, 0, 0) })
	w.local(bulkTo)
	w.local(bulkFrom)
	w.Op(wasm.OpI32LeU)
	w.Block(wasm.OpIf, wasm.BlockEmpty)
	w.chunks(func() {
		w.local(bulkTo)
		w.local(bulkFrom)
		w.local(bulkChunk)
		w.Index2(wasm.OpMemoryCopy, 0, 0)
		w.step(wasm.OpI32Add, bulkTo)
		w.step(wasm.OpI32Add, bulkFrom)
		w.step(wasm.OpI32Sub, bulkLeft)
	})
	w.Op(wasm.OpElse)
	w.chunks(func() {
		w.step(wasm.OpI32Sub, bulkLeft)
		for _, end := range []uint32{bulkTo, bulkFrom} {
			w.local(end)
			w.local(bulkLeft)
			w.Op(wasm.OpI32Add)
		}
		w.local(bulkChunk)
		w.Index2(wasm.OpMemoryCopy, 0, 0)
	})
	w.Op(wasm.OpEnd)
}

func (w *helperWriter) fill() {
	w.beyond(bulkTo)
	w.trap(func() { w.Index(wasm.OpMemoryFill, 0) })
	w.chunks(func() {
		w.local(bulkTo)
		w.local(bulkValue)
		w.local(bulkChunk)
		w.Index(wasm.OpMemoryFill, 0)
		w.step(wasm.OpI32Add, bulkTo)
		w.step(wasm.OpI32Sub, bulkLeft)
	})
}

// beyond asks whether the range from a local on ends beyond the memory.
func (w *helperWriter) beyond(from uint32) {
	w.local(from)
	w.Op(wasm.OpI64ExtendI32U)
	w.local(bulkLeft)
	w.Op(wasm.OpI64ExtendI32U, wasm.OpI64Add)
	w.Index(wasm.OpMemorySize, 0)
	w.Op(wasm.OpI64ExtendI32U)
	w.I64(growShift)
	w.Op(wasm.OpI64Shl, wasm.OpI64GtU)
}

// trap, when the stack says so, does the whole instruction, which traps before it
// has written anything.
func (w *helperWriter) trap(whole func()) {
	w.Block(wasm.OpIf, wasm.BlockEmpty)
	w.local(bulkTo)
	w.local(bulkFrom)
	w.local(bulkLeft)
	whole()
	w.Op(wasm.OpReturn, wasm.OpEnd)
}

// chunks does one chunk after the other, each paid for before it is done.
func (w *helperWriter) chunks(one func()) {
	w.Block(wasm.OpLoop, wasm.BlockEmpty)
	w.local(bulkLeft)
	w.I32(chunkBytes)
	w.local(bulkLeft)
	w.I32(chunkBytes)
	w.Op(wasm.OpI32LtU, wasm.OpSelect)
	w.setLocal(bulkChunk)
	w.getFuel()
	w.local(bulkChunk)
	w.Op(wasm.OpI64ExtendI32U)
	w.I64(bulkShift)
	w.Op(wasm.OpI64ShrU, wasm.OpI64Sub)
	w.setFuel()
	w.getFuel()
	w.Op(wasm.OpI32WrapI64)
	w.I32(0)
	w.Op(opI32LtS)
	w.Block(wasm.OpIf, wasm.BlockEmpty)
	w.refuelGlobal()
	w.Op(wasm.OpEnd)
	one()
	w.local(bulkLeft)
	w.Index(wasm.OpBrIf, 0)
	w.Op(wasm.OpEnd)
}

// step moves a local by a chunk.
func (w *helperWriter) step(op wasm.Opcode, index uint32) {
	w.local(index)
	w.local(bulkChunk)
	w.Op(op)
	w.setLocal(index)
}

func (w *helperWriter) memoryGrow() {
	const pages, size = 0, 1
	w.local(pages)
	w.Index(wasm.OpMemoryGrow, 0)
	w.setLocal(size)
	w.chargeGrown(size, pages, 1<<growShift)
}

func (w *helperWriter) tableGrown() {
	const size, entries = 0, 1
	w.chargeGrown(size, entries, grownUnits)
}

// chargeGrown charges for each of count unless size says that there was no
// growth, and returns size.
func (w *helperWriter) chargeGrown(size, count uint32, units int64) {
	w.local(size)
	w.I32(-1)
	w.Op(wasm.OpI32Ne)
	w.Block(wasm.OpIf, wasm.BlockEmpty)
	w.getFuel()
	w.local(count)
	w.Op(wasm.OpI64ExtendI32U)
	w.I64(units)
	w.Op(wasm.OpI64Mul)
	w.Index(wasm.OpCall, w.rewriter.charge)
	w.setFuel()
	w.Op(wasm.OpEnd)
	w.local(size)
}
