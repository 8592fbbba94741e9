package wasm

import "encoding/binary"

// Encode returns the module in the binary format. Decode gives an equal module
// for it, unless it was changed to one that is wrong.
func (m *Module) Encode() []byte {
	b := append(make([]byte, 0, m.sizeHint()), Header...)
	b = appendVector(b, sectionType, m.Types, appendType)
	b = appendVector(b, sectionImport, m.Imports, appendImport)
	b = appendVector(b, sectionFunction, m.Functions, appendIndex)
	b = appendVector(b, sectionTable, m.Tables, appendTable)
	if m.Memory != nil {
		b = appendVector(b, sectionMemory, []Memory{*m.Memory}, appendMemory)
	}
	b = appendVector(b, sectionGlobal, m.Globals, appendGlobal)
	b = appendVector(b, sectionExport, m.Exports, appendExport)
	if m.Start != nil {
		b = appendBytes(append(b, sectionStart), appendIndex(nil, m.Start))
	}
	b = appendVector(b, sectionElement, m.Elements, appendElement)
	if m.DataCount {
		n := uint32(len(m.Data))
		b = appendBytes(append(b, sectionDataCount), appendIndex(nil, &n))
	}
	b = appendVector(b, sectionCode, m.Code, appendBody)
	b = appendVector(b, sectionData, m.Data, appendData)
	return m.appendNames(b)
}

// sizeHint is about what the module takes.
func (m *Module) sizeHint() int {
	n := 1 << 12
	for i := range m.Code {
		n += len(m.Code[i].Code) + 2*len(m.Code[i].Locals) + 8
	}
	for i := range m.Data {
		n += len(m.Data[i].Init) + 16
	}
	for _, name := range m.Names {
		n += len(name) + 8
	}
	return n
}

// appendVector appends a section of entries, or nothing for none. The entries are
// written in place, behind a length that is as long as one can be, and moved.
func appendVector[E any](b []byte, id byte, entries []E, one func([]byte, *E) []byte) []byte {
	if len(entries) == 0 {
		return b
	}
	b = append(b, id)
	start := len(b)
	b = append(b, make([]byte, binary.MaxVarintLen32)...)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for i := range entries {
		b = one(b, &entries[i])
	}
	content := b[start+binary.MaxVarintLen32:]
	b = binary.AppendUvarint(b[:start], uint64(len(content)))
	return append(b, content...)
}

func appendBytes(b, content []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(content)))
	return append(b, content...)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendIndex(b []byte, index *uint32) []byte { return binary.AppendUvarint(b, uint64(*index)) }

func appendTypes(b []byte, types []ValueType) []byte {
	b = binary.AppendUvarint(b, uint64(len(types)))
	for _, t := range types {
		b = append(b, byte(t))
	}
	return b
}

func appendType(b []byte, t *FuncType) []byte {
	return appendTypes(appendTypes(append(b, 0x60), t.Params), t.Results)
}

func appendImport(b []byte, i *Import) []byte {
	b = append(appendText(appendText(b, i.Module), i.Name), byte(i.Kind))
	switch i.Kind {
	case KindTable:
		return appendTable(b, &i.Table)
	case KindMemory:
		return appendMemory(b, &i.Memory)
	case KindGlobal:
		return appendGlobalType(b, i.Global)
	default:
		return appendIndex(b, &i.Type)
	}
}

func appendSize(b []byte, low, high uint32, hasHigh bool) []byte {
	if !hasHigh {
		return appendIndex(append(b, 0), &low)
	}
	return appendIndex(appendIndex(append(b, 1), &low), &high)
}

func appendTable(b []byte, t *Table) []byte {
	return appendSize(append(b, byte(t.Element)), t.Min, t.Max, t.HasMax)
}

func appendMemory(b []byte, m *Memory) []byte { return appendSize(b, m.Min, m.Max, m.HasMax) }

func appendGlobalType(b []byte, g GlobalType) []byte {
	mutable := byte(0)
	if g.Mutable {
		mutable = 1
	}
	return append(b, byte(g.Type), mutable)
}

func appendGlobal(b []byte, g *Global) []byte {
	return append(appendGlobalType(b, g.GlobalType), g.Init...)
}

func appendExport(b []byte, e *Export) []byte {
	return appendIndex(append(appendText(b, e.Name), byte(e.Kind)), &e.Index)
}

func appendElement(b []byte, e *Element) []byte {
	flags := byte(0)
	if e.Functions == nil {
		flags |= elementExpressions
	}
	switch e.Mode {
	case Passive:
		flags |= elementNotActive
	case Declarative:
		flags |= elementNotActive | elementExplicit
	default:
		if e.Table != 0 || e.Type != FuncRef {
			flags |= elementExplicit
		}
	}
	b = append(b, flags)
	if e.Mode == Active {
		if flags&elementExplicit != 0 {
			b = appendIndex(b, &e.Table)
		}
		b = append(b, e.Offset...)
	}
	switch {
	case flags&3 == 0:
	case e.Functions == nil:
		b = append(b, byte(e.Type))
	default:
		b = append(b, 0) // The kind of functions.
	}
	return appendEntries(b, e)
}

func appendEntries(b []byte, e *Element) []byte {
	if e.Functions != nil {
		b = binary.AppendUvarint(b, uint64(len(e.Functions)))
		for i := range e.Functions {
			b = appendIndex(b, &e.Functions[i])
		}
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(e.Exprs)))
	for _, expr := range e.Exprs {
		b = append(b, expr...)
	}
	return b
}

func appendBody(b []byte, f *Body) []byte {
	// Its length comes first, and is known once the locals are written.
	var short [64]byte
	locals := binary.AppendUvarint(short[:0], uint64(len(f.Locals)))
	for i := range f.Locals {
		locals = append(appendIndex(locals, &f.Locals[i].Count), byte(f.Locals[i].Type))
	}
	b = binary.AppendUvarint(b, uint64(len(locals)+len(f.Code)))
	return append(append(b, locals...), f.Code...)
}

func appendData(b []byte, d *Data) []byte {
	if d.Mode == Passive {
		return appendBytes(append(b, 1), d.Init)
	}
	return appendBytes(append(append(b, 0), d.Offset...), d.Init)
}
