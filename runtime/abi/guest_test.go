package abi //nolint:testpackage // It calls functions one by one, as a guest would.

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func TestAGuestThatIsUsedAgainRemembersNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Input: []byte("input"), Seed: [32]byte{1}, Config: map[string]string{"k": "v"}})
	name := b.put(t, "k")
	b.must(t, "var_set", name, b.put(t, "value"))
	b.must(t, "error_set", name)
	b.must(t, "output_set", name, 1)
	b.answer.Response = []byte(`{"result":{"status":204,"headers":{"a":["b"]}}}`)
	b.must(t, "http_request", b.put(t, `{"url":"x"}`), 0)
	b.do(t, WASIModule, "random_get", 0, 8)
	b.do(t, WASIModule, "proc_exit", 3)
	b.guest.remember([]byte("last words"))
	o := Options{Kernel: b.kernel, KernelBytes: 1 << 16, Seed: [32]byte{2}, Ask: b.guest.ask}
	*b.guest = Guest{}
	if err := b.guest.Begin(o); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"input_length", "input_offset", "output_offset", "output_length", "error_get", "http_status_code", "http_headers"} {
		if got := b.must(t, f); got != 0 {
			t.Errorf("%s: got %d", f, got)
		}
	}
	name = b.put(t, "k")
	for _, f := range []string{"var_get", "config_get"} {
		if got := b.must(t, f, name); got != 0 {
			t.Errorf("%s: got %d", f, got)
		}
	}
	if b.guest.Ended() != nil || b.guest.Stderr() != "" || b.guest.Error() != nil || len(b.guest.Output()) != 0 {
		t.Errorf("got %v, %q, %q, %q", b.guest.Ended(), b.guest.Stderr(), b.guest.Error(), b.guest.Output())
	}
	if got, want := b.random(t), setup(t, o).random(t); got != want {
		t.Errorf("got random %x, want that of the new seed, %x", got, want)
	}
}

func (b *bench) random(tb testing.TB) uint64 {
	tb.Helper()
	if e, ok := b.do(tb, WASIModule, "random_get", 0, 8); !ok || e != 0 {
		tb.Fatalf("got errno %d, %t", e, ok)
	}
	got, _ := b.module.Memory().ReadUint64Le(0)
	return got
}

func TestFunctionsHaveTheirOldNames(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Input: []byte("12345678")})
	for name, want := range b.offers.kernel {
		if got, ok := b.offers.Lookup(LegacyModule, "extism_"+name); !ok || !got.Equal(want) {
			t.Errorf("extism_%s: got %s, %t, want %s", name, got, ok, want)
		}
		if b.kernel.instance.ExportedFunction(name) == nil || b.kernel.instance.ExportedFunction("extism_"+name) == nil {
			t.Errorf("%s is not exported under both names", name)
		}
	}
	for _, name := range []string{"alloc", "extism_", "extism_fault", "malloc", "extism_load_u32", ""} {
		if got, ok := b.offers.Lookup(LegacyModule, name); ok {
			t.Errorf("%q: got %s", name, got)
		}
	}
	if got, _ := b.do(t, LegacyModule, "extism_input_load_u64", 0); got != binary.LittleEndian.Uint64([]byte("12345678")) {
		t.Errorf("got %x", got)
	}
}

func TestGuestsCannotImportWhatIsBehindTheKernel(t *testing.T) {
	t.Parallel()
	offers := theEngine(t).offers
	for _, module := range []string{hostModule, EnvModule} {
		for _, name := range []string{"fault", ""} {
			if got, ok := offers.Lookup(module, name); ok {
				t.Errorf("%q.%q: got %s", module, name, got)
			}
		}
	}
}

func TestClocksShowWhatARecordOfTheirTimesGives(t *testing.T) {
	t.Parallel()
	for range 100 {
		start, answer := time.Now(), time.Now()
		live, again := newClock(start, Moment{}), newClock(start.Round(0), Moment{})
		live.advance(answer)
		again.advance(answer.Round(0))
		if live.monotonic() != again.monotonic() || live.wall() != again.wall() {
			t.Fatalf("got %d and %d, and again %d and %d", live.monotonic(), live.wall(), again.monotonic(), again.wall())
		}
	}
}

func TestClocksDoNotRunBackwards(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	image := setup(t, Options{Start: start})
	image.guest.clock.advance(start.Add(time.Minute))
	seen := image.guest.Clock()
	for name, test := range map[string]struct {
		start time.Time
		want  Moment
	}{
		"from a start that is before": {start, seen},
		"from no start":               {time.Time{}, seen},
		"from a start that is after":  {start.Add(time.Hour), Moment{start.Add(time.Hour), seen.Monotonic}},
	} {
		guest := setup(t, Options{Start: test.start, Seen: seen}).guest
		if got := guest.Clock(); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		guest.clock.advance(guest.clock.now.Add(time.Second))
		if got, want := guest.Clock().Monotonic, seen.Monotonic+time.Second; got != want {
			t.Errorf("%s: got %s a second later, want %s", name, got, want)
		}
	}
}

func TestBoundGuestIsFoundBehindOtherContexts(t *testing.T) {
	t.Parallel()
	type key struct{}
	b := setup(t, Options{})
	outer := context.WithValue(t.Context(), key{}, "outer")
	ctx := context.WithValue(b.guest.Bind(outer), key{}, "inner")
	if _, err := b.kernel.instance.ExportedFunction("http_status_code").Call(ctx); err != nil {
		t.Error(err)
	}
	if got := b.guest.Bind(outer).Value(key{}); got != "outer" {
		t.Errorf("got %v, want what the context has", got)
	}
}

// A module gets the functions of the kernel that it was instantiated with, and
// WASI's work on the module's own memory.
func TestModulesAreKeptApart(t *testing.T) {
	t.Parallel()
	e := theEngine(t)
	random := wasm.Import{Module: WASIModule, Name: "random_get"}
	length := wasm.Import{Module: EnvModule, Name: "input_length"}
	config := wasm.Import{Module: LegacyModule, Name: "extism_config_get"}
	var code assembler
	code.I32(64)
	code.I32(8)
	code.Index(wasm.OpCall, 0)
	code.Op(wasm.OpDrop)
	code.I64(0)
	code.Index(wasm.OpCall, 2)
	code.Op(wasm.OpDrop)
	code.Index(wasm.OpCall, 1)
	binary := guestOf(code.Code, "I", imported(random, "ii", "i"), imported(length, "", "I"), imported(config, "I", "I"))
	compiled, err := e.rt.CompileModule(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	var randoms []uint64
	for _, input := range []string{"one", "three"} {
		b := setup(t, Options{Input: []byte(input), Seed: [32]byte{byte(len(input))}})
		module, err := e.rt.InstantiateModule(b.kernel.Import(t.Context()), compiled, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := module.ExportedFunction("run").Call(b.guest.Bind(t.Context()))
		if err != nil || got[0] != uint64(len(input)) {
			t.Errorf("got %v, %v, want the length of %q", got, err, input)
		}
		n, _ := module.Memory().ReadUint64Le(64)
		randoms = append(randoms, n)
	}
	if randoms[0] == 0 || randoms[1] == 0 || randoms[0] == randoms[1] {
		t.Errorf("got random %x in the guests' own memories", randoms)
	}
}

type importedFunction struct {
	wasm.Import
	params, results string
}

func imported(i wasm.Import, params, results string) importedFunction {
	return importedFunction{i, params, results}
}

// guestOf returns a module with a memory of a page and an export "run".
func guestOf(code wasm.Code, results string, imports ...importedFunction) []byte {
	m := &wasm.Module{Memory: &wasm.Memory{Min: 1}}
	for _, i := range imports {
		i.Type = typeIndex(m, i.params, i.results)
		m.Imports = append(m.Imports, i.Import)
	}
	m.Functions = []uint32{typeIndex(m, "", results)}
	code.Op(wasm.OpEnd)
	m.Code = []wasm.Body{{Code: code, Locals: []wasm.Locals{{Count: 2, Type: wasm.I64}}}}
	m.Exports = []wasm.Export{{Name: "run", Kind: wasm.KindFunction, Index: uint32(len(imports))}}
	return m.Encode()
}
