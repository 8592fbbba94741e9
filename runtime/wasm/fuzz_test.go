package wasm_test

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// FuzzDecode looks for binaries that panic or that encoding changes, for modules
// that the engine takes before they are encoded and not after, or that it takes
// and Decode does not.
func FuzzDecode(f *testing.F) {
	for name, binary := range guests(f) {
		if name != "Go" {
			f.Add(binary)
		}
	}
	for _, test := range limitTests() {
		if test.at < 100 {
			f.Add(test.with(test.at))
		}
	}
	f.Add(append(functions(body(noLocals, "")), names("\x00\x01a")...))
	// The interpreter: both engines have one decoder.
	engine := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	f.Fuzz(func(t *testing.T, binary []byte) {
		m, err := wasm.Decode(binary, wasm.Limits{})
		if err != nil {
			return // The engine would make room for what the bytes promise.
		}
		roundTrip(t, binary, wasm.Limits{})
		if len(binary) > 1<<12 {
			return
		}
		m.Clamp(100, 100)
		takes := func(binary []byte) bool {
			compiled, err := engine.CompileModule(t.Context(), binary)
			if err == nil {
				compiled.Close(t.Context())
			}
			return err == nil
		}
		before, after := takes(binary), takes(m.Encode())
		if before && !after && !minimaAbove(m, 100) {
			t.Error("it compiled, and no longer does after it was encoded")
		}
	})
}

func minimaAbove(m *wasm.Module, most uint32) bool {
	for _, t := range m.Tables {
		if t.Min > most {
			return true
		}
	}
	return m.Memory != nil && m.Memory.Min > most
}
