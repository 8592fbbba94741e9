package image_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// grower is a guest that grows, measures, reads and writes its memory.
func grower(most uint32) *wasm.Module {
	load := func(c *wasm.Code) { c.Access(wasm.OpI32Load, 0, 0) }
	store := func(c *wasm.Code) { c.Access(wasm.OpI32Store, 0, 0) }
	one := []wasm.ValueType{wasm.I32}
	return &wasm.Module{
		Types: []wasm.FuncType{
			{Params: one, Results: one},
			{Results: one},
			{Params: []wasm.ValueType{wasm.I32, wasm.I32}},
		},
		Functions: []uint32{0, 1, 0, 2},
		Memory:    &wasm.Memory{Min: 1, Max: most, HasMax: true},
		Exports: []wasm.Export{
			{Name: "grow"},
			{Name: "size", Index: 1},
			{Name: "load", Index: 2},
			{Name: "store", Index: 3},
		},
		Code: []wasm.Body{
			code(index(wasm.OpLocalGet, 0), index(wasm.OpMemoryGrow, 0)),
			code(index(wasm.OpMemorySize, 0)),
			code(index(wasm.OpLocalGet, 0), load),
			code(index(wasm.OpLocalGet, 0), index(wasm.OpLocalGet, 1), store),
		},
		Data: []wasm.Data{{Offset: at(1000), Init: []byte("content")}},
	}
}

// TestContractWithWazero fails when wazero stops doing what Shrink relies on: it
// asks the LinearMemory when the host grows, believes a shorter answer, and tells
// the compiled code.
func TestContractWithWazero(t *testing.T) {
	t.Parallel()
	engines := map[string]wazero.RuntimeConfig{
		"compiler":    wazero.NewRuntimeConfigCompiler(),
		"interpreter": wazero.NewRuntimeConfigInterpreter(),
	}
	for name, config := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t, config)
			for _, mechanism := range image.Mechanisms() {
				t.Run(mechanism.String(), func(t *testing.T) {
					t.Parallel()
					shrinks(t, rt, mechanism)
				})
			}
		})
	}
}

func shrinks(t *testing.T, rt wazero.Runtime, mechanism image.Mechanism) {
	t.Helper()
	m := grower(4)
	p := plan(t, m)
	snapshot := content(2 * unit) // Longer than the minimum.
	mem := reserve(t, newImage(t, snapshot, mechanism), 4*unit, 0)
	ctx := experimental.WithMemoryAllocator(t.Context(), mem.Guest())
	guest, err := rt.InstantiateWithConfig(ctx, m.Encode(), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	memory := guest.ExportedMemory(image.MemoryExport)
	grow, size := guest.ExportedFunction("grow"), guest.ExportedFunction("size") // As a pool keeps them.
	for round := range 3 {
		for by, want := range []int32{2, 2, -1} { // 0, then up to the declared maximum, then beyond.
			pages := []uint64{0, 2, 1}[by]
			got, err := grow.Call(t.Context(), pages)
			if err != nil || int32(got[0]) != want {
				t.Fatalf("round %d: memory.grow of %d pages gave %v, %v; want %d", round, pages, got, err, want)
			}
		}
		call(t, guest, "store", 4*unit-4, 0xabcdef)
		call(t, guest, "store", 4, 0xabcdef)
		if err := mem.Shrink(memory); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		reset(t, mem, 0)
		if got, _ := size.Call(t.Context()); got[0] != 2 {
			t.Errorf("round %d: memory.size is %d, want 2", round, got[0])
		}
		if _, err := guest.ExportedFunction("load").Call(t.Context(), 2*unit); err == nil {
			t.Errorf("round %d: code can read what was taken away", round)
		}
		got, _ := memory.Read(0, memory.Size())
		if !bytes.Equal(got, snapshot) {
			t.Errorf("round %d: memory is not the image", round)
		}
		call(t, guest, "grow", 2)
		if got := call(t, guest, "load", 4*unit-4); got != 0 {
			t.Errorf("round %d: what has grown anew holds %#x of the call before", round, got)
		}
		if err := mem.Shrink(memory); err != nil {
			t.Fatal(err)
		}
	}
	if p.Fresh != "" {
		t.Errorf("got %q", p.Fresh)
	}
}

func TestShrink(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, wazero.NewRuntimeConfigCompiler())
	t.Run("fails for good when the module has no page left above", func(t *testing.T) {
		t.Parallel()
		m := grower(3)
		p := plan(t, m)
		m.Memory.Max = 3 // As if it had not been planned.
		guest := begin(t, rt, m, p)
		memory := guest.ExportedMemory(image.MemoryExport)
		call(t, guest, "grow", 2)
		if err := guest.memory.Shrink(memory); err == nil || !strings.Contains(err.Error(), "from 196608 to 65536") {
			t.Errorf("got error %v", err)
		}
		if _, err := guest.memory.Reset(0); err == nil {
			t.Error("a memory that could not be shrunk was reset")
		}
	})
	t.Run("notices the memory of another instance", func(t *testing.T) {
		t.Parallel()
		m := grower(3)
		p := plan(t, m)
		one, other := begin(t, rt, m, p), begin(t, rt, m, p)
		call(t, one, "grow", 1)
		if err := one.memory.Shrink(other.ExportedMemory(image.MemoryExport)); err == nil {
			t.Error("it believes that it shrunk")
		}
	})
	t.Run("does nothing to what has not grown", func(t *testing.T) {
		t.Parallel()
		m := grower(3)
		guest := begin(t, rt, m, plan(t, m))
		if err := guest.memory.Shrink(nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("leaves growth beyond the limit remembered", func(t *testing.T) {
		t.Parallel()
		m := grower(3)
		guest := begin(t, rt, m, plan(t, m))
		guest.memory.SetLimit(2 * unit)
		call(t, guest, "grow", 1)
		if got := int32(call(t, guest, "grow", 1)); got != -1 || !guest.memory.Refused() {
			t.Errorf("got %d, refused %t", got, guest.memory.Refused())
		}
		if err := guest.memory.Shrink(guest.ExportedMemory(image.MemoryExport)); err != nil || !guest.memory.Refused() {
			t.Errorf("got %v, refused %t", err, guest.memory.Refused())
		}
		if got := guest.memory.Peak(); got != 2*unit {
			t.Errorf("got peak %d", got)
		}
		reset(t, guest.memory, 0)
		if guest.memory.Refused() || guest.memory.Peak() != unit {
			t.Error("a reset does not forget the call")
		}
	})
}
