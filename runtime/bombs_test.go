//go:build unix

package runtime_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	// refusalTime and refusalBytes are what a refusal may cost, of processor time and
	// of memory, all of it counted and none of it collected.
	refusalTime  = 2 * time.Second
	refusalBytes = 512 << 20
)

// processorTime is the process's.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// allocated is all that the process has ever allocated.
func allocated() uint64 {
	var stats goruntime.MemStats
	goruntime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

// bomb is a module that must be refused.
type bomb struct {
	name string
	wasm []byte
	code string
	says string
}

// section is a module of one section, whose content is as it is.
func section(id byte, content ...byte) []byte {
	return slices.Concat([]byte(wasm.Header), []byte{id}, binary.AppendUvarint(nil, uint64(len(content))), content)
}

// huge is a number that no vector has.
func huge() []byte { return binary.AppendUvarint(nil, math.MaxUint32) }

// withBody is a module of one function.
func withBody(locals []wasm.Locals, write func(*writer)) []byte {
	m := &wasm.Module{Types: []wasm.FuncType{{}}, Functions: []uint32{0}, Memory: &wasm.Memory{Min: 1}, Exports: []wasm.Export{{Name: "run"}}}
	w := &writer{}
	write(w)
	w.Op(wasm.OpEnd)
	m.Code = []wasm.Body{{Locals: locals, Code: w.Code}}
	return m.Encode()
}

// with is a module with one empty function, and more.
func with(more func(*wasm.Module)) []byte {
	m := &wasm.Module{
		Types: []wasm.FuncType{{}}, Functions: []uint32{0}, Memory: &wasm.Memory{Min: 1},
		Exports: []wasm.Export{{Name: "run"}}, Code: []wasm.Body{{Code: []byte{byte(wasm.OpEnd)}}},
	}
	more(m)
	return m.Encode()
}

func zero(op wasm.Opcode) wasm.Expr { return wasm.Expr{byte(op), 0, byte(wasm.OpEnd)} }

// notModules are bytes that are no module, or none that could be one.
func notModules() []bomb {
	return []bomb{
		{"nothing", nil, "not_wasm", "0 bytes"},
		{"text", []byte("(module)"), "not_wasm", "8 bytes"},
		{"an executable", []byte("\x7fELF\x02\x01\x01"), "not_wasm", ""},
		{"half a magic number", []byte("\x00as"), "not_wasm", ""},
		{"a magic number alone", []byte("\x00asm"), "invalid_module", ""},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), "", ""},
		{"zeroes", slices.Concat([]byte(wasm.Header), make([]byte, 1<<20)), "invalid_module", ""},
		{"a section beyond the end", slices.Concat([]byte(wasm.Header), []byte{1}, huge()), "invalid_module", ""},
		{"a section that does not exist", section(77), "invalid_module", ""},
		{"types without number", section(1, huge()...), "", ""},
		{"imports without number", section(2, huge()...), "", ""},
		{"functions without number", section(3, huge()...), "", ""},
		{"tables without number", section(4, huge()...), "", ""},
		{"globals without number", section(6, huge()...), "", ""},
		{"exports without number", section(7, huge()...), "", ""},
		{"elements without number", section(9, huge()...), "", ""},
		{"code without number", section(10, huge()...), "", ""},
		{"data without number", section(11, huge()...), "", ""},
		{"a number of 11 bytes", section(1, bytes.Repeat([]byte{0x80}, 11)...), "invalid_module", ""},
		{"a name that is no text", with(func(m *wasm.Module) { m.Exports[0].Name = "a\xff" }), "invalid_module", ""},
		{"a name of two", with(func(m *wasm.Module) { m.Exports = append(m.Exports, m.Exports[0]) }), "invalid_module", "run"},
	}
}

// reaches are modules that name what is put into them, or would, if they could.
func reaches() []bomb {
	reach := func(op wasm.Opcode, index uint32, values int) []byte {
		return withBody(nil, func(w *writer) {
			for range values {
				w.I64(-1)
			}
			w.Index(op, index)
			w.Op(wasm.OpUnreachable)
		})
	}
	named := func(name string, kind wasm.Kind) []byte {
		return with(func(m *wasm.Module) {
			m.Globals = []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.I64, Mutable: true}, Init: zero(wasm.OpI64Const)}}
			m.Exports = append(m.Exports, wasm.Export{Name: name, Kind: kind})
		})
	}
	imported := func(module, name, params, results string) []byte {
		return with(func(m *wasm.Module) {
			m.Imports = []wasm.Import{{Module: module, Name: name, Type: newType(m, params, results)}}
			m.Exports = nil
		})
	}
	return []bomb{
		{"the global of fuel, read", reach(wasm.OpGlobalGet, 0, 0), "invalid_module", "global"},
		{"the global of fuel, written", reach(wasm.OpGlobalSet, 0, 1), "invalid_module", "global"},
		{"the local of fuel, read", reach(wasm.OpLocalGet, 0, 0), "invalid_module", "local"},
		{"the local of fuel, written", reach(wasm.OpLocalSet, 0, 1), "invalid_module", "local"},
		{"the refuelling, called", reach(wasm.OpCall, 1, 1), "invalid_module", "function"},
		{"the charging, called", reach(wasm.OpCall, 2, 2), "invalid_module", "function"},
		{"the refuelling, as a reference", reach(wasm.OpRefFunc, 1, 0), "invalid_module", "function"},
		{"the refuelling, exported", with(func(m *wasm.Module) { m.Exports = append(m.Exports, wasm.Export{Name: "f", Index: 1}) }), "invalid_module", ""},
		{"the global of fuel, exported", with(func(m *wasm.Module) {
			m.Exports = append(m.Exports, wasm.Export{Name: "g", Kind: wasm.KindGlobal})
		}), "invalid_module", ""},
		{"the refuelling, in a table", with(func(m *wasm.Module) {
			m.Tables = []wasm.Table{{Element: wasm.FuncRef, Min: 1}}
			m.Elements = []wasm.Element{{Type: wasm.FuncRef, Offset: zero(wasm.OpI32Const), Exprs: []wasm.Expr{{byte(wasm.OpRefFunc), 1, byte(wasm.OpEnd)}}}}
		}), "invalid_module", ""},
		{"the refuelling, as the start", with(func(m *wasm.Module) { m.Start = new(uint32); *m.Start = 1 }), "invalid_module", ""},
		{"the name of fuel", named("\x00fuel", wasm.KindGlobal), "invalid_module", "NUL"},
		{"the name of a global in the image", named("\x00image:global:0", wasm.KindGlobal), "invalid_module", "NUL"},
		{"the name of the memory", named("\x00image:memory", wasm.KindMemory), "invalid_module", "NUL"},
		{"the name of the start", named("\x00image:start", wasm.KindFunction), "invalid_module", "NUL"},
		{"a NUL in the middle", named("a\x00b", wasm.KindFunction), "invalid_module", "NUL"},
		{"the import of the refuelling", imported("\x00fuel", "refuse", "I", "I"), "invalid_module", "NUL"},
		{"the import of the kernel's own", imported("\x00extism", "fault", "iII", ""), "invalid_module", "NUL"},
		{"the kernel's memory", with(func(m *wasm.Module) {
			m.Memory, m.Exports = nil, nil
			m.Imports = []wasm.Import{{Module: runtimetest.Extism, Name: "memory", Kind: wasm.KindMemory, Memory: wasm.Memory{Min: 1}}}
		}), "import_not_offered", "only functions"},
		{"somebody's table", with(func(m *wasm.Module) {
			m.Imports = []wasm.Import{{Module: "env", Name: "t", Kind: wasm.KindTable, Table: wasm.Table{Element: wasm.FuncRef}}}
		}), "import_not_offered", "only functions"},
		{"somebody's global", with(func(m *wasm.Module) {
			m.Imports = []wasm.Import{{Module: "env", Name: "g", Kind: wasm.KindGlobal, Global: wasm.GlobalType{Type: wasm.I64, Mutable: true}}}
		}), "import_not_offered", "only functions"},
	}
}

// compileBombs are modules that would cost much more than their size.
func compileBombs() []bomb {
	many := func(n int, write func(w *writer)) []byte {
		return withBody(nil, func(w *writer) {
			for range n {
				write(w)
			}
		})
	}
	empty := func(w *writer) {
		w.Block(wasm.OpBlock, wasm.BlockEmpty)
		w.Op(wasm.OpEnd)
	}
	nested := func(n int, op wasm.Opcode) []byte {
		return withBody(nil, func(w *writer) {
			for range n {
				if op == wasm.OpIf {
					w.I32(1)
				}
				w.Block(op, wasm.BlockEmpty)
			}
			for range n {
				w.Op(wasm.OpEnd)
			}
		})
	}
	targets := func(n int) []byte {
		return withBody(nil, func(w *writer) {
			w.I32(0)
			w.Op(wasm.OpBrTable)
			w.Raw(binary.AppendUvarint(nil, uint64(n)))
			w.Raw(make([]byte, n+1))
			w.Op(wasm.OpUnreachable)
		})
	}
	return []bomb{
		{"many blocks", many(60_000, empty), "limit_exceeded", "Blocks"},
		{"many loops", many(50_000, func(w *writer) {
			w.Block(wasm.OpLoop, wasm.BlockEmpty)
			w.Op(wasm.OpEnd)
		}), "limit_exceeded", ""},
		{"deep blocks", nested(80_000, wasm.OpBlock), "limit_exceeded", "Nesting"},
		{"deep ifs", nested(45_000, wasm.OpIf), "limit_exceeded", ""},
		{"blocks that do not end", withBody(nil, func(w *writer) { w.Raw(bytes.Repeat([]byte{byte(wasm.OpBlock), 0x40}, 120_000)) }), "limit_exceeded", "Nesting"},
		{"a large body", many(1_000_000, func(w *writer) { w.Op(wasm.OpNop, wasm.OpNop) }), "limit_exceeded", "BodyBytes"},
		{"a long jump table", targets(200_000), "limit_exceeded", "BranchTargets"},
		{"many long jump tables", many(60, func(w *writer) {
			w.Block(wasm.OpBlock, wasm.BlockEmpty)
			w.I32(0)
			w.Op(wasm.OpBrTable)
			w.Raw(binary.AppendUvarint(nil, 4_000))
			w.Raw(make([]byte, 4_001))
			w.Op(wasm.OpEnd)
		}), "limit_exceeded", ""},
		{"many locals", withBody([]wasm.Locals{{Count: math.MaxUint32, Type: wasm.I64}}, func(*writer) {}), "", ""},
		{"many locals in many functions", with(func(m *wasm.Module) {
			m.Functions, m.Code = make([]uint32, 10_000), nil
			for range 10_000 {
				m.Code = append(m.Code, wasm.Body{Locals: []wasm.Locals{{Count: 4_999, Type: wasm.V128}}, Code: []byte{byte(wasm.OpEnd)}})
			}
		}), "limit_exceeded", "LocalsInAll"},
		{"many large functions", with(func(m *wasm.Module) {
			body := &writer{}
			for range 6_000 {
				empty(body)
			}
			body.Op(wasm.OpEnd)
			m.Functions, m.Code = make([]uint32, 100), slices.Repeat([]wasm.Body{{Code: body.Code}}, 100)
		}), "limit_exceeded", "BlocksSquared"},
		{"many results", with(func(m *wasm.Module) {
			m.Types = append(m.Types, wasm.FuncType{Results: slices.Repeat([]wasm.ValueType{wasm.I64}, 1_000)})
			giver, taker := &writer{}, &writer{}
			for range 1_000 {
				giver.I64(0)
				taker.call(1)
			}
			giver.Op(wasm.OpEnd)
			taker.Op(wasm.OpUnreachable, wasm.OpEnd)
			m.Functions, m.Code = []uint32{0, 1}, []wasm.Body{{Code: taker.Code}, {Code: giver.Code}}
		}), "limit_exceeded", "PassedValues"},
		{"many functions", with(func(m *wasm.Module) {
			m.Functions = make([]uint32, 1_000_000)
			m.Code = slices.Repeat(m.Code, 1_000_000)
		}), "limit_exceeded", "Functions"},
		{"many types", with(func(m *wasm.Module) { m.Types = make([]wasm.FuncType, 2_000_000) }), "limit_exceeded", "Types"},
		{"long types", with(func(m *wasm.Module) {
			m.Types = append(m.Types, wasm.FuncType{Results: slices.Repeat([]wasm.ValueType{wasm.I64}, 100_000)})
		}), "limit_exceeded", ""},
		{"many globals", with(func(m *wasm.Module) {
			m.Globals = slices.Repeat([]wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.I32}, Init: zero(wasm.OpI32Const)}}, 1_000_000)
		}), "limit_exceeded", "Globals"},
		{"many data segments", with(func(m *wasm.Module) {
			m.Data = slices.Repeat([]wasm.Data{{Mode: wasm.Active, Offset: zero(wasm.OpI32Const)}}, 2_000_000)
		}), "limit_exceeded", "DataSegments"},
		{"many element segments", with(func(m *wasm.Module) {
			m.Tables = []wasm.Table{{Element: wasm.FuncRef, Min: 1}}
			m.Elements = slices.Repeat([]wasm.Element{{Type: wasm.FuncRef, Offset: zero(wasm.OpI32Const)}}, 1_000_000)
		}), "limit_exceeded", "ElementSegments"},
		{"many elements", with(func(m *wasm.Module) {
			m.Tables = []wasm.Table{{Element: wasm.FuncRef, Min: 100_000}}
			m.Elements = []wasm.Element{{Type: wasm.FuncRef, Offset: zero(wasm.OpI32Const), Exprs: slices.Repeat([]wasm.Expr{{byte(wasm.OpRefFunc), 0, byte(wasm.OpEnd)}}, 2_000_000)}}
		}), "limit_exceeded", "Elements"},
		{"a large table", with(func(m *wasm.Module) { m.Tables = []wasm.Table{{Element: wasm.FuncRef, Min: 1 << 28}} }), "limit_exceeded", "268435456"},
		{"a large memory", with(func(m *wasm.Module) { m.Memory = &wasm.Memory{Min: 1 << 16} }), "memory_too_large", "4294967296"},
		{"a memory beyond all", with(func(m *wasm.Module) { m.Memory = &wasm.Memory{Min: math.MaxUint32} }), "invalid_module", ""},
		{"a memory that shrinks", with(func(m *wasm.Module) { m.Memory = &wasm.Memory{Min: 2, Max: 1, HasMax: true} }), "invalid_module", ""},
		{"data beyond memory", with(func(m *wasm.Module) {
			m.Data = []wasm.Data{{Mode: wasm.Active, Offset: wasm.Expr{byte(wasm.OpI32Const), 0x7f, byte(wasm.OpEnd)}, Init: []byte("x")}}
		}), "invalid_module", "data segment 0"},
		{"a module too large", slices.Concat([]byte(wasm.Header), make([]byte, 21<<20)), "module_too_large", "20971520"},
		{"a stack that is empty", withBody(nil, func(w *writer) { w.Op(wasm.OpI32Add) }), "invalid_module", ""},
	}
}

// startBombs do it when they are started.
func startBombs() []bomb {
	started := func(name string, write func(w *writer)) []byte {
		return with(func(m *wasm.Module) {
			w := &writer{}
			write(w)
			w.Op(wasm.OpEnd)
			m.Code[0].Code = w.Code
			if m.Exports[0].Name = name; name == "" {
				m.Start, m.Exports = new(uint32), nil
			}
		})
	}
	loop := func(w *writer) {
		w.Block(wasm.OpLoop, wasm.BlockEmpty)
		w.Index(wasm.OpBr, 0)
		w.Op(wasm.OpEnd)
	}
	trap := func(w *writer) { w.Op(wasm.OpUnreachable) }
	recurse := func(w *writer) {
		w.call(0)
		w.call(0)
	}
	fill := func(w *writer) {
		w.grow(900)
		w.drop()
		w.Block(wasm.OpLoop, wasm.BlockEmpty)
		w.I32(0)
		w.I32(1)
		w.I32(900 << 16)
		w.Index(wasm.OpMemoryFill, 0)
		w.Index(wasm.OpBr, 0)
		w.Op(wasm.OpEnd)
	}
	// Each load waits for the one before it, and misses all caches.
	miss := func(w *writer) {
		w.grow(900)
		w.drop()
		w.Block(wasm.OpLoop, wasm.BlockEmpty)
		for range 8 {
			w.I32(8)
			w.I32(8)
			w.load()
			w.I64(6364136223846793005)
			w.Op(wasm.OpI64Mul)
			w.I64(1442695040888963407)
			w.Op(wasm.OpI64Add)
			w.store(0)
			w.I32(8)
			w.load()
			w.I64(38)
			w.Op(wasm.OpI64ShrU, wasm.OpI32WrapI64)
			w.I32(900<<16 - 4096)
			w.Op(wasm.OpI32RemU)
			w.load()
			w.drop()
		}
		w.Index(wasm.OpBr, 0)
		w.Op(wasm.OpEnd)
	}
	return []bomb{
		{"a start function that misses caches", started("", miss), "start_failed", ""},
		{"a start function that loops", started("", loop), "start_failed", "fuel_exhausted"},
		{"a start function that traps", started("", trap), "start_failed", "trapped"},
		{"a start function that recurses", started("", recurse), "start_failed", "stack_exhausted"},
		{"a start function that fills memory", started("", fill), "start_failed", "fuel_exhausted"},
		{"an _initialize that loops", started("_initialize", loop), "start_failed", "fuel_exhausted"},
		{"an _initialize that traps", started("_initialize", trap), "start_failed", "trapped"},
		{"an _initialize that recurses", started("_initialize", recurse), "start_failed", "stack_exhausted"},
		{"constructors that loop", started("__wasm_call_ctors", loop), "start_failed", "fuel_exhausted"},
	}
}

// TestBombsAreRefusedAtOnce holds the refusal of each to what it may cost.
func TestBombsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	inProcess(t, func(t *testing.T) {
		t.Helper()
		rt := newRuntime(t, runtime.Config{})
		for _, b := range slices.Concat(notModules(), reaches(), compileBombs(), startBombs()) {
			goruntime.GC()
			time, bytes := processorTime(t), allocated()
			module, err := rt.Prepare(t.Context(), b.wasm, runtime.Limits{})
			time, bytes = processorTime(t)-time, allocated()-bytes
			t.Logf("%-40s %8d bytes: %5d ms, %4d MiB, %.150v", b.name, len(b.wasm), time.Milliseconds(), bytes>>20, err)
			if err == nil {
				t.Errorf("%s: it was taken", b.name)
				module.Close(t.Context())
				continue
			}
			invalid, ok := errors.AsType[*runtime.InvalidModule](err)
			if !ok || b.code != "" && invalid.Code != b.code || !strings.Contains(invalid.Message, b.says) || invalid.Hint == "" {
				t.Errorf("%s: got %v, want %s that says %q", b.name, err, b.code, b.says)
			}
			if time > refusalTime || bytes > refusalBytes {
				t.Errorf("%s: it took %s and %d MiB to refuse it", b.name, time, bytes>>20)
			}
		}
		if err := rt.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDamagedModulesAreRefused cuts modules at every offset and damages every
// byte. What is a module all the same must be one that can be called.
func TestDamagedModulesAreRefused(t *testing.T) {
	t.Parallel()
	rt := sharedRuntime(t)
	limits := probeLimits()
	limits.Fuel = 200_000
	taken := 0
	try := func(what string, at int, damaged []byte, limits runtime.Limits) {
		module, err := rt.Prepare(t.Context(), damaged, limits)
		if err != nil {
			if invalid, ok := errors.AsType[*runtime.InvalidModule](err); !ok || invalid.Message == "" || invalid.Hint == "" {
				t.Errorf("%s at %d: got %v, want a complete InvalidModule", what, at, err)
			}
			return
		}
		defer module.Close(t.Context())
		taken++
		for _, export := range module.Exports() {
			_, err := module.Call(t.Context(), runtime.Call{Export: export, Host: answering(httpAnswer)})
			if failure := (*runtime.Failure)(nil); err != nil && !errors.As(err, &failure) {
				t.Errorf("%s at %d, %s: got %v, want success or a failure of the guest", what, at, export, err)
			}
		}
	}
	whole := probe(false)
	random := rand.New(rand.NewPCG(3, 4))
	for at := range whole {
		try("cut", at, whole[:at], limits)
		damaged := slices.Clone(whole)
		damaged[at] ^= byte(1 + random.IntN(255))
		try("damaged", at, damaged, limits)
	}
	if taken == 0 || taken > len(whole) {
		t.Errorf("%d of %d damaged modules were taken", taken, 2*len(whole))
	}
	large := runtimetest.Guest(t)
	for range 30 {
		at := random.IntN(len(large))
		try("a Go guest, cut", at, large[:at], runtime.Limits{})
	}
}
