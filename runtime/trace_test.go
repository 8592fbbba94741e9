package runtime_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// TestAStackTraceIsBounded: a module chooses the names that are in it, and types
// of a thousand parameters.
func TestAStackTraceIsBounded(t *testing.T) {
	t.Parallel()
	const params, depth = 1000, 40
	m := &wasm.Module{
		Types: []wasm.FuncType{
			{Results: []wasm.ValueType{wasm.I32}},
			{Params: slices.Repeat([]wasm.ValueType{wasm.I32}, params)},
		},
		Functions: []uint32{0}, Exports: []wasm.Export{{Name: "run"}}, Names: map[uint32]string{},
	}
	for n := range uint32(depth) {
		var code wasm.Code
		for range params {
			code.I32(0)
		}
		code.Index(wasm.OpCall, n+1)
		if n == 0 {
			code.I32(0)
		}
		code.Op(wasm.OpEnd)
		m.Functions, m.Code = append(m.Functions, 1), append(m.Code, wasm.Body{Code: code})
		m.Names[n] = strings.Repeat("name", 20_000)
	}
	var last wasm.Code
	last.Op(wasm.OpUnreachable, wasm.OpEnd)
	m.Code = append(m.Code, wasm.Body{Code: last})
	_, err := prepare(t, m.Encode(), runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "run"})
	failure := wantFailure(t, err, runtime.CodeTrapped)
	if n := len(failure.Stack); n < 1<<10 || n > 64<<10 {
		t.Errorf("the stack trace has %d bytes", n)
	}
}
