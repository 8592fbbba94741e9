package meter_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

var updateCosts = flag.Bool("costs.update", false, "write COSTS.md anew")

// TestCostsAreDocumented holds COSTS.md against the code.
func TestCostsAreDocumented(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	want.WriteString(costsHead)
	for _, c := range meter.Costs() {
		price := fmt.Sprint(c.Units)
		if c.Extra != "" {
			price += ", and " + c.Extra
		}
		fmt.Fprintf(&want, "| %s | %s | %s |\n", c.Class, c.Instructions, price)
	}
	want.WriteString(costsTail)
	if *updateCosts {
		if err := os.WriteFile("COSTS.md", []byte(want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("COSTS.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Errorf("COSTS.md is not what the code says: run go test ./runtime/meter -run Documented -costs.update")
	}
}

const costsHead = `# What fuel a plugin uses

Each instruction of a module uses fuel, in units, as it is executed: neither the machine nor how busy it is changes the sum.
A unit is 0.1 to 0.7 ns on a server of today. A call that uses more than its budget is ended.

| Class | Instructions | Units |
|---|---|---|
`

const costsTail = `
A module whose code changes its tables, or drops segments, has an instance of its own for each call, and pays for it: 30,000
units, 16 for an entry of a table, 80 for one of an element segment, 20 for a global, 100 for an import, 4 for a data segment
that its code names, and 1 for 16 bytes of what its memory begins with. ` + "`cofferdam plugin inspect`" + ` says which modules are such.
`

func TestUnits(t *testing.T) {
	t.Parallel()
	tests := map[wasm.Opcode]int64{
		wasm.OpNop: 0, wasm.OpLoop: 0, wasm.OpLocalTee: 0, wasm.OpI64Const: 0, wasm.OpV128Const: 0,
		wasm.OpI32Add: 1, wasm.OpBr: 1, wasm.OpGlobalGet: 1, 0xfc00: 1,
		wasm.OpI32Load: 2, wasm.OpI64Store32: 2, wasm.OpTableSet: 2, 0xfd00: 2, 0xfd6e: 2,
		wasm.OpBrTable: 3, wasm.OpCall: 4, wasm.OpCallIndirect: 7,
		wasm.OpI32DivS: 8, wasm.OpI64RemU: 8, wasm.OpF64Sqrt: 8, 0xfdf3: 8,
		wasm.OpMemoryInit: 2, wasm.OpMemoryFill: 2, wasm.OpDataDrop: 2,
		wasm.OpMemoryGrow: 30, wasm.OpTableGrow: 30, wasm.OpTableCopy: 30, wasm.OpRefFunc: 80,
	}
	for op, want := range tests {
		if got := meter.Units(op); got != want {
			t.Errorf("instruction %#x costs %d, want %d", op, got, want)
		}
	}
}
