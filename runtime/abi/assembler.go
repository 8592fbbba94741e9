package abi

import "github.com/cofferdam-run/cofferdam/runtime/wasm"

// assembler writes one function of the kernel. Values are i64 unless it says
// otherwise; an address is a value that push wraps to i32 at its use.
type assembler struct {
	wasm.Code
}

func (a *assembler) get(local uint32) { a.Index(wasm.OpLocalGet, local) }

func (a *assembler) set(local uint32) { a.Index(wasm.OpLocalSet, local) }

// word pushes a word of the kernel's state.
func (a *assembler) word(at uint32) {
	a.I32(0)
	a.Access(wasm.OpI64Load, 3, at)
}

// setWord stores what value pushes.
func (a *assembler) setWord(at uint32, value func()) {
	a.I32(0)
	value()
	a.Access(wasm.OpI64Store, 3, at)
}

// half pushes four bytes of the header in a local.
func (a *assembler) half(header, field uint32) {
	a.get(header)
	a.Op(wasm.OpI32WrapI64)
	a.Access(wasm.OpI64Load32U, 2, field)
}

func (a *assembler) setHalf(header, field uint32, value func()) {
	a.get(header)
	a.Op(wasm.OpI32WrapI64)
	value()
	a.Access(wasm.OpI64Store32, 2, field)
}

// setCheck stores what value pushes into the header in a local.
func (a *assembler) setCheck(header uint32, value func()) {
	a.get(header)
	a.Op(wasm.OpI32WrapI64)
	value()
	a.Access(wasm.OpI64Store, 3, headerCheck)
}

// check pushes what marks the header in a local as live or free.
func (a *assembler) check(header uint32, kind int64) {
	a.get(header)
	a.word(wordGeneration)
	a.I64(generationBit)
	a.Op(wasm.OpI64Shl, wasm.OpI64Xor)
	a.I64(kind)
	a.Op(wasm.OpI64Xor)
}

// checked pushes whether the header in a local has its mark.
func (a *assembler) checked(header uint32, kind int64) {
	a.get(header)
	a.Op(wasm.OpI32WrapI64)
	a.Access(wasm.OpI64Load, 3, headerCheck)
	a.check(header, kind)
	a.Op(wasm.OpI64Eq)
}

// padded rounds the value on the stack up.
func (a *assembler) padded() {
	a.I64(blockAlign - 1)
	a.Op(wasm.OpI64Add)
	a.I64(-blockAlign)
	a.Op(wasm.OpI64And)
}

// minus subtracts a constant from the value on the stack.
func (a *assembler) minus(n int64) {
	a.I64(n)
	a.Op(wasm.OpI64Sub)
}

// when runs then if the i32 on the stack is not 0.
func (a *assembler) when(then func()) {
	a.Block(wasm.OpIf, wasm.BlockEmpty)
	then()
	a.Op(wasm.OpEnd)
}

// either pushes one value or the other.
func (a *assembler) either(t wasm.ValueType, then, otherwise func()) {
	a.Block(wasm.OpIf, wasm.BlockOf(t))
	then()
	a.Op(wasm.OpElse)
	otherwise()
	a.Op(wasm.OpEnd)
}

// none returns 0.
func (a *assembler) none() {
	a.I64(0)
	a.Op(wasm.OpReturn)
}

// fault ends the call: the host function does not return.
func (a *assembler) fault(reason int32, details ...func()) {
	a.I32(reason)
	for i := range 2 {
		if i < len(details) {
			details[i]()
			continue
		}
		a.I64(0)
	}
	a.Index(wasm.OpCall, faultFunction)
	a.Op(wasm.OpUnreachable)
}
