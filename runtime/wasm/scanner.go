package wasm

// Instruction is one instruction of a body.
type Instruction struct {
	Op Opcode
	// Start and End are where it lies in the code.
	Start, End int
	// Block is the type of a block, loop or if.
	Block BlockType
	// Index is the label, function, local, global, table, type, data or element
	// index; Index2 the second one where there are two, in the order of the
	// binary format. A br_table has its default label here. An access has its
	// alignment's exponent and its offset.
	Index, Index2 uint32
	// Value is that of an i32.const or i64.const.
	Value int64
	// Labels are those of a br_table, without the default, and LabelsAt is where
	// each of them begins, the default included. Valid until the next instruction.
	Labels   []uint32
	LabelsAt []int
}

// Scanner reads code that Decode has followed.
//
//	s := wasm.NewScanner(body.Code)
//	for s.Next() {
//		i := s.Instruction()
//	}
type Scanner struct {
	r    reader
	this Instruction
}

// NewScanner returns a Scanner before the first instruction.
func NewScanner(code []byte) *Scanner { return &Scanner{r: reader{data: code}} }

// Instruction is the instruction that Next found.
func (s *Scanner) Instruction() *Instruction { return &s.this }

// Next reads the next instruction. It returns false at the code's end, and
// where the code cannot be read, which Decode has refused.
func (s *Scanner) Next() bool {
	r := &s.r
	if r.err != nil || r.at >= len(r.data) {
		return false
	}
	i := &s.this
	i.Start = r.at
	i.Index, i.Index2 = 0, 0
	first := r.data[r.at]
	r.at++
	if i.Op = Opcode(first); first >= 0xfb {
		i.Op = s.prefixed(first)
	}
	s.operands(shapeOf(i.Op))
	i.End = r.at
	return r.err == nil
}

// prefixed reads the number behind a prefix.
func (s *Scanner) prefixed(first byte) Opcode {
	r := &s.r
	number := r.u32()
	if r.err != nil || number > 0xff || first != prefixMisc && first != prefixSIMD {
		s.unknown(first, number)
		return 0
	}
	// The compiler takes the second byte to be the number, and what follows in the
	// long form, a 1, for a nop. Any other form would mean something else to it.
	if bytes := r.at - s.this.Start; first == prefixSIMD && (bytes > 3 || bytes == 3 && number < 0x80) {
		s.failHere("instruction 0xfd %#x is encoded in %d bytes: encode it in as few as there can be", number, bytes)
	}
	return Opcode(first)<<8 | Opcode(number)
}

func (s *Scanner) operands(shape shape) {
	r, i := &s.r, &s.this
	switch shape {
	case shapePlain:
	case shapeIndex:
		i.Index = r.u32()
	case shapeIndex2, shapeAccess:
		i.Index, i.Index2 = r.u32(), r.u32()
	case shapeI32:
		i.Value = r.signed(32)
	case shapeI64:
		i.Value = r.signed(64)
	case shapeBlock:
		i.Block = s.blockType()
	case shapeLabels:
		s.labels()
	case shapeMemory:
		s.memory()
	case shapeUnknown:
		s.unknown(byte(i.Op), 0)
	default:
		s.rareOperands(shape)
	}
}

func (s *Scanner) rareOperands(shape shape) {
	r, i := &s.r, &s.this
	switch shape {
	case shapeF32:
		r.take(4)
	case shapeF64:
		r.take(8)
	case shapeV128, shapeShuffle:
		r.take(16)
	case shapeLane:
		r.take(1)
	case shapeAccessLane:
		i.Index, i.Index2 = r.u32(), r.u32()
		r.take(1)
	case shapeMemory2:
		s.memory()
		s.memory()
	case shapeDataMemory:
		i.Index = r.u32()
		s.memory()
	case shapeRefType:
		r.refType()
	case shapeSelect:
		if n := r.byte(); r.err == nil && n != 1 {
			s.failHere("select has %d types instead of one", n)
		}
		r.valueType()
	default: // None is left.
	}
}

// memory reads the index of a memory, of which there is one: a zero in one byte,
// which the compiler skips.
func (s *Scanner) memory() {
	if b := s.r.byte(); b != 0 {
		s.r.at--
		s.r.refuse(featureMemories)
	}
}

func (s *Scanner) blockType() BlockType {
	r := &s.r
	at := r.at
	v := r.signed(33)
	if v >= 0 || v == int64(BlockEmpty) || r.err != nil {
		return BlockType(v)
	}
	switch {
	case v < -64:
		r.at = at
		r.fail("block type %d is unknown", v)
	case !isValueType(ValueType(v + 0x80)):
		r.at = at
		r.unknownType(byte(v + 0x80))
	}
	return BlockType(v)
}

// labels reads a br_table's.
func (s *Scanner) labels() {
	r, i := &s.r, &s.this
	i.Labels, i.LabelsAt = i.Labels[:0], i.LabelsAt[:0]
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		i.LabelsAt = append(i.LabelsAt, r.at)
		i.Labels = append(i.Labels, r.u32())
	}
	i.LabelsAt = append(i.LabelsAt, r.at)
	i.Index = r.u32()
}

// unknown refuses an instruction, by the name of its feature if it has one.
func (s *Scanner) unknown(first byte, number uint32) {
	if s.this.Op > 0xff {
		first, number = byte(s.this.Op>>8), uint32(s.this.Op&0xff)
	}
	if s.r.err != nil {
		return
	}
	s.r.at = s.this.Start
	if f := featureOf(first, number); f != "" {
		s.r.refuse(f)
		return
	}
	if first >= 0xfb {
		s.r.fail("instruction %#x %#x is unknown", first, number)
		return
	}
	s.r.fail("instruction %#x is unknown", first)
}

// failHere is about the instruction, not about the byte that was read last.
func (s *Scanner) failHere(format string, args ...any) {
	s.r.at = s.this.Start
	s.r.fail(format, args...)
}
