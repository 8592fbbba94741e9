package image_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// memoryOf is a memory of some pages with content here and there.
func memoryOf(pages int, content map[int]string) []byte {
	memory := make([]byte, pages*unit)
	for at, s := range content {
		copy(memory[at:], s)
	}
	return memory
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, wazero.NewRuntimeConfigCompiler())

	t.Run("makes an ordinary module that begins with the state", func(t *testing.T) {
		t.Parallel()
		m := decode(t, start())
		memory := memoryOf(2, map[int]string{0: "first", 4000: "\x00\xff\x00", 5000: "x", 2*unit - 1: "l"})
		if err := image.Freeze(m, memory, []uint64{uint64(uint32(1<<31 - 7))}); err != nil {
			t.Fatal(err)
		}
		m = decode(t, m)
		m.Exports = append(m.Exports, wasm.Export{Name: "memory", Kind: wasm.KindMemory}, wasm.Export{Name: "global", Kind: wasm.KindGlobal, Index: 1})
		guest, err := rt.InstantiateWithConfig(t.Context(), m.Encode(), wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := guest.ExportedMemory("memory").Read(0, guest.ExportedMemory("memory").Size())
		if !bytes.Equal(got, memory) {
			t.Error("its memory is another")
		}
		if got, want := uint32(guest.ExportedGlobal("global").Get()), uint32(1<<31-7); got != want {
			t.Errorf("its global is %d, want %d", got, want)
		}
		call(t, guest, "init")
		if got, _ := guest.ExportedMemory("memory").Read(100, 4); string(got) != "keep" {
			t.Errorf("memory.init of the passive segment gave %q", got)
		}
	})

	t.Run("finds what had been active segments empty", func(t *testing.T) {
		t.Parallel()
		m := start()
		m.Code[1] = code(i32(0), i32(0), i32(1), index2(wasm.OpMemoryInit, 0, 0))
		m = decode(t, m)
		if err := image.Freeze(m, memoryOf(1, nil), []uint64{0}); err != nil {
			t.Fatal(err)
		}
		guest, err := rt.InstantiateWithConfig(t.Context(), m.Encode(), wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := guest.ExportedFunction("init").Call(t.Context()); err == nil {
			t.Error("a byte of it could be read")
		}
	})

	t.Run("writes every kind of number, bit by bit", func(t *testing.T) {
		t.Parallel()
		values := []uint64{api.EncodeI32(-1), 1 << 63, uint64(math.Float32bits(1.5)) | 1, 0x7ff4_0000_dead_beef}
		m := &wasm.Module{}
		for i, typ := range []wasm.ValueType{wasm.I32, wasm.I64, wasm.F32, wasm.F64} {
			m.Globals = append(m.Globals, wasm.Global{GlobalType: wasm.GlobalType{Type: typ, Mutable: true}})
			m.Exports = append(m.Exports, wasm.Export{Name: typ.String(), Kind: wasm.KindGlobal, Index: uint32(i)})
		}
		if err := image.Freeze(m, nil, values); err != nil {
			t.Fatal(err)
		}
		guest, err := rt.InstantiateWithConfig(t.Context(), decode(t, m).Encode(), wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, e := range m.Exports {
			got = append(got, guest.ExportedGlobal(e.Name).Get())
		}
		if diff := cmp.Diff(values, got); diff != "" {
			t.Errorf("differs (-want +got):\n%s", diff)
		}
	})

	t.Run("has few segments, however the memory is strewn", func(t *testing.T) {
		t.Parallel()
		memory := memoryOf(16, nil)
		for at := 0; at < len(memory); at += 64 {
			memory[at] = 1
		}
		m := &wasm.Module{Memory: &wasm.Memory{Min: 1}}
		if err := image.Freeze(m, memory, nil); err != nil {
			t.Fatal(err)
		}
		if n := len(m.Data); n == 0 || n > 4096 {
			t.Errorf("got %d segments", n)
		}
		again := make([]byte, len(memory))
		p := plan(t, decode(t, m))
		for _, s := range p.Data {
			copy(again[s.Offset:], s.Bytes)
		}
		if !bytes.Equal(again, memory) {
			t.Error("they are another memory")
		}
	})
}

func TestFreezeRefuses(t *testing.T) {
	t.Parallel()
	fresh := &wasm.Module{
		Types: []wasm.FuncType{{}}, Functions: []uint32{0}, Memory: &wasm.Memory{Min: 1}, DataCount: true,
		Data: []wasm.Data{{Mode: wasm.Passive}}, Code: []wasm.Body{code(index(wasm.OpDataDrop, 0))},
	}
	vector := &wasm.Module{Globals: []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.V128, Mutable: true}}}}
	for name, test := range map[string]struct {
		module  *wasm.Module
		memory  []byte
		globals []uint64
		says    string
	}{
		"a module that cannot be put back":       {fresh, memoryOf(1, nil), nil, "data.drop"},
		"a global that has no number":            {vector, nil, []uint64{0}, "v128"},
		"too few values":                         {start(), memoryOf(1, nil), nil, "no value for global 1"},
		"too many values":                        {start(), memoryOf(1, nil), []uint64{1, 2}, "1 values more"},
		"a memory below the minimum":             {start(), nil, []uint64{1}, "0 bytes"},
		"a memory above the maximum":             {start(), memoryOf(4, nil), []uint64{1}, "262144 bytes"},
		"a memory that is no multiple of a page": {start(), memoryOf(1, nil)[:100], []uint64{1}, "100 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := image.Freeze(test.module, test.memory, slices.Clone(test.globals)); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}
