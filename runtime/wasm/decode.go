package wasm

import (
	"fmt"
)

// The sections, as they are encoded.
// https://webassembly.github.io/spec/core/binary/modules.html#sections
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
	sectionTag       = 13
	sectionStrings   = 14
)

// decoder reads sections in their order, so that every index can be held against
// what was declared before.
type decoder struct {
	m *Module
	l Limits
	// r is at the section that is being read.
	r *reader
	// The index spaces, imports first: the types of functions, and the types of
	// globals and tables.
	functions       []uint32
	globals         []GlobalType
	tables          []ValueType
	importedGlobals int
	hasMemory       bool
	// dataCount is how many data segments code may name.
	dataCount uint32
	// typeValues and elements are counted over entries.
	typeValues, elements uint64
	body                 body
	// function is the index of the function that an error is about, or -1.
	function int
	// shared says that constant expressions may add.
	shared bool
	// names is the name section.
	names []byte
}

// outline is where sections lie. Those that are absent are zero values.
type outline struct {
	sections [sectionDataCount + 1]span
	names    span
}

type span struct{ from, to int }

// Decode reads a module and checks its structure, every index in it, and the
// limits. The module keeps pieces of binary, which must not change while it is in
// use. An error is a *FormatError, a *FeatureError or a *LimitError. It takes time
// and memory in proportion to len(binary).
func Decode(binary []byte, l Limits) (*Module, error) { return decode(binary, l, false) }

// DecodeShared is Decode for a position-independent module, as wasm-ld -shared
// makes them: its constant expressions may also add, as in an offset from
// __memory_base. It is for a linker, which computes them: what is encoded of them
// again is a module that Decode refuses.
// See https://github.com/WebAssembly/tool-conventions/blob/main/DynamicLinking.md.
func DecodeShared(binary []byte, l Limits) (*Module, error) { return decode(binary, l, true) }

func decode(binary []byte, l Limits, shared bool) (*Module, error) {
	found, err := split(binary)
	if err != nil {
		return nil, err
	}
	d := &decoder{
		m: &Module{}, l: l.withDefaults(), function: -1, shared: shared,
		names: binary[found.names.from:found.names.to],
	}
	for _, id := range []int{
		sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport,
		sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData,
	} {
		s := found.sections[id]
		d.r = &reader{data: binary[s.from:s.to], base: s.from}
		if s.to > 0 {
			d.section(id)
		}
		if d.r.err == nil && (id == sectionCode || id == sectionData) {
			d.checkCounts(id)
		}
		if d.r.err != nil {
			return nil, d.located(sectionName(id))
		}
	}
	d.m.Names = d.readNames()
	return d.m, nil
}

// split finds the sections, whose order is fixed; only custom ones lie anywhere.
func split(module []byte) (outline, error) {
	var o outline
	if err := checkHeader(module); err != nil {
		return o, err
	}
	r := &reader{data: module, at: len(Header)}
	last := 0
	for r.err == nil && r.left() > 0 {
		start := r.at
		id := r.byte()
		content := r.take(r.u32())
		if r.err != nil {
			break
		}
		s := span{from: r.at - len(content), to: r.at}
		r.at = start
		switch rank := rankOf(id); {
		case id == sectionCustom:
			r.err = o.custom(content, s)
		case id == sectionTag:
			r.refuse(featureExceptions)
		case id == sectionStrings:
			r.refuse(featureStrings)
		case id > sectionDataCount:
			r.fail("section %d is unknown", id)
		case rank == last:
			r.fail("there is a second %s section", sectionName(int(id)))
		case rank < last:
			r.fail("the %s section is out of order", sectionName(int(id)))
		default:
			last, o.sections[id] = rank, s
		}
		r.at = s.to
	}
	return o, r.err
}

func checkHeader(module []byte) error {
	const component = "\x0d\x00\x01\x00"
	n := min(len(module), len(Header))
	switch {
	case string(module[:n]) == Header:
		return nil
	case n == len(Header) && string(module[:4]) == Header[:4] && string(module[4:n]) == component:
		return &FeatureError{Feature: string(featureComponents), Hint: featureComponents.hint()}
	default:
		return &FormatError{Problem: fmt.Sprintf("the header %q is not that of a core module, version 1", module[:n])}
	}
}

// custom looks for the name section, the first of that name. What is in custom
// sections is never wrong; their own names may be.
func (o *outline) custom(content []byte, s span) error {
	r := &reader{data: content, base: s.from}
	if name := r.text(); name == "name" && o.names.to == 0 {
		o.names = span{s.from + r.at, s.to}
	}
	if l, ok := r.err.(located); ok {
		l.locate(sectionName(sectionCustom), "")
	}
	return r.err
}

// rankOf gives the order of sections: the data count lies between the elements and
// the code.
func rankOf(id byte) int {
	if id == sectionDataCount {
		return 2*sectionElement + 1
	}
	return 2 * int(id)
}

func sectionName(id int) string {
	switch id {
	case sectionCustom:
		return "custom"
	case sectionType:
		return "type"
	case sectionImport:
		return "import"
	case sectionFunction:
		return "function"
	case sectionTable:
		return "table"
	case sectionMemory:
		return "memory"
	case sectionGlobal:
		return "global"
	case sectionExport:
		return "export"
	case sectionStart:
		return "start"
	case sectionElement:
		return "element"
	case sectionCode:
		return "code"
	case sectionData:
		return "data"
	default:
		return "data count"
	}
}

// section reads a section to its end.
func (d *decoder) section(id int) {
	switch id {
	case sectionStart:
		d.readStart()
	case sectionDataCount:
		d.m.DataCount, d.dataCount = true, d.r.u32()
	default:
		d.entries(id)
	}
	if d.r.err == nil && d.r.left() > 0 {
		d.r.fail("the section goes on for %d bytes after its last entry", d.r.left())
	}
}

// checkCounts runs after the code and the data section, also when they are absent.
func (d *decoder) checkCounts(id int) {
	switch m := d.m; {
	case id == sectionCode && len(m.Code) != len(m.Functions):
		d.r.fail("there are %d functions and %d bodies", len(m.Functions), len(m.Code))
	case id == sectionData && m.DataCount && len(m.Data) != int(d.dataCount):
		d.r.fail("there are %d data segments instead of the data count's %d", len(m.Data), d.dataCount)
	}
}

// located returns the reader's error with the place where it happened.
func (d *decoder) located(section string) error {
	function := ""
	if d.function >= 0 {
		function = describeFunction(uint32(d.function), d.readNames())
	}
	if l, ok := d.r.err.(located); ok {
		l.locate(section, function)
	}
	return d.r.err
}

func describeFunction(index uint32, names map[uint32]string) string {
	if name, ok := names[index]; ok {
		return fmt.Sprintf("%d (%.128q)", index, name)
	}
	return fmt.Sprint(index)
}
