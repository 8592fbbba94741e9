package runtime_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func TestFacts(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Import(runtimetest.User, "http", "I", "I")
	b.Import(runtimetest.Extism, "input_length", "", "I")
	b.Memory(1)
	b.Func("run", "", "i", "", runtimetest.I32(0))
	b.Func("_initialize", "", "", "")
	b.Func("add", "ii", "i", "", runtimetest.I32(0))
	b.Func("done", "", "", "")
	facts := prepare(t, b.Bytes(), runtime.Limits{}).Facts()
	want := []runtime.Function{
		{Module: "extism:host/user", Name: "http", Type: "(i64) -> (i64)"},
		{Module: "extism:host/env", Name: "input_length", Type: "() -> (i64)"},
	}
	if diff := cmp.Diff(want, facts.Imports); diff != "" {
		t.Errorf("imports differ (-want +got):\n%s", diff)
	}
	want = []runtime.Function{
		{Name: "run", Type: "() -> (i32)", Callable: true},
		{Name: "_initialize", Type: "() -> ()"},
		{Name: "add", Type: "(i32, i32) -> (i32)"},
		{Name: "done", Type: "() -> ()", Callable: true},
	}
	if diff := cmp.Diff(want, facts.Exports); diff != "" {
		t.Errorf("exports differ (-want +got):\n%s", diff)
	}
	if facts.Functions != 4 || facts.ModuleBytes != len(b.Bytes()) || facts.RewrittenBytes <= facts.ModuleBytes {
		t.Errorf("got %d functions, %d bytes of %d", facts.Functions, facts.RewrittenBytes, facts.ModuleBytes)
	}
	if facts.ImageBytes != 64<<10 {
		t.Errorf("got an image of %d bytes, want a page of WebAssembly", facts.ImageBytes)
	}
}

// TestEveryNodePreparesTheSameImage: servers whose clocks, caches and processors differ.
func TestEveryNodePreparesTheSameImage(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Memory(1)
	b.Func("run", "", "i", "", runtimetest.I32(0))
	small := b.Bytes()
	b.Data(3, []byte("x"))
	digests := map[string][]string{}
	for node, c := range []runtime.Config{
		{Running: 1},
		{Running: 3, Now: func() time.Time { return time.Now().Add(1000 * time.Hour) }},
	} {
		rt := newRuntime(t, c)
		defer rt.Close(t.Context())
		for name, wasm := range map[string][]byte{
			"Go": runtimetest.Guest(t), "tiny": probe(false), "random": universal(), "small": small, "of other content": b.Bytes(), "fresh": probe(true),
		} {
			limits := runtime.Limits{}
			limits.Fuel += int64(node) * 1e9 // What a node grants calls is not in it.
			module, err := rt.Prepare(t.Context(), wasm, limits)
			if err != nil {
				t.Fatal(err)
			}
			digests[name] = append(digests[name], module.Facts().ImageDigest)
			if got := module.Facts().ImageDigest; name != "fresh" && !regexp.MustCompile("^sha256:[0-9a-f]{64}$").MatchString(got) {
				t.Errorf("%s: got %q", name, got)
			}
		}
	}
	seen := map[string]string{}
	for name, d := range digests {
		if d[0] != d[1] {
			t.Errorf("%s: one node has %s, another %s", name, d[0], d[1])
		}
		if other, ok := seen[d[0]]; ok {
			t.Errorf("%s and %s have the same image %s", name, other, d[0])
		}
		seen[d[0]] = name
	}
	if got := digests["fresh"][0]; got != "" {
		t.Errorf("a module that is started for each call has an image %s", got)
	}
}

// TestFactsAreNoLargerThanTheModule: a type of a thousand parameters is written in
// two kilobytes, and five more export a function of it.
func TestFactsAreNoLargerThanTheModule(t *testing.T) {
	t.Parallel()
	const exports, params = 10_000, 1000
	long := wasm.FuncType{Params: slices.Repeat([]wasm.ValueType{wasm.I32}, params)}
	m := &wasm.Module{
		Types: []wasm.FuncType{long}, Functions: []uint32{0}, Code: []wasm.Body{{Code: []byte{0x0b}}},
	}
	for n := range exports {
		m.Exports = append(m.Exports, wasm.Export{Name: strconv.Itoa(n)})
	}
	binary := m.Encode()
	text, err := json.Marshal(prepare(t, binary, runtime.Limits{}).Facts())
	if err != nil {
		t.Fatal(err)
	}
	if most := 20 * len(binary); len(text) > most {
		t.Errorf("the facts of a module of %d bytes have %d; %d would do", len(binary), len(text), most)
	}
}

func TestFactsAreCopies(t *testing.T) {
	t.Parallel()
	m := prepare(t, runtimetest.Echo("echo"), runtime.Limits{})
	clear(m.Facts().Exports)
	if name := m.Facts().Exports[0].Name; name == "" {
		t.Error("a module's facts were changed by a caller")
	}
}

// These tests look at the heap of the whole process, so that what they can hold a
// size against is of another order.
func TestMeasure(t *testing.T) {
	t.Parallel()
	t.Run("a module whose sandboxes are reset", func(t *testing.T) {
		t.Parallel()
		m := engine.guest(t)
		call := runtime.Call{Export: "echo", Input: []byte("hello")}
		cost, result, err := m.Measure(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := m.Call(t.Context(), call)
		if err != nil || result.Usage.Fuel != plain.Usage.Fuel || string(result.Output) != "hello" {
			t.Errorf("got %q and %d units, want as a call: %d, %v", result.Output, result.Usage.Fuel, plain.Usage.Fuel, err)
		}
		if cost.ResetPages < 1 || cost.ResetPages > 1000 {
			t.Errorf("got %d pages", cost.ResetPages)
		}
		if cost.MakeTime <= 0 || cost.ResetTime <= 0 || cost.IdleBytes < int64(cost.ResetPages)*4096 {
			t.Errorf("got %+v", cost)
		}
	})
	t.Run("a module that is started for each call", func(t *testing.T) {
		t.Parallel()
		var b runtimetest.Builder
		b.Table(1)
		b.Func("run", "", "i", "", runtimetest.Op(0xd0, 0x70), runtimetest.I32(1), runtimetest.Op(0xfc, 0x0f, 0x00, 0x1a), runtimetest.I32(0)) // ref.null table.grow drop
		m := prepare(t, b.Bytes(), runtime.Limits{})
		if m.Facts().Fresh == "" {
			t.Fatal("it can be reset")
		}
		cost, _, err := m.Measure(t.Context(), runtime.Call{Export: "run"})
		if err != nil {
			t.Fatal(err)
		}
		if cost.MakeTime <= 0 || cost.ResetTime != 0 || cost.IdleBytes != 0 {
			t.Errorf("got %+v: no such sandbox is ever reset or idle", cost)
		}
	})
	t.Run("nothing when there is no such export", func(t *testing.T) {
		t.Parallel()
		_, _, err := prepare(t, runtimetest.Echo("echo"), runtime.Limits{}).Measure(t.Context(), runtime.Call{Export: "run"})
		wantFailure(t, err, runtime.CodeNoExport)
	})
	t.Run("and leaves the module as it was", func(t *testing.T) {
		t.Parallel()
		m := prepare(t, runtimetest.Echo("echo"), runtime.Limits{})
		for _, word := range []string{"a", "b"} {
			_, result, err := m.Measure(t.Context(), runtime.Call{Export: "echo", Input: []byte(word)})
			if err != nil || string(result.Output) != word {
				t.Errorf("got %q, %v", result.Output, err)
			}
		}
		if !slices.Equal(m.Exports(), []string{"echo"}) {
			t.Errorf("got %v", m.Exports())
		}
	})
}
