// Package runtimetest has guests for tests: tiny modules that are encoded here,
// by hand, and one in Go that exercises all of the ABI.
//
//	module := runtimetest.Outputs(map[string]string{"describe": manifest})
//	module := runtimetest.Loop("action")
//	module := runtimetest.Guest(t)
package runtimetest

import (
	"encoding/binary"
	"slices"
)

// Builder encodes a module. Types are written as letters: "i" is i32, "I" is
// i64. Imports come before functions. The zero value is a module that is empty.
//
// See https://webassembly.github.io/spec/core/binary/modules.html.
type Builder struct {
	types, imports, functions, exports, code, data [][]byte
	memory                                         []byte
	tables                                         [][]byte
	importedFunctions                              uint32
}

// Import adds an imported function and returns its index.
func (b *Builder) Import(module, name, params, results string) uint32 {
	b.ImportRaw(module, name, append([]byte{0}, leb(b.signature(params, results))...)...)
	b.importedFunctions++
	return b.importedFunctions - 1
}

// ImportRaw adds an import by its encoded description, for those that are
// refused.
func (b *Builder) ImportRaw(module, name string, description ...byte) {
	b.imports = append(b.imports, slices.Concat(text(module), text(name), description))
}

// Memory adds a memory that has no maximum, and exports it.
func (b *Builder) Memory(minPages uint32) {
	b.memory = append([]byte{0}, leb(minPages)...)
	b.exports = append(b.exports, append(text("memory"), 2, 0))
}

// Table adds a table of functions that has no maximum.
func (b *Builder) Table(minEntries uint32) {
	b.tables = append(b.tables, append([]byte{0x70, 0}, leb(minEntries)...))
}

// Data fills memory at offset.
func (b *Builder) Data(offset int32, content []byte) {
	b.data = append(b.data, slices.Concat([]byte{0}, I32(offset), []byte{end}, leb(uint32(len(content))), content))
}

// Func adds a function, exported unless its name is empty, and returns its
// index. The body is instructions without the last end; locals are letters.
func (b *Builder) Func(export, params, results, locals string, body ...[]byte) uint32 {
	index := b.importedFunctions + uint32(len(b.functions))
	b.functions = append(b.functions, leb(b.signature(params, results)))
	if export != "" {
		b.exports = append(b.exports, slices.Concat(text(export), []byte{0}, leb(index)))
	}
	code := leb(uint32(len(locals)))
	for i := range locals {
		code = append(code, 1, valueType(locals[i]))
	}
	code = append(append(code, slices.Concat(body...)...), end)
	b.code = append(b.code, slices.Concat(leb(uint32(len(code))), code))
	return index
}

// Bytes returns the module.
func (b *Builder) Bytes() []byte {
	module := []byte("\x00asm\x01\x00\x00\x00")
	var memories [][]byte
	if b.memory != nil {
		memories = [][]byte{b.memory}
	}
	for _, s := range []struct {
		id      byte
		entries [][]byte
	}{
		{1, b.types},
		{2, b.imports},
		{3, b.functions},
		{4, b.tables},
		{5, memories},
		{7, b.exports},
		{10, b.code},
		{11, b.data},
	} {
		if len(s.entries) == 0 {
			continue
		}
		body := append(leb(uint32(len(s.entries))), slices.Concat(s.entries...)...)
		module = slices.Concat(module, []byte{s.id}, leb(uint32(len(body))), body)
	}
	return module
}

func (b *Builder) signature(params, results string) uint32 {
	encoded := []byte{0x60}
	for _, letters := range []string{params, results} {
		encoded = append(encoded, leb(uint32(len(letters)))...)
		for i := range letters {
			encoded = append(encoded, valueType(letters[i]))
		}
	}
	b.types = append(b.types, encoded)
	return uint32(len(b.types) - 1)
}

const end = 0x0b

// I32 is i32.const.
func I32(v int32) []byte { return append([]byte{0x41}, signed(int64(v))...) }

// I64 is i64.const.
func I64(v int64) []byte { return append([]byte{0x42}, signed(v)...) }

// Invoke is call.
func Invoke(function uint32) []byte { return append([]byte{0x10}, leb(function)...) }

// Op is raw bytes.
func Op(b ...byte) []byte { return b }

func valueType(letter byte) byte {
	if letter == 'I' {
		return 0x7e
	}
	return 0x7f
}

func text(s string) []byte { return append(leb(uint32(len(s))), s...) }

func leb(v uint32) []byte { return binary.AppendUvarint(nil, uint64(v)) }

// signed encodes signed LEB128.
func signed(v int64) []byte {
	var out []byte
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}
