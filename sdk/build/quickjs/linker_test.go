package quickjs_test

import (
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
	"github.com/cofferdam-run/cofferdam/sdk/build/quickjs"
)

// The types of the modules below.
const (
	toI32 = uint32(iota) // () -> i32
	toNil                // () -> ()
)

func types() []wasm.FuncType {
	return []wasm.FuncType{{Results: []wasm.ValueType{wasm.I32}}, {}}
}

func number(v int32) wasm.Expr {
	var c wasm.Code
	c.I32(v)
	c.Op(wasm.OpEnd)
	return wasm.Expr(c)
}

func returns(v int32) wasm.Body { return wasm.Body{Code: number(v)} }

func body(write func(c *wasm.Code)) wasm.Body {
	var c wasm.Code
	write(&c)
	c.Op(wasm.OpEnd)
	return wasm.Body{Code: c}
}

// engine has two pages, a table of two, a stack pointer, and the functions seven and
// eight, of which eight is in the table.
func engine() *wasm.Module {
	return &wasm.Module{
		Types: types(), Functions: []uint32{toI32, toI32, toNil},
		Tables: []wasm.Table{{Element: wasm.FuncRef, Min: 2}}, Memory: &wasm.Memory{Min: 2},
		Globals: []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Init: number(1024)}},
		Exports: []wasm.Export{
			{Name: "seven", Index: 0},
			{Name: "_initialize", Index: 2},
			{Name: "__stack_pointer", Kind: wasm.KindGlobal},
		},
		Elements: []wasm.Element{{Type: wasm.FuncRef, Offset: number(1), Functions: []uint32{1}}},
		Code: []wasm.Body{returns(7), returns(8), body(func(c *wasm.Code) {
			c.I32(16)
			c.I32(100)
			c.Access(wasm.OpI32Store, 2, 0)
		})},
		Data: []wasm.Data{{Offset: number(8), Init: []byte("engine")}},
	}
}

// Indices of what every side module here imports: functions and globals.
const (
	functionSeven = uint32(iota)
	functionMissing
	importedFunctions
)

const (
	globalMemoryBase = uint32(iota)
	globalTableBase
	globalStack
	globalPointer
	globalErrno
)

// side is a position-independent module whose load does something, with 64 bytes of
// memory, of which the first two are "hi", and one entry of the table, for nine.
func side(load func(c *wasm.Code)) *wasm.Module {
	global := func(module, name string, mutable bool) wasm.Import {
		return wasm.Import{Module: module, Name: name, Kind: wasm.KindGlobal, Global: wasm.GlobalType{Type: wasm.I32, Mutable: mutable}}
	}
	base := func(g uint32) wasm.Expr {
		var c wasm.Code
		c.Index(wasm.OpGlobalGet, g)
		c.Op(wasm.OpEnd)
		return wasm.Expr(c)
	}
	m := &wasm.Module{
		Types: types(),
		Imports: []wasm.Import{
			{Module: "env", Name: "seven", Type: toI32},
			{Module: "env", Name: "missing", Type: toI32},
			global("env", "__memory_base", false),
			global("env", "__table_base", false),
			global("env", "__stack_pointer", true),
			global("GOT.func", "seven", true),
			global("GOT.mem", "errno", true),
			{Module: "env", Name: "memory", Kind: wasm.KindMemory, Memory: wasm.Memory{Min: 1}},
			{Module: "env", Name: "__indirect_function_table", Kind: wasm.KindTable, Table: wasm.Table{Element: wasm.FuncRef, Min: 1}},
		},
		Functions: []uint32{toI32, toI32, toI32},
		Elements:  []wasm.Element{{Type: wasm.FuncRef, Offset: base(globalTableBase), Functions: []uint32{importedFunctions + 1}}},
		Code:      []wasm.Body{body(load), returns(9), returns(10)},
		Data:      []wasm.Data{{Offset: base(globalMemoryBase), Init: []byte("hi")}},
	}
	for _, name := range []string{"load", "describe", "action", "webhook", "poll", "test", "confirm"} {
		index := importedFunctions + 2
		if name == "load" {
			index = importedFunctions
		}
		m.Exports = append(m.Exports, wasm.Export{Name: name, Index: index})
	}
	return m
}

func nothing(c *wasm.Code) { c.I32(0) }

// position encodes a side module, with its section dylink.0.
func position(t *testing.T, m *wasm.Module) []byte {
	t.Helper()
	binary, err := wasm.WithCustom(m.Encode(), map[string][]byte{"dylink.0": {1, 4, 64, 3, 1, 0}})
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func TestSideModulesFindTheirThings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		load func(c *wasm.Code)
		want uint32
	}{
		{"the engine's functions", func(c *wasm.Code) { c.Index(wasm.OpCall, functionSeven) }, 7},
		{"their own functions", func(c *wasm.Code) { c.Index(wasm.OpCall, importedFunctions+1) }, 9},
		{"the engine's functions as numbers", func(c *wasm.Code) {
			c.Index(wasm.OpGlobalGet, globalPointer)
			c.Index2(wasm.OpCallIndirect, toI32, 0)
		}, 7},
		{"their own functions as numbers", func(c *wasm.Code) {
			c.Index(wasm.OpGlobalGet, globalTableBase)
			c.Index2(wasm.OpCallIndirect, toI32, 0)
		}, 9},
		{"the engine's own entries of the table", func(c *wasm.Code) {
			c.I32(1)
			c.Index2(wasm.OpCallIndirect, toI32, 0)
		}, 8},
		{"their memory behind the engine's", func(c *wasm.Code) { c.Index(wasm.OpGlobalGet, globalMemoryBase) }, 2 * wasm.PageBytes},
		{"their data", func(c *wasm.Code) {
			c.Index(wasm.OpGlobalGet, globalMemoryBase)
			c.Access(wasm.OpI32Load, 2, 0)
		}, 'h' | 'i'<<8},
		{"memory for what nobody defines", func(c *wasm.Code) { c.Index(wasm.OpGlobalGet, globalErrno) }, 2*wasm.PageBytes + 64 + 16},
		{"the engine's stack", func(c *wasm.Code) {
			c.I32(512)
			c.Index(wasm.OpGlobalSet, globalStack)
			c.Index(wasm.OpGlobalGet, globalStack)
		}, 512},
		{"the engine started", func(c *wasm.Code) {
			c.I32(16)
			c.Access(wasm.OpI32Load, 2, 0)
		}, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, err := quickjs.LinkAll(nil, engine().Encode(), position(t, side(test.load)))
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Imports) > 0 {
				t.Errorf("%v is still imported", m.Imports)
			}
			r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
			defer r.Close(t.Context())
			instance, err := r.Instantiate(t.Context(), m.Encode())
			if err != nil {
				t.Fatal(err)
			}
			got, err := instance.ExportedFunction("load").Call(t.Context())
			if err != nil || uint32(got[0]) != test.want {
				t.Errorf("got %v and %v, want %d", got, err, test.want)
			}
		})
	}
}

func TestWhatNobodyReachesIsLeftOut(t *testing.T) {
	t.Parallel()
	m, err := quickjs.LinkAll(nil, engine().Encode(), position(t, side(nothing)))
	if err != nil {
		t.Fatal(err)
	}
	// The engine's three, of which seven is in the table by its number; the side
	// module's load, nine in the table, ten for the exports; the load that begins.
	if got, want := len(m.Functions), 7; got != want {
		t.Errorf("there are %d functions, want %d: missing is not called", got, want)
	}
}

func TestWhatNobodyDefinesTraps(t *testing.T) {
	t.Parallel()
	m, err := quickjs.LinkAll(nil, engine().Encode(), position(t, side(func(c *wasm.Code) { c.Index(wasm.OpCall, functionMissing) })))
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(t.Context())
	instance, err := r.Instantiate(t.Context(), m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := instance.ExportedFunction("load").Call(t.Context()); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("got %v, want a trap", err)
	}
}

func TestWhatCannotBeLinkedIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		engine func(m *wasm.Module)
		side   func(m *wasm.Module)
		want   string
	}{
		{
			name: "an engine without memory", engine: func(m *wasm.Module) { m.Memory, m.Data, m.Code[2] = nil, nil, body(func(*wasm.Code) {}) },
			want: "the engine has no memory, or not one table",
		},
		{
			name: "an export that is not there", side: func(m *wasm.Module) { m.Exports = m.Exports[:5] },
			want: "part 1 does not define test",
		},
		{
			name: "an export of another type", side: func(m *wasm.Module) { m.Functions[2], m.Code[2] = toNil, body(func(*wasm.Code) {}) },
			want: "part 1 defines describe with another type than () -> i32",
		},
		{
			name: "an import of another type", side: func(m *wasm.Module) { m.Imports[functionSeven].Type = toNil },
			want: "part 1 imports env.seven with another type than it has",
		},
		{
			name: "a global that nobody has", side: func(m *wasm.Module) { m.Imports[importedFunctions+globalStack].Name = "other" },
			want: "part 1 imports the global env.other, which nobody has",
		},
		{
			name: "a number that changes", side: func(m *wasm.Module) {
				m.Code[0] = body(func(c *wasm.Code) { c.I32(1); c.Index(wasm.OpGlobalSet, globalPointer); c.I32(0) })
			},
			want: "rewrite function 0 of part 1: it changes global 3, which the linker has made a number",
		},
		{
			name: "data outside", side: func(m *wasm.Module) { m.Data[0].Offset = number(8) },
			want: "part 1 has data at 8, outside of its memory",
		},
		{
			name: "too much data", side: func(m *wasm.Module) { m.Data[0].Init = make([]byte, 65) },
			want: "part 1 has data at 131072, outside of its memory",
		},
		{
			name: "data that is put there later", side: func(m *wasm.Module) { m.Data[0] = wasm.Data{Mode: wasm.Passive, Init: []byte("a")} },
			want: "part 1 has data that is not put into memory at the start",
		},
		{
			name: "elements outside", side: func(m *wasm.Module) { m.Elements[0].Offset = number(1) },
			want: "part 1 has 1 elements at 1, outside of its 2 to 3",
		},
		{
			name: "elements that are put there later", side: func(m *wasm.Module) {
				m.Elements[0] = wasm.Element{Mode: wasm.Passive, Type: wasm.FuncRef, Functions: []uint32{0}}
			},
			want: "part 1 has elements that are not put into the table at the start",
		},
		{
			name: "code that changes the table", engine: func(m *wasm.Module) {
				m.Code[0] = body(func(c *wasm.Code) { c.Index(wasm.OpTableSize, 0) })
			},
			want: "rewrite function 0 of part 0: it has the instruction 0xfc10, on segments or tables",
		},
		{
			name: "a global that is no number of 32 bits", engine: func(m *wasm.Module) {
				var c wasm.Code
				c.I64(0)
				c.Op(wasm.OpEnd)
				m.Globals = append(m.Globals, wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I64}, Init: wasm.Expr(c)})
			},
			want: "part 0 has a global that is not a number of 32 bits",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first, second := engine(), side(nothing)
			if test.engine != nil {
				test.engine(first)
			}
			if test.side != nil {
				test.side(second)
			}
			_, err := quickjs.LinkAll(nil, first.Encode(), position(t, second))
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestModulesThatAreNotPositionIndependentAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, layout, want string
	}{
		{"no section", "-", "read part 1: it has no section dylink.0: it is not position-independent"},
		{"a section that ends early", "\x01\x05\x40", "read part 1: its section dylink.0 ends early"},
		{"needs that end early", "\x01\x02\x40\x03", "read part 1: its section dylink.0 ends early"},
		{"too much memory", "\x01\x07\x80\x80\x80\x80\x01\x00\x00", "read part 1: its section dylink.0 asks for 268435456, above 16777216"},
		{"too large an alignment", "\x01\x04\x40\x20\x00\x00", "read part 1: its section dylink.0 asks for 32, above 16"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			binary := side(nothing).Encode()
			if test.layout != "-" {
				var err error
				if binary, err = wasm.WithCustom(binary, map[string][]byte{"dylink.0": []byte(test.layout)}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := quickjs.LinkAll(nil, engine().Encode(), binary); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
