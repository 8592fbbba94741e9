package wasm

// vector is how a section's entries are read.
type vector struct {
	read func()
	// entryBytes is what an entry has at least.
	entryBytes int
	// limit is a field of Limits, if one bounds the count, and most its value.
	limit string
	most  int
}

// entries reads a section that is a vector.
func (d *decoder) entries(id int) {
	v := d.vector(id)
	n := d.r.count(v.entryBytes)
	if v.limit != "" {
		d.r.atMost(v.limit, uint64(n), v.most)
	}
	if d.r.err == nil {
		d.reserve(id, int(n))
	}
	for ; n > 0 && d.r.err == nil; n-- {
		v.read()
	}
}

func (d *decoder) vector(id int) vector {
	switch l := &d.l; id {
	case sectionType:
		return vector{d.readType, 3, "Types", l.Types}
	case sectionImport:
		return vector{d.readImport, 4, "Imports", l.Imports}
	case sectionFunction:
		return vector{d.readFunction, 1, "Functions", l.Functions}
	case sectionTable:
		return vector{read: d.readTable, entryBytes: 3}
	case sectionMemory:
		return vector{read: d.readMemory, entryBytes: 2}
	case sectionGlobal:
		return vector{d.readGlobal, 4, "Globals", l.Globals}
	case sectionExport:
		return vector{d.exportReader(), 3, "Exports", l.Exports}
	case sectionElement:
		return vector{d.readElement, 3, "ElementSegments", l.ElementSegments}
	case sectionCode:
		return vector{read: d.readBody, entryBytes: 3}
	default:
		return vector{d.readData, 2, "DataSegments", l.DataSegments}
	}
}

// reserve makes room for entries that were counted and found to be possible.
func (d *decoder) reserve(id, n int) {
	if n == 0 {
		return
	}
	switch m := d.m; id {
	case sectionType:
		m.Types = make([]FuncType, 0, n)
	case sectionImport:
		m.Imports = make([]Import, 0, n)
	case sectionFunction:
		m.Functions = make([]uint32, 0, n)
	case sectionExport:
		m.Exports = make([]Export, 0, n)
	case sectionGlobal:
		m.Globals = make([]Global, 0, n)
	case sectionElement:
		m.Elements = make([]Element, 0, n)
	case sectionCode:
		m.Code = make([]Body, 0, min(n, len(m.Functions)))
	case sectionData:
		m.Data = make([]Data, 0, n)
	}
}

func (d *decoder) readType() {
	r := d.r
	const formFunction = 0x60
	if form := r.byte(); r.err == nil && form != formFunction {
		r.at--
		if f := featureOfForm(form); f != "" {
			r.refuse(f)
		}
		r.fail("type form %#x is not a function's", form)
	}
	t := FuncType{Params: r.valueTypes(d.l.Values), Results: r.valueTypes(d.l.Values)}
	d.typeValues += uint64(len(t.Params) + len(t.Results))
	r.atMost("TypeValues", d.typeValues, d.l.TypeValues)
	d.m.Types = append(d.m.Types, t)
}

func (d *decoder) readImport() {
	r := d.r
	i := Import{Module: r.public(), Name: r.public(), Kind: Kind(r.byte())}
	switch i.Kind {
	case KindFunction:
		i.Type = d.index("type", len(d.m.Types))
		d.functions = append(d.functions, i.Type)
	case KindTable:
		i.Table = r.tableType(d.l.TableEntries)
		d.addTable(i.Table)
	case KindMemory:
		d.oneMemory()
		i.Memory = r.memoryType()
	case KindGlobal:
		i.Global = r.globalType()
		d.globals = append(d.globals, i.Global)
		d.importedGlobals++
	default:
		d.unknownKind("import", i.Kind)
	}
	d.m.Imports = append(d.m.Imports, i)
}

func (d *decoder) unknownKind(of string, k Kind) {
	const kindTag = 4
	if d.r.err != nil {
		return
	}
	d.r.at--
	if k == kindTag {
		d.r.refuse(featureExceptions)
	}
	d.r.fail("%s kind %d is unknown", of, k)
}

func (d *decoder) readFunction() {
	t := d.index("type", len(d.m.Types))
	d.m.Functions = append(d.m.Functions, t)
	d.functions = append(d.functions, t)
}

func (d *decoder) readTable() {
	t := d.r.tableType(d.l.TableEntries)
	d.m.Tables = append(d.m.Tables, t)
	d.addTable(t)
}

func (d *decoder) addTable(t Table) {
	d.tables = append(d.tables, t.Element)
	d.r.atMost("Tables", uint64(len(d.tables)), d.l.Tables)
}

func (d *decoder) readMemory() {
	d.oneMemory()
	m := d.r.memoryType()
	d.m.Memory = &m
}

func (d *decoder) oneMemory() {
	if d.hasMemory {
		d.r.refuse(featureMemories)
	}
	d.hasMemory = true
}

func (d *decoder) readGlobal() {
	g := Global{GlobalType: d.r.globalType()}
	g.Init = d.expression(g.Type)
	d.m.Globals = append(d.m.Globals, g)
	d.globals = append(d.globals, g.GlobalType)
}

// exportReader returns the reader of one: it knows the names that there were.
func (d *decoder) exportReader() func() {
	seen := map[string]bool{}
	return func() {
		at := d.r.at
		e := Export{Name: d.r.public(), Kind: Kind(d.r.byte())}
		switch e.Kind {
		case KindFunction:
			e.Index = d.index("function", len(d.functions))
		case KindTable:
			e.Index = d.index("table", len(d.tables))
		case KindMemory:
			e.Index = d.index("memory", d.memories())
		case KindGlobal:
			e.Index = d.index("global", len(d.globals))
		default:
			d.unknownKind("export", e.Kind)
		}
		if seen[e.Name] && d.r.err == nil {
			d.r.at = at
			d.r.fail("there is a second export %.128q", e.Name)
		}
		seen[e.Name] = true
		d.m.Exports = append(d.m.Exports, e)
	}
}

func (d *decoder) readStart() {
	at := d.r.at
	start := d.index("function", len(d.functions))
	if d.r.err != nil {
		return
	}
	if t := d.m.Types[d.functions[start]]; len(t.Params)+len(t.Results) > 0 {
		d.r.at = at
		d.r.fail("start function %d takes or gives values", start)
	}
	d.m.Start = &start
}

func (d *decoder) memories() int {
	if d.hasMemory {
		return 1
	}
	return 0
}

// index reads an index of something of which there are so many.
func (d *decoder) index(what string, count int) uint32 {
	at := d.r.at
	index := d.r.u32()
	if d.r.err == nil && uint64(index) >= uint64(count) {
		d.r.at = at
		d.r.failIndex(what, index, count)
		return 0
	}
	return index
}

func (r *reader) failIndex(what string, index uint32, count int) {
	r.fail("%s %d is not defined: there are %d", what, index, count)
}
