package wasm

// Expr is a constant expression as it is encoded, its end included.
type Expr []byte

// SegmentMode says when a segment is used.
type SegmentMode byte

// The modes of segments. Data segments are not declarative.
const (
	Active SegmentMode = iota
	Passive
	Declarative
)

// Element is an element segment: functions, or else expressions.
type Element struct {
	Mode SegmentMode
	// Table and Offset are an active segment's.
	Table  uint32
	Offset Expr
	Type   ValueType
	// Functions are indices. When it is nil, Exprs are the entries.
	Functions []uint32
	Exprs     []Expr
}

// Data is a data segment.
type Data struct {
	Mode SegmentMode
	// Offset is an active segment's, into memory 0.
	Offset Expr
	Init   []byte
}

// Body is a function's code.
type Body struct {
	Locals []Locals
	// Code is the instructions, the last end included.
	Code []byte
}

// Locals are variables of one type that lie side by side.
type Locals struct {
	Count uint32
	Type  ValueType
}
