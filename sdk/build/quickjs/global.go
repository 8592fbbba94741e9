package quickjs

import (
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// defineGlobals numbers the globals. What the linker knows becomes a number where
// it is used: bases and addresses.
func (l *linker) defineGlobals() error {
	for _, o := range l.objects {
		for _, i := range o.m.Imports {
			if i.Kind != wasm.KindGlobal {
				continue
			}
			g, err := l.importedGlobal(o, i)
			if err != nil {
				return err
			}
			o.globals = append(o.globals, g)
		}
		for _, g := range o.m.Globals {
			init, err := o.value(g.Init)
			if g.Type != wasm.I32 || err != nil {
				return fmt.Errorf("%s has a global that is not a number of 32 bits", o.name)
			}
			o.globals = append(o.globals, globalRef{value: uint32(len(l.out.Globals))})
			l.out.Globals = append(l.out.Globals, wasm.Global{GlobalType: g.GlobalType, Init: number(init)})
		}
	}
	return nil
}

func (l *linker) importedGlobal(o *object, i wasm.Import) (globalRef, error) {
	switch i.Module {
	case moduleGOTMemory:
		at, err := l.address(o, i.Name)
		return globalRef{folded: true, value: at}, err
	case moduleGOTTable:
		return globalRef{folded: true, value: l.pointer(o, i.Name)}, nil
	}
	switch i.Name {
	case "__memory_base":
		return globalRef{folded: true, value: o.memoryBase}, nil
	case "__table_base":
		return globalRef{folded: true, value: o.tableBase}, nil
	}
	e, ok := l.engine().exports[i.Name]
	if !ok || e.Kind != wasm.KindGlobal || o == l.engine() {
		return globalRef{}, fmt.Errorf("%s imports the global %s.%s, which nobody has", o.name, i.Module, i.Name)
	}
	return l.engine().globals[e.Index], nil
}

// address is where a variable lies. One that nobody has, such as C's errno, which
// the engine does not share, gets bytes of its own.
func (l *linker) address(o *object, name string) (uint32, error) {
	const room, aligned = 16, 4
	if name == tableOfFunctions {
		return l.functionsAt, nil
	}
	e, ok := o.exports[name]
	if !ok || e.Kind != wasm.KindGlobal {
		return l.reserve(room, aligned), nil
	}
	imported := o.m.ImportCount(wasm.KindGlobal)
	if e.Index < imported {
		return 0, fmt.Errorf("%s exports %s, which it imports", o.name, name)
	}
	offset, err := o.value(o.m.Globals[e.Index-imported].Init)
	return o.memoryBase + offset, err
}

// pointer is a function as a number. One that nobody has is null.
func (l *linker) pointer(o *object, name string) uint32 {
	if s, ok := l.exported(o, name); ok {
		return l.entry(s)
	}
	return 0
}
