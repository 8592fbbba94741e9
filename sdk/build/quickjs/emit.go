package quickjs

import (
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// addElements takes over what the objects put into the table.
func (l *linker) addElements() error {
	for _, o := range l.objects {
		for _, e := range o.m.Elements {
			if e.Mode != wasm.Active || e.Functions == nil {
				return fmt.Errorf("%s has elements that are not put into the table at the start", o.name)
			}
			at, err := o.value(e.Offset)
			if err != nil {
				return fmt.Errorf("place elements of %s: %w", o.name, err)
			}
			if err := l.setElements(o, at, e.Functions); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *linker) setElements(o *object, at uint32, functions []uint32) error {
	low, high := o.tableBase, o.tableBase+o.table
	if o == l.engine() {
		low, high = 0, l.tableAt
	}
	if at < low || uint64(at)+uint64(len(functions)) > uint64(high) {
		return fmt.Errorf("%s has %d elements at %d, outside of its %d to %d", o.name, len(functions), at, low, high)
	}
	sources := make([]source, len(functions))
	for i, f := range functions {
		sources[i] = o.sources[f]
	}
	if o == l.engine() {
		l.out.Elements = append(l.out.Elements, wasm.Element{Type: wasm.FuncRef, Offset: number(at), Functions: l.later(sources)})
		return nil
	}
	copy(l.table[at-l.tableAt:], sources)
	return nil
}

// later keeps sources where numbers will be, until there are any.
func (l *linker) later(sources []source) []uint32 {
	numbers := make([]uint32, len(sources))
	for i, s := range sources {
		l.reach(s)
		numbers[i] = uint32(s)
	}
	return numbers
}

// addExports reaches what the host calls, and what runs before load.
func (l *linker) addExports() error {
	glue := l.objects[len(l.objects)-1]
	for _, name := range exports() {
		i, ok := glue.defined(name)
		if !ok {
			return fmt.Errorf("%s does not define %s", glue.name, name)
		}
		l.reach(glue.sourceOf(i))
	}
	for _, s := range l.starts() {
		l.reach(s)
	}
	for _, s := range l.table {
		l.reach(s)
	}
	return nil
}

// starts are the functions that run before load: constructors, and what writes
// addresses into data.
func (l *linker) starts() []source {
	var starts []source
	for _, o := range l.objects {
		if o.m.Start != nil {
			starts = append(starts, o.sources[*o.m.Start])
		}
		for _, name := range []string{startEngine, startRelocs, startCtors} {
			if i, ok := o.defined(name); ok {
				starts = append(starts, o.sourceOf(i))
			}
		}
	}
	return starts
}

// reach marks a function, and all that it calls.
func (l *linker) reach(s source) {
	todo := []source{s}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s < 0 || l.functions[s].reached {
			continue
		}
		f := &l.functions[s]
		f.reached = true
		if f.object == nil {
			continue
		}
		for code := wasm.NewScanner(f.object.m.Code[f.body].Code); code.Next(); {
			if i := code.Instruction(); i.Op == wasm.OpCall || i.Op == wasm.OpRefFunc {
				todo = append(todo, f.object.sources[i.Index])
			}
		}
	}
}

// number gives those that are reached their indices: imports first.
func (l *linker) number() error {
	for s := range l.functions {
		if f := &l.functions[s]; f.reached && f.object == nil && !f.missing {
			f.index = uint32(len(l.out.Imports))
			l.out.Imports = append(l.out.Imports, wasm.Import{
				Module: f.symbol.module, Name: f.symbol.name, Kind: wasm.KindFunction, Type: f.kind,
			})
		}
	}
	next := uint32(len(l.out.Imports))
	for s := range l.functions {
		if f := &l.functions[s]; f.reached && (f.object != nil || f.missing) {
			f.index = next
			l.out.Functions = append(l.out.Functions, f.kind)
			next++
		}
	}
	return nil
}

// addData takes over the objects' memory.
func (l *linker) addData() error {
	for _, o := range l.objects {
		o.data = uint32(len(l.out.Data))
		for _, d := range o.m.Data {
			if d.Mode != wasm.Active {
				return fmt.Errorf("%s has data that is not put into memory at the start", o.name)
			}
			at, err := o.value(d.Offset)
			if err != nil {
				return fmt.Errorf("place data of %s: %w", o.name, err)
			}
			if o != l.engine() && (at < o.memoryBase || uint64(at)+uint64(len(d.Init)) > uint64(o.memoryBase+o.memory)) {
				return fmt.Errorf("%s has data at %d, outside of its memory", o.name, at)
			}
			l.out.Data = append(l.out.Data, wasm.Data{Offset: number(at), Init: d.Init})
		}
	}
	return nil
}

// addStart makes the function that is exported as load.
func (l *linker) addStart() error {
	glue := l.objects[len(l.objects)-1]
	var code wasm.Code
	for _, s := range l.starts() {
		code.Index(wasm.OpCall, l.functions[s].index)
	}
	for _, name := range exports() {
		i, _ := glue.defined(name)
		f := l.functions[glue.sourceOf(i)]
		if t := l.out.Types[f.kind]; len(t.Params) != 0 || len(t.Results) != 1 || t.Results[0] != wasm.I32 {
			return fmt.Errorf("%s defines %s with another type than () -> i32", glue.name, name)
		}
		index := f.index
		if name == exports()[0] {
			code.Index(wasm.OpCall, f.index)
			code.Op(wasm.OpEnd)
			index = uint32(len(l.out.Imports) + len(l.out.Functions))
			l.out.Functions = append(l.out.Functions, f.kind)
			l.out.Code = append(l.out.Code, wasm.Body{Code: code})
		}
		l.out.Exports = append(l.out.Exports, wasm.Export{Name: name, Kind: wasm.KindFunction, Index: index})
		if name == "webhook" { // Their inputs tell them apart.
			l.out.Exports = append(l.out.Exports, wasm.Export{Name: "verify", Kind: wasm.KindFunction, Index: index})
		}
	}
	return nil
}

// finish writes what depends on how much there is.
func (l *linker) finish() {
	out := &l.out
	engine := l.engine().m
	out.Memory = &wasm.Memory{
		Min: (l.top + wasm.PageBytes - 1) / wasm.PageBytes,
		Max: engine.Memory.Max, HasMax: engine.Memory.HasMax,
	}
	size := l.tableAt + uint32(len(l.table))
	out.Tables = []wasm.Table{{Element: wasm.FuncRef, Min: size, Max: size, HasMax: true}}
	out.Exports = append([]wasm.Export{{Name: "memory", Kind: wasm.KindMemory}}, out.Exports...)
	for i := range out.Elements {
		for j, s := range out.Elements[i].Functions {
			out.Elements[i].Functions[j] = l.functions[s].index
		}
	}
	// A run of the table is an element segment: there are holes where one is aligned.
	for from := 0; from < len(l.table); from++ {
		run := []uint32{}
		at := l.tableAt + uint32(from)
		for ; from < len(l.table) && l.table[from] >= 0; from++ {
			run = append(run, l.functions[l.table[from]].index)
		}
		if len(run) > 0 {
			out.Elements = append(out.Elements, wasm.Element{Type: wasm.FuncRef, Offset: number(at), Functions: run})
		}
	}
}
