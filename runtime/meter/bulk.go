package meter

import "github.com/cofferdam-run/cofferdam/runtime/wasm"

const (
	// chunkBytes is how much a bulk operation does at a time: 20 us.
	chunkBytes = 256 << 10
	// bulkShift is the price of bytes: a unit for 16.
	bulkShift = 4
	// growShift is the price of pages: a unit for each byte.
	growShift = 16
	// entryUnits and grownUnits are the prices of a table's entries.
	entryUnits = 4
	grownUnits = 16
)

// bulk does an instruction that takes as long as its operand says. All pay when it
// has succeeded: an operand that is refused costs nothing.
func (e *emitter) bulk(x *edit) {
	h := &e.rewriter.helpers
	switch x.kind {
	case editMemoryGrow:
		e.spill()
		e.out.Index(wasm.OpCall, h.index(helperMemoryGrow))
		e.stale = true
	case editTableGrow:
		e.spill()
		e.out.Index(wasm.OpLocalTee, e.scratch)
		e.out.Raw(e.source[x.start:x.end])
		e.out.Index(wasm.OpLocalGet, e.scratch)
		e.out.Index(wasm.OpCall, h.index(helperTableGrown))
		e.stale = true
	case editTableBulk:
		e.out.Index(wasm.OpLocalTee, e.scratch)
		e.out.Raw(e.source[x.start:x.end])
		e.spill()
		e.get()
		e.length()
		e.out.I64(entryUnits)
		e.out.Op(wasm.OpI64Mul)
		e.out.Index(wasm.OpCall, e.rewriter.charge)
		e.set()
	case editMemoryInit:
		// It cannot be longer than its segment, which came with the module.
		e.out.Index(wasm.OpLocalTee, e.scratch)
		e.out.Raw(e.source[x.start:x.end])
		e.chargeLength()
	default:
		e.memoryBulk(x)
	}
}

// memoryBulk does memory.copy and memory.fill: short ones in their place, long
// ones in a helper, by chunks.
func (e *emitter) memoryBulk(x *edit) {
	long := helperCopy
	if x.op == wasm.OpMemoryFill {
		long = helperFill
	}
	e.ready()
	e.out.Index(wasm.OpLocalTee, e.scratch)
	e.out.Index(wasm.OpLocalGet, e.scratch)
	e.out.I32(chunkBytes)
	e.out.Op(wasm.OpI32GtU)
	e.out.Block(wasm.OpIf, wasm.BlockType(e.rewriter.signature(bulkType())))
	e.spill()
	e.out.Index(wasm.OpCall, e.rewriter.helpers.index(long))
	e.stale = true
	e.ready()
	e.out.Op(wasm.OpElse)
	e.join()
	e.out.Raw(e.source[x.start:x.end])
	e.chargeLength()
	e.out.Op(wasm.OpEnd)
	e.join()
}

// chargeLength charges for the bytes whose number is in scratch.
func (e *emitter) chargeLength() {
	e.get()
	e.length()
	e.out.I64(bulkShift)
	e.out.Op(wasm.OpI64ShrU, wasm.OpI64Sub)
	e.set()
}

func (e *emitter) length() {
	e.out.Index(wasm.OpLocalGet, e.scratch)
	e.out.Op(wasm.OpI64ExtendI32U)
}
