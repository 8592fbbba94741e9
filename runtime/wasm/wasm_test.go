package wasm_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// guests are real modules and tiny ones.
func guests(tb testing.TB) map[string][]byte {
	tb.Helper()
	return map[string][]byte{
		"Go":      runtimetest.Guest(tb),
		"loop":    runtimetest.Loop("run"),
		"grow":    runtimetest.Grow("run"),
		"recurse": runtimetest.Recurse("run"),
		"trap":    runtimetest.Trap("run"),
		"echo":    runtimetest.Echo("run"),
		"outputs": runtimetest.Outputs(map[string]string{"a": "b", "c": "a longer output"}),
		"fail":    runtimetest.Fail("run", "message", 1),
		"ask":     runtimetest.Ask("run", "function", "{}"),
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, binary := range guests(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roundTrip(t, binary, wasm.Limits{})
		})
	}
}

// roundTrip checks that encoding loses nothing, and returns the module.
func roundTrip(tb testing.TB, binary []byte, l wasm.Limits) *wasm.Module {
	tb.Helper()
	m, err := wasm.Decode(binary, l)
	if err != nil {
		tb.Fatal(err)
	}
	encoded := m.Encode()
	again, err := wasm.Decode(encoded, l)
	if err != nil {
		tb.Fatalf("decode what was encoded: %v", err)
	}
	if diff := cmp.Diff(m, again); diff != "" {
		tb.Errorf("module differs (-want +got):\n%.2000s", diff)
	}
	return m
}

func ExampleScanner() {
	m, err := wasm.Decode(runtimetest.Loop("run"), wasm.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := wasm.NewScanner(m.Code[0].Code)
	for s.Next() {
		i := s.Instruction()
		fmt.Printf("%d..%d: %#x\n", i.Start, i.End, i.Op)
	}
	// Output:
	// 0..2: 0x3
	// 2..4: 0xc
	// 4..5: 0xb
	// 5..6: 0x0
	// 6..7: 0xb
}

func BenchmarkDecode(b *testing.B) {
	binary := runtimetest.Guest(b)
	b.SetBytes(int64(len(binary)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wasm.Decode(binary, wasm.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
