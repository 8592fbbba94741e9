package outline

import "github.com/tetratelabs/wazero/api"

// The compiler makes room for as many entries as a vector says that it has,
// before it reads the first: four bytes of a stranger's can ask for 170 GB. So
// every vector of every section is followed here, and held against the bytes
// that are there.

const (
	// maxEntries bounds the entries of a section. In memory the largest, an
	// import's, are some 40 times as long as in the binary.
	maxEntries = 100_000
	// maxElements bounds the entries of all element segments: 4 tables are filled.
	maxElements = 400_000
	// maxValues bounds a function's parameters, and its results:
	// https://webassembly.github.io/spec/js-api/#limits.
	maxValues = 1000
	// maxNames bounds what the name section names: functions, and their variables.
	maxNames = 1_000_000
)

const (
	sectionCustom    = 0
	sectionFunction  = 3
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionData      = 11
	sectionDataCount = 12
)

// section reads a section to its end.
func (o *Outline) section(id byte, r *reader) {
	entries := map[byte]func(r *reader){
		sectionType: o.readType, sectionImport: o.readImport, sectionTable: o.readTable,
		sectionMemory: o.readMemory, sectionCode: o.readBody,
		sectionFunction: func(r *reader) { r.u32() },
		sectionGlobal:   readGlobal,
		sectionExport:   readExport,
		sectionElement:  o.readElement,
		sectionData:     readData,
	}
	switch entry := entries[id]; {
	case entry != nil:
		for n := r.count(maxEntries); n > 0 && r.err == nil; n-- {
			entry(r)
		}
	case id == sectionStart, id == sectionDataCount:
		r.u32()
	case id == sectionCustom:
		if name := r.name(); name == "name" {
			o.readNames(r)
		} else {
			r.take(uint64(len(r.data) - r.at))
		}
	default:
		r.fail("section %d is unknown", id)
	}
	if r.err == nil && r.at < len(r.data) {
		r.fail("the section goes on after its last entry")
	}
}

func readGlobal(r *reader) {
	r.valueType()
	r.byte() // Mutability.
	r.expression()
}

func readExport(r *reader) {
	r.name()
	r.byte() // Kind.
	r.u32()
}

// readElement follows an element segment. Of its flags the first says that no
// table is filled at start, the second that a table (or, with the first, nothing)
// is named, the third that the entries are expressions.
func (o *Outline) readElement(r *reader) {
	flags := r.u32()
	if flags > 7 {
		r.fail("element segment with flags %#x is not supported", flags)
		return
	}
	active, expressions := flags&1 == 0, flags&4 != 0
	if active && flags&2 != 0 {
		r.u32()
	}
	if active {
		r.expression()
	}
	switch named := flags&3 != 0; {
	case named && expressions:
		if t := r.byte(); r.err == nil && t != refFunction && t != refExtern {
			r.fail("element type %#x is unknown", t)
		}
	case named:
		r.byte() // Kind.
	}
	n := r.count(maxElements - o.elements)
	for o.elements += n; n > 0 && r.err == nil; n-- {
		if expressions {
			r.expression()
		} else {
			r.u32()
		}
	}
}

func readData(r *reader) {
	switch flags := r.u32(); flags {
	case 0:
		r.expression()
	case 1:
	case 2:
		r.u32()
		r.expression()
	default:
		r.fail("data segment with flags %#x is not supported", flags)
	}
	r.take(uint64(r.u32()))
}

// readNames follows the name section. Subsections of other kinds are skipped, as
// the compiler does.
func (o *Outline) readNames(r *reader) {
	if o.named {
		r.fail("there is a second name section")
	}
	o.named = true
	for r.err == nil && r.at < len(r.data) {
		kind := r.byte()
		body := r.take(uint64(r.u32()))
		sub := &reader{data: r.data[:r.at], at: r.at - len(body), err: r.err}
		switch kind {
		case 0: // The module's.
			sub.name()
		case 1: // The functions'.
			o.readNameMap(sub)
		case 2: // The local variables', by function.
			for n := sub.count(maxNames); n > 0 && sub.err == nil; n-- {
				sub.u32()
				o.readNameMap(sub)
			}
		default:
			continue
		}
		if sub.err == nil && sub.at < len(sub.data) {
			sub.fail("the names go on after the last")
		}
		r.err = sub.err
	}
}

func (o *Outline) readNameMap(r *reader) {
	n := r.count(maxNames - o.names)
	for o.names += n; n > 0 && r.err == nil; n-- {
		r.u32()
		r.name()
	}
}

// count reads the length of a vector, of at most so many entries of a byte or more.
func (r *reader) count(most uint32) uint32 {
	n := r.u32()
	switch {
	case r.err != nil:
		return 0
	case uint64(n) > uint64(len(r.data)-r.at):
		r.fail("%w: %d entries in %d bytes", errEnd, n, len(r.data)-r.at)
		return 0
	case n > most:
		r.fail("%d entries are more than the %d that are allowed", n, most)
		return 0
	}
	return n
}

// valueType reads one of the types that are one byte, which are all there are
// without typed references.
func (r *reader) valueType() {
	if t := r.byte(); r.err == nil && !isValueType(t) {
		r.fail("value type %#x is unknown", t)
	}
}

// valueTypes reads a vector of them.
func (r *reader) valueTypes() []api.ValueType {
	types := r.take(uint64(r.count(maxValues)))
	for _, t := range types {
		if !isValueType(t) {
			r.fail("value type %#x is unknown", t)
			return nil
		}
	}
	return types
}

// isValueType knows the numbers, vectors and references of version 2.
func isValueType(t byte) bool { return t >= 0x7b && t <= 0x7f || t == refFunction || t == refExtern }

// expression reads a constant expression.
func (r *reader) expression() {
	for r.err == nil {
		switch op := r.byte(); op {
		case 0x0b: // end
			return
		case 0x41, 0x42, 0x23, 0xd2, 0xd0: // i32.const, i64.const, global.get, ref.func, ref.null
			// The number itself is the compiler's to read.
			for r.byte()&0x80 != 0 {
			}
		case 0x43: // f32.const
			r.take(4)
		case 0x44: // f64.const
			r.take(8)
		case 0xfd: // v128.const
			r.byte()
			r.take(16)
		default:
			r.fail("operation %#x cannot be in a constant expression", op)
		}
	}
}
