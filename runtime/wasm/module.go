package wasm

// Header is what every core module of version 1 begins with.
const Header = "\x00asm\x01\x00\x00\x00"

// PageBytes is the unit of a memory's size.
const PageBytes = 64 << 10

// MaxPages is the most that a memory can have: all that 32 bits can address.
const MaxPages = 1 << 16

// Kind is the kind of an import or export, as it is encoded.
type Kind byte

// The kinds of imports and exports.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
)

// Module is a decoded module. Indices in it, and in the bodies, count imports
// first, as in the binary. Custom sections other than the function names are
// dropped.
type Module struct {
	Types   []FuncType
	Imports []Import
	// Functions are the type indices of the defined functions; Code has their
	// bodies in the same order.
	Functions []uint32
	Tables    []Table
	// Memory is the defined memory, or nil.
	Memory  *Memory
	Globals []Global
	Exports []Export
	// Start is the index of the start function, or nil.
	Start    *uint32
	Elements []Element
	// DataCount says that there is a data count section, which memory.init and
	// data.drop need.
	DataCount bool
	Code      []Body
	Data      []Data
	// Names are the names of functions by index, imports included; nil when the
	// module has none.
	Names map[uint32]string
}

// FuncType is the type of a function.
type FuncType struct {
	Params, Results []ValueType
}

// Import is something that a module asks for.
type Import struct {
	Module, Name string
	Kind         Kind
	// Type is a function's type index.
	Type uint32
	// Table, Memory and Global are set for an import of their kind.
	Table  Table
	Memory Memory
	Global GlobalType
}

// Table is a table's type. Sizes are in entries.
type Table struct {
	Element  ValueType
	Min, Max uint32
	HasMax   bool
}

// Memory is a memory's type. Sizes are in pages.
type Memory struct {
	Min, Max uint32
	HasMax   bool
}

// GlobalType is a global's type.
type GlobalType struct {
	Type    ValueType
	Mutable bool
}

// Global is a defined global.
type Global struct {
	GlobalType
	Init Expr
}

// Export is something that a module offers.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// ImportCount returns how many imports of a kind there are: the index of the
// first defined one.
func (m *Module) ImportCount(k Kind) uint32 {
	n := uint32(0)
	for i := range m.Imports {
		if m.Imports[i].Kind == k {
			n++
		}
	}
	return n
}

// FunctionTypes returns the index in Types of each function's type, imports
// included.
func (m *Module) FunctionTypes() []uint32 {
	types := make([]uint32, 0, len(m.Imports)+len(m.Functions))
	for i := range m.Imports {
		if m.Imports[i].Kind == KindFunction {
			types = append(types, m.Imports[i].Type)
		}
	}
	return append(types, m.Functions...)
}
