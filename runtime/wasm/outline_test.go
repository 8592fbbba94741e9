package wasm_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func sample() []byte {
	var b runtimetest.Builder
	b.Import("m", "f", "iI", "I")
	b.ImportRaw("m", "t", 1, 0x70, 0, 1)
	b.ImportRaw("m", "mem", 2, 1, 1, 2)
	b.ImportRaw("m", "g", 3, 0x7f, 1)
	b.Memory(300)
	b.Table(7)
	b.Func("run", "", "i", "iI", runtimetest.I32(0))
	b.Func("", "", "", "")
	return b.Bytes()
}

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := wasm.Read(sample())
	if err != nil {
		t.Fatal(err)
	}
	want := &wasm.Outline{
		Imports: []wasm.Import{
			{Module: "m", Name: "f", Params: []api.ValueType{api.ValueTypeI32, api.ValueTypeI64}, Results: []api.ValueType{api.ValueTypeI64}},
			{Module: "m", Name: "t", Kind: wasm.KindTable},
			{Module: "m", Name: "mem", Kind: wasm.KindMemory},
			{Module: "m", Name: "g", Kind: wasm.KindGlobal},
		},
		HasMemory:      true,
		MinMemoryPages: 300,
		Tables:         []wasm.Table{{Element: 0x70, Min: 7}},
		Functions:      []wasm.Function{{BodyBytes: 8, Locals: 2}, {BodyBytes: 2}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(wasm.Outline{})); diff != "" {
		t.Errorf("outline differs (-want +got):\n%s", diff)
	}
}

func TestReadSaysWhereItEnds(t *testing.T) {
	t.Parallel()
	const header = wasm.Header
	for _, test := range []struct {
		name, binary, says string
	}{
		{"no header", "\x00asm", "header"},
		{"a section beyond the end", header + "\x01\x05\x00", "byte 10: unexpected end"},
		{"a length without an end", header + "\x01\x80\x80\x80\x80\x80\x00", "longer than 5 bytes"},
		{"a length over 32 bits", header + "\x01\xff\xff\xff\xff\x7f", "over 32 bits"},
		{"a type that is no function's", header + "\x01\x02\x01\x5f", "section 1: byte 12: type form 0x5f"},
		{"an import of an unknown kind", header + "\x02\x04\x01\x00\x00\x09", "import kind 9"},
		{"an import of an unknown type", header + "\x02\x05\x01\x00\x00\x00\x00", "type 0"},
		{"a 64-bit memory", header + "\x05\x03\x01\x04\x01", "flag 0x4"},
		{"a table of something", header + "\x04\x04\x01\x6e\x00\x01", "element type 0x6e"},
		{"locals without an end", header + "\x0a\x04\x01\x02\x01\x01", "unexpected end"},
		{"more exports than there are", header + "\x07\x05\xff\xff\xff\xff\x0f", "section 7: byte 15: unexpected end"},
		{"more functions than there are", header + "\x03\x05\xff\xff\xff\xff\x0f", "section 3"},
		{"an export's name without an end", header + "\x07\x06\x01\xff\xff\xff\xff\x0f", "section 7"},
		{"more globals than there are", header + "\x06\x05\xff\xff\xff\xff\x0f", "section 6"},
		{"more segments than there are", header + "\x0b\x05\xff\xff\xff\xff\x0f", "section 11"},
		{"data without an end", header + "\x0b\x07\x01\x01\xff\xff\xff\xff\x0f", "section 11: byte 17: unexpected end"},
		{"elements without an end", header + "\x09\x0b\x01\x00\x41\x00\x0b\xff\xff\xff\xff\x0f\x00", "section 9: byte 20: unexpected end"},
		{"elements of a kind", header + "\x09\x08\x01\x01\x00\xff\xff\xff\xff\x0f", "section 9"},
		{"elements that are expressions", header + "\x09\x08\x01\x05\x70\xff\xff\xff\xff\x0f", "section 9"},
		{"an expression that computes", header + "\x06\x06\x01\x7f\x00\x41\x00\x6a", "operation 0x6a"},
		{"a custom section's name without an end", header + "\x00\x05\xff\xff\xff\xff\x0f", "section 0"},
		{"function names without an end", header + "\x00\x0c\x04name\x01\x05\xff\xff\xff\xff\x0f", "section 0"},
		{"local names without an end", header + "\x00\x0e\x04name\x02\x07\x01\x00\xff\xff\xff\xff\x0f", "section 0"},
		{"two name sections", header + "\x00\x05\x04name\x00\x05\x04name", "second name section"},
		{"two type sections", header + "\x01\x01\x00\x01\x01\x00", "second"},
		{"a typed reference", header + "\x01\x06\x01\x60\x01\x63\x00\x00", "value type 0x63"},
		{"a local that is a typed reference", header + "\x0a\x06\x01\x04\x01\x01\x63\x0b", "value type 0x63"},
		{"an unknown section", header + "\x0d\x01\x00", "section 13 is unknown"},
		{"a section that goes on", header + "\x03\x03\x01\x00\x00", "goes on"},
		{"more entries than anyone has", header + "\x03\xa4\x8d\x06\xa1\x8d\x06" + strings.Repeat("\x00", 100_001), "more than the 100000"},
		{"more entries than there are", header + "\x01\x05\xff\xff\xff\xff\x0f", "unexpected end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := wasm.Read([]byte(test.binary)); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}

func TestReadCountsLocalsBeyond32Bits(t *testing.T) {
	t.Parallel()
	// Two groups of 2^32-1 locals, and an end.
	body := "\x02\xff\xff\xff\xff\x0f\x7f\xff\xff\xff\xff\x0f\x7f\x0b"
	binary := wasm.Header + "\x0a" + string(rune(len(body)+2)) + "\x01" + string(rune(len(body))) + body
	outline, err := wasm.Read([]byte(binary))
	if err != nil || outline.Functions[0].Locals != 2*(1<<32-1) {
		t.Errorf("got %+v, %v", outline, err)
	}
}

func TestClampTables(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Table(1)
	b.Memory(1)
	b.Func("run", "", "i", "", runtimetest.I32(0))
	binary := b.Bytes()
	outline, err := wasm.Read(binary)
	if err != nil {
		t.Fatal(err)
	}
	clamped := outline.ClampTables(binary, 1000)
	again, err := wasm.Read(clamped)
	if err != nil {
		t.Fatal(err)
	}
	if want := []wasm.Table{{Element: 0x70, Min: 1, Max: 1000, HasMax: true}}; !slices.Equal(again.Tables, want) {
		t.Errorf("got %+v, want %+v", again.Tables, want)
	}
	if got := again.ClampTables(clamped, 1000); &got[0] != &clamped[0] {
		t.Error("a module within the limit was copied")
	}
	if lower, err := wasm.Read(again.ClampTables(clamped, 10)); err != nil || lower.Tables[0].Max != 10 {
		t.Errorf("got %+v, %v, want a maximum of 10", lower, err)
	}
}

// FuzzRead looks for binaries that panic, and for modules that the engine takes
// and Read does not, or no longer takes after their tables were clamped.
func FuzzRead(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(sample())
	f.Add(runtimetest.Echo("echo"))
	f.Add(runtimetest.Outputs(map[string]string{"a": "b"}))
	engine := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigInterpreter())
	f.Fuzz(func(t *testing.T, binary []byte) {
		outline, err := wasm.Read(binary)
		if err != nil || len(binary) > 1<<12 {
			return
		}
		for _, fn := range outline.Functions {
			if fn.Locals > 1000 {
				return // The engine would allocate them.
			}
		}
		compiled, err := engine.CompileModule(t.Context(), binary)
		if err != nil {
			return
		}
		defer compiled.Close(t.Context())
		if got, want := len(functions(outline)), len(compiled.ImportedFunctions()); got != want {
			t.Errorf("got %d imported functions, want %d", got, want)
		}
		for i := range outline.Tables {
			if outline.Tables[i].Min > 100 {
				return
			}
		}
		again, err := engine.CompileModule(t.Context(), outline.ClampTables(binary, 100))
		if err != nil {
			t.Fatalf("compile after clamping: %v", err)
		}
		again.Close(t.Context())
	})
}

func functions(o *wasm.Outline) []wasm.Import {
	return slices.DeleteFunc(slices.Clone(o.Imports), func(i wasm.Import) bool { return i.Kind != wasm.KindFunction })
}
