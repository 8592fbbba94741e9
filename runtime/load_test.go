package runtime_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// TestImportsAreNobodysToCall: hs_init is called with two numbers when a module
// starts, and args_sizes_get would write through them, to the memory of no guest.
func TestImportsAreNobodysToCall(t *testing.T) {
	t.Parallel()
	i32 := wasm.I32
	m := &wasm.Module{
		Types:     []wasm.FuncType{{Params: []wasm.ValueType{i32, i32}, Results: []wasm.ValueType{i32}}, {Results: []wasm.ValueType{i32}}},
		Imports:   []wasm.Import{{Module: abi.WASIModule, Name: "args_sizes_get"}, {Module: abi.WASIModule, Name: "sched_yield", Type: 1}},
		Functions: []uint32{1},
		Memory:    &wasm.Memory{Min: 1},
		Exports:   []wasm.Export{{Name: "hs_init"}, {Name: "yield", Index: 1}, {Name: "run", Index: 2}},
		Code:      []wasm.Body{{Code: []byte{0x41, 0, 0x0b}}},
	}
	module := prepare(t, m.Encode(), runtime.Limits{})
	if got, want := module.Exports(), []string{"run"}; !slices.Equal(got, want) {
		t.Errorf("got the exports %q, want %q", got, want)
	}
	if _, err := module.Call(t.Context(), runtime.Call{Export: "run"}); err != nil {
		t.Error(err)
	}
}

// TestWhoWaitsForAModuleCanGiveUp has one caller load a module, and another who
// does not wait for it.
func TestWhoWaitsForAModuleCanGiveUp(t *testing.T) {
	t.Parallel()
	gate := &gatedCompiler{begun: make(chan struct{}), goOn: make(chan struct{})}
	rt := newRuntime(t, runtime.Config{Compiler: gate, Idle: 1})
	module, err := rt.Prepare(t.Context(), runtimetest.Echo("echo"), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Trim(t.Context()); err != nil || runtime.Loaded(module) {
		t.Fatalf("the module was not unloaded: %v", err)
	}
	gate.closed = true
	loaded := make(chan error)
	go func() {
		_, err := module.Call(t.Context(), runtime.Call{Export: "echo"})
		loaded <- err
	}()
	<-gate.begun
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, err := module.Call(&late{Context: ctx}, runtime.Call{Export: "echo"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	close(gate.goOn)
	if err := <-loaded; err != nil {
		t.Error(err)
	}
}

// late is a context whose end is not yet seen by the first who asks.
type late struct {
	context.Context //nolint:containedctx // It is one.

	asked bool
}

func (l *late) Err() error {
	if !l.asked {
		l.asked = true
		return nil
	}
	return l.Context.Err()
}

// gatedCompiler waits when it is closed.
type gatedCompiler struct {
	closed      bool
	begun, goOn chan struct{}
}

func (g *gatedCompiler) Compile(context.Context, []byte) error {
	if g.closed {
		close(g.begun)
		<-g.goOn
	}
	return nil
}
