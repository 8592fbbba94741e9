package runtime_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// changing is a module whose sandboxes cannot be reset, since it has a table.set
// which nobody calls, with so many entries, elements, globals and bytes of data.
func changing(entries, elements, globals, data int) []byte {
	m := &wasm.Module{
		Types:     []wasm.FuncType{{Results: []wasm.ValueType{wasm.I32}}},
		Functions: []uint32{0, 0},
		Memory:    &wasm.Memory{Min: 1},
		Tables:    []wasm.Table{{Element: wasm.FuncRef, Min: uint32(entries)}},
		Exports:   []wasm.Export{{Name: "run"}},
		Elements:  []wasm.Element{{Offset: wasm.Expr{0x41, 0, 0x0b}, Type: wasm.FuncRef, Functions: make([]uint32, elements)}},
		Code: []wasm.Body{
			{Code: []byte{0x41, 0, 0x0b}},
			{Code: []byte{0x41, 0, 0x41, 0, 0x25, 0, 0x26, 0, 0x41, 0, 0x0b}},
		},
		Data: []wasm.Data{{Offset: wasm.Expr{0x41, 0, 0x0b}, Init: bytes.Repeat([]byte{1}, data)}},
	}
	for range globals {
		m.Globals = append(m.Globals, wasm.Global{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Init: wasm.Expr{0x41, 0, 0x0b}})
	}
	return m.Encode()
}

func TestACallPaysForAnInstanceOfItsOwn(t *testing.T) {
	t.Parallel()
	fuel := func(module []byte) int64 {
		result, err := prepare(t, module, runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "run"})
		if err != nil {
			t.Fatal(err)
		}
		return result.Usage.Fuel
	}
	least := fuel(changing(10, 1, 1, 16))
	if least < 30_000 {
		t.Errorf("got %d units for a call that does nothing, want 30,000 for its instance", least)
	}
	for name, test := range map[string]struct {
		module []byte
		more   int64
	}{
		"entries of a table":  {changing(1010, 1, 1, 16), 1000 * 16},
		"elements":            {changing(10, 9, 1, 16), 8 * 80},
		"globals":             {changing(10, 1, 101, 16), 100 * 20},
		"bytes of its memory": {changing(10, 1, 1, 16+16_000), 1000},
	} {
		if got, want := fuel(test.module), least+test.more; got != want {
			t.Errorf("with more %s: got %d units, want %d", name, got, want)
		}
	}
}

func TestAnInstanceIsNotMadeThatCannotBePaid(t *testing.T) {
	t.Parallel()
	module := prepare(t, changing(10, 1, 1, 16), runtime.Limits{})
	result, err := module.Call(t.Context(), runtime.Call{Export: "run", Limits: runtime.Limits{Fuel: 29_999}})
	wantFailure(t, err, runtime.CodeFuelExhausted)
	if got := result.Usage; got.Fuel != 29_999 || got.MemoryBytes != 0 {
		t.Errorf("got %d units and %d bytes of memory, want all of its fuel and no memory", got.Fuel, got.MemoryBytes)
	}
}

// TestAnInstanceIsMadeOnAProcessorOfTheGuests: calls that wait for their turn must
// not do the work before it.
func TestAnInstanceIsMadeOnAProcessorOfTheGuests(t *testing.T) {
	t.Parallel()
	rt, err := runtime.New(t.Context(), runtime.Config{Running: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())
	module, err := rt.Prepare(t.Context(), changing(10, 1, 1, 16), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	release, err := runtime.Occupy(t.Context(), rt)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	result, err := module.Call(t.Context(), runtime.Call{Export: "run", Limits: runtime.Limits{Deadline: 20 * time.Millisecond}})
	wantFailure(t, err, runtime.CodeDeadlineExceeded)
	if got := result.Usage.MemoryBytes; got != 0 {
		t.Errorf("a call that never had a processor has had %d bytes of memory", got)
	}
}
