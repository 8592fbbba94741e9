package quickjs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// The names that modules of the tool conventions use.
const (
	moduleEnv       = "env"
	moduleGOTMemory = "GOT.mem"
	moduleGOTTable  = "GOT.func"
	moduleUser      = "extism:host/user"
	moduleWASI      = "wasi_snapshot_preview1"

	startEngine = "_initialize"
	startRelocs = "__wasm_apply_data_relocs"
	startCtors  = "__wasm_call_ctors"

	// tableOfFunctions is the data that the linker makes: what the host's functions
	// are called, and where they are.
	tableOfFunctions = "cofferdam_functions"
	// guardedRandom is the glue's, for what the other objects ask of random_get.
	guardedRandom = "cofferdam_random"
)

// symbol is a name in a namespace: an import of the result.
type symbol struct{ module, name string }

// source is a function, before it has a number: kept apart so that what nobody
// reaches gets none.
type source int

// function is what a source stands for.
type function struct {
	// symbol is set for an import of the result, and for what nobody defines.
	symbol symbol
	// missing says that nobody defines it.
	missing bool
	// object and body are the code, when it is one.
	object *object
	body   int
	// kind is its type in the result.
	kind uint32

	reached bool
	index   uint32
}

// linker puts objects together: the engine first, the glue last.
//
//	The engine's memory stays where it is: its stack, its data, its heap. The data
//	of the others lies behind the pages that it asks for, where its heap never
//	comes: the heap grows by memory.grow, and takes what that gives.
type linker struct {
	objects []*object
	out     wasm.Module

	types     map[string]uint32
	functions []function
	// sources finds functions by name: imports of the result, and what is missing.
	sources map[symbol]source
	// table is the entries behind the engine's own, from tableAt on; inTable finds
	// them.
	table   []source
	tableAt uint32
	inTable map[source]uint32
	// top is the first free byte of memory.
	top uint32
	// functionsAt is where the table of functions lies.
	functionsAt uint32
}

func (l *linker) link(functions []string) error {
	for _, step := range []func() error{
		l.place, l.define, l.resolve,
		func() error { return l.addFunctions(functions) },
		l.defineGlobals, l.addElements, l.addExports, l.number, l.addCode, l.addData, l.addStart,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	l.finish()
	return nil
}

func (l *linker) engine() *object { return l.objects[0] }

// place gives every object its memory and its part of the table.
func (l *linker) place() error {
	m := l.engine().m
	if m.Memory == nil || len(m.Tables) != 1 {
		return errors.New("the engine has no memory, or not one table")
	}
	l.top = m.Memory.Min * wasm.PageBytes
	l.tableAt = m.Tables[0].Min
	next := l.tableAt
	for _, o := range l.objects[1:] {
		o.memoryBase = l.reserve(o.memory, o.memoryAlign)
		o.tableBase = align(next, o.tableAlign)
		next = o.tableBase + o.table
	}
	l.table = make([]source, next-l.tableAt)
	for i := range l.table {
		l.table[i] = -1
	}
	return nil
}

// reserve takes zero bytes of memory.
func (l *linker) reserve(size, exponent uint32) uint32 {
	at := align(l.top, exponent)
	l.top = at + size
	return at
}

func align(v, exponent uint32) uint32 {
	mask := uint32(1)<<exponent - 1
	return (v + mask) &^ mask
}

// kind returns the index of a type, of which each is there once.
func (l *linker) kind(t wasm.FuncType) uint32 {
	key := string(t.Params) + ">" + string(t.Results)
	index, ok := l.types[key]
	if !ok {
		index = uint32(len(l.out.Types))
		l.out.Types = append(l.out.Types, t)
		l.types[key] = index
	}
	return index
}

// define takes in types and the functions that have code.
func (l *linker) define() error {
	for _, o := range l.objects {
		for _, t := range o.m.Types {
			o.types = append(o.types, l.kind(t))
		}
		imported := o.m.ImportCount(wasm.KindFunction)
		o.sources = make([]source, imported, int(imported)+len(o.m.Functions))
		for i, t := range o.m.Functions {
			o.sources = append(o.sources, l.add(function{object: o, body: i, kind: o.types[t]}))
		}
	}
	return nil
}

func (l *linker) add(f function) source {
	l.functions = append(l.functions, f)
	return source(len(l.functions) - 1)
}

// resolve finds out what every imported function is.
func (l *linker) resolve() error {
	for _, o := range l.objects {
		next := 0
		for _, i := range o.m.Imports {
			if i.Kind != wasm.KindFunction {
				continue
			}
			s := l.find(o, symbol{i.Module, i.Name}, o.types[i.Type])
			if l.functions[s].kind != o.types[i.Type] {
				return fmt.Errorf("%s imports %s.%s with another type than it has", o.name, i.Module, i.Name)
			}
			o.sources[next] = s
			next++
		}
	}
	return nil
}

// find looks a function up: of env in the engine, then in the object itself, then
// in the others. Of any other namespace it is the host's.
func (l *linker) find(o *object, s symbol, kind uint32) source {
	glue := l.objects[len(l.objects)-1]
	if s == (symbol{moduleWASI, "random_get"}) && o != glue {
		if i, ok := glue.defined(guardedRandom); ok {
			return glue.sourceOf(i)
		}
	}
	if s.module == moduleEnv {
		if found, ok := l.exported(o, s.name); ok {
			return found
		}
	}
	found, ok := l.sources[s]
	if !ok {
		found = l.add(function{symbol: s, missing: s.module == moduleEnv, kind: kind})
		l.sources[s] = found
	}
	return found
}

func (l *linker) exported(o *object, name string) (source, bool) {
	for _, from := range append([]*object{l.engine(), o}, l.objects[1:]...) {
		if i, ok := from.defined(name); ok {
			return from.sourceOf(i), true
		}
	}
	return 0, false
}

func (o *object) sourceOf(defined int) source {
	return o.sources[len(o.sources)-len(o.m.Functions)+defined]
}

// addFunctions makes the table of the host's functions: pairs of the address of a
// name and an index of the table, then two zeroes.
func (l *linker) addFunctions(names []string) error {
	kind := l.kind(wasm.FuncType{Params: []wasm.ValueType{wasm.I64}, Results: []wasm.ValueType{wasm.I64}})
	entries := uint32(len(names)+1) * 8
	text := ""
	l.functionsAt = l.reserve(entries, 2)
	var data []byte
	for _, name := range names {
		if name == "" || strings.ContainsRune(name, 0) || !utf8.ValidString(name) {
			return fmt.Errorf("the function %q has a name that cannot be imported", name)
		}
		s := symbol{moduleUser, name}
		l.sources[s] = l.add(function{symbol: s, kind: kind})
		data = binary.LittleEndian.AppendUint32(data, l.functionsAt+entries+uint32(len(text)))
		data = binary.LittleEndian.AppendUint32(data, l.entry(l.sources[s]))
		text += name + "\x00"
	}
	l.reserve(uint32(len(text)), 0)
	data = append(data, make([]byte, 8)...)
	l.out.Data = append(l.out.Data, wasm.Data{Offset: number(l.functionsAt), Init: append(data, text...)})
	return nil
}

// entry gives a function a place in the table.
func (l *linker) entry(s source) uint32 {
	index, ok := l.inTable[s]
	if !ok {
		index = l.tableAt + uint32(len(l.table))
		l.table = append(l.table, s)
		l.inTable[s] = index
	}
	return index
}
