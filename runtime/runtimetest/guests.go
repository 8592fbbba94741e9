package runtimetest

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Extism is where guests import Extism's functions from, User this host's own.
const (
	Extism = "extism:host/env"
	User   = "extism:host/user"
)

// Loop runs for ever.
func Loop(export string) []byte {
	var b Builder
	b.Func(export, "", "i", "", Op(0x03, 0x40, 0x0c, 0x00, end, 0x00)) // loop br 0 end unreachable
	return b.Bytes()
}

// Grow asks for memory, a MiB at a time, until it is refused, then traps.
func Grow(export string) []byte {
	var b Builder
	b.Memory(1)
	b.Func(export, "", "i", "",
		Op(0x03, 0x40),                             // loop
		I32(16), Op(0x40, 0x00), I32(-1), Op(0x47), // memory.grow(16) != -1
		Op(0x0d, 0x00, end), // br_if 0 end
		Op(0x00))            // unreachable
	return b.Bytes()
}

// Recurse calls itself for ever.
func Recurse(export string) []byte {
	var b Builder
	// An addition after the call, so that it is not a tail call.
	b.Func(export, "", "i", "", Invoke(0), I32(1), Op(0x6a))
	return b.Bytes()
}

// Trap executes unreachable.
func Trap(export string) []byte {
	var b Builder
	b.Func(export, "", "i", "", Op(0x00))
	return b.Bytes()
}

// Echo outputs its input.
func Echo(export string) []byte {
	var b Builder
	offset := b.Import(Extism, "input_offset", "", "I")
	length := b.Import(Extism, "input_length", "", "I")
	output := b.Import(Extism, "output_set", "II", "")
	b.Func(export, "", "i", "", Invoke(offset), Invoke(length), Invoke(output), I32(0))
	return b.Bytes()
}

// Outputs gives each export an output that is always the same.
func Outputs(outputs map[string]string) []byte {
	var b Builder
	p := kernel(&b)
	output := b.Import(Extism, "output_set", "II", "")
	for _, export := range slices.Sorted(maps.Keys(outputs)) {
		b.Func(export, "", "i", "I",
			p.place(outputs[export], 0), Op(0x20, 0), I64(int64(len(outputs[export]))), Invoke(output), I32(0))
	}
	return b.Bytes()
}

// OutputsBut is Outputs with one more export, which sets an error and returns 1.
func OutputsBut(outputs map[string]string, export, message string) []byte {
	var b Builder
	p := kernel(&b)
	output := b.Import(Extism, "output_set", "II", "")
	set := b.Import(Extism, "error_set", "I", "")
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		b.Func(name, "", "i", "I",
			p.place(outputs[name], 0), Op(0x20, 0), I64(int64(len(outputs[name]))), Invoke(output), I32(0))
	}
	b.Func(export, "", "i", "I", p.place(message, 0), Op(0x20, 0), Invoke(set), I32(1))
	return b.Bytes()
}

// Fail sets an error and returns code.
func Fail(export, message string, code int32) []byte {
	var b Builder
	p := kernel(&b)
	set := b.Import(Extism, "error_set", "I", "")
	b.Func(export, "", "i", "I", p.place(message, 0), Op(0x20, 0), Invoke(set), I32(code))
	return b.Bytes()
}

// Ask puts a request to a host function of ours and outputs the answer.
func Ask(export, function, request string) []byte {
	var b Builder
	p := kernel(&b)
	ask := b.Import(User, function, "I", "I")
	length := b.Import(Extism, "length", "I", "I")
	output := b.Import(Extism, "output_set", "II", "")
	b.Func(export, "", "i", "I",
		p.place(request, 0), Op(0x20, 0), Invoke(ask), Op(0x22, 0),
		Op(0x20, 0), Invoke(length), Invoke(output), I32(0))
	return b.Bytes()
}

// PassOn puts a request to a host function of ours, drops the answer, and raises
// an error.
func PassOn(export, function, request, message string) []byte {
	var b Builder
	p := kernel(&b)
	ask := b.Import(User, function, "I", "I")
	set := b.Import(Extism, "error_set", "I", "")
	b.Func(export, "", "i", "II",
		p.place(request, 0), Op(0x20, 0), Invoke(ask), Op(0x1a),
		p.place(message, 1), Op(0x20, 1), Invoke(set), I32(1))
	return b.Bytes()
}

// placer writes constants into Extism's memory.
type placer struct{ alloc, store8, store64 uint32 }

func kernel(b *Builder) placer {
	return placer{
		alloc:   b.Import(Extism, "alloc", "I", "I"),
		store8:  b.Import(Extism, "store_u8", "Ii", ""),
		store64: b.Import(Extism, "store_u64", "II", ""),
	}
}

// place allocates a block for s and leaves its offset in an i64 local.
func (p placer) place(s string, local byte) []byte {
	code := slices.Concat(I64(int64(len(s))), Invoke(p.alloc), Op(0x21, local))
	at := func(i int) []byte {
		return slices.Concat(Op(0x20, local), I64(int64(i)), Op(0x7c))
	}
	i := 0
	for ; i+8 <= len(s); i += 8 {
		word := binary.LittleEndian.Uint64([]byte(s[i:]))
		code = slices.Concat(code, at(i), I64(int64(word)), Invoke(p.store64))
	}
	for ; i < len(s); i++ {
		code = slices.Concat(code, at(i), I32(int32(s[i])), Invoke(p.store8))
	}
	return code
}
