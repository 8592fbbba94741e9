package runtimetest

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Random returns a valid module that is the same for the same seed. It exports
// its functions as f0, f1 and so on, its memory, and its globals as global0 and so
// on. A call ends, by returning or by a trap: global0 counts down, and at 0
// functions return at once and loops go round no more; set it before each call.
// It imports env.double (i32) -> i32.
//
// It is there to be rewritten and compared with the original: it has all kinds of
// constructs and branches, code that is never reached, operands below blocks,
// bulk operations of all sizes, and tables that change.
func Random(seed uint64) *wasm.Module {
	r := &random{Rand: rand.New(rand.NewPCG(seed, 0x636f66666572)), m: &wasm.Module{}}
	r.surroundings()
	for range 2 + r.IntN(5) {
		r.m.Functions = append(r.m.Functions, r.signature(r.types(4), r.types(3)))
	}
	for i := range r.m.Functions {
		r.function(i)
	}
	r.tables()
	return r.m
}

// RandomSteps is a good value of global0 before a call.
const RandomSteps = 300

const (
	randomPages = 12
	// randomWindow is where most accesses go.
	randomWindow = 1<<16 - 1
	randomTables = 2
	// tableOfCalls is for call_indirect, tableOfChanges for what makes its calls fail.
	tableOfCalls, tableOfChanges = 0, 1
)

type random struct {
	*rand.Rand
	m *wasm.Module
	c wasm.Code

	locals  []wasm.ValueType
	results []wasm.ValueType
	labels  []randomLabel
	// left bounds the size of a function.
	left int
	// leaf says that the function calls none, because it takes no steps.
	leaf bool
}

type randomLabel struct {
	// carries is what a branch to it takes along.
	carries []wasm.ValueType
	loop    bool
}

func (r *random) surroundings() {
	m := r.m
	i32 := []wasm.ValueType{wasm.I32}
	m.Imports = []wasm.Import{{Module: "env", Name: "double", Kind: wasm.KindFunction, Type: r.signature(i32, i32)}}
	m.Memory = &wasm.Memory{Min: randomPages, Max: randomPages + 4, HasMax: true}
	m.Exports = []wasm.Export{{Name: "memory", Kind: wasm.KindMemory}}
	for i, t := range []wasm.ValueType{wasm.I32, wasm.I32, wasm.I64, wasm.I64} {
		var zero wasm.Code
		if t == wasm.I32 {
			zero.I32(0)
		} else {
			zero.I64(0)
		}
		zero.Op(wasm.OpEnd)
		m.Globals = append(m.Globals, wasm.Global{GlobalType: wasm.GlobalType{Type: t, Mutable: true}, Init: wasm.Expr(zero)})
		m.Exports = append(m.Exports, wasm.Export{Name: "global" + strconv.Itoa(i), Kind: wasm.KindGlobal, Index: uint32(i)})
	}
	for range randomTables {
		m.Tables = append(m.Tables, wasm.Table{Element: wasm.FuncRef, Min: 10, Max: 60, HasMax: true})
	}
	content := make([]byte, 5000)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	m.Data = []wasm.Data{{Mode: wasm.Active, Offset: constant(100), Init: content[:300]}, {Mode: wasm.Passive, Init: content}}
	m.DataCount = true
}

func constant(v int32) wasm.Expr {
	var c wasm.Code
	c.I32(v)
	c.Op(wasm.OpEnd)
	return wasm.Expr(c)
}

// tables fills them: by indices, by expressions, and not at all.
func (r *random) tables() {
	all := make([]uint32, len(r.m.Functions)+1)
	exprs := make([]wasm.Expr, len(all))
	for i := range all {
		all[i] = uint32(i)
		var c wasm.Code
		c.Index(wasm.OpRefFunc, uint32(i))
		c.Op(wasm.OpEnd)
		exprs[i] = wasm.Expr(c)
	}
	r.m.Elements = []wasm.Element{
		{Mode: wasm.Active, Table: tableOfCalls, Offset: constant(0), Type: wasm.FuncRef, Functions: all},
		{Mode: wasm.Active, Table: tableOfChanges, Offset: constant(1), Type: wasm.FuncRef, Exprs: exprs},
		{Mode: wasm.Passive, Type: wasm.FuncRef, Functions: append([]uint32(nil), all...)},
		{Mode: wasm.Declarative, Type: wasm.FuncRef, Functions: append([]uint32(nil), all...)},
	}
}

func (r *random) signature(params, results []wasm.ValueType) uint32 {
	r.m.Types = append(r.m.Types, wasm.FuncType{Params: params, Results: results})
	return uint32(len(r.m.Types) - 1)
}

// types returns fewer than n.
func (r *random) types(n int) []wasm.ValueType {
	types := make([]wasm.ValueType, r.IntN(n))
	for i := range types {
		types[i] = r.valueType()
	}
	return types
}

func (r *random) valueType() wasm.ValueType {
	return []wasm.ValueType{wasm.I32, wasm.I32, wasm.I64, wasm.F64}[r.IntN(4)]
}

func (r *random) one(n int) bool { return r.IntN(n) == 0 }

func (r *random) function(index int) {
	t := r.m.Types[r.m.Functions[index]]
	var body wasm.Body
	r.c, r.labels, r.results = nil, []randomLabel{{carries: t.Results}}, t.Results
	r.locals = append([]wasm.ValueType(nil), t.Params...)
	for range 1 + r.IntN(3) {
		l := wasm.Locals{Count: uint32(1 + r.IntN(2)), Type: r.valueType()}
		body.Locals = append(body.Locals, l)
		for range l.Count {
			r.locals = append(r.locals, l.Type)
		}
	}
	r.left = 20 + r.IntN(150)
	if r.leaf = r.one(4); r.leaf {
		r.left = r.IntN(40)
	} else {
		r.guard()
	}
	r.statements()
	if r.one(10) {
		r.left += 30
		r.flow()
		r.statements()
	}
	r.values(t.Results)
	r.c.Op(wasm.OpEnd)
	body.Code = r.c
	r.m.Code = append(r.m.Code, body)
	r.m.Exports = append(r.m.Exports, wasm.Export{Name: "f" + strconv.Itoa(index), Kind: wasm.KindFunction, Index: uint32(index + 1)})
}

// guard returns when no steps are left, and takes one.
func (r *random) guard() {
	r.step()
	r.c.Op(wasm.OpI32Eqz)
	r.c.Block(wasm.OpIf, wasm.BlockEmpty)
	for _, t := range r.results {
		r.literal(t)
	}
	r.c.Op(wasm.OpReturn, wasm.OpEnd)
}

// step says whether there is a step, which it takes.
func (r *random) step() {
	const left = 0
	r.c.Index(wasm.OpGlobalGet, left)
	r.c.I32(0)
	r.c.Op(wasm.OpI32Ne)
	r.c.Index(wasm.OpGlobalGet, left)
	r.c.Index(wasm.OpGlobalGet, left)
	r.c.I32(0)
	r.c.Op(wasm.OpI32Ne, wasm.OpI32Sub)
	r.c.Index(wasm.OpGlobalSet, left)
}

func (r *random) statements() {
	for range 1 + r.IntN(5) {
		if r.left <= 0 {
			return
		}
		r.statement()
	}
}

func (r *random) statement() {
	r.left--
	switch r.IntN(14) {
	case 0, 1:
		r.set()
	case 2:
		r.value(wasm.I64)
		r.c.Index(wasm.OpGlobalSet, 2+uint32(r.IntN(2)))
	case 3:
		r.address()
		r.value(wasm.I64)
		r.c.Access(wasm.OpI64Store32, uint32(r.IntN(3)), uint32(r.IntN(1000)))
	case 4, 5, 6:
		r.construct(wasm.OpBlock)
	case 7:
		r.construct(wasm.OpLoop)
	case 8:
		r.branchIf()
	case 9:
		r.call()
	case 10:
		r.move()
	case 11:
		r.changeTable()
	case 12:
		r.value(wasm.I32)
		r.c.Block(wasm.OpIf, wasm.BlockEmpty)
		r.inside(randomLabel{}, r.flowOrStatements)
		if r.one(2) {
			r.c.Op(wasm.OpElse)
			r.inside(randomLabel{}, r.flowOrStatements)
		}
		r.c.Op(wasm.OpEnd)
	default:
		r.value(r.valueType())
		r.c.Op(wasm.OpDrop)
	}
}

func (r *random) set() {
	i := r.IntN(len(r.locals))
	r.value(r.locals[i])
	r.c.Index(wasm.OpLocalSet, uint32(i))
}

func (r *random) inside(l randomLabel, body func()) {
	r.labels = append(r.labels, l)
	body()
	r.labels = r.labels[:len(r.labels)-1]
}

// construct is a block or a loop that takes and gives values.
func (r *random) construct(op wasm.Opcode) {
	params, results := r.types(3), r.types(3)
	t := wasm.BlockType(r.signature(params, results))
	if r.one(2) {
		params = nil
		if t = wasm.BlockEmpty; len(results) > 0 {
			results = results[:1]
			t = wasm.BlockOf(results[0])
		}
	}
	r.values(params)
	r.c.Block(op, t)
	l := randomLabel{carries: results}
	if op == wasm.OpLoop {
		l = randomLabel{carries: params, loop: true}
	}
	r.inside(l, func() {
		r.discard(params)
		r.statements()
		if op == wasm.OpLoop && r.one(2) {
			r.branchTo(0)
		}
		if r.one(8) {
			r.flow()
		}
		r.values(results)
	})
	r.c.Op(wasm.OpEnd)
	r.discard(results)
}

// discard consumes values.
func (r *random) discard(types []wasm.ValueType) {
	for range types {
		r.c.Op(wasm.OpDrop)
	}
}

// branchTo is a br_if, which goes back in a loop only while there are steps.
func (r *random) branchTo(depth int) {
	l := r.labels[len(r.labels)-1-depth]
	r.values(l.carries)
	r.value(wasm.I32)
	if l.loop {
		r.step()
		r.c.Op(wasm.OpI32And)
	}
	r.c.Index(wasm.OpBrIf, uint32(depth))
	r.discard(l.carries)
}

func (r *random) branchIf() { r.branchTo(r.IntN(len(r.labels))) }

func (r *random) flowOrStatements() {
	r.statements()
	if r.one(3) {
		r.flow()
		if r.one(2) {
			r.statements()
		}
	}
}

// flow leaves, so that what follows is never reached.
func (r *random) flow() {
	depth := r.IntN(len(r.labels))
	l := r.labels[len(r.labels)-1-depth]
	switch choice := r.IntN(12); {
	case choice < 4 || l.loop:
		r.values(r.results)
		r.c.Op(wasm.OpReturn)
	case choice < 8:
		r.values(l.carries)
		r.c.Index(wasm.OpBr, uint32(depth))
	case choice < 11:
		r.table(depth, l)
	default:
		r.c.Op(wasm.OpUnreachable)
	}
}

// table is a br_table over the labels that carry as many values.
func (r *random) table(depth int, l randomLabel) {
	var targets []uint32
	for d := range r.labels {
		other := r.labels[len(r.labels)-1-d]
		if !other.loop && len(other.carries) == 0 && len(l.carries) == 0 {
			targets = append(targets, uint32(d))
		}
	}
	r.values(l.carries)
	r.value(wasm.I32)
	r.c.Index(wasm.OpBrTable, uint32(len(targets)))
	for _, t := range targets {
		r.c.Raw(binary.AppendUvarint(nil, uint64(t)))
	}
	r.c.Raw(binary.AppendUvarint(nil, uint64(depth)))
}
