package image

import (
	"bytes"
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
	// In the rewritten module the minimum is zero, and a declared maximum is one page higher, because
	// [Memory.Shrink] needs a page that is never there: give Reserve the lower of
	// the limit and Memory.Max, and set the rewritten maximum, if at all, a page
	// above the limit. A sandbox whose memory reaches the rewritten maximum cannot
	// be shrunk.
	Memory *wasm.Memory
	// Globals are the exported names of the mutable globals, and Values what
	// instantiation would have set them to. In the rewritten module they are zero:
	// set them before its code runs. A snapshot holds their values.
	Globals []string
	Values  []uint64
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
// mutable globals are exported; its data segments, the values of these globals, the
// minimum of its memory and its start function become the plan's. Nothing that its
// code can see changes. Metering comes later, so that what it adds is nobody's
// snapshot.
//
// So modules that differ only in what they begin with become the same: an engine
// compiles one of them.
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
	m.Memory.Min = 0
	m.Exports = append(m.Exports, wasm.Export{Name: MemoryExport, Kind: wasm.KindMemory})
}

// exportGlobals exports what fits in 64 bits. Of the others, the plan is Fresh.
func (p *Plan) exportGlobals(m *wasm.Module) {
	for i := range m.Globals {
		g := &m.Globals[i]
		if !g.Mutable {
			continue
		}
		zero, ok := number(g.Type, 0)
		value, err := valueOf(g.Init)
		switch {
		case ok && err == nil:
			name := fmt.Sprintf("%s%d", globalExport, i)
			p.Globals, p.Values = append(p.Globals, name), append(p.Values, value)
			m.Exports = append(m.Exports, wasm.Export{Name: name, Kind: wasm.KindGlobal, Index: uint32(i)})
			g.Init = zero
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
		offset, err := offsetOf(d.Offset)
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

// bulkPrefix is what all begin with that lasting names, but for table.set.
const bulkPrefix = byte(wasm.OpTableGrow >> 8)

func inspect(m *wasm.Module) findings {
	var f findings
	first := m.ImportCount(wasm.KindFunction)
	for i := range m.Code {
		// What is looked for has one of two bytes, and most functions have neither.
		if code := m.Code[i].Code; bytes.IndexByte(code, bulkPrefix) < 0 && bytes.IndexByte(code, byte(wasm.OpTableSet)) < 0 {
			continue
		}
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
