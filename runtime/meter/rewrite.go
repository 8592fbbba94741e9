package meter

import (
	"fmt"
	"slices"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Version changes whenever the same module would be rewritten to other bytes, or
// would use another amount of fuel. What is kept of rewritten modules is kept
// under it.
const Version = 2

// Rewrite changes a module so that it counts fuel. The module must be one that
// [wasm.Decode] gave, or that was made from such a one; it must not have been
// rewritten before. After an error it is of no use any more.
//
// All that is added comes last among its kind, but for the two imported
// functions, which push the defined ones up by two.
func Rewrite(m *wasm.Module) error {
	if len(m.Functions) != len(m.Code) {
		return fmt.Errorf("rewrite module: it has %d functions and %d bodies", len(m.Functions), len(m.Code))
	}
	r := newRewriter(m)
	for i := range m.Code {
		t := m.Functions[i]
		if int(t) >= len(m.Types) {
			return fmt.Errorf("rewrite function %d: its type %d is not among %d", int(r.imported)+i, t, len(m.Types))
		}
		if err := r.body(&m.Code[i], m.Types[t]); err != nil {
			return fmt.Errorf("rewrite function %d: %w", int(r.imported)+i, err)
		}
	}
	r.module()
	return nil
}

// AddedImports is how many functions a rewritten module imports more, behind those
// that it imports itself.
const AddedImports = 2

// rewriter is one module's rewriting.
type rewriter struct {
	m *wasm.Module
	// imported is how many functions the module imports itself.
	imported uint32
	// refuel and charge are the functions that are imported for fuel, and global
	// is G.
	refuel, charge, global uint32
	costs                  costs
	helpers                helpers
	// plan and emitter are used again for each function.
	plan    plan
	emitter emitter
}

func newRewriter(m *wasm.Module) *rewriter {
	imported := m.ImportCount(wasm.KindFunction)
	r := &rewriter{
		m:        m,
		imported: imported,
		refuel:   imported,
		charge:   imported + 1,
		global:   m.ImportCount(wasm.KindGlobal) + uint32(len(m.Globals)),
		costs:    newCosts(),
	}
	r.helpers.first = imported + AddedImports + uint32(len(m.Functions))
	r.plan.rewriter = r
	r.emitter.rewriter = r
	return r
}

// body rewrites one function.
func (r *rewriter) body(b *wasm.Body, t wasm.FuncType) error {
	locals := uint32(len(t.Params))
	for _, l := range b.Locals {
		locals += l.Count
	}
	if err := r.plan.make(b.Code, locals); err != nil {
		return err
	}
	code := r.emitter.emit(b.Code, t.Results, locals)
	b.Code = slices.Clone(code)
	if r.plan.cached() {
		b.Locals = append(slices.Clip(b.Locals), wasm.Locals{Count: 1, Type: wasm.I64})
	}
	if r.plan.scratch {
		b.Locals = append(slices.Clip(b.Locals), wasm.Locals{Count: 1, Type: wasm.I32})
	}
	return nil
}

// function returns the new index of a function.
func (r *rewriter) function(index uint32) uint32 {
	if index < r.imported {
		return index
	}
	return index + AddedImports
}

// module does what is outside of the bodies.
func (r *rewriter) module() {
	m := r.m
	for i := range m.Globals {
		m.Globals[i].Init = r.expr(m.Globals[i].Init)
	}
	for i := range m.Exports {
		if m.Exports[i].Kind == wasm.KindFunction {
			m.Exports[i].Index = r.function(m.Exports[i].Index)
		}
	}
	if m.Start != nil {
		start := r.function(*m.Start)
		m.Start = &start
	}
	for i := range m.Elements {
		r.element(&m.Elements[i])
	}
	r.names()
	r.add()
}

func (r *rewriter) element(e *wasm.Element) {
	e.Offset = r.expr(e.Offset)
	for i := range e.Functions {
		e.Functions[i] = r.function(e.Functions[i])
	}
	for i := range e.Exprs {
		e.Exprs[i] = r.expr(e.Exprs[i])
	}
}

// expr returns a constant expression in which functions have their new indices.
func (r *rewriter) expr(e wasm.Expr) wasm.Expr {
	var out wasm.Code
	s := wasm.NewScanner(e)
	for s.Next() {
		i := s.Instruction()
		if i.Op != wasm.OpRefFunc {
			out.Raw(e[i.Start:i.End])
			continue
		}
		out.Index(wasm.OpRefFunc, r.function(i.Index))
	}
	return wasm.Expr(out)
}

func (r *rewriter) names() {
	if r.m.Names == nil {
		return
	}
	names := make(map[uint32]string, len(r.m.Names)+AddedImports+len(r.helpers.used))
	for index, name := range r.m.Names {
		names[r.function(index)] = name
	}
	names[r.refuel], names[r.charge] = "fuel.refuel", "fuel.charge"
	for i, h := range r.helpers.used {
		names[r.helpers.first+uint32(i)] = h.name()
	}
	r.m.Names = names
}

// add appends the imports, the global, its export and the helpers.
func (r *rewriter) add() {
	m := r.m
	m.Imports = append(m.Imports,
		wasm.Import{Module: hostModule, Name: hostRefuel, Kind: wasm.KindFunction, Type: r.signature(refuelType())},
		wasm.Import{Module: hostModule, Name: hostCharge, Kind: wasm.KindFunction, Type: r.signature(chargeType())})
	var zero wasm.Code
	zero.I64(0)
	zero.Op(wasm.OpEnd)
	m.Globals = append(m.Globals, wasm.Global{
		GlobalType: wasm.GlobalType{Type: wasm.I64, Mutable: true},
		Init:       wasm.Expr(zero),
	})
	m.Exports = append(m.Exports, wasm.Export{Name: Global, Kind: wasm.KindGlobal, Index: r.global})
	for _, h := range r.helpers.used {
		t, body := r.helper(h)
		m.Functions = append(m.Functions, r.signature(t))
		m.Code = append(m.Code, body)
	}
}

// signature returns the index of a function type, which is added when the module
// does not have it.
func (r *rewriter) signature(t wasm.FuncType) uint32 {
	for i := range r.m.Types {
		if slices.Equal(r.m.Types[i].Params, t.Params) && slices.Equal(r.m.Types[i].Results, t.Results) {
			return uint32(i)
		}
	}
	r.m.Types = append(r.m.Types, t)
	return uint32(len(r.m.Types) - 1)
}
