package wasm

import "encoding/binary"

// Code is instructions that are being written. The zero value is empty.
type Code []byte

// Op writes instructions that have no operands of their own.
func (c *Code) Op(ops ...Opcode) {
	for _, op := range ops {
		c.opcode(op)
	}
}

// Index writes an instruction with an index: call, local.get, br, data.drop ...
// After memory.fill it is the memory's.
func (c *Code) Index(op Opcode, index uint32) {
	c.opcode(op)
	*c = binary.AppendUvarint(*c, uint64(index))
}

// Index2 writes an instruction with two indices: call_indirect, memory.copy,
// memory.init, table.copy, table.init, in the order of the binary format.
func (c *Code) Index2(op Opcode, first, second uint32) {
	c.Index(op, first)
	*c = binary.AppendUvarint(*c, uint64(second))
}

// Block begins a block, loop or if.
func (c *Code) Block(op Opcode, t BlockType) {
	c.opcode(op)
	*c = appendSigned(*c, int64(t))
}

// I32 writes i32.const.
func (c *Code) I32(v int32) {
	c.opcode(OpI32Const)
	*c = appendSigned(*c, int64(v))
}

// I64 writes i64.const.
func (c *Code) I64(v int64) {
	c.opcode(OpI64Const)
	*c = appendSigned(*c, v)
}

// Access writes a load or store. Align is the exponent of two.
func (c *Code) Access(op Opcode, align, offset uint32) {
	c.opcode(op)
	*c = binary.AppendUvarint(*c, uint64(align))
	*c = binary.AppendUvarint(*c, uint64(offset))
}

// Raw writes bytes as they are.
func (c *Code) Raw(b []byte) { *c = append(*c, b...) }

func (c *Code) opcode(op Opcode) {
	if op <= 0xff {
		*c = append(*c, byte(op))
		return
	}
	*c = append(*c, byte(op>>8))
	*c = binary.AppendUvarint(*c, uint64(op&0xff))
}

func appendSigned(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}
