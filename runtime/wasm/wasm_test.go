package wasm_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// guests are a real module, tiny ones, and one of everything.
func guests(tb testing.TB) map[string][]byte {
	tb.Helper()
	return map[string][]byte{
		"Go":         runtimetest.Guest(tb),
		"loop":       runtimetest.Loop("run"),
		"grow":       runtimetest.Grow("run"),
		"recurse":    runtimetest.Recurse("run"),
		"trap":       runtimetest.Trap("run"),
		"echo":       runtimetest.Echo("run"),
		"outputs":    runtimetest.Outputs(map[string]string{"a": "b", "c": "a longer output"}),
		"fail":       runtimetest.Fail("run", "message", 1),
		"ask":        runtimetest.Ask("run", "function", "{}"),
		"pass on":    runtimetest.PassOn("run", "function", "{}", "message"),
		"empty":      module(),
		"everything": module(everything()...),
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	engine := newCompiler(t)
	for name, binary := range guests(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := roundTrip(t, binary, wasm.Limits{})
			if name == "Go" {
				return // The compiler takes seconds; runtime's tests run it.
			}
			if err := compile(t, engine, binary); err != nil {
				t.Errorf("compile: %v", err)
			}
			if err := compile(t, engine, m.Encode()); err != nil {
				t.Errorf("compile what was encoded: %v", err)
			}
		})
	}
}

// roundTrip checks that encoding loses nothing, and returns the module.
func roundTrip(tb testing.TB, binary []byte, l wasm.Limits) *wasm.Module {
	tb.Helper()
	m, err := wasm.Decode(binary, l)
	if err != nil {
		tb.Fatal(err)
	}
	again, err := wasm.Decode(m.Encode(), l)
	if err != nil {
		tb.Fatalf("decode what was encoded: %v", err)
	}
	if !reflect.DeepEqual(m, again) { // cmp takes a thousand times as long.
		tb.Errorf("module differs (-want +got):\n%.2000s", cmp.Diff(m, again))
	}
	return m
}

func TestDecode(t *testing.T) {
	t.Parallel()
	parts := append(everything(), names("\x01\x03run"))
	parts = slices.Insert(parts, 6,
		section(7, vector("\x03run\x00\x01", "\x01t\x01\x01", "\x01m\x02\x00", "\x01g\x03\x01")),
		section(8, "\x00"),
		section(9, vector(
			"\x00"+zero+"\x01\x00",
			"\x01\x00\x00",
			"\x02\x01"+zero+"\x00\x01\x01",
			"\x03\x00\x01\x00",
			"\x04"+zero+"\x01\xd2\x00\x0b",
			"\x05\x6f\x01\xd0\x6f\x0b",
			"\x06\x01\x23\x00\x0b\x70\x00",
			"\x07\x70\x00",
		)))
	parts[9] = "" // Their elements.
	got := roundTrip(t, module(parts...), wasm.Limits{})
	offset := wasm.Expr(zero)
	zeroIndex := uint32(0)
	want := &wasm.Module{
		Types: []wasm.FuncType{
			{},
			{Params: []wasm.ValueType{wasm.I32}, Results: []wasm.ValueType{wasm.I32}},
			{Results: []wasm.ValueType{wasm.I32, wasm.I32}},
		},
		Imports: []wasm.Import{
			{Module: "m", Name: "f"},
			{Module: "m", Name: "g", Kind: wasm.KindGlobal, Global: wasm.GlobalType{Type: wasm.I32}},
		},
		Functions: []uint32{1},
		Tables:    []wasm.Table{{Element: wasm.FuncRef, Min: 1}, {Element: wasm.FuncRef, Min: 1, Max: 2, HasMax: true}},
		Memory:    &wasm.Memory{Min: 1, Max: 2, HasMax: true},
		Globals:   []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Init: offset}},
		Exports: []wasm.Export{
			{Name: "run", Index: 1},
			{Name: "t", Kind: wasm.KindTable, Index: 1},
			{Name: "m", Kind: wasm.KindMemory},
			{Name: "g", Kind: wasm.KindGlobal, Index: 1},
		},
		Start: &zeroIndex,
		Elements: []wasm.Element{
			{Offset: offset, Type: wasm.FuncRef, Functions: []uint32{0}},
			{Mode: wasm.Passive, Type: wasm.FuncRef, Functions: []uint32{}},
			{Table: 1, Offset: offset, Type: wasm.FuncRef, Functions: []uint32{1}},
			{Mode: wasm.Declarative, Type: wasm.FuncRef, Functions: []uint32{0}},
			{Offset: offset, Type: wasm.FuncRef, Exprs: []wasm.Expr{wasm.Expr("\xd2\x00\x0b")}},
			{Mode: wasm.Passive, Type: wasm.ExternRef, Exprs: []wasm.Expr{wasm.Expr("\xd0\x6f\x0b")}},
			{Table: 1, Offset: wasm.Expr("\x23\x00\x0b"), Type: wasm.FuncRef},
			{Mode: wasm.Declarative, Type: wasm.FuncRef},
		},
		DataCount: true,
		Code:      []wasm.Body{{Locals: []wasm.Locals{{Count: 1, Type: wasm.I64}}, Code: []byte("\x20\x00\x0b")}},
		Data:      []wasm.Data{{Mode: wasm.Passive, Init: []byte("abc")}},
		Names:     map[uint32]string{1: "run"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("module differs (-want +got):\n%s", diff)
	}
}

func TestTruncationIsRefused(t *testing.T) {
	t.Parallel()
	binary := runtimetest.Guest(t)
	// Between sections, what is missing may be custom ones.
	between := map[int]bool{}
	eachSection(binary, func(_ byte, before, _, _ string) { between[len(before)] = true })
	for at := range binary {
		if _, err := wasm.Decode(binary[:at], wasm.Limits{}); err == nil && !between[at] {
			t.Errorf("%d of %d bytes were accepted", at, len(binary))
		}
	}
}

func TestTruncatedSectionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, binary := range guests(t) {
		if name == "Go" {
			continue // The sections of the others have all that there is.
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachSection(binary, func(id byte, before, content, after string) {
				for n := range len(content) {
					short := before + section(id, content[:n]) + after
					if _, err := wasm.Decode([]byte(short), wasm.Limits{}); err == nil {
						t.Errorf("section %d with %d of %d bytes was accepted", id, n, len(content))
					}
				}
			})
		})
	}
}

// eachSection calls f with each section that is not empty, and what is around it.
func eachSection(binary []byte, f func(id byte, before, content, after string)) {
	s := string(binary)
	for at := len(wasm.Header); at < len(s); {
		length, n := 0, 1
		for shift := 0; ; shift += 7 {
			b := s[at+n]
			length |= int(b&0x7f) << shift
			n++
			if b < 0x80 {
				break
			}
		}
		start := at + n
		f(s[at], s[:at], s[start:start+length], s[start+length:])
		at = start + length
	}
}

func TestEveryChangedByteIsJudged(t *testing.T) {
	t.Parallel()
	for name, binary := range guests(t) {
		if name == "Go" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			accepted := 0
			for at := range binary {
				changed := slices.Clone(binary)
				for _, b := range []byte{0, 1, 2, 0x0b, 0x40, 0x7f, 0x80, 0xff, binary[at] + 1, binary[at] - 1, binary[at] ^ 0x40} {
					changed[at] = b
					if _, err := wasm.Decode(changed, wasm.Limits{}); err == nil {
						roundTrip(t, changed, wasm.Limits{})
						accepted++
					}
				}
			}
			if most := len(binary) * 11; accepted == 0 || accepted > most*9/10 {
				t.Errorf("%d of %d were accepted", accepted, most)
			}
		})
	}
}

func TestClamp(t *testing.T) {
	t.Parallel()
	decode := func() *wasm.Module {
		m, err := wasm.Decode(module(everything()...), wasm.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		m.Memory.HasMax, m.Memory.Max = false, 0
		return m
	}
	m := decode()
	m.Clamp(100, 1000)
	again := roundTrip(t, m.Encode(), wasm.Limits{})
	if want := (&wasm.Memory{Min: 1, Max: 100, HasMax: true}); *again.Memory != *want {
		t.Errorf("got %+v, want %+v", again.Memory, want)
	}
	want := []wasm.Table{{Element: wasm.FuncRef, Min: 1, Max: 1000, HasMax: true}, {Element: wasm.FuncRef, Min: 1, Max: 2, HasMax: true}}
	if !slices.Equal(again.Tables, want) {
		t.Errorf("got %+v, want %+v", again.Tables, want)
	}
	again.Clamp(200, 1)
	if again.Memory.Max != 100 || again.Tables[0].Max != 1 || again.Tables[1].Max != 1 {
		t.Errorf("got %+v and %+v, want the lower of both", again.Memory, again.Tables)
	}
}

func TestScanner(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, code string
		want       wasm.Instruction
	}{
		{"nop", "\x01", wasm.Instruction{Op: wasm.OpNop}},
		{"block", "\x02\x40", wasm.Instruction{Op: wasm.OpBlock, Block: wasm.BlockEmpty}},
		{"loop of a value", "\x03\x7c", wasm.Instruction{Op: wasm.OpLoop, Block: wasm.BlockOf(wasm.F64)}},
		{"if of a type", "\x04\xc0\x00", wasm.Instruction{Op: wasm.OpIf, Block: 64}},
		{"call", "\x10\x80\x01", wasm.Instruction{Op: wasm.OpCall, Index: 128}},
		{"call_indirect", "\x11\x03\x01", wasm.Instruction{Op: wasm.OpCallIndirect, Index: 3, Index2: 1}},
		{"br_table", "\x0e\x02\x80\x00\x05\x07", wasm.Instruction{Op: wasm.OpBrTable, Index: 7, Labels: []uint32{0, 5}, LabelsAt: []int{2, 4, 5}}},
		{"store", "\x37\x03\x90\x01", wasm.Instruction{Op: wasm.OpI64Store, Index: 3, Index2: 144}},
		{"i32.const", "\x41\x7f", wasm.Instruction{Op: wasm.OpI32Const, Value: -1}},
		{"i32.const in 5 bytes", "\x41\xff\xff\xff\xff\x7f", wasm.Instruction{Op: wasm.OpI32Const, Value: -1}},
		{"i32.const, lowest", "\x41\x80\x80\x80\x80\x78", wasm.Instruction{Op: wasm.OpI32Const, Value: -1 << 31}},
		{"i64.const, lowest", "\x42\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", wasm.Instruction{Op: wasm.OpI64Const, Value: -1 << 63}},
		{"i64.const, highest", "\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", wasm.Instruction{Op: wasm.OpI64Const, Value: 1<<63 - 1}},
		{"f32.const", "\x43abcd", wasm.Instruction{Op: wasm.OpF32Const}},
		{"f64.const", "\x44abcdefgh", wasm.Instruction{Op: wasm.OpF64Const}},
		{"select of a type", "\x1c\x01\x70", wasm.Instruction{Op: wasm.OpSelectTyped}},
		{"ref.null", "\xd0\x6f", wasm.Instruction{Op: wasm.OpRefNull}},
		{"memory.grow", "\x40\x00", wasm.Instruction{Op: wasm.OpMemoryGrow}},
		{"i32.trunc_sat_f32_s", "\xfc\x00", wasm.Instruction{Op: 0xfc00}},
		{"memory.init", "\xfc\x08\x04\x00", wasm.Instruction{Op: wasm.OpMemoryInit, Index: 4}},
		{"memory.copy", "\xfc\x0a\x00\x00", wasm.Instruction{Op: wasm.OpMemoryCopy}},
		{"table.init", "\xfc\x0c\x04\x01", wasm.Instruction{Op: wasm.OpTableInit, Index: 4, Index2: 1}},
		{"table.fill in a long form", "\xfc\x91\x00\x02", wasm.Instruction{Op: wasm.OpTableFill, Index: 2}},
		{"v128.load", "\xfd\x00\x04\x08", wasm.Instruction{Op: 0xfd00, Index: 4, Index2: 8}},
		{"v128.const", "\xfd\x0c" + strings.Repeat("x", 16), wasm.Instruction{Op: wasm.OpV128Const}},
		{"i8x16.shuffle", "\xfd\x0d" + strings.Repeat("\x01", 16), wasm.Instruction{Op: 0xfd0d}},
		{"i8x16.extract_lane_s", "\xfd\x15\x0f", wasm.Instruction{Op: 0xfd15}},
		{"v128.load64_lane", "\xfd\x57\x03\x09\x01", wasm.Instruction{Op: 0xfd57, Index: 3, Index2: 9}},
		{"i16x8.abs", "\xfd\x80\x01", wasm.Instruction{Op: 0xfd80}},
		{"f64x2.convert_low_i32x4_u", "\xfd\xff\x01", wasm.Instruction{Op: 0xfdff}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := wasm.NewScanner([]byte(test.code + "\x0b"))
			if !s.Next() {
				t.Fatal("nothing was read")
			}
			test.want.End = len(test.code)
			if diff := cmp.Diff(&test.want, s.Instruction()); diff != "" {
				t.Errorf("instruction differs (-want +got):\n%s", diff)
			}
			if !s.Next() || s.Instruction().Op != wasm.OpEnd || s.Instruction().Start != len(test.code) || s.Next() {
				t.Errorf("got %+v, want the end", s.Instruction())
			}
		})
	}
}

// What Code writes, Scanner reads.
func TestScannerReadsCode(t *testing.T) {
	t.Parallel()
	var c wasm.Code
	c.Block(wasm.OpLoop, wasm.BlockOf(wasm.I64))
	c.I32(-129)
	c.I64(1 << 40)
	c.Index(wasm.OpCall, 300)
	c.Index2(wasm.OpTableInit, 1, 200)
	c.Access(wasm.OpI32Store8, 0, 1000)
	c.Op(0xfd80, wasm.OpEnd)
	want := []wasm.Instruction{
		{Op: wasm.OpLoop, Block: -2},
		{Op: wasm.OpI32Const, Value: -129},
		{Op: wasm.OpI64Const, Value: 1 << 40},
		{Op: wasm.OpCall, Index: 300},
		{Op: wasm.OpTableInit, Index: 1, Index2: 200},
		{Op: wasm.OpI32Store8, Index2: 1000},
		{Op: 0xfd80},
		{Op: wasm.OpEnd},
	}
	s := wasm.NewScanner(c)
	for _, w := range want {
		if !s.Next() {
			t.Fatalf("nothing was read, want %+v", w)
		}
		got := *s.Instruction()
		if got.Op != w.Op || got.Index != w.Index || got.Index2 != w.Index2 ||
			got.Op == wasm.OpLoop && got.Block != w.Block || w.Value != 0 && got.Value != w.Value {
			t.Errorf("got %+v, want %+v", got, w)
		}
	}
	if s.Next() {
		t.Errorf("got %+v after the end", s.Instruction())
	}
}

func ExampleScanner() {
	m, err := wasm.Decode(runtimetest.Loop("run"), wasm.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := wasm.NewScanner(m.Code[0].Code)
	for s.Next() {
		i := s.Instruction()
		fmt.Printf("%d..%d: %#x\n", i.Start, i.End, i.Op)
	}
	// Output:
	// 0..2: 0x3
	// 2..4: 0xc
	// 4..5: 0xb
	// 5..6: 0x0
	// 6..7: 0xb
}

func BenchmarkDecode(b *testing.B) {
	binary := runtimetest.Guest(b)
	b.SetBytes(int64(len(binary)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wasm.Decode(binary, wasm.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	m, err := wasm.Decode(runtimetest.Guest(b), wasm.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(m.Encode())))
	}
}
