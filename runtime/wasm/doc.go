// Package wasm is the WebAssembly binary format: it decodes a module, holds it
// against limits, checks its structure and every index in it, and encodes it
// again after others have changed it.
//
//	m, err := wasm.Decode(binary, wasm.Limits{})
//	err = meter.Rewrite(m)
//	binary = m.Encode()
//
// Accepted are MVP, bulk memory, sign extension, saturating conversions,
// multi-value, reference types and SIMD; everything else is refused by name. It
// does not check the types on the operand stack: the compiler does, on the same
// bytes. But the compiler believes the lengths that it reads, and a rewriter
// believes indices, so neither must see what [Decode] has not followed.
//
// A [Body] stays encoded; a [Scanner] reads it instruction by instruction, and a
// [Code] writes one.
//
// See https://webassembly.github.io/spec/core/binary/index.html.
package wasm
