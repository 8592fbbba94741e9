package meter

import "github.com/cofferdam-run/cofferdam/runtime/wasm"

// Units are what an instruction costs without what it adds by its operands.
func Units(op wasm.Opcode) int64 {
	c := newCosts()
	return c.of(op)
}
