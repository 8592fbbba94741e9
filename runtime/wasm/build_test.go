package wasm_test

import (
	"encoding/binary"
	"strings"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Modules are written as strings of bytes here, so that they can be wrong.

func leb(n int) string { return string(binary.AppendUvarint(nil, uint64(n))) }

func text(s string) string { return leb(len(s)) + s }

func section(id byte, content string) string { return string([]byte{id}) + text(content) }

func vector(entries ...string) string { return leb(len(entries)) + strings.Join(entries, "") }

func module(sections ...string) []byte { return []byte(wasm.Header + strings.Join(sections, "")) }

// body is a function's, without its end.
func body(locals, code string) string { return text(locals + code + end) }

const (
	end      = "\x0b"
	noLocals = "\x00"
	nullary  = "\x60\x00\x00"
	// zero is an offset, and the value of a global.
	zero = "\x41\x00\x0b"
)

// functions is a module of functions that take and give nothing.
func functions(bodies ...string) []byte {
	return module(
		section(1, vector(nullary)),
		section(3, vector(strings.Split(strings.Repeat("\x00", len(bodies)), "")...)),
		section(10, vector(bodies...)),
	)
}

// withCode is a module in which a function has such code. It has 3 types, 2
// functions, 2 globals of which the last can change, 2 tables of functions, a
// memory, an element segment, a data segment; the function has 2 locals.
func withCode(code string) []byte {
	parts := everything()
	parts[8] = section(10, vector(body("\x01\x01\x7e", code)))
	return module(parts...)
}

// everything has the sections of withCode.
func everything() []string {
	return []string{
		section(1, vector(nullary, "\x60\x01\x7f\x01\x7f", "\x60\x00\x02\x7f\x7f")),
		section(2, vector("\x01m\x01f\x00\x00", "\x01m\x01g\x03\x7f\x00")),
		section(3, vector("\x01")),
		section(4, vector("\x70\x00\x01", "\x70\x01\x01\x02")),
		section(5, vector("\x01\x01\x02")),
		section(6, vector("\x7f\x01"+zero)),
		section(9, vector("\x01\x00\x01\x01")),
		section(12, "\x01"),
		section(10, vector(body("\x01\x01\x7e", "\x20\x00"))),
		section(11, vector("\x01\x03abc")),
	}
}

// names is a name section.
func names(entries ...string) string {
	return section(0, "\x04name\x01"+text(vector(entries...)))
}
