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
	// binary format. A br_table has its default label here.
	Index, Index2 uint32
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
