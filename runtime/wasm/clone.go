package wasm

import "slices"

// Clone returns a module that can be changed, or rewritten, without changing m. Both
// keep the same binary.
func (m *Module) Clone() *Module {
	c := *m
	c.Types = slices.Clone(m.Types)
	c.Imports = slices.Clone(m.Imports)
	c.Functions = slices.Clone(m.Functions)
	c.Tables = slices.Clone(m.Tables)
	c.Globals = slices.Clone(m.Globals)
	c.Exports = slices.Clone(m.Exports)
	c.Code = slices.Clone(m.Code)
	c.Data = slices.Clone(m.Data)
	c.Elements = slices.Clone(m.Elements)
	for i := range c.Elements {
		e := &c.Elements[i]
		e.Functions, e.Exprs = slices.Clone(e.Functions), slices.Clone(e.Exprs)
	}
	if m.Memory != nil {
		memory := *m.Memory
		c.Memory = &memory
	}
	if m.Start != nil {
		start := *m.Start
		c.Start = &start
	}
	return &c
}
