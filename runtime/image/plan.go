package image

import (
	"errors"
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// The names that a planned module exports more, where it has such a thing. No
// module's own names contain NUL.
const (
	MemoryExport = "\x00image:memory"
	StartExport  = "\x00image:start"
	globalExport = "\x00image:global:"
)

// maxPages is the largest memory in pages of WebAssembly.
const maxPages = 1 << 16

// Plan is how a module's snapshot is taken and its sandboxes are made.
type Plan struct {
	// Memory is the memory's type as the module has declared it; nil without one.
	// In the rewritten module a declared maximum is one page higher, because
	// [Memory.Shrink] needs a page that is never there: give Reserve the lower of
	// the limit and Memory.Max, and set the rewritten maximum, if at all, a page
	// above the limit. A sandbox whose memory reaches the rewritten maximum cannot
	// be shrunk.
	Memory *wasm.Memory
	// Globals are the exported names of the mutable globals. A snapshot holds
	// their values.
	Globals []string
	// Start says that there was a start function, which is exported as
	// StartExport and no longer runs by itself. It must be called once.
	Start bool
	// Data is what instantiation would have written into memory, in order.
	Data []Segment
	// Fresh is why a reset sandbox is not a new one. Such a module gets a new
	// instance for each call, from Data and its start function. It is empty when
	// memory and globals are all that a call can change.
	Fresh string
}

// NewPlan rewrites a module so that snapshots can be taken of it: its memory and
// mutable globals are exported, its data segments and start function become the
// plan's. Nothing that its code can see changes. Metering comes later, so that
// what it adds is nobody's snapshot.
//
// A module is refused that imports anything but functions, or whose data does not
// fit in its memory.
func NewPlan(m *wasm.Module) (*Plan, error) {
	for _, i := range m.Imports {
		if i.Kind != wasm.KindFunction {
			return nil, fmt.Errorf("import %q %q is not a function: only functions can be imported", i.Module, i.Name)
		}
	}
	p := &Plan{}
	if m.Memory != nil {
		declared := *m.Memory
		p.Memory = &declared
	}
	var err error
	if p.Data, err = initialData(m); err != nil {
		return nil, err
	}
	code := inspect(m)
	p.Fresh = code.fresh
	moveData(m, code.usesData)
	p.exportMemory(m)
	p.exportGlobals(m)
	p.exportStart(m)
	return p, nil
}

// Image is the memory that the module's instances begin with before any of their
// code has run: what the first of them is made with, which the snapshot is then
// taken of, and all of them when the plan says Fresh.
func (p *Plan) Image(mechanism Mechanism) (*Image, error) {
	if p.Memory == nil {
		return build(nil, 0, mechanism)
	}
	return build(p.Data, int(p.Memory.Min)*unit, mechanism)
}

func (p *Plan) exportMemory(m *wasm.Module) {
	if m.Memory == nil {
		return
	}
	if m.Memory.HasMax && m.Memory.Max < maxPages {
		m.Memory.Max++
	}
	m.Exports = append(m.Exports, wasm.Export{Name: MemoryExport, Kind: wasm.KindMemory})
}

// exportGlobals exports what fits in 64 bits. Of the others, the plan is Fresh.
func (p *Plan) exportGlobals(m *wasm.Module) {
	for i, g := range m.Globals {
		if !g.Mutable {
			continue
		}
		switch g.Type {
		case wasm.I32, wasm.I64, wasm.F32, wasm.F64:
			name := fmt.Sprintf("%s%d", globalExport, i)
			p.Globals = append(p.Globals, name)
			m.Exports = append(m.Exports, wasm.Export{Name: name, Kind: wasm.KindGlobal, Index: uint32(i)})
		default:
			if p.Fresh == "" {
				p.Fresh = fmt.Sprintf("global %d is mutable and of type %s, which cannot be read and set", i, g.Type)
			}
		}
	}
}

func (p *Plan) exportStart(m *wasm.Module) {
	if m.Start == nil {
		return
	}
	p.Start = true
	m.Exports = append(m.Exports, wasm.Export{Name: StartExport, Kind: wasm.KindFunction, Index: *m.Start})
	m.Start = nil
}

// initialData returns the active segments of a module that could be instantiated.
func initialData(m *wasm.Module) ([]Segment, error) {
	var found []Segment
	for i, d := range m.Data {
		if d.Mode != wasm.Active {
			continue
		}
		if m.Memory == nil {
			return nil, fmt.Errorf("data segment %d is for a memory, and the module has none", i)
		}
		offset, err := constant(d.Offset)
		if err != nil {
			return nil, fmt.Errorf("offset of data segment %d: %w", i, err)
		}
		end, size := int64(offset)+int64(len(d.Init)), int64(m.Memory.Min)*unit
		if end > size {
			return nil, fmt.Errorf("data segment %d fills bytes %d to %d of a memory that begins with %d bytes: "+
				"declare a larger minimum", i, offset, end, size)
		}
		if len(d.Init) > 0 {
			found = append(found, Segment{Offset: offset, Bytes: d.Init})
		}
	}
	return found, nil
}

// moveData takes the active segments' content out. Once a module is instantiated
// they are empty to its code, so they are passive and empty now; and nothing is
// left when no code names a segment by its index.
func moveData(m *wasm.Module, used bool) {
	if !used {
		m.Data, m.DataCount = nil, false
		return
	}
	for i := range m.Data {
		if m.Data[i].Mode == wasm.Active {
			m.Data[i] = wasm.Data{Mode: wasm.Passive}
		}
	}
}

// findings are what the bodies have in them.
type findings struct {
	fresh    string
	usesData bool
}

func inspect(m *wasm.Module) findings {
	var f findings
	first := m.ImportCount(wasm.KindFunction)
	for i := range m.Code {
		s := wasm.NewScanner(m.Code[i].Code)
		for s.Next() {
			op := s.Instruction().Op
			f.usesData = f.usesData || op == wasm.OpMemoryInit || op == wasm.OpDataDrop
			if name := lasting(op); name != "" && f.fresh == "" {
				f.fresh = fmt.Sprintf("function %d has %s, and only memory and globals are reset", first+uint32(i), name)
			}
		}
	}
	return f
}

// lasting names an instruction that changes more of an instance than its memory
// and its globals. memory.init does not: it reads the segment.
func lasting(op wasm.Opcode) string {
	switch op {
	case wasm.OpTableSet:
		return "table.set"
	case wasm.OpTableGrow:
		return "table.grow"
	case wasm.OpTableFill:
		return "table.fill"
	case wasm.OpTableCopy:
		return "table.copy"
	case wasm.OpTableInit:
		return "table.init"
	case wasm.OpElemDrop:
		return "elem.drop"
	case wasm.OpDataDrop:
		return "data.drop"
	default:
		return ""
	}
}

// constant is the value of the expression i32.const. An offset can be nothing
// else: there are no imported globals to take it from.
// https://webassembly.github.io/spec/core/binary/values.html#integers
func constant(e wasm.Expr) (uint32, error) {
	if len(e) < 3 || len(e) > 7 || wasm.Opcode(e[0]) != wasm.OpI32Const || wasm.Opcode(e[len(e)-1]) != wasm.OpEnd {
		return 0, errors.New("it is not an i32.const")
	}
	digits := e[1 : len(e)-1]
	var value int64
	for i, b := range digits {
		if (b&0x80 == 0) != (i == len(digits)-1) {
			return 0, errors.New("its number does not end with it")
		}
		value |= int64(b&0x7f) << (7 * i)
	}
	if digits[len(digits)-1]&0x40 != 0 {
		value -= 1 << (7 * len(digits))
	}
	return uint32(value), nil
}
