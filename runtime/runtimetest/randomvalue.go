package runtimetest

import "github.com/cofferdam-run/cofferdam/runtime/wasm"

func (r *random) values(types []wasm.ValueType) {
	for _, t := range types {
		r.value(t)
	}
}

// value is code that leaves one value.
func (r *random) value(t wasm.ValueType) {
	if r.left--; r.left <= 0 {
		r.atom(t)
		return
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		r.atom(t)
	case 3:
		r.arms(t)
	case 4:
		r.c.Block(wasm.OpBlock, wasm.BlockOf(t))
		r.inside(randomLabel{carries: []wasm.ValueType{t}}, func() {
			r.statements()
			r.value(t)
		})
		r.c.Op(wasm.OpEnd)
	case 5:
		r.values([]wasm.ValueType{t, t, wasm.I32})
		r.c.Op(wasm.OpSelect)
	default:
		r.operation(t)
	}
}

// arms is an if with a value.
func (r *random) arms(t wasm.ValueType) {
	r.value(wasm.I32)
	r.c.Block(wasm.OpIf, wasm.BlockOf(t))
	l := randomLabel{carries: []wasm.ValueType{t}}
	arm := func() {
		r.statements()
		r.value(t)
	}
	r.inside(l, arm)
	r.c.Op(wasm.OpElse)
	r.inside(l, arm)
	r.c.Op(wasm.OpEnd)
}

func (r *random) atom(t wasm.ValueType) {
	start := r.IntN(len(r.locals))
	for i := range r.locals {
		if at := (start + i) % len(r.locals); r.locals[at] == t && !r.one(3) {
			r.c.Index(wasm.OpLocalGet, uint32(at))
			return
		}
	}
	r.literal(t)
}

func (r *random) literal(t wasm.ValueType) {
	switch t {
	case wasm.I32:
		r.c.I32(int32(r.Uint32() >> r.IntN(32)))
	case wasm.I64:
		r.c.I64(int64(r.Uint64() >> r.IntN(64)))
	default:
		// Through an integer: no NaN, whose bits may differ from run to run.
		r.c.I32(int32(r.Uint32()))
		r.c.Op(0xb7) // f64.convert_i32_s
	}
}

func (r *random) operation(t wasm.ValueType) {
	switch t {
	case wasm.I32:
		r.operation32()
	case wasm.I64:
		r.operation64()
	default:
		r.values([]wasm.ValueType{wasm.F64, wasm.F64})
		r.c.Op([]wasm.Opcode{0xa0, 0xa1}[r.IntN(2)]) // f64.add, f64.sub: infinity at most.
		r.c.Op(0xfc02)                               // i32.trunc_sat_f64_s
		r.c.Op(0xb7)                                 // f64.convert_i32_s
	}
}

func (r *random) operation32() {
	switch r.IntN(11) {
	case 0, 1, 2, 3:
		r.values([]wasm.ValueType{wasm.I32, wasm.I32})
		r.c.Op(wasm.OpI32Eq+wasm.Opcode(r.IntN(10)), wasm.OpNop)
	case 4:
		r.values([]wasm.ValueType{wasm.I32, wasm.I32})
		r.c.Op([]wasm.Opcode{wasm.OpI32Add, wasm.OpI32Sub, 0x6c, wasm.OpI32And, wasm.OpI32Or, 0x73, 0x74, 0x76}[r.IntN(8)])
	case 5:
		r.values([]wasm.ValueType{wasm.I32, wasm.I32})
		if !r.one(20) { // A division by zero ends the call.
			r.c.I32(1)
			r.c.Op(wasm.OpI32Or)
		}
		r.c.Op([]wasm.Opcode{0x6e, wasm.OpI32RemU}[r.IntN(2)])
	case 6:
		r.address()
		r.c.Access(wasm.OpI32Load, 2, uint32(r.IntN(5000)))
	case 7:
		r.value(wasm.I32)
		r.c.Index(wasm.OpCall, 0) // env.double
	case 8:
		r.c.Index(wasm.OpMemorySize, 0)
	case 9:
		r.value(wasm.I32)
		r.c.Op(0xfd11) // i32x4.splat
		r.c.Raw([]byte{0xfd, 0x1b, byte(r.IntN(4))})
	default:
		r.value(wasm.F64)
		r.c.Op(0xfc02) // i32.trunc_sat_f64_s
	}
}

func (r *random) operation64() {
	switch r.IntN(4) {
	case 0:
		r.value(wasm.I32)
		r.c.Op(wasm.OpI64ExtendI32U)
	case 1:
		r.address()
		r.c.Access(wasm.OpI64Load, 3, 8)
	case 2:
		r.c.Index(wasm.OpGlobalGet, 2+uint32(r.IntN(2)))
	default:
		r.values([]wasm.ValueType{wasm.I64, wasm.I64})
		r.c.Op([]wasm.Opcode{wasm.OpI64Add, wasm.OpI64Sub, wasm.OpI64Mul, wasm.OpI64Xor, wasm.OpI64Shl, wasm.OpI64ShrU}[r.IntN(6)])
	}
}

// address is an i32 within the window, but for a few.
func (r *random) address() {
	r.value(wasm.I32)
	if !r.one(60) {
		r.c.I32(randomWindow)
		r.c.Op(wasm.OpI32And)
	}
}

// call calls any function, directly or by table, and drops what it returns.
func (r *random) call() {
	if r.leaf {
		r.set()
		return
	}
	index := r.IntN(len(r.m.Functions))
	signature := r.m.Functions[index]
	t := r.m.Types[signature]
	r.values(t.Params)
	if r.one(3) {
		r.c.I32(int32(index + 1))
		r.c.Index2(wasm.OpCallIndirect, signature, tableOfCalls)
	} else {
		r.c.Index(wasm.OpCall, uint32(index+1))
	}
	r.discard(t.Results)
}

// length is mostly short, sometimes long enough for chunks, and seldom too long.
func (r *random) length() {
	switch n := r.IntN(40); {
	case n < 30:
		r.c.I32(r.Int32N(2000))
	case n < 39:
		r.c.I32(r.Int32N(600_000))
	default:
		r.c.I32(int32(r.Uint32()))
	}
}

// move is bulk memory.
func (r *random) move() {
	switch r.IntN(5) {
	case 0:
		r.address()
		r.value(wasm.I32)
		r.length()
		r.c.Index(wasm.OpMemoryFill, 0)
	case 1, 2:
		r.address()
		r.address()
		r.length()
		r.c.Index2(wasm.OpMemoryCopy, 0, 0)
	case 3:
		r.address()
		r.c.I32(r.Int32N(3000))
		r.c.I32(r.Int32N(2020))
		r.c.Index2(wasm.OpMemoryInit, 1, 0)
	default:
		r.c.I32(r.Int32N(3))
		r.c.Index(wasm.OpMemoryGrow, 0)
		r.c.Op(wasm.OpDrop)
	}
}

func (r *random) reference() {
	if r.one(3) {
		r.c.Raw([]byte{byte(wasm.OpRefNull), byte(wasm.FuncRef)})
		return
	}
	r.c.Index(wasm.OpRefFunc, uint32(r.IntN(len(r.m.Functions)+1)))
}

func (r *random) changeTable() {
	small := func() { r.c.I32(r.Int32N(5)) }
	switch r.IntN(8) {
	case 0:
		r.reference()
		r.c.I32(r.Int32N(30))
		r.c.Index(wasm.OpTableGrow, tableOfChanges)
		r.c.Op(wasm.OpDrop)
	case 1:
		small()
		r.reference()
		small()
		r.c.Index(wasm.OpTableFill, tableOfChanges)
	case 2:
		small()
		small()
		small()
		r.c.Index2(wasm.OpTableCopy, tableOfChanges, tableOfCalls)
	case 3:
		small()
		r.c.I32(0)
		r.c.I32(r.Int32N(4))
		r.c.Index2(wasm.OpTableInit, 2, tableOfChanges)
	case 4:
		small()
		r.reference()
		r.c.Index(wasm.OpTableSet, tableOfChanges)
	case 5:
		small()
		r.c.Index(wasm.OpTableGet, tableOfChanges)
		r.c.Op(wasm.OpRefIsNull, wasm.OpDrop)
	case 6:
		r.c.Index(wasm.OpTableSize, tableOfChanges)
		r.c.Op(wasm.OpDrop)
	default:
		if r.one(5) {
			r.c.Index(wasm.OpDataDrop, 1)
			r.c.Index(wasm.OpElemDrop, 2)
		}
	}
}
