package wasm

// body follows the bodies of functions, one after the other. What it counts is
// defined at Limits.
type body struct {
	d *decoder
	s Scanner
	// open are the blocks around the instruction, the function itself first.
	open   []frame
	locals uint64
	blocks uint64
	bulk   uint64
	// Over all functions.
	allLocals, blocksSquared, passed uint64
}

// frame is a block that is open.
type frame struct {
	op Opcode
	// arity is how many values a branch to it carries.
	arity int
}

func (d *decoder) readBody() {
	r := d.r
	defined := len(d.m.Code)
	if defined == len(d.m.Functions) {
		r.fail("there are more bodies than the %d functions", defined)
		return
	}
	d.function = len(d.functions) - len(d.m.Functions) + defined
	size := r.u32()
	at := r.at
	content := r.take(size)
	r.atMost("BodyBytes", uint64(size), d.l.BodyBytes)
	if r.err != nil {
		return
	}
	own := &reader{data: content, base: r.base + at}
	b := &d.body
	b.d = d
	t := &d.m.Types[d.functions[d.function]]
	f := Body{Locals: b.readLocals(own, t)}
	f.Code = content[own.at:]
	if r.err = own.err; r.err != nil {
		return
	}
	b.s.r = reader{data: f.Code, base: own.base + own.at}
	b.follow(t)
	if r.err = b.s.r.err; r.err != nil {
		return
	}
	d.m.Code = append(d.m.Code, f)
	d.function = -1
}

func (b *body) readLocals(r *reader, t *FuncType) []Locals {
	b.locals = uint64(len(t.Params))
	n := r.count(2)
	if r.err != nil || n == 0 {
		return nil
	}
	locals := make([]Locals, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		l := Locals{Count: r.u32(), Type: r.valueType()}
		b.locals += uint64(l.Count)
		locals = append(locals, l)
	}
	r.atMost("Locals", b.locals, b.d.l.Locals)
	return locals
}

// follow reads the code to its end, which must be that of the function.
func (b *body) follow(t *FuncType) {
	const frameBlocks = 4
	b.blocks, b.bulk = frameBlocks, 0
	b.open = append(b.open[:0], frame{op: OpBlock, arity: len(t.Results)})
	s, r := &b.s, &b.s.r
	for s.Next() {
		b.instruction(&s.this)
		if len(b.open) == 0 {
			break
		}
	}
	if len(b.open) > 0 {
		r.fail("unexpected end: %d blocks are open", len(b.open))
	}
	if r.left() > 0 {
		r.fail("the code goes on for %d bytes after its end", r.left())
	}
	b.allLocals += b.locals
	b.blocksSquared += b.blocks * b.blocks
	r.atMost("LocalsTimesBlocks", b.locals*b.blocks, b.d.l.LocalsTimesBlocks)
	r.atMost("LocalsInAll", b.allLocals, b.d.l.LocalsInAll)
	r.atMost("BlocksSquared", b.blocksSquared, b.d.l.BlocksSquared)
}

func (b *body) instruction(i *Instruction) {
	switch op := i.Op; {
	case op >= OpI32Load && op <= OpMemoryGrow:
		b.access(i)
	case op >= OpI32Const && op <= OpI64Extend32S:
	case op >= OpLocalGet && op <= OpLocalTee:
		b.index("local", i.Index, int(b.locals))
	case op < OpDrop:
		b.control(i)
	case op > 0xff:
		b.prefixed(i)
	default:
		b.other(i)
	}
}

func (b *body) control(i *Instruction) {
	switch i.Op {
	case OpBlock, OpLoop, OpIf:
		b.enter(i)
	case OpElse:
		top := &b.open[len(b.open)-1]
		if top.op != OpIf {
			b.fail("else is not in an if")
			return
		}
		top.op = OpElse
	case OpEnd:
		b.open = b.open[:len(b.open)-1]
	case OpBr:
		b.branch(i.Index)
	case OpBrIf:
		b.branch(i.Index)
		b.count(1)
	case OpBrTable:
		b.s.r.atMost("BranchTargets", uint64(len(i.Labels)), b.d.l.BranchTargets)
		b.count(uint64(len(i.Labels)) + 1)
		for _, label := range i.Labels {
			b.branch(label)
		}
		b.branch(i.Index)
	case OpCall:
		b.function(i.Index)
	case OpCallIndirect:
		if b.index("type", i.Index, len(b.d.m.Types)) {
			b.pass(len(b.d.m.Types[i.Index].Results))
		}
		b.index("table", i.Index2, len(b.d.tables))
	default: // What has no operands.
	}
}

func (b *body) function(index uint32) {
	if b.index("function", index, len(b.d.functions)) {
		b.pass(len(b.d.m.Types[b.d.functions[index]].Results))
	}
}

// enter opens a block.
func (b *body) enter(i *Instruction) {
	params, results := 0, 1
	switch {
	case i.Block == BlockEmpty:
		results = 0
	case i.Block >= 0:
		// A block's type has 33 bits, a sign among them.
		if !b.index("type", uint32(i.Block), len(b.d.m.Types)) {
			return
		}
		t := &b.d.m.Types[i.Block]
		params, results = len(t.Params), len(t.Results)
		b.pass(params)
		b.pass(results)
	}
	f := frame{op: i.Op, arity: results}
	switch i.Op {
	case OpLoop:
		f.arity = params
		b.count(5)
	case OpIf:
		b.count(3)
	default:
		b.count(1)
	}
	b.open = append(b.open, f)
	b.s.r.atMost("Nesting", uint64(len(b.open)-1), b.d.l.Nesting)
}

func (b *body) branch(label uint32) {
	if b.index("label", label, len(b.open)) {
		b.pass(b.open[len(b.open)-1-int(label)].arity)
	}
}

// access is everything on memory whose opcode is one byte.
func (b *body) access(i *Instruction) {
	b.memory()
	if i.Op < OpMemorySize {
		b.align(i)
	}
}

func (b *body) align(i *Instruction) {
	const withMemory = 0x40
	switch natural := naturalAlign(i.Op); {
	case i.Index <= natural:
	case i.Index >= withMemory && i.Index < 2*withMemory:
		b.s.r.at = i.Start
		b.s.r.refuse(featureMemories)
	default:
		b.fail("alignment 2^%d is above the access's own 2^%d", i.Index, natural)
	}
}

func (b *body) prefixed(i *Instruction) {
	switch i.Op {
	case OpMemoryInit:
		b.memory()
		b.data(i.Index)
		b.bulkOperation()
	case OpDataDrop:
		b.data(i.Index)
	case OpMemoryCopy, OpMemoryFill:
		b.memory()
		b.bulkOperation()
	case OpTableInit:
		b.index("element segment", i.Index, len(b.d.m.Elements))
		b.index("table", i.Index2, len(b.d.tables))
		b.bulkOperation()
	case OpElemDrop:
		b.index("element segment", i.Index, len(b.d.m.Elements))
	case OpTableCopy:
		b.index("table", i.Index, len(b.d.tables))
		b.index("table", i.Index2, len(b.d.tables))
		b.bulkOperation()
	case OpTableFill:
		b.index("table", i.Index, len(b.d.tables))
		b.bulkOperation()
	case OpTableGrow, OpTableSize:
		b.index("table", i.Index, len(b.d.tables))
	default:
		if i.Op>>8 == prefixSIMD {
			b.simd(i)
		}
	}
}

func (b *body) simd(i *Instruction) {
	shape := shapeOf(i.Op)
	if shape == shapeAccess || shape == shapeAccessLane {
		b.memory()
		b.align(i)
	}
	last := b.s.r.data[i.End-1]
	switch shape {
	case shapeLane, shapeAccessLane:
		if n := laneCount(i.Op); last >= n {
			b.fail("lane %d is not defined: there are %d", last, n)
		}
	case shapeShuffle:
		for _, lane := range b.s.r.data[i.End-16 : i.End] {
			if lane >= 32 {
				b.fail("lane %d is not defined: there are 32", lane)
			}
		}
	default:
	}
}

func (b *body) other(i *Instruction) {
	switch i.Op {
	case OpGlobalGet:
		b.index("global", i.Index, len(b.d.globals))
	case OpGlobalSet:
		if b.index("global", i.Index, len(b.d.globals)) && !b.d.globals[i.Index].Mutable {
			b.fail("global %d cannot change", i.Index)
		}
	case OpTableGet, OpTableSet:
		b.index("table", i.Index, len(b.d.tables))
	case OpRefFunc:
		b.index("function", i.Index, len(b.d.functions))
	default: // What has no operands.
	}
}

func (b *body) memory() {
	if !b.d.hasMemory {
		b.index("memory", 0, 0)
	}
}

func (b *body) data(index uint32) {
	if !b.d.m.DataCount {
		b.fail("a data segment is named, and there is no data count section")
		return
	}
	b.index("data segment", index, int(b.d.dataCount))
}

func (b *body) bulkOperation() {
	b.bulk++
	b.s.r.atMost("BulkOperations", b.bulk, b.d.l.BulkOperations)
	b.count(4)
}

// count adds blocks.
func (b *body) count(n uint64) {
	b.blocks += n
	b.s.r.atMost("Blocks", b.blocks, b.d.l.Blocks)
}

// pass counts values beyond the first.
func (b *body) pass(values int) {
	if values > 1 {
		b.passed += uint64(values - 1)
		b.s.r.atMost("PassedValues", b.passed, b.d.l.PassedValues)
	}
}

func (b *body) index(what string, index uint32, count int) bool {
	if uint64(index) < uint64(count) {
		return true
	}
	b.s.r.at = b.s.this.Start
	b.s.r.failIndex(what, index, count)
	return false
}

func (b *body) fail(format string, args ...any) { b.s.failHere(format, args...) }
