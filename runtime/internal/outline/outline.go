// Package outline reads the parts of a WebAssembly binary that decide whether it is
// admitted, before anything costly is done with it: what it imports, what memory
// and tables it asks for, and how large its functions are.
//
// It does not validate: the compiler does, on the same bytes. But the compiler
// believes the lengths that it reads, so that it must never see a binary that
// [Read] cannot follow.
//
// See https://webassembly.github.io/spec/core/binary/modules.html.
package outline

import (
	"fmt"

	"github.com/tetratelabs/wazero/api"
)

// Kind is the kind of an import.
type Kind byte

// The kinds of imports, as they are encoded.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
)

// String returns the word for the kind.
func (k Kind) String() string {
	switch k {
	case KindFunction:
		return "function"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	default:
		return "global"
	}
}

// Import is something that a module asks for.
type Import struct {
	Module, Name string
	Kind         Kind
	// Params and Results are a function's type.
	Params, Results []api.ValueType
}

// Function is the size of a function that the module defines.
type Function struct {
	// BodyBytes is the length of the encoded body, Locals the number of its
	// local variables.
	BodyBytes, Locals uint64
}

// Outline is what Read found.
type Outline struct {
	Imports []Import
	// HasMemory says that the module defines a memory, of at least
	// MinMemoryPages pages of 64 KiB.
	HasMemory      bool
	MinMemoryPages uint64
	// Tables are those that the module defines.
	Tables []Table
	// Functions are those that the module defines.
	Functions []Function

	types [][2][]api.ValueType
	// elements and names count what the sections of that name hold.
	elements, names uint32
	named           bool
	// tables is where the table section lies, its header included.
	tables struct{ start, end int }
}

// Table is a table's type.
type Table struct {
	Element  byte
	Min, Max uint32
	HasMax   bool
}

// Header is what every core module of version 1 begins with.
const Header = "\x00asm\x01\x00\x00\x00"

const (
	sectionType   = 1
	sectionImport = 2
	sectionTable  = 4
	sectionMemory = 5
	sectionCode   = 10

	limitsHasMax = 1
	typeFunction = 0x60
	refFunction  = 0x70
	refExtern    = 0x6f
)

// Read returns the outline of a binary.
func Read(binary []byte) (*Outline, error) {
	r := &reader{data: binary, at: len(Header)}
	if len(binary) < len(Header) || string(binary[:len(Header)]) != Header {
		return nil, fmt.Errorf("the header is not that of a core module, version 1")
	}
	o := &Outline{}
	seen := map[byte]bool{}
	for r.err == nil && r.at < len(binary) {
		start := r.at
		id := r.byte()
		body := r.take(uint64(r.u32()))
		if r.err != nil {
			break
		}
		if id != sectionCustom && seen[id] {
			return nil, fmt.Errorf("read section %d: there is a second one", id)
		}
		seen[id] = true
		section := &reader{data: binary[:r.at], at: r.at - len(body)}
		o.section(id, section)
		if section.err != nil {
			return nil, fmt.Errorf("read section %d: %w", id, section.err)
		}
		if id == sectionTable {
			o.tables.start, o.tables.end = start, r.at
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("read sections: %w", r.err)
	}
	return o, nil
}

func (o *Outline) readType(r *reader) {
	if form := r.byte(); form != typeFunction {
		r.fail("type form %#x is not a function's", form)
		return
	}
	params, results := r.valueTypes(), r.valueTypes()
	o.types = append(o.types, [2][]api.ValueType{params, results})
}

func (o *Outline) readImport(r *reader) {
	i := Import{Module: r.name(), Name: r.name(), Kind: Kind(r.byte())}
	switch i.Kind {
	case KindFunction:
		index := r.u32()
		if r.err == nil && uint64(index) >= uint64(len(o.types)) {
			r.fail("type %d of import %q is not defined", index, i.Name)
		}
		if r.err == nil {
			i.Params, i.Results = o.types[index][0], o.types[index][1]
		}
	case KindTable:
		r.byte()
		r.limits()
	case KindMemory:
		r.limits()
	case KindGlobal:
		r.take(2) // Value type and mutability.
	default:
		r.fail("import kind %d is unknown", i.Kind)
	}
	if r.err == nil {
		o.Imports = append(o.Imports, i)
	}
}

func (o *Outline) readTable(r *reader) {
	t := Table{Element: r.byte()}
	if r.err == nil && t.Element != refFunction && t.Element != refExtern {
		r.fail("table element type %#x is unknown", t.Element)
	}
	t.Min, t.Max, t.HasMax = r.limits()
	if r.err == nil {
		o.Tables = append(o.Tables, t)
	}
}

func (o *Outline) readMemory(r *reader) {
	pages, _, _ := r.limits()
	o.HasMemory = true
	o.MinMemoryPages = max(o.MinMemoryPages, uint64(pages))
}

func (o *Outline) readBody(r *reader) {
	body := r.take(uint64(r.u32()))
	f := Function{BodyBytes: uint64(len(body))}
	locals := &reader{data: body}
	for n := locals.u32(); n > 0 && locals.err == nil; n-- {
		f.Locals += uint64(locals.u32())
		locals.valueType()
	}
	if r.err == nil {
		r.err = locals.err
	}
	if r.err == nil {
		o.Functions = append(o.Functions, f)
	}
}
