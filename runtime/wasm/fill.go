package wasm

// expression reads a constant expression that gives a value of a type: one
// instruction, and its end. In a shared module it may be a sum.
func (d *decoder) expression(want ValueType) Expr {
	r := d.r
	from := r.at
	got := d.constant()
	for d.shared && r.err == nil && r.left() > 0 && r.data[r.at] != byte(OpEnd) {
		d.addend(got)
	}
	if r.err == nil && got != want {
		r.at = from
		r.fail("expression gives %s instead of %s", got, want)
	}
	if end := r.byte(); r.err == nil && end != byte(OpEnd) {
		r.at--
		d.longExpression()
	}
	if r.err != nil {
		return nil
	}
	return Expr(r.data[from:r.at:r.at])
}

// addend reads what is added to a value of a type.
func (d *decoder) addend(to ValueType) {
	r := d.r
	at := r.at
	if t := d.constant(); r.err == nil && (t != I32 || to != I32) {
		r.at = at
		r.fail("a constant expression adds %s to %s", t, to)
	}
	if op := r.byte(); r.err == nil && Opcode(op) != OpI32Add {
		r.at--
		r.fail("instruction %#x in a constant expression does not add", op)
	}
}

// longExpression refuses a second instruction. If an operator comes after it, it
// is of the next version.
func (d *decoder) longExpression() {
	r := d.r
	ahead := *r
	d.r = &ahead
	second := ahead.data[ahead.at]
	d.constant()
	operator := ahead.byte()
	if d.r = r; ahead.err == nil && featureOfConst(operator) != "" {
		r.refuse(featureConst)
	}
	r.fail("constant expression has a second instruction, %#x", second)
}

// constant reads the instruction of a constant expression.
func (d *decoder) constant() ValueType {
	r := d.r
	at := r.at
	switch op := r.byte(); Opcode(op) {
	case OpI32Const:
		r.signed(32)
		return I32
	case OpI64Const:
		r.signed(64)
		return I64
	case OpF32Const:
		r.take(4)
		return F32
	case OpF64Const:
		r.take(8)
		return F64
	case OpRefNull:
		return r.refType()
	case OpRefFunc:
		d.index("function", len(d.functions))
		return FuncRef
	case OpGlobalGet:
		return d.constantGlobal()
	case prefixSIMD:
		if number := r.byte(); r.err == nil && number != byte(OpV128Const&0xff) {
			r.at = at
			r.fail("instruction 0xfd %#x cannot be in a constant expression", number)
		}
		r.take(16)
		return V128
	default:
		r.at = at
		if f := featureOfConst(op); f != "" {
			r.refuse(f)
		}
		r.fail("instruction %#x cannot be in a constant expression", op)
		return 0
	}
}

// constantGlobal reads the index of an imported global that does not change: all
// that is there before the module's own are made.
func (d *decoder) constantGlobal() ValueType {
	r := d.r
	at := r.at
	index := d.index("global", len(d.globals))
	if r.err != nil {
		return 0
	}
	g := d.globals[index]
	switch {
	case g.Mutable:
		r.at = at
		r.fail("global %d in a constant expression can change", index)
	case int(index) >= d.importedGlobals:
		r.at = at
		r.refuse(featureConst)
	}
	return g.Type
}

// The bits of an element segment's flags. The second means a declarative segment
// when the first is set, else that a table is named.
const (
	elementNotActive   = 1
	elementExplicit    = 2
	elementExpressions = 4
)

func (d *decoder) readElement() {
	r := d.r
	flags := r.u32()
	if flags > 7 {
		r.at--
		r.fail("element segment with flags %#x is unknown", flags)
		return
	}
	e := Element{Type: FuncRef}
	switch {
	case flags&elementNotActive == 0:
		if flags&elementExplicit != 0 {
			e.Table = d.index("table", len(d.tables))
		} else if len(d.tables) == 0 {
			r.failIndex("table", 0, 0)
		}
		e.Offset = d.expression(I32)
	case flags&elementExplicit != 0:
		e.Mode = Declarative
	default:
		e.Mode = Passive
	}
	if flags&3 != 0 {
		d.elementKind(&e, flags)
	}
	if r.err == nil && e.Mode == Active && d.tables[e.Table] != e.Type {
		r.fail("elements of %s are for table %d of %s", e.Type, e.Table, d.tables[e.Table])
	}
	d.elementEntries(&e, flags&elementExpressions != 0)
	d.m.Elements = append(d.m.Elements, e)
}

func (d *decoder) elementKind(e *Element, flags uint32) {
	if flags&elementExpressions != 0 {
		e.Type = d.r.refType()
		return
	}
	if kind := d.r.byte(); kind != 0 {
		d.r.at--
		d.r.fail("element kind %#x is unknown", kind)
	}
}

func (d *decoder) elementEntries(e *Element, expressions bool) {
	entryBytes := 1
	if expressions {
		entryBytes = 3
	}
	n := d.r.count(entryBytes)
	d.elements += uint64(n)
	d.r.atMost("Elements", d.elements, d.l.Elements)
	if d.r.err != nil {
		return
	}
	if expressions {
		if n > 0 {
			e.Exprs = make([]Expr, 0, n)
		}
		for ; n > 0 && d.r.err == nil; n-- {
			e.Exprs = append(e.Exprs, d.expression(e.Type))
		}
		return
	}
	e.Functions = make([]uint32, n)
	for i := range e.Functions {
		e.Functions[i] = d.index("function", len(d.functions))
	}
}

func (d *decoder) readData() {
	r := d.r
	var s Data
	flags := r.u32()
	switch flags {
	case 1:
		s.Mode = Passive
	case 0, 2:
		if at := r.at; flags == 2 && r.u32() != 0 && r.err == nil {
			r.at = at
			r.refuse(featureMemories)
		}
		if !d.hasMemory {
			r.failIndex("memory", 0, 0)
		}
		s.Offset = d.expression(I32)
	default:
		r.at--
		r.fail("data segment with flags %#x is unknown", flags)
	}
	s.Init = r.take(r.u32())
	d.m.Data = append(d.m.Data, s)
}
