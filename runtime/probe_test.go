package runtime_test

import (
	"encoding/binary"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// The probe is a tiny guest that puts words of its input in every place where a
// guest can put something, and looks for them there. Words are 8 bytes.
//
//	plant   puts the words where it can, then ends as word 4 says
//	search  looks for words that its input has masked; outputs the places
//	both    plants, then searches, so that it has to find them
//	work    writes memory, globals, variables and blocks, grows and asks; outputs a sum
//	digest  outputs what it can see of its state
const (
	probePages  = 2
	probeMemory = 384 << 10
	probeKernel = 64 << 10
	probeName   = "canary42" // Of a variable and a setting; a word long.
	probeMask   = 0x5a3c_c3a5_0ff0_9669
	probeWords  = 4

	probeEverywhere = inMemory | inKernel | inGlobals | inVariables | inConfig
)

// Where search found something.
const (
	inMemory = 1 << iota
	inKernel
	inGlobals
	inVariables
	inConfig
)

// How plant ends.
const (
	endReturn = iota
	endTrap
	endLoop
	endAsk
	endRecurse
)

func probeLimits() runtime.Limits {
	return runtime.Limits{MemoryBytes: probeMemory, KernelBytes: probeKernel}
}

// Imported functions of the probe, by index.
const (
	fnAlloc = iota
	fnFree
	fnLoad
	fnStore
	fnInput
	fnInputLength
	fnOutput
	fnVarSet
	fnVarGet
	fnConfig
	fnBytes
	fnAsk
	fnImports // How many there are.
)

// And its own.
const (
	fnPlant = iota + fnImports
	fnSearch
	fnHit
	fnDive
	fnFlip
	fnSay
)

type probeFunc struct {
	export          string
	params, results string
	locals          int // Of type i64.
	write           func(*writer)
}

// probe encodes the guest; fresh puts a table.set in it, so that its sandboxes
// cannot be reset.
func probe(fresh bool) []byte {
	m := &wasm.Module{Memory: &wasm.Memory{Min: probePages}, Tables: []wasm.Table{{Element: wasm.FuncRef, Min: 4}}}
	for _, f := range []struct{ module, name, params, results string }{
		fnAlloc:       {runtimetest.Extism, "alloc", "I", "I"},
		fnFree:        {runtimetest.Extism, "free", "I", ""},
		fnLoad:        {runtimetest.Extism, "load_u64", "I", "I"},
		fnStore:       {runtimetest.Extism, "store_u64", "II", ""},
		fnInput:       {runtimetest.Extism, "input_load_u64", "I", "I"},
		fnInputLength: {runtimetest.Extism, "input_length", "", "I"},
		fnOutput:      {runtimetest.Extism, "output_set", "II", ""},
		fnVarSet:      {runtimetest.Extism, "var_set", "II", ""},
		fnVarGet:      {runtimetest.Extism, "var_get", "I", "I"},
		fnConfig:      {runtimetest.Extism, "config_get", "I", "I"},
		fnBytes:       {runtimetest.Extism, "memory_bytes", "", "I"},
		fnAsk:         {runtimetest.User, "state_get", "I", "I"},
	} {
		m.Imports = append(m.Imports, wasm.Import{Module: f.module, Name: f.name, Type: newType(m, f.params, f.results)})
	}
	for range probeWords {
		m.Globals = append(m.Globals, wasm.Global{
			GlobalType: wasm.GlobalType{Type: wasm.I64, Mutable: true}, Init: wasm.Expr{byte(wasm.OpI64Const), 7, byte(wasm.OpEnd)},
		})
	}
	m.Data = []wasm.Data{{Mode: wasm.Active, Offset: wasm.Expr{byte(wasm.OpI32Const), 0, byte(wasm.OpEnd)}, Init: []byte("the image")}}
	for i, f := range probeFunctions(fresh) {
		m.Functions = append(m.Functions, newType(m, f.params, f.results))
		w := &writer{}
		f.write(w)
		w.Op(wasm.OpEnd)
		m.Code = append(m.Code, wasm.Body{Locals: []wasm.Locals{{Count: uint32(f.locals), Type: wasm.I64}}, Code: w.Code})
		if f.export != "" {
			m.Exports = append(m.Exports, wasm.Export{Name: f.export, Index: uint32(fnImports + i)})
		}
	}
	return m.Encode()
}

func newType(m *wasm.Module, params, results string) uint32 {
	list := func(letters string) []wasm.ValueType {
		var types []wasm.ValueType
		for i := range letters {
			types = append(types, map[byte]wasm.ValueType{'i': wasm.I32, 'I': wasm.I64}[letters[i]])
		}
		return types
	}
	m.Types = append(m.Types, wasm.FuncType{Params: list(params), Results: list(results)})
	return uint32(len(m.Types) - 1)
}

func probeFunctions(fresh bool) []probeFunc {
	return []probeFunc{
		{"", "IIII", "", 3, writePlant},
		{"", "IIII", "I", 3, writeSearch},
		{"", "IIIII", "I", 0, writeHit},
		{"", "II", "I", 3, writeDive},
		{"", "", "", 0, func(w *writer) { writeFlip(w, fresh) }},
		{"", "I", "", 1, writeSay},
		{"plant", "", "i", 0, func(w *writer) {
			w.words(0)
			w.call(fnPlant)
			writeEnd(w)
			w.I32(0)
		}},
		{"search", "", "i", 0, func(w *writer) {
			w.words(probeMask)
			w.call(fnSearch)
			w.call(fnSay)
			w.I32(0)
		}},
		{"both", "", "i", 0, func(w *writer) {
			w.words(0)
			w.call(fnPlant)
			w.words(0)
			w.call(fnSearch)
			w.call(fnSay)
			w.I32(0)
		}},
		{"work", "", "i", 4, writeWork},
		{"digest", "", "i", 2, writeDigest},
	}
}

// writer writes code with what the probe needs often.
type writer struct{ wasm.Code }

func (w *writer) call(f uint32)    { w.Index(wasm.OpCall, f) }
func (w *writer) get(local uint32) { w.Index(wasm.OpLocalGet, local) }
func (w *writer) set(local uint32) { w.Index(wasm.OpLocalSet, local) }
func (w *writer) load()            { w.Access(wasm.OpI64Load, 3, 0) }
func (w *writer) store(off uint32) { w.Access(wasm.OpI64Store, 3, off) }
func (w *writer) drop()            { w.Op(wasm.OpDrop) }
func (w *writer) add(local uint32, v int64) {
	w.get(local)
	w.I64(v)
	w.Op(wasm.OpI64Add)
	w.set(local)
}

// words pushes the input's first, unmasked.
func (w *writer) words(mask int64) {
	for i := range probeWords {
		w.I64(int64(8 * i))
		w.call(fnInput)
		w.I64(mask)
		w.Op(wasm.OpI64Xor)
	}
}

// until runs body and steps a local until it is not below what limit pushes.
func (w *writer) until(local uint32, step int64, limit, body func()) {
	w.Block(wasm.OpBlock, wasm.BlockEmpty)
	w.Block(wasm.OpLoop, wasm.BlockEmpty)
	w.get(local)
	limit()
	w.Op(wasm.OpI64GeU)
	w.Index(wasm.OpBrIf, 1)
	body()
	w.add(local, step)
	w.Index(wasm.OpBr, 0)
	w.Op(wasm.OpEnd, wasm.OpEnd)
}

// ended pushes where memory ends.
func (w *writer) ended() {
	w.Index(wasm.OpMemorySize, 0)
	w.Op(wasm.OpI64ExtendI32U)
	w.I64(wasm.PageBytes)
	w.Op(wasm.OpI64Mul)
}

func (w *writer) grow(pages int32) {
	w.I32(pages)
	w.Index(wasm.OpMemoryGrow, 0)
}

// name makes a block of the probe's name and leaves its offset in a local.
func (w *writer) name(local uint32) {
	w.I64(8)
	w.call(fnAlloc)
	w.set(local)
	w.get(local)
	w.I64(int64(binary.LittleEndian.Uint64([]byte(probeName))))
	w.call(fnStore)
}

// writePlant takes the four words.
func writePlant(w *writer) {
	const block, name, words = 4, 5, probeWords
	for i := range uint32(words) {
		w.get(i)
		w.Index(wasm.OpGlobalSet, i)
	}
	for _, at := range []int32{1024, 65536 + 512, probePages<<16 - 8*words} {
		for i := range uint32(words) {
			w.I32(at)
			w.get(i)
			w.store(8 * i)
		}
	}
	w.grow(2)
	w.drop()
	for i := range uint32(words) {
		w.I32(probePages<<16 + 70_000)
		w.get(i)
		w.store(8 * i)
	}
	w.I64(8 * words)
	w.call(fnAlloc)
	w.set(block)
	for i := range uint32(words) {
		w.get(block)
		w.I64(int64(8 * i))
		w.Op(wasm.OpI64Add)
		w.get(i)
		w.call(fnStore)
	}
	w.name(name)
	w.get(name)
	w.get(block)
	w.call(fnVarSet)
	w.get(name)
	w.call(fnConfig)
	w.drop()
	w.get(block)
	w.call(fnAsk)
	w.drop()
	w.I64(100)
	w.get(0)
	w.call(fnDive)
	w.drop()
	w.get(block)
	w.I64(8 * words)
	w.call(fnOutput)
}

// writeDive recurses as deep as local 0 says, with the word in its locals.
func writeDive(w *writer) {
	w.get(0)
	w.Op(wasm.OpI64Eqz)
	w.Block(wasm.OpIf, wasm.BlockEmpty)
	w.get(1)
	w.Op(wasm.OpReturn, wasm.OpEnd)
	for i := uint32(2); i < 5; i++ {
		w.get(1)
		w.set(i)
	}
	w.get(0)
	w.I64(1)
	w.Op(wasm.OpI64Sub)
	w.get(1)
	w.call(fnDive)
	for i := uint32(2); i < 5; i++ {
		w.get(i)
		w.Op(wasm.OpI64Xor)
	}
}

func writeFlip(w *writer, fresh bool) {
	if fresh {
		w.I32(0)
		w.I32(1)
		w.Index(wasm.OpTableGet, 0)
		w.Index(wasm.OpTableSet, 0)
	}
}

// writeEnd ends as word 4 says, if there is one.
func writeEnd(w *writer) {
	is := func(how int64, body func()) {
		w.I64(8 * probeWords)
		w.call(fnInput)
		w.I64(how)
		w.Op(wasm.OpI64Eq)
		w.Block(wasm.OpIf, wasm.BlockEmpty)
		body()
		w.Op(wasm.OpEnd)
	}
	is(endTrap, func() { w.Op(wasm.OpUnreachable) })
	is(endLoop, func() {
		w.Block(wasm.OpLoop, wasm.BlockEmpty)
		w.Index(wasm.OpBr, 0)
		w.Op(wasm.OpEnd)
	})
	is(endAsk, func() {
		w.I64(0)
		w.call(fnAsk)
		w.drop()
	})
	is(endRecurse, func() {
		w.I64(1 << 40)
		w.I64(0)
		w.call(fnInput)
		w.call(fnDive)
		w.drop()
	})
}

// writeHit says whether the fifth word is one of the others.
func writeHit(w *writer) {
	for i := range uint32(probeWords) {
		w.get(i)
		w.get(probeWords)
		w.Op(wasm.OpI64Eq)
		if i > 0 {
			w.Op(wasm.OpI32Or)
		}
	}
	w.Op(wasm.OpI64ExtendI32U)
}

// writeSearch takes four words and returns where they are. Memory and kernel are
// taken whole first, so that what lies behind their ends is seen.
func writeSearch(w *writer) {
	const found, at, name = 4, 5, 6
	note := func(place int64, value func()) {
		for i := range uint32(probeWords) {
			w.get(i)
		}
		value()
		w.call(fnHit)
		w.I64(place)
		w.Op(wasm.OpI64Mul)
		w.get(found)
		w.Op(wasm.OpI64Or)
		w.set(found)
	}
	for i := range uint32(probeWords) {
		note(inGlobals, func() { w.Index(wasm.OpGlobalGet, i) })
	}
	for range probeMemory/wasm.PageBytes - probePages {
		w.grow(1)
		w.drop()
	}
	w.until(at, 8, w.ended, func() {
		note(inMemory, func() {
			w.get(at)
			w.Op(wasm.OpI32WrapI64)
			w.load()
		})
	})
	w.name(name)
	for _, look := range []struct {
		place int64
		f     uint32
	}{{inVariables, fnVarGet}, {inConfig, fnConfig}} {
		w.get(name)
		w.call(look.f)
		w.Op(wasm.OpI64Eqz, wasm.OpI32Eqz, wasm.OpI64ExtendI32U)
		w.I64(look.place)
		w.Op(wasm.OpI64Mul)
		w.get(found)
		w.Op(wasm.OpI64Or)
		w.set(found)
	}
	w.I64(probeKernel - 4096)
	w.call(fnAlloc)
	w.call(fnFree)
	w.I64(0)
	w.set(at)
	w.until(at, 8, func() { w.call(fnBytes) }, func() {
		note(inKernel, func() {
			w.get(at)
			w.call(fnLoad)
		})
	})
	w.get(found)
}

// writeSay outputs a word.
func writeSay(w *writer) {
	w.I64(8)
	w.call(fnAlloc)
	w.set(1)
	w.get(1)
	w.get(0)
	w.call(fnStore)
	w.get(1)
	w.I64(8)
	w.call(fnOutput)
}

// writeWork takes about 100,000 units of fuel.
func writeWork(w *writer) {
	const i, block, sum, name = 0, 1, 2, 3
	w.call(fnFlip)
	w.name(name)
	w.until(i, 1, func() { w.I64(400) }, func() {
		w.I64(24)
		w.call(fnAlloc)
		w.set(block)
		w.get(block)
		w.get(sum)
		w.call(fnStore)
		for g := range uint32(probeWords) {
			w.Index(wasm.OpGlobalGet, g)
			w.get(i)
			w.Op(wasm.OpI64Add)
			w.Index(wasm.OpGlobalSet, g)
		}
		w.get(i) // Another page each time, and another place in it.
		w.I64(4096 + 8)
		w.Op(wasm.OpI64Mul)
		w.ended()
		w.Op(wasm.OpI64RemU)
		w.I64(^int64(7))
		w.Op(wasm.OpI64And, wasm.OpI32WrapI64)
		w.Index(wasm.OpGlobalGet, 0)
		w.store(0)
		w.I64(20)
		w.get(sum)
		w.Index(wasm.OpGlobalGet, 1)
		w.Op(wasm.OpI64Xor)
		w.call(fnDive)
		w.get(i)
		w.Op(wasm.OpI64Add)
		w.set(sum)
		every(w, i, 16, func() {
			w.get(name)
			w.get(block)
			w.call(fnVarSet)
		})
		every(w, i, 64, func() {
			w.grow(1)
			w.drop()
			w.get(block)
			w.call(fnAsk)
			w.call(fnFree)
			w.I32(256)
			w.get(i)
			w.Op(wasm.OpI32WrapI64)
			w.I32(4096)
			w.Index(wasm.OpMemoryFill, 0)
		})
		w.get(block)
		w.call(fnFree)
	})
	w.get(sum)
	w.call(fnSay)
	w.I32(0)
}

func every(w *writer, local uint32, n int64, body func()) {
	w.get(local)
	w.I64(n)
	w.Op(wasm.OpI64RemU, wasm.OpI64Eqz)
	w.Block(wasm.OpIf, wasm.BlockEmpty)
	body()
	w.Op(wasm.OpEnd)
}

// writeDigest mixes memory, its size, the globals, the variable and how much of
// the kernel's memory is in use.
func writeDigest(w *writer) {
	const at, sum = 0, 1
	mix := func(value func()) {
		w.get(sum)
		w.I64(0x100_0000_01b3)
		w.Op(wasm.OpI64Mul)
		value()
		w.Op(wasm.OpI64Xor)
		w.set(sum)
	}
	mix(w.ended)
	mix(func() { w.call(fnBytes) })
	mix(func() { w.call(fnInputLength) })
	for g := range uint32(probeWords) {
		mix(func() { w.Index(wasm.OpGlobalGet, g) })
	}
	w.name(at)
	mix(func() {
		w.get(at)
		w.call(fnVarGet)
	})
	w.I64(0)
	w.set(at)
	w.until(at, 8, w.ended, func() {
		mix(func() {
			w.get(at)
			w.Op(wasm.OpI32WrapI64)
			w.load()
		})
	})
	w.get(sum)
	w.call(fnSay)
	w.I32(0)
}

// word is an output of one.
func word(t *testing.T, result runtime.Result) uint64 {
	t.Helper()
	if len(result.Output) != 8 {
		t.Fatalf("got an output of %d bytes, want a word", len(result.Output))
	}
	return binary.LittleEndian.Uint64(result.Output)
}
