package abi

import (
	"slices"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// The kernel's imports come first: fault, then the host functions that it hands
// on. Behind them are its own, the two that only it calls before the others.
const faultFunction = 0

// handedOn is what the kernel imports.
func handedOn() []function { return append([]function{faultHandler()}, hostFunctions()...) }

// firstOwn is the index of the kernel's first own function.
func firstOwn() uint32 { return uint32(len(handedOn())) }

// kernelModule is the kernel: what it imports from hostModule, its own functions,
// and exports of both under their names and under those of PDKs before 1.0.
func kernelModule() *wasm.Module {
	m := &wasm.Module{Memory: &wasm.Memory{}} // Its size is what the allocator gives.
	for i, f := range handedOn() {
		m.Imports = append(m.Imports, wasm.Import{
			Module: hostModule, Name: f.name, Kind: wasm.KindFunction, Type: typeIndex(m, f.params, f.results),
		})
		if i != faultFunction {
			export(m, f.name, uint32(i))
		}
	}
	for i, f := range kernelFunctions() {
		m.Functions = append(m.Functions, typeIndex(m, f.params, f.results))
		var a assembler
		f.write(&a)
		a.Op(wasm.OpEnd)
		body := wasm.Body{Code: a.Code}
		if f.locals > 0 {
			body.Locals = []wasm.Locals{{Count: f.locals, Type: wasm.I64}}
		}
		m.Code = append(m.Code, body)
		if f.name != "" {
			export(m, f.name, firstOwn()+uint32(i))
		}
	}
	return m
}

func export(m *wasm.Module, name string, index uint32) {
	for _, name := range []string{name, legacyPrefix + name} {
		m.Exports = append(m.Exports, wasm.Export{Name: name, Kind: wasm.KindFunction, Index: index})
	}
}

// typeIndex adds a type where it is not there yet.
func typeIndex(m *wasm.Module, params, results string) uint32 {
	t := wasm.FuncType{Params: types(params), Results: types(results)}
	for i, other := range m.Types {
		if slices.Equal(other.Params, t.Params) && slices.Equal(other.Results, t.Results) {
			return uint32(i)
		}
	}
	m.Types = append(m.Types, t)
	return uint32(len(m.Types) - 1)
}

func types(letters string) []wasm.ValueType {
	list := make([]wasm.ValueType, len(letters))
	for i := range letters {
		list[i] = wasm.I32
		if letters[i] == 'I' {
			list[i] = wasm.I64
		}
	}
	return list
}
