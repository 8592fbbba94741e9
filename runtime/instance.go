package runtime

import (
	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// What it costs to make an instance, in units of fuel: those of runtime/meter for the
// instructions that would do the same work, where there are such. They depend on the
// module alone, so that they are the same on any machine: a memory's zeroes cost
// nothing, since they are mapped, and its content costs what copying it does, which
// is when its pages are touched.
const (
	// instanceBase is mapping the memory, and the two instances of a guest and its
	// kernel, and giving them back: 30 us.
	instanceBase = 30_000
	// instanceEntry is an entry of a table, as with table.grow, and instanceElement
	// one of an element segment, a reference to a function, as with ref.func.
	instanceEntry   = 16
	instanceElement = 80
	// instanceGlobal is 80 bytes that are cleared and set, and instanceImport a
	// function that is found by its name.
	instanceGlobal = 20
	instanceImport = 100
	// instanceSegment is a data segment that stays, which is not copied.
	instanceSegment = 4
	// instanceCopied is how many bytes of a memory's content cost a unit, as with
	// memory.init.
	instanceCopied = 16
)

// instanceFuel is what a call is charged for an instance of a module that has a new
// one for each.
func instanceFuel(m *wasm.Module, p *image.Plan) uint64 {
	fuel := uint64(instanceBase)
	for _, t := range m.Tables {
		fuel += uint64(t.Min) * instanceEntry
	}
	for i := range m.Elements {
		fuel += uint64(len(m.Elements[i].Functions)+len(m.Elements[i].Exprs)) * instanceElement
	}
	fuel += uint64(len(m.Globals))*instanceGlobal + uint64(len(m.Imports))*instanceImport + uint64(len(m.Data))*instanceSegment
	for _, s := range p.Data {
		fuel += uint64(len(s.Bytes)+instanceCopied-1) / instanceCopied
	}
	return fuel
}
