package wasm

// shape is what follows an instruction's opcode.
type shape byte

const (
	shapeUnknown shape = iota
	shapePlain
	shapeBlock
	shapeIndex
	shapeIndex2
	shapeLabels
	shapeSelect
	shapeAccess
	shapeMemory
	shapeMemory2
	shapeDataMemory
	shapeI32
	shapeI64
	shapeF32
	shapeF64
	shapeRefType
	shapeV128
	shapeShuffle
	shapeLane
	shapeAccessLane
)

const (
	prefixMisc = 0xfc
	prefixSIMD = 0xfd
)

// shapeOf returns the shape of an instruction.
// https://webassembly.github.io/spec/core/binary/instructions.html
func shapeOf(op Opcode) shape {
	switch {
	case op >= OpI32Eqz && op <= OpI64Extend32S:
		return shapePlain
	case op >= OpLocalGet && op <= OpTableSet, op == OpCall, op == OpBr, op == OpBrIf, op == OpRefFunc:
		return shapeIndex
	case op >= OpI32Load && op <= OpI64Store32:
		return shapeAccess
	case op > 0xff && op>>8 == prefixMisc:
		return shapeOfMisc(op)
	case op > 0xff:
		return shapeOfSIMD(op & 0xff)
	}
	switch op {
	case OpUnreachable, OpNop, OpElse, OpEnd, OpReturn, OpDrop, OpSelect, OpRefIsNull:
		return shapePlain
	case OpBlock, OpLoop, OpIf:
		return shapeBlock
	case OpBrTable:
		return shapeLabels
	case OpCallIndirect:
		return shapeIndex2
	case OpSelectTyped:
		return shapeSelect
	case OpMemorySize, OpMemoryGrow:
		return shapeMemory
	case OpI32Const:
		return shapeI32
	case OpI64Const:
		return shapeI64
	case OpF32Const:
		return shapeF32
	case OpF64Const:
		return shapeF64
	case OpRefNull:
		return shapeRefType
	default:
		return shapeUnknown
	}
}

func shapeOfMisc(op Opcode) shape {
	switch op {
	case OpMemoryInit:
		return shapeDataMemory
	case OpMemoryCopy:
		return shapeMemory2
	case OpMemoryFill:
		return shapeMemory
	case OpTableInit, OpTableCopy:
		return shapeIndex2
	case OpDataDrop, OpElemDrop, OpTableGrow, OpTableSize, OpTableFill:
		return shapeIndex
	default:
		if op < OpMemoryInit { // The saturating conversions.
			return shapePlain
		}
		return shapeUnknown
	}
}

func shapeOfSIMD(number Opcode) shape {
	switch {
	case number <= 0x0b, number == 0x5c, number == 0x5d:
		return shapeAccess
	case number == 0x0c:
		return shapeV128
	case number == 0x0d:
		return shapeShuffle
	case number >= 0x15 && number <= 0x22:
		return shapeLane
	case number >= 0x54 && number <= 0x5b:
		return shapeAccessLane
	}
	switch number {
	case 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb,
		0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee:
		return shapeUnknown // The holes.
	default:
		return shapePlain
	}
}

// naturalAlign is the exponent of an access's size, which its alignment must not
// be above.
func naturalAlign(op Opcode) uint32 {
	const (
		plain = "\x02\x03\x02\x03\x00\x00\x01\x01\x00\x00\x01\x01\x02\x02" + // Loads, from 0x28.
			"\x02\x03\x02\x03\x00\x01\x00\x01\x02" // Stores.
		simd  = "\x04\x03\x03\x03\x03\x03\x03\x00\x01\x02\x03\x04"   // From 0.
		lanes = "\x00\x01\x02\x03" + "\x00\x01\x02\x03" + "\x02\x03" // From 0x54.
	)
	switch number := op & 0xff; {
	case op <= 0xff:
		return uint32(plain[op-OpI32Load])
	case number <= 0x0b:
		return uint32(simd[number])
	default:
		return uint32(lanes[number-0x54])
	}
}

// laneCount is how many lanes there are to choose from.
func laneCount(op Opcode) byte {
	const (
		registers = "\x10\x10\x10\x08\x08\x08\x04\x04\x02\x02\x04\x04\x02\x02" // From 0x15.
		accesses  = "\x10\x08\x04\x02" + "\x10\x08\x04\x02"                    // From 0x54.
	)
	if number := op & 0xff; number >= 0x54 {
		return accesses[number-0x54]
	}
	return registers[op&0xff-0x15]
}
