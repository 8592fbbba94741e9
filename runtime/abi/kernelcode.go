package abi

import "github.com/cofferdam-run/cofferdam/runtime/wasm"

// kernelFunction is a function of the kernel's own. Its type is written in
// letters; locals are i64s beyond its parameters.
type kernelFunction struct {
	name, params, results string
	locals                uint32
	write                 func(*assembler)
}

// Why the kernel ends a call.
const (
	faultBudget = iota
	faultInput
	faultOutput
	faultError
)

// kernelFunctions are all that need nothing but memory. Loads outside of it give
// 0 and stores outside of it do nothing, as in Extism's own kernel.
func kernelFunctions() []kernelFunction {
	return []kernelFunction{
		{"", "I", "I", 1, writeLength},
		{"", "I", "I", 1, writeFreeEnd},
		{"alloc", "I", "I", 2, writeAlloc},
		{"free", "I", "", 3, writeFree},
		{"length", "I", "I", 0, writeCallLength},
		{"length_unsafe", "I", "I", 0, writeCallLength},
		{"load_u8", "I", "i", 0, func(a *assembler) { a.load(wasm.I32, 1, wasm.OpI32Load8U) }},
		{"load_u64", "I", "I", 0, func(a *assembler) { a.load(wasm.I64, 8, wasm.OpI64Load) }},
		{"store_u8", "Ii", "", 0, func(a *assembler) { a.store(1, wasm.OpI32Store8) }},
		{"store_u64", "II", "", 0, func(a *assembler) { a.store(8, wasm.OpI64Store) }},
		{"input_set", "II", "", 0, func(a *assembler) { a.setSpan(wordInput, faultInput) }},
		{"input_offset", "", "I", 0, func(a *assembler) { a.word(wordInput) }},
		{"input_length", "", "I", 0, func(a *assembler) { a.word(wordInputLength) }},
		{"input_load_u8", "I", "i", 0, writeInputLoad8},
		{"input_load_u64", "I", "I", 0, writeInputLoad64},
		{"output_set", "II", "", 0, func(a *assembler) { a.setSpan(wordOutput, faultOutput) }},
		{"output_offset", "", "I", 0, func(a *assembler) { a.word(wordOutput) }},
		{"output_length", "", "I", 0, func(a *assembler) { a.word(wordOutputLength) }},
		{"error_set", "I", "", 1, writeErrorSet},
		{"error_get", "", "I", 0, func(a *assembler) { a.word(wordError) }},
		{"memory_bytes", "", "I", 0, func(a *assembler) { a.word(wordHigh) }},
		{"reset", "", "", 0, writeReset},
	}
}

func callLength(a *assembler) { a.Index(wasm.OpCall, firstOwn()) }

func callFreeEnd(a *assembler) { a.Index(wasm.OpCall, firstOwn()+1) }

// isPlace pushes whether a local is a multiple of blockAlign from low to below what
// top pushes.
func (a *assembler) isPlace(local uint32, low int64, top func()) {
	a.get(local)
	top()
	a.Op(wasm.OpI64LtU)
	a.get(local)
	a.I64(low)
	a.Op(wasm.OpI64GeU, wasm.OpI32And)
	a.get(local)
	a.I64(blockAlign - 1)
	a.Op(wasm.OpI64And, wasm.OpI64Eqz, wasm.OpI32And)
}

// mustBePlace returns 0 unless a local is a place of the heap's, from low on.
func (a *assembler) mustBePlace(local uint32, low int64) {
	a.isPlace(local, low, func() { a.word(wordTop) })
	a.Op(wasm.OpI32Eqz)
	a.when(a.none)
}

// sizeUnder sets a local to the size of the block whose header is in another, and
// returns 0 unless the header has its mark and the block ends below top.
func (a *assembler) sizeUnder(header, size uint32, mark int64, pad func()) {
	a.checked(header, mark)
	a.Op(wasm.OpI32Eqz)
	a.when(a.none)
	a.half(header, headerSize)
	pad()
	a.set(size)
	a.get(size)
	a.word(wordTop)
	a.get(header)
	a.Op(wasm.OpI64Sub)
	a.minus(headerBytes)
	a.Op(wasm.OpI64GtU)
	a.when(a.none)
}

// writeLength is heap.length.
func writeLength(a *assembler) {
	const offset, size = 0, 1
	a.mustBePlace(offset, firstOffset)
	a.get(offset)
	a.minus(headerBytes)
	a.set(offset) // The header, from here on.
	a.sizeUnder(offset, size, liveCheck, func() {})
	a.get(size)
}

// writeFreeEnd is heap.freeEnd.
func writeFreeEnd(a *assembler) {
	const header, size = 0, 1
	a.mustBePlace(header, firstBlock)
	a.sizeUnder(header, size, freeCheck, a.padded)
	a.get(header)
	a.I64(headerBytes)
	a.Op(wasm.OpI64Add)
	a.get(size)
	a.Op(wasm.OpI64Add)
}

// writeAlloc is heap.alloc, except that it ends the call when the budget is
// spent: PDKs do not look at the offset, and would go on with a loss that nobody
// sees.
func writeAlloc(a *assembler) {
	const size, top, end = 0, 1, 2
	full := func() { a.fault(faultBudget) }
	a.get(size)
	a.Op(wasm.OpI64Eqz)
	a.when(a.none)
	a.get(size)
	a.word(wordLimit)
	a.Op(wasm.OpI64GtU)
	a.when(full)
	a.word(wordTop)
	a.set(top)
	a.get(size)
	a.padded()
	a.get(top)
	a.Op(wasm.OpI64Add)
	a.I64(headerBytes)
	a.Op(wasm.OpI64Add)
	a.set(end)
	a.get(end)
	a.word(wordLimit)
	a.Op(wasm.OpI64GtU)
	a.when(full)
	a.setHalf(top, headerSize, func() { a.get(size) })
	a.setHalf(top, headerBelow, func() { a.word(wordLast) })
	a.setCheck(top, func() { a.check(top, liveCheck) })
	a.setWord(wordLast, func() { a.get(top) })
	a.setWord(wordTop, func() { a.get(end) })
	a.get(end)
	a.word(wordHigh)
	a.Op(wasm.OpI64GtU)
	a.when(func() { a.setWord(wordHigh, func() { a.get(end) }) })
	a.get(top)
	a.I64(headerBytes)
	a.Op(wasm.OpI64Add)
}

// writeFree is heap.free.
func writeFree(a *assembler) {
	const start, end, near, below = 0, 1, 2, 3
	a.get(start)
	callLength(a)
	a.set(end)
	a.get(end)
	a.Op(wasm.OpI64Eqz)
	a.when(func() { a.Op(wasm.OpReturn) })
	a.get(end)
	a.padded()
	a.get(start)
	a.Op(wasm.OpI64Add)
	a.set(end)
	a.get(start)
	a.minus(headerBytes)
	a.set(start)
	a.setCheck(start, func() { a.I64(0) })
	a.get(end)
	callFreeEnd(a)
	a.set(near)
	a.get(near)
	a.Op(wasm.OpI64Eqz, wasm.OpI32Eqz)
	a.when(func() {
		a.setCheck(end, func() { a.I64(0) })
		a.get(near)
		a.set(end)
	})
	a.half(start, headerBelow)
	a.set(below)
	a.get(below)
	callFreeEnd(a)
	a.get(start)
	a.Op(wasm.OpI64Eq)
	a.when(func() {
		a.get(below)
		a.set(start)
	})
	a.get(end)
	a.word(wordTop)
	a.Op(wasm.OpI64Eq)
	a.when(func() {
		writePop(a, start, below)
		a.Op(wasm.OpReturn)
	})
	a.setHalf(start, headerSize, func() {
		a.get(end)
		a.get(start)
		a.Op(wasm.OpI64Sub)
		a.minus(headerBytes)
	})
	a.setCheck(start, func() { a.check(start, freeCheck) })
	a.setHalf(end, headerBelow, func() { a.get(start) })
}

// writePop gives back all that is above a header.
func writePop(a *assembler, start, below uint32) {
	a.setCheck(start, func() { a.I64(0) })
	a.setWord(wordTop, func() { a.get(start) })
	a.half(start, headerBelow)
	a.set(below)
	a.setWord(wordLast, func() {
		a.get(below)
		a.I64(0)
		a.isPlace(below, firstBlock, func() { a.get(start) })
		a.Op(wasm.OpSelect)
	})
}

func writeCallLength(a *assembler) {
	a.get(0)
	callLength(a)
}

// within pushes whether width bytes at the offset in local 0 are the guest's.
// The bound is never negative, since the high-water mark begins above zero.
func (a *assembler) within(width int64) {
	a.get(0)
	a.minus(firstBlock)
	a.word(wordHigh)
	a.minus(firstBlock + width)
	a.Op(wasm.OpI64LeU)
}

func (a *assembler) load(t wasm.ValueType, width int64, op wasm.Opcode) {
	a.within(width)
	a.either(t, func() {
		a.get(0)
		a.Op(wasm.OpI32WrapI64)
		a.Access(op, 0, 0)
	}, func() { a.zero(t) })
}

func (a *assembler) zero(t wasm.ValueType) {
	if t == wasm.I32 {
		a.I32(0)
		return
	}
	a.I64(0)
}

func (a *assembler) store(width int64, op wasm.Opcode) {
	a.within(width)
	a.when(func() {
		a.get(0)
		a.Op(wasm.OpI32WrapI64)
		a.get(1)
		a.Access(op, 0, 0)
	})
}

// setSpan keeps an offset and a length that lie in the guest's memory. No length
// is nowhere.
func (a *assembler) setSpan(at uint32, reason int32) {
	offset, length := func() { a.get(0) }, func() { a.get(1) }
	length()
	a.Op(wasm.OpI64Eqz)
	a.when(func() {
		a.I64(0)
		a.set(0)
	})
	length()
	a.Op(wasm.OpI64Eqz, wasm.OpI32Eqz)
	a.when(func() {
		offset()
		a.minus(firstBlock)
		a.word(wordHigh)
		a.minus(firstBlock)
		a.Op(wasm.OpI64GtU)
		a.when(func() { a.fault(reason, offset, length) })
		length()
		a.word(wordHigh)
		offset()
		a.Op(wasm.OpI64Sub, wasm.OpI64GtU)
		a.when(func() { a.fault(reason, offset, length) })
	})
	a.setWord(at, offset)
	a.setWord(at+8, length)
}

// The input lies below the high-water mark, since setSpan and the host see to it.

func writeInputLoad8(a *assembler) {
	a.get(0)
	a.word(wordInputLength)
	a.Op(wasm.OpI64LtU)
	a.either(wasm.I32, func() { a.inputAt(wasm.OpI32Load8U) }, func() { a.I32(0) })
}

func writeInputLoad64(a *assembler) {
	a.word(wordInputLength)
	a.I64(8)
	a.Op(wasm.OpI64GeU)
	a.get(0)
	a.word(wordInputLength)
	a.minus(8)
	a.Op(wasm.OpI64LeU, wasm.OpI32And)
	a.either(wasm.I64, func() { a.inputAt(wasm.OpI64Load) }, func() { a.I64(0) })
}

func (a *assembler) inputAt(op wasm.Opcode) {
	a.word(wordInput)
	a.get(0)
	a.Op(wasm.OpI64Add, wasm.OpI32WrapI64)
	a.Access(op, 0, 0)
}

func writeErrorSet(a *assembler) {
	const offset, size = 0, 1
	a.get(offset)
	callLength(a)
	a.set(size)
	a.get(offset)
	a.Op(wasm.OpI64Eqz, wasm.OpI32Eqz)
	a.get(size)
	a.Op(wasm.OpI64Eqz, wasm.OpI32And)
	a.when(func() { a.fault(faultError, func() { a.get(offset) }) })
	a.setWord(wordError, func() { a.get(offset) })
	a.setWord(wordErrorLength, func() { a.get(size) })
}

// writeReset forgets every block, the input, the output and the error. Variables
// stay, and so does the high-water mark: the bytes below it are not zero.
func writeReset(a *assembler) {
	a.setWord(wordTop, func() { a.I64(firstBlock) })
	for _, at := range []uint32{wordLast, wordInput, wordInputLength, wordOutput, wordOutputLength, wordError, wordErrorLength} {
		a.setWord(at, func() { a.I64(0) })
	}
	a.setWord(wordGeneration, func() {
		a.word(wordGeneration)
		a.I64(1)
		a.Op(wasm.OpI64Add)
	})
}
