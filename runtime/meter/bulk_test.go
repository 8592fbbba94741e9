package meter_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// mover has exports for what takes as long as its operands say.
func mover() []byte {
	var m module
	m.memory(40, 50)
	m.function("prepare", "", "", "i", func(c *wasm.Code) { // Bytes that tell where they come from.
		c.Block(wasm.OpLoop, wasm.BlockEmpty)
		c.Index(wasm.OpLocalGet, 0)
		c.Index(wasm.OpLocalGet, 0)
		c.I32(-1640531527)
		c.Op(0x6c) // i32.mul
		c.Access(wasm.OpI32Store, 2, 0)
		c.Index(wasm.OpLocalGet, 0)
		c.I32(4)
		c.Op(wasm.OpI32Add)
		c.Index(wasm.OpLocalTee, 0)
		c.I32(40 * wasm.PageBytes)
		c.Op(wasm.OpI32LtU)
		c.Index(wasm.OpBrIf, 0)
		c.Op(wasm.OpEnd)
	})
	three := func(op func(c *wasm.Code)) func(c *wasm.Code) {
		return func(c *wasm.Code) {
			for i := range uint32(3) {
				c.Index(wasm.OpLocalGet, i)
			}
			op(c)
		}
	}
	copies := three(func(c *wasm.Code) { c.Index2(wasm.OpMemoryCopy, 0, 0) })
	m.function("copy", "iii", "", "", copies)
	m.function("fill", "iii", "", "", three(func(c *wasm.Code) { c.Index(wasm.OpMemoryFill, 0) }))
	// The same in a function that keeps its fuel in a local.
	m.function("copy in a loop", "iii", "", "", func(c *wasm.Code) {
		c.Block(wasm.OpLoop, wasm.BlockEmpty)
		copies(c)
		c.Op(wasm.OpEnd)
	})
	m.function("grow", "iii", "i", "", func(c *wasm.Code) {
		c.Index(wasm.OpLocalGet, 0)
		c.Index(wasm.OpMemoryGrow, 0)
	})
	m.Tables = []wasm.Table{{Element: wasm.FuncRef, Min: 10, Max: 2000, HasMax: true}}
	m.function("grow table", "iii", "i", "", func(c *wasm.Code) {
		c.Raw([]byte{byte(wasm.OpRefNull), byte(wasm.FuncRef)})
		c.Index(wasm.OpLocalGet, 0)
		c.Index(wasm.OpTableGrow, 0)
	})
	m.function("fill table", "iii", "", "", func(c *wasm.Code) {
		c.Index(wasm.OpLocalGet, 0)
		c.Raw([]byte{byte(wasm.OpRefNull), byte(wasm.FuncRef)})
		c.Index(wasm.OpLocalGet, 1)
		c.Index(wasm.OpTableFill, 0)
	})
	return m.Encode()
}

func TestBulkOperationsDoTheSameInChunks(t *testing.T) {
	t.Parallel()
	const (
		kb   = 1 << 10
		size = 40 * wasm.PageBytes
		unit = 16 // Bytes for one.
	)
	tests := []struct {
		export  string
		a, b, c uint64
		want    int64 // What it uses, or -1 when it traps.
		refuels int   // The least number, in slices of 1.
	}{
		{"copy", 1000, 2_000_000, 300, 2 + 300/unit, 0},
		{"copy", 0, 1, 256 * kb, 2 + 256*kb/unit, 0},
		{"copy", 0, 1000 * kb, 256*kb + 1, 2 + 256*kb/unit, 2},
		{"copy", 0, 1, 1500 * kb, 2 + 1500*kb/unit, 6},
		{"copy", 1, 0, 1500 * kb, 2 + 1500*kb/unit, 6},
		{"copy", 300 * kb, 0, 1000*kb + 5, 2 + 1000*kb/unit, 4},
		{"copy", 0, 300 * kb, 1000*kb + 5, 2 + 1000*kb/unit, 4},
		{"copy", 7, 7, 700 * kb, 2 + 700*kb/unit, 3},
		{"copy", 0, 0, size, 2 + size/unit, 10},
		{"copy", 1, 0, size, -1, 0},
		{"copy", 0, 1, size, -1, 0},
		{"copy", 0, size - 300*kb, 300*kb + 1, -1, 0},
		{"copy", 0, 0, 0xffffffff, -1, 0},
		{"copy", 0xffffffff, 0, 300 * kb, -1, 0},
		{"copy in a loop", 1, 0, 1500 * kb, 2 + 1 + 1500*kb/unit, 6},
		{"copy in a loop", 1, 0, 15, 2 + 1, 0},
		{"copy in a loop", 1, 0, size, -1, 0},
		{"fill", 3, 0xab, 15, 2, 0},
		{"fill", 3, 0xab, 2000 * kb, 2 + 2000*kb/unit, 8},
		{"fill", 0, 0xab, size, 2 + size/unit, 10},
		{"fill", 1, 0xab, size, -1, 0},
		{"fill", 0xfffffff0, 0xab, 300 * kb, -1, 0},
		{"grow", 3, 0, 0, 30 + 3*wasm.PageBytes, 0},
		{"grow", 0, 0, 0, 30, 0},
		{"grow", 11, 0, 0, 30, 0},
		{"grow", 0xffffffff, 0, 0, 30, 0},
		{"grow table", 100, 0, 0, 30 + 1600, 0},
		{"grow table", 2000, 0, 0, 30, 0},
		{"fill table", 2, 8, 0, 30 + 32, 0},
		{"fill table", 3, 8, 0, -1, 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %d %d %d", test.export, test.a, test.b, test.c), func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t)
			b := newBank(plenty, deep, slicesOf(1))
			original, rewritten := instantiate(t, rt, mover(), b), instantiate(t, rt, rewrite(t, mover()), b)
			original.call(t, b, "prepare")
			rewritten.call(t, b, "prepare")
			want := original.call(t, b, test.export, test.a, test.b, test.c)
			got := rewritten.call(t, newBank(plenty, deep, slicesOf(1)), test.export, test.a, test.b, test.c)
			if diff := cmp.Diff(want, got, ignoreFuel()); diff != "" {
				t.Errorf("-original +rewritten:\n%.500s", diff)
			}
			if (want.err != "") != (test.want < 0) {
				t.Errorf("the original ended with %q", want.err)
			}
			if test.want >= 0 && got.used != test.want || got.refuels < test.refuels {
				t.Errorf("used %d and asked %d times, want %d and at least %d", got.used, got.refuels, test.want, test.refuels)
			}
		})
	}
}

// TestBulkOperationsEndInTheMiddle holds that a budget ends them, chunk by chunk.
func TestBulkOperationsEndInTheMiddle(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t)
	const chunk = 256 << 10
	i := instantiate(t, rt, rewrite(t, mover()), newBank(plenty, deep, slicesOf(1)))
	got := i.call(t, newBank(3*chunk/16, deep, slicesOf(1)), "fill", 0, 1, 8*chunk)
	if got.err != errBudget.Error() {
		t.Fatalf("a fill of 8 chunks with a budget for 3: %q, want %q", got.err, errBudget)
	}
	filled := 0
	for filled < len(got.memory) && got.memory[filled] == 1 {
		filled++
	}
	if filled != 2*chunk {
		t.Errorf("filled %d bytes, want %d", filled, 2*chunk)
	}
}

// TestThereIsACheckAfterEachMemoryInit: they are not done in chunks, and a segment
// is as long as a module may be.
func TestThereIsACheckAfterEachMemoryInit(t *testing.T) {
	t.Parallel()
	const count, size, unit = 4, 1000, 16
	var m module
	m.memory(1, 1)
	m.Data, m.DataCount = []wasm.Data{{Mode: wasm.Passive, Init: make([]byte, size)}}, true
	m.function("init", "", "", "", func(c *wasm.Code) {
		for range count {
			c.I32(0)
			c.I32(0)
			c.I32(size)
			c.Index2(wasm.OpMemoryInit, 0, 0)
		}
	})
	rt := newRuntime(t)
	got := instantiate(t, rt, rewrite(t, m.Encode()), newBank(plenty, deep, slicesOf(1))).
		call(t, newBank(plenty, deep, slicesOf(1)), "init")
	if got.used != count*(2+size/unit) || got.refuels < count {
		t.Errorf("used %d and asked %d times, want %d and at least %d", got.used, got.refuels, count*(2+size/unit), count)
	}
}
