package runtime_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// named appends names of functions to a module that has none.
func named(module []byte, names map[uint32]string) []byte {
	list := binary.AppendUvarint(nil, uint64(len(names)))
	for _, index := range slices.Sorted(maps.Keys(names)) {
		list = binary.AppendUvarint(list, uint64(index))
		list = append(binary.AppendUvarint(list, uint64(len(names[index]))), names[index]...)
	}
	content := append([]byte("\x04name\x01"), byte(len(list)))
	content = append(content, list...)
	return append(append(module, 0, byte(len(content))), content...)
}

// additions are instructions that cost n units.
func additions(n int) []byte {
	return bytes.Repeat(slices.Concat(runtimetest.I32(1), runtimetest.I32(1), runtimetest.Op(0x6a, 0x1a)), n) // i32.add drop
}

// profile makes a call that must be accounted for whole.
func profile(t *testing.T, module []byte, l runtime.Limits, c runtime.Call) ([]runtime.Sample, runtime.Result, error) {
	t.Helper()
	samples, result, err := runtime.Profile(t.Context(), runtime.Config{Functions: []string{"state_get", "http"}}, module, l, c)
	sum := int64(0)
	for _, s := range samples {
		if s.Fuel < 0 {
			t.Errorf("%v has used %d", s.Stack, s.Fuel)
		}
		sum += s.Fuel
	}
	if sum != result.Usage.Fuel {
		t.Errorf("the samples add up to %d, the call has used %d", sum, result.Usage.Fuel)
	}
	return samples, result, err
}

// A call costs 4, one of the host 16 more, the frame of whoever calls 8, an addition
// 1, all else here nothing.
func TestProfileIsExact(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	alloc := b.Import(runtimetest.Extism, "alloc", "I", "I")
	leaf := b.Func("", "", "", "", additions(7))
	branch := b.Func("", "", "", "", additions(10), runtimetest.Invoke(leaf), runtimetest.Invoke(leaf))
	b.Func("run", "", "i", "",
		additions(100), runtimetest.Invoke(branch), runtimetest.Invoke(leaf), additions(1),
		runtimetest.I64(8), runtimetest.Invoke(alloc), runtimetest.Op(0x1a), runtimetest.I32(0))
	want := func(leaf, branch, run string) []runtime.Sample {
		return []runtime.Sample{
			{Stack: []string{run}, Calls: 1, Fuel: 8 + 100 + 4 + 4 + 1 + 20},
			{Stack: []string{branch, run}, Calls: 1, Fuel: 8 + 10 + 8},
			{Stack: []string{leaf, branch, run}, Calls: 2, Fuel: 14},
			{Stack: []string{leaf, run}, Calls: 1, Fuel: 7},
			{Stack: []string{"extism:host/env.alloc", run}, Calls: 1},
		}
	}
	for _, test := range []struct {
		name   string
		module []byte
		want   []runtime.Sample
	}{
		{"with the module's names", named(slices.Clone(b.Bytes()), map[uint32]string{1: "leaf", 2: "branch", 3: "main.run"}), want("leaf", "branch", "main.run")},
		{"with indices and exports when there are none", b.Bytes(), want("func[1]", "func[2]", "run")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			samples, _, err := profile(t, test.module, runtime.Limits{}, runtime.Call{Export: "run"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, samples); diff != "" {
				t.Errorf("samples differ (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever way out a function takes, the next one's fuel is not its.
func TestProfileSeesEveryReturn(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{
		"return":                   runtimetest.Op(0x0f),
		"br":                       runtimetest.Op(0x0c, 0x00),
		"br out of a block":        runtimetest.Op(0x02, 0x40, 0x0c, 0x01, 0x0b),
		"br_if":                    slices.Concat(runtimetest.I32(1), runtimetest.Op(0x0d, 0x00)),
		"br_if that is not taken":  slices.Concat(runtimetest.I32(0), runtimetest.Op(0x0d, 0x00)),
		"br_table":                 slices.Concat(runtimetest.Op(0x02, 0x40), runtimetest.I32(1), runtimetest.Op(0x0e, 0x01, 0x00, 0x01, 0x0b)),
		"br_table of one":          slices.Concat(runtimetest.I32(1), runtimetest.Op(0x0e, 0x00, 0x00)),
		"the end of a loop":        runtimetest.Op(0x03, 0x40, 0x0b),
		"return out of a loop":     runtimetest.Op(0x03, 0x40, 0x0f, 0x0b),
		"return in one arm of two": slices.Concat(runtimetest.I32(1), runtimetest.Op(0x04, 0x40, 0x0f, 0x05, 0x0b)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b runtimetest.Builder
			f := b.Func("", "", "", "", body)
			b.Func("run", "", "i", "", runtimetest.Invoke(f), additions(50), runtimetest.Invoke(f), additions(50), runtimetest.I32(0))
			samples, _, err := profile(t, b.Bytes(), runtime.Limits{}, runtime.Call{Export: "run"})
			if err != nil {
				t.Fatal(err)
			}
			if len(samples) != 2 || samples[0].Fuel != 116 || samples[1].Calls != 2 {
				t.Errorf("got %v, want 116 units in run and two calls in it", samples)
			}
		})
	}
}

func TestProfileOfFailures(t *testing.T) {
	t.Parallel()
	deep := []string{}
	for range 128 {
		deep = append(deep, "run")
	}
	for _, test := range []struct {
		name   string
		module []byte
		limits runtime.Limits
		code   runtime.Code
		stack  []string
	}{
		{"a loop", runtimetest.Loop("run"), runtime.Limits{Fuel: 3_000_001}, runtime.CodeFuelExhausted, []string{"run"}},
		{"a trap", runtimetest.Trap("run"), runtime.Limits{}, runtime.CodeTrapped, []string{"run"}},
		{"a recursion", runtimetest.Recurse("run"), runtime.Limits{}, runtime.CodeStackExhausted, deep},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			samples, result, err := profile(t, test.module, test.limits, runtime.Call{Export: "run"})
			wantFailure(t, err, test.code)
			last := samples[len(samples)-1]
			if diff := cmp.Diff(test.stack, last.Stack); diff != "" {
				t.Errorf("the innermost stack differs (-want +got):\n%s", diff)
			}
			if test.limits.Fuel != 0 && result.Usage.Fuel != test.limits.Fuel {
				t.Errorf("got %d units, want all", result.Usage.Fuel)
			}
		})
	}
	t.Run("no export", func(t *testing.T) {
		t.Parallel()
		_, _, err := profile(t, runtimetest.Trap("run"), runtime.Limits{}, runtime.Call{Export: "walk"})
		wantFailure(t, err, runtime.CodeNoExport)
	})
	t.Run("no module", func(t *testing.T) {
		t.Parallel()
		_, _, err := profile(t, []byte("walk"), runtime.Limits{}, runtime.Call{Export: "walk"})
		if invalid, ok := errors.AsType[*runtime.InvalidModule](err); !ok || invalid.Code != "not_wasm" {
			t.Errorf("got %v", err)
		}
	})
}

// Functions that call each other in all orders have more stacks than can be kept.
func TestProfileIsBounded(t *testing.T) {
	t.Parallel()
	const functions, depth = 4, 9
	var b runtimetest.Builder
	for range functions {
		// if left > 0 { each function with left-1 }
		calls := slices.Concat(runtimetest.Op(0x20, 0x00, 0x04, 0x40)) // local.get 0 if
		for f := range uint32(functions) {
			calls = slices.Concat(calls, runtimetest.Op(0x20, 0x00), runtimetest.I32(1), runtimetest.Op(0x6b), runtimetest.Invoke(f))
		}
		b.Func("", "i", "", "", calls, runtimetest.Op(0x0b))
	}
	b.Func("run", "", "i", "", runtimetest.I32(depth), runtimetest.Invoke(0), runtimetest.I32(0))
	samples, _, err := profile(t, b.Bytes(), runtime.Limits{}, runtime.Call{Export: "run"})
	if err != nil {
		t.Fatal(err)
	}
	calls := int64(0)
	for _, s := range samples {
		calls += s.Calls
	}
	want := int64(1) // run, and a tree of nine levels below its root.
	for width, level := int64(1), 0; level <= depth; width, level = width*functions, level+1 {
		want += width
	}
	if calls != want {
		t.Errorf("got %d calls, want %d", calls, want)
	}
	if most := 1<<16 + functions; len(samples) > most {
		t.Errorf("got %d samples, want %d at most", len(samples), most)
	}
}

func TestProfileOfAGoGuest(t *testing.T) {
	t.Parallel()
	call := runtime.Call{Export: "http", Input: []byte(strings.Repeat("x", 1000)), Host: answering(`{"result":{"status":200,"headers":{},"body":"ok"}}`)}
	plain, err := engine.guest(t).Call(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	samples, result, err := profile(t, runtimetest.Guest(t), runtime.Limits{}, call)
	if err != nil {
		t.Fatal(err)
	}
	if result.Usage.Fuel != plain.Usage.Fuel || string(result.Output) != string(plain.Output) {
		t.Errorf("got %d units and %q, without a profile %d and %q", result.Usage.Fuel, result.Output, plain.Usage.Fuel, plain.Output)
	}
	asked := slices.IndexFunc(samples, func(s runtime.Sample) bool { return s.Stack[0] == "extism:host/env.http_request" })
	if asked < 0 {
		t.Fatal("http_request is not in the profile")
	}
	// It is charged for the bytes that it moves.
	if s := samples[asked]; s.Calls != 1 || s.Fuel < 1000 || s.Stack[len(s.Stack)-1] != "http" {
		t.Errorf("got %d calls, %d units, by %s", s.Calls, s.Fuel, s.Stack[len(s.Stack)-1])
	}
}

// refusing is a compiler for which everything costs too much.
type refusing struct{}

func (refusing) Compile(context.Context, []byte) error {
	return &compile.CostError{Limit: compile.LimitCPU}
}

func TestAProfileIsMadeOfWhatTheCompilerTakes(t *testing.T) {
	t.Parallel()
	_, _, err := runtime.Profile(t.Context(), runtime.Config{Compiler: refusing{}}, runtimetest.Echo("echo"), runtime.Limits{}, runtime.Call{Export: "echo"})
	if invalid, ok := errors.AsType[*runtime.InvalidModule](err); !ok || invalid.Code != "compile_too_costly" {
		t.Errorf("got %v, want the compiler's refusal", err)
	}
}
