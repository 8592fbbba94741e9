package image_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// code writes a body.
func code(write ...func(*wasm.Code)) wasm.Body {
	var c wasm.Code
	for _, w := range write {
		w(&c)
	}
	c.Op(wasm.OpEnd)
	return wasm.Body{Code: c}
}

func i32(v int32) func(*wasm.Code) { return func(c *wasm.Code) { c.I32(v) } }
func op(o wasm.Opcode) func(*wasm.Code) {
	return func(c *wasm.Code) { c.Op(o) }
}

func index(o wasm.Opcode, i uint32) func(*wasm.Code) {
	return func(c *wasm.Code) { c.Index(o, i) }
}

func index2(o wasm.Opcode, i, j uint32) func(*wasm.Code) {
	return func(c *wasm.Code) { c.Index2(o, i, j) }
}

func at(v int32) wasm.Expr {
	var c wasm.Code
	c.I32(v)
	c.Op(wasm.OpEnd)
	return wasm.Expr(c)
}

// start is a module whose start function adds to what a segment has written, and
// whose function "init" copies from the passive one.
func start() *wasm.Module {
	zero := uint32(0)
	return &wasm.Module{
		Types:     []wasm.FuncType{{}, {Results: []wasm.ValueType{wasm.I32}}},
		Functions: []uint32{0, 0, 1},
		Memory:    &wasm.Memory{Min: 1, Max: 3, HasMax: true},
		Globals: []wasm.Global{
			{GlobalType: wasm.GlobalType{Type: wasm.I32}, Init: at(1)},
			{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Init: at(-7)},
		},
		Exports:   []wasm.Export{{Name: "init", Index: 1}, {Name: "size", Index: 2}},
		Start:     &zero,
		DataCount: true,
		Code: []wasm.Body{
			code(i32(8), i32(8), func(c *wasm.Code) { c.Access(wasm.OpI32Load, 2, 0) }, i32(1), op(wasm.OpI32Add),
				func(c *wasm.Code) { c.Access(wasm.OpI32Store, 2, 0) }, i32(5), index(wasm.OpGlobalSet, 1)),
			code(i32(100), i32(0), i32(4), index2(wasm.OpMemoryInit, 1, 0)),
			code(index(wasm.OpMemorySize, 0)),
		},
		Data: []wasm.Data{
			{Offset: at(8), Init: []byte{41, 0, 0, 0, 9}},
			{Mode: wasm.Passive, Init: []byte("keep")},
			{Offset: at(9), Init: []byte{1}},
			{Offset: at(65536)},
		},
	}
}

// decode sends a module through the binary format, as it comes from a guest.
func decode(t *testing.T, m *wasm.Module) *wasm.Module {
	t.Helper()
	m, err := wasm.Decode(m.Encode(), wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func plan(t *testing.T, m *wasm.Module) *image.Plan {
	t.Helper()
	p, err := image.NewPlan(m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newRuntime(t *testing.T, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	rt := wazero.NewRuntimeWithConfig(t.Context(), config.WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { rt.Close(context.WithoutCancel(t.Context())) })
	return rt
}

// instance is a planned module that runs in a Memory.
type instance struct {
	api.Module
	memory *image.Memory
}

// begin instantiates a planned module without its start function.
func begin(t *testing.T, rt wazero.Runtime, m *wasm.Module, p *image.Plan) instance {
	t.Helper()
	img, err := p.Image(image.Best)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	mem := reserve(t, img, img.Bytes()+2*unit, 0)
	ctx := experimental.WithMemoryAllocator(t.Context(), mem.Guest())
	guest, err := rt.InstantiateWithConfig(ctx, m.Encode(), wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range p.Globals {
		guest.ExportedGlobal(name).(api.MutableGlobal).Set(p.Values[i])
	}
	return instance{guest, mem}
}

func (i instance) bytes(t *testing.T) []byte {
	t.Helper()
	memory := i.ExportedMemory(image.MemoryExport)
	b, ok := memory.Read(0, memory.Size())
	if !ok {
		t.Fatal("cannot read the memory")
	}
	return b
}

func call(t *testing.T, m api.Module, name string, params ...uint64) uint64 {
	t.Helper()
	results, err := m.ExportedFunction(name).Call(t.Context(), params...)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 {
		return 0
	}
	return results[0]
}

func TestNewPlan(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, wazero.NewRuntimeConfigCompiler())

	t.Run("takes data and start out", func(t *testing.T) {
		t.Parallel()
		m := decode(t, start())
		p := plan(t, m)
		if p.Fresh != "" || !p.Start || m.Start != nil {
			t.Errorf("got fresh %q, start %t", p.Fresh, p.Start)
		}
		want := []image.Segment{{Offset: 8, Bytes: []byte{41, 0, 0, 0, 9}}, {Offset: 9, Bytes: []byte{1}}}
		if diff := cmp.Diff(want, p.Data); diff != "" {
			t.Errorf("data (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"\x00image:global:1"}, p.Globals); diff != "" {
			t.Errorf("globals (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(&wasm.Memory{Min: 1, Max: 3, HasMax: true}, p.Memory); diff != "" {
			t.Errorf("memory (-want +got):\n%s", diff)
		}
	})

	t.Run("leaves the start function to be called", func(t *testing.T) {
		t.Parallel()
		m := decode(t, start())
		guest := begin(t, rt, m, plan(t, m))
		global := guest.ExportedGlobal("\x00image:global:1")
		if got, want := guest.bytes(t)[8:13], []byte{41, 1, 0, 0, 9}; !bytes.Equal(got, want) || int32(global.Get()) != -7 {
			t.Errorf("before start: got %v, want %v; global %d", got, want, int32(global.Get()))
		}
		call(t, guest, image.StartExport)
		if got, want := guest.bytes(t)[8:13], []byte{42, 1, 0, 0, 9}; !bytes.Equal(got, want) || global.Get() != 5 {
			t.Errorf("after start: got %v, want %v; global %d", got, want, global.Get())
		}
		global.(api.MutableGlobal).Set(77)
		if global.Get() != 77 {
			t.Error("a mutable global cannot be set")
		}
	})

	t.Run("keeps passive segments where code finds them", func(t *testing.T) {
		t.Parallel()
		m := decode(t, start())
		guest := begin(t, rt, m, plan(t, m))
		call(t, guest, "init")
		if got := string(guest.bytes(t)[100:104]); got != "keep" {
			t.Errorf("got %q", got)
		}
	})

	t.Run("drops segments that no code names", func(t *testing.T) {
		t.Parallel()
		m := start()
		m.Code[1] = code()
		m = decode(t, m)
		plan(t, m)
		if len(m.Data) > 0 || m.DataCount {
			t.Errorf("got %d segments, data count %t", len(m.Data), m.DataCount)
		}
		begin(t, rt, m, &image.Plan{Memory: m.Memory})
	})

	t.Run("finds active segments empty, as after instantiation", func(t *testing.T) {
		t.Parallel()
		for _, length := range []int32{0, 1} {
			m := start()
			m.Code[1] = code(i32(0), i32(0), i32(length), index2(wasm.OpMemoryInit, 0, 0))
			m = decode(t, m)
			guest := begin(t, rt, m, plan(t, m))
			_, err := guest.ExportedFunction("init").Call(t.Context())
			if (err != nil) != (length > 0) {
				t.Errorf("to copy %d bytes gave %v", length, err)
			}
		}
	})

	t.Run("makes one module of those that differ in what they begin with", func(t *testing.T) {
		t.Parallel()
		one, other := decode(t, start()), start()
		other.Memory.Min, other.Data[0].Init, other.Globals[1].Init = 2, []byte("other"), at(9)
		other = decode(t, other)
		p, q := plan(t, one), plan(t, other)
		if !bytes.Equal(one.Encode(), other.Encode()) {
			t.Error("they are two")
		}
		if diff := cmp.Diff([][]uint64{{uint64(uint32(1<<32 - 7))}, {9}}, [][]uint64{p.Values, q.Values}); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
		if p.Memory.Min != 1 || q.Memory.Min != 2 {
			t.Errorf("got memories of %d and %d pages", p.Memory.Min, q.Memory.Min)
		}
		guest := begin(t, rt, other, q)
		if got := call(t, guest, "size"); got != 2 {
			t.Errorf("it has %d pages, want 2", got)
		}
		if got := string(guest.bytes(t)[8:13]); got != "o\x01her" {
			t.Errorf("got %q", got)
		}
	})

	t.Run("leaves apart what code can tell apart", func(t *testing.T) {
		t.Parallel()
		changes := map[string]func(m *wasm.Module){
			"a passive segment":   func(m *wasm.Module) { m.Data[1].Init = []byte("kept") },
			"a constant":          func(m *wasm.Module) { m.Globals[0].Init = at(2) },
			"the largest memory":  func(m *wasm.Module) { m.Memory.Max = 4 },
			"an active segment's": func(m *wasm.Module) { m.Data = m.Data[:3] },
		}
		for name, change := range changes {
			one, other := start(), start()
			change(other)
			one, other = decode(t, one), decode(t, other)
			plan(t, one)
			plan(t, other)
			if bytes.Equal(one.Encode(), other.Encode()) {
				t.Errorf("%s: they are one", name)
			}
		}
	})

	t.Run("works without a memory", func(t *testing.T) {
		t.Parallel()
		m := decode(t, &wasm.Module{
			Types: []wasm.FuncType{{Results: []wasm.ValueType{wasm.I32}}}, Functions: []uint32{0},
			Code: []wasm.Body{code(i32(7))}, Exports: []wasm.Export{{Name: "seven"}},
		})
		p := plan(t, m)
		if got := call(t, begin(t, rt, m, p), "seven"); got != 7 || p.Memory != nil {
			t.Errorf("got %d, memory %v", got, p.Memory)
		}
	})

	t.Run("leaves a page above the declared maximum, but never above 4 GiB", func(t *testing.T) {
		t.Parallel()
		for declared, want := range map[uint32]uint32{1: 2, 65535: 65536, 65536: 65536} {
			m := &wasm.Module{Memory: &wasm.Memory{Min: 1, Max: declared, HasMax: true}}
			if p := plan(t, m); m.Memory.Max != want || p.Memory.Max != declared {
				t.Errorf("declared %d: got %d, want %d; the plan has %d", declared, m.Memory.Max, want, p.Memory.Max)
			}
		}
	})
}

func TestNewPlanRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*wasm.Module)
		want   string
	}{
		"data that ends beyond memory": {
			func(m *wasm.Module) { m.Data[2].Offset = at(65536) },
			"data segment 2 fills bytes 65536 to 65537 of a memory that begins with 65536 bytes: declare a larger minimum",
		},
		"an empty segment beyond memory": {
			func(m *wasm.Module) { m.Data[3].Offset = at(65537) }, "data segment 3 fills bytes 65537 to 65537",
		},
		"an offset that is far beyond, being unsigned": {
			func(m *wasm.Module) { m.Data[0].Offset = at(-1) }, "bytes 4294967295 to 4294967300",
		},
		"data without memory": {
			func(m *wasm.Module) { m.Memory = nil }, "data segment 0 is for a memory, and the module has none",
		},
		"an offset that is no constant": {
			func(m *wasm.Module) { m.Data[0].Offset = wasm.Expr{0x23, 0, 0x0b} }, "offset of data segment 0: it is not a number",
		},
		"an offset of 64 bits": {
			func(m *wasm.Module) { m.Data[0].Offset = wasm.Expr{0x42, 0, 0x0b} }, "it is not an i32.const",
		},
		"an offset without a number": {
			func(m *wasm.Module) { m.Data[0].Offset = wasm.Expr{0x41, 0x0b} }, "it is not one constant and its end",
		},
		"an offset of two expressions": {
			func(m *wasm.Module) { m.Data[0].Offset = wasm.Expr{0x41, 0, 1, 0x0b} }, "it is not one constant and its end",
		},
		"an imported memory": {
			func(m *wasm.Module) {
				m.Imports = []wasm.Import{{Module: "env", Name: "memory", Kind: wasm.KindMemory}}
			},
			`import "env" "memory" is not a function`,
		},
		"an imported global": {
			func(m *wasm.Module) { m.Imports = []wasm.Import{{Module: "a", Name: "b", Kind: wasm.KindGlobal}} },
			`import "a" "b" is not a function`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := start()
			c.change(m)
			if _, err := image.NewPlan(m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

func TestPlanSaysWhyAnInstanceMustBeFresh(t *testing.T) {
	t.Parallel()
	null := func(t wasm.ValueType) func(*wasm.Code) {
		return func(c *wasm.Code) { c.Raw([]byte{byte(wasm.OpRefNull), byte(t)}) }
	}
	cases := map[string]struct {
		body   wasm.Body
		global wasm.ValueType
		want   string
	}{
		"nothing":       {body: code(), want: ""},
		"table.get":     {body: code(i32(0), index(wasm.OpTableGet, 0), op(wasm.OpDrop)), want: ""},
		"table.size":    {body: code(index(wasm.OpTableSize, 0), op(wasm.OpDrop)), want: ""},
		"memory.init":   {body: code(i32(0), i32(0), i32(0), index2(wasm.OpMemoryInit, 0, 0)), want: ""},
		"memory.grow":   {body: code(i32(0), index(wasm.OpMemoryGrow, 0), op(wasm.OpDrop)), want: ""},
		"table.set":     {body: code(i32(0), null(wasm.FuncRef), index(wasm.OpTableSet, 0)), want: "function 1 has table.set"},
		"table.grow":    {body: code(null(wasm.FuncRef), i32(0), index(wasm.OpTableGrow, 0), op(wasm.OpDrop)), want: "table.grow"},
		"table.fill":    {body: code(i32(0), null(wasm.FuncRef), i32(0), index(wasm.OpTableFill, 0)), want: "table.fill"},
		"table.copy":    {body: code(i32(0), i32(0), i32(0), index2(wasm.OpTableCopy, 0, 0)), want: "table.copy"},
		"table.init":    {body: code(i32(0), i32(0), i32(0), index2(wasm.OpTableInit, 0, 0)), want: "table.init"},
		"elem.drop":     {body: code(index(wasm.OpElemDrop, 0)), want: "elem.drop"},
		"data.drop":     {body: code(index(wasm.OpDataDrop, 0)), want: "data.drop"},
		"an i64 global": {body: code(), global: wasm.I64, want: ""},
		"an f64 global": {body: code(), global: wasm.F64, want: ""},
		"a v128 global": {body: code(), global: wasm.V128, want: "global 0 is mutable and of type v128"},
		"a funcref":     {body: code(), global: wasm.FuncRef, want: "global 0 is mutable and of type funcref"},
		"an externref":  {body: code(), global: wasm.ExternRef, want: "global 0 is mutable and of type externref"},
	}
	zero := map[wasm.ValueType]wasm.Expr{
		wasm.I64: {0x42, 0, 0x0b}, wasm.F64: append(append(wasm.Expr{0x44}, make([]byte, 8)...), 0x0b),
		wasm.V128:    append(append(wasm.Expr{0xfd, 12}, make([]byte, 16)...), 0x0b),
		wasm.FuncRef: {0xd0, 0x70, 0x0b}, wasm.ExternRef: {0xd0, 0x6f, 0x0b},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &wasm.Module{
				Types:     []wasm.FuncType{{}},
				Imports:   []wasm.Import{{Module: "env", Name: "f"}},
				Functions: []uint32{0},
				Tables:    []wasm.Table{{Element: wasm.FuncRef, Min: 1}},
				Memory:    &wasm.Memory{Min: 1},
				Elements:  []wasm.Element{{Mode: wasm.Passive, Type: wasm.FuncRef, Functions: []uint32{0}}},
				DataCount: true,
				Data:      []wasm.Data{{Mode: wasm.Passive}},
				Code:      []wasm.Body{c.body},
			}
			if c.global != 0 {
				m.Globals = []wasm.Global{{GlobalType: wasm.GlobalType{Type: c.global, Mutable: true}, Init: zero[c.global]}}
			}
			p := plan(t, decode(t, m))
			if (p.Fresh == "") != (c.want == "") || !strings.Contains(p.Fresh, c.want) {
				t.Errorf("got %q, want %q", p.Fresh, c.want)
			}
		})
	}
}

// TestPlannedModulesBeginAsTheOriginalsDo instantiates the modules of wazero's
// spec suites both ways, and compares memory, globals and failures.
func TestPlannedModulesBeginAsTheOriginalsDo(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("find wazero's source: %v", err)
	}
	suite := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest", "v2", "testdata")
	paths, err := filepath.Glob(filepath.Join(suite, "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	rt := newRuntime(t, wazero.NewRuntimeConfigInterpreter())
	compared := 0
	for _, path := range paths {
		binary, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := wasm.Decode(binary, wasm.Limits{})
		if err != nil || len(m.Imports) > 0 || m.Memory == nil || m.Memory.Min > 256 {
			continue
		}
		if beginBothWays(t, rt, filepath.Base(path), m) {
			compared++
		}
	}
	if compared < 200 {
		t.Errorf("only %d modules were compared", compared)
	}
	t.Logf("%d modules were compared", compared)
}

// beginBothWays reports whether the module can be compiled.
func beginBothWays(t *testing.T, rt wazero.Runtime, name string, m *wasm.Module) bool {
	t.Helper()
	original := *m
	original.Exports = append(slices.Clone(m.Exports), wasm.Export{Name: "\x00test", Kind: wasm.KindMemory})
	binary := original.Encode()
	compiled, err := rt.CompileModule(t.Context(), binary)
	if err != nil {
		return false
	}
	defer compiled.Close(t.Context())
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	want, wantErr := rt.InstantiateModule(t.Context(), compiled, config)
	p, err := image.NewPlan(m)
	if err != nil {
		if wantErr == nil {
			t.Errorf("%s can be instantiated, and not be planned: %v", name, err)
		}
		return true
	}
	got := begin(t, rt, m, p)
	if p.Start {
		_, err = got.ExportedFunction(image.StartExport).Call(t.Context())
	}
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%s: planned it began with %v, as it was with %v", name, err, wantErr)
	}
	if wantErr != nil || err != nil {
		return true
	}
	memory := want.ExportedMemory("\x00test")
	expected, _ := memory.Read(0, memory.Size())
	if !bytes.Equal(got.bytes(t), expected) {
		t.Errorf("%s: memory differs", name)
	}
	for _, e := range want.ExportedFunctionDefinitions() {
		if got.ExportedFunction(e.ExportNames()[0]) == nil {
			t.Errorf("%s: export %q is missing", name, e.ExportNames()[0])
		}
	}
	return true
}
