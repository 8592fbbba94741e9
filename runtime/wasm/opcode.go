package wasm

// Opcode is an instruction. Those behind the prefixes 0xfc and 0xfd are the
// prefix times 256, plus their number, which is below 256.
// https://webassembly.github.io/spec/core/binary/instructions.html
type Opcode uint16

// BlockType is a block's type: an index of Types when it is 0 or more, else
// BlockEmpty or the negative number that encodes one value type.
type BlockType int64

// BlockEmpty is the type of a block that takes and gives nothing. A block that
// gives one value has the type BlockOf(t).
const BlockEmpty BlockType = -64

// BlockOf is the type of a block that gives one value.
func BlockOf(t ValueType) BlockType { return BlockType(t) - 0x80 }

// The instructions that need telling apart. Plain ones have no names here.
const (
	OpUnreachable  Opcode = 0x00
	OpNop          Opcode = 0x01
	OpBlock        Opcode = 0x02
	OpLoop         Opcode = 0x03
	OpIf           Opcode = 0x04
	OpElse         Opcode = 0x05
	OpEnd          Opcode = 0x0b
	OpBr           Opcode = 0x0c
	OpBrIf         Opcode = 0x0d
	OpBrTable      Opcode = 0x0e
	OpReturn       Opcode = 0x0f
	OpCall         Opcode = 0x10
	OpCallIndirect Opcode = 0x11
	OpDrop         Opcode = 0x1a
	OpSelect       Opcode = 0x1b
	OpSelectTyped  Opcode = 0x1c
	OpLocalGet     Opcode = 0x20
	OpLocalSet     Opcode = 0x21
	OpLocalTee     Opcode = 0x22
	OpGlobalGet    Opcode = 0x23
	OpGlobalSet    Opcode = 0x24
	OpTableGet     Opcode = 0x25
	OpTableSet     Opcode = 0x26

	OpI32Load    Opcode = 0x28
	OpI64Load    Opcode = 0x29
	OpI32Load8U  Opcode = 0x2d
	OpI64Load32U Opcode = 0x35
	OpI32Store   Opcode = 0x36
	OpI64Store   Opcode = 0x37
	OpI32Store8  Opcode = 0x3a
	OpI64Store32 Opcode = 0x3e
	OpMemorySize Opcode = 0x3f
	OpMemoryGrow Opcode = 0x40

	OpI32Const      Opcode = 0x41
	OpI64Const      Opcode = 0x42
	OpF32Const      Opcode = 0x43
	OpF64Const      Opcode = 0x44
	OpI32Eqz        Opcode = 0x45
	OpI32Eq         Opcode = 0x46
	OpI32Ne         Opcode = 0x47
	OpI32LtU        Opcode = 0x49
	OpI32GtU        Opcode = 0x4b
	OpI32LeU        Opcode = 0x4d
	OpI32GeU        Opcode = 0x4f
	OpI64Eqz        Opcode = 0x50
	OpI64Eq         Opcode = 0x51
	OpI64Ne         Opcode = 0x52
	OpI64LtS        Opcode = 0x53
	OpI64LtU        Opcode = 0x54
	OpI64GtU        Opcode = 0x56
	OpI64LeU        Opcode = 0x58
	OpI64GeU        Opcode = 0x5a
	OpI32Add        Opcode = 0x6a
	OpI32Sub        Opcode = 0x6b
	OpI32DivS       Opcode = 0x6d
	OpI32RemU       Opcode = 0x70
	OpI32And        Opcode = 0x71
	OpI32Or         Opcode = 0x72
	OpI64Add        Opcode = 0x7c
	OpI64Sub        Opcode = 0x7d
	OpI64Mul        Opcode = 0x7e
	OpI64DivS       Opcode = 0x7f
	OpI64RemU       Opcode = 0x82
	OpI64And        Opcode = 0x83
	OpI64Or         Opcode = 0x84
	OpI64Xor        Opcode = 0x85
	OpI64Shl        Opcode = 0x86
	OpI64ShrU       Opcode = 0x88
	OpF32Sqrt       Opcode = 0x91
	OpF32Div        Opcode = 0x95
	OpF64Sqrt       Opcode = 0x9f
	OpF64Div        Opcode = 0xa3
	OpI32WrapI64    Opcode = 0xa7
	OpI64ExtendI32U Opcode = 0xad
	OpI64Extend32S  Opcode = 0xc4

	OpRefNull   Opcode = 0xd0
	OpRefIsNull Opcode = 0xd1
	OpRefFunc   Opcode = 0xd2

	OpMemoryInit Opcode = 0xfc08
	OpDataDrop   Opcode = 0xfc09
	OpMemoryCopy Opcode = 0xfc0a
	OpMemoryFill Opcode = 0xfc0b
	OpTableInit  Opcode = 0xfc0c
	OpElemDrop   Opcode = 0xfc0d
	OpTableCopy  Opcode = 0xfc0e
	OpTableGrow  Opcode = 0xfc0f
	OpTableSize  Opcode = 0xfc10
	OpTableFill  Opcode = 0xfc11

	OpV128Const Opcode = 0xfd0c
)
