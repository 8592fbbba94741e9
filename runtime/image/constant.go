package image

import (
	"encoding/binary"
	"errors"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// number is the constant expression for a value's bits; false for a type that has no
// numbers of 64 bits or fewer.
func number(t wasm.ValueType, bits uint64) (wasm.Expr, bool) {
	var c wasm.Code
	switch t {
	case wasm.I32:
		c.I32(int32(uint32(bits)))
	case wasm.I64:
		c.I64(int64(bits))
	case wasm.F32:
		c.Op(wasm.OpF32Const)
		c.Raw(binary.LittleEndian.AppendUint32(nil, uint32(bits)))
	case wasm.F64:
		c.Op(wasm.OpF64Const)
		c.Raw(binary.LittleEndian.AppendUint64(nil, bits))
	default:
		return nil, false
	}
	c.Op(wasm.OpEnd)
	return wasm.Expr(c), true
}

// valueOf is the bits of a constant expression that is a number, as an engine keeps
// them in a global. A module's own globals can begin as no others: they could only be
// taken from imported ones, of which there are none.
func valueOf(e wasm.Expr) (uint64, error) {
	s := wasm.NewScanner(e)
	if !s.Next() {
		return 0, errors.New("it is not a constant")
	}
	i := s.Instruction()
	if i.End != len(e)-1 || wasm.Opcode(e[i.End]) != wasm.OpEnd {
		return 0, errors.New("it is not one constant and its end")
	}
	bits := e[min(i.Start+1, len(e)):i.End]
	switch op := i.Op; {
	case op == wasm.OpI32Const:
		return uint64(uint32(i.Value)), nil
	case op == wasm.OpI64Const:
		return uint64(i.Value), nil
	case op == wasm.OpF32Const && len(bits) == 4:
		return uint64(binary.LittleEndian.Uint32(bits)), nil
	case op == wasm.OpF64Const && len(bits) == 8:
		return binary.LittleEndian.Uint64(bits), nil
	default:
		return 0, errors.New("it is not a number")
	}
}

// offsetOf is the value of the expression i32.const. An offset can be nothing else.
func offsetOf(e wasm.Expr) (uint32, error) {
	value, err := valueOf(e)
	if err == nil && wasm.Opcode(e[0]) != wasm.OpI32Const {
		err = errors.New("it is not an i32.const")
	}
	return uint32(value), err
}
